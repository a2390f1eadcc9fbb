#include "slave/command_environment.hpp"

#include "os/guard.hpp"
#include "os/process_table.hpp"

#include <functional>
#include <map>
#include <utility>

extern char** environ;

namespace remsh {

namespace {

bool is_entry_of(BytesView entry, BytesView name) {
  return entry.starts_with(name) && entry.substr(name.size()).starts_with('=');
}

}  // namespace

std::vector<Bytes> own_environment() {
  std::vector<Bytes> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

std::vector<Bytes> environment_of(const std::vector<Bytes>& ours, const operations::Execute::Request& request,
                                  const Bytes& name) {
  std::vector<Bytes> result;
  if (!request.clear_env) result = ours;
  if (!request.unset_env.empty() || !request.set_env.empty()) {
    std::map<Bytes, Bytes, std::less<>> entries;
    const auto set = [&entries](Bytes& entry) {
      Bytes variable = entry.substr(0, entry.find('='));
      entries.insert_or_assign(std::move(variable), std::move(entry));
    };
    for (Bytes& entry : result) set(entry);
    for (const Bytes& variable : request.unset_env) entries.erase(variable);
    for (Bytes entry : request.set_env) set(entry);
    result.clear();
    for (auto& [variable, entry] : entries) result.push_back(std::move(entry));
  }
  std::erase_if(result, [](const Bytes& entry) { return is_entry_of(entry, command_variable); });
  const Bytes guarded = guarded_name();
  result.push_back(guarded.empty() ? command_entry(ours, name) : command_entry({command_entry(ours, guarded)}, name));
  return result;
}

}  // namespace remsh

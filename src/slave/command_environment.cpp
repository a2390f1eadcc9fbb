#include "slave/command_environment.hpp"

#include "os/process_table.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

extern char** environ;

namespace remsh {

namespace {

bool is_entry_of(BytesView entry, BytesView name) {
  return entry.starts_with(name) && entry.substr(name.size()).starts_with('=');
}

/// Puts the value of an entry before the value that its variable has.
void prepend(std::vector<Bytes>& entries, const Bytes& entry) {
  const BytesView name = BytesView(entry).substr(0, entry.find('='));
  const auto present = std::find_if(entries.begin(), entries.end(),
                                    [name](const Bytes& candidate) { return is_entry_of(candidate, name); });
  if (present == entries.end()) return entries.push_back(entry);
  const BytesView value = BytesView(*present).substr(name.size() + 1);
  *present = value.empty() ? entry : entry + ':' + Bytes(value);
}

}  // namespace

std::vector<Bytes> own_environment() {
  std::vector<Bytes> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

std::vector<Bytes> environment_for(std::vector<Bytes> ours, const UserAccount& user) {
  for (const Bytes& variable :
       {"HOME=" + user.home, "USER=" + user.name, "LOGNAME=" + user.name, Bytes("PATH=/usr/local/bin:/usr/bin:/bin")}) {
    const Bytes name = variable.substr(0, variable.find('='));
    std::erase_if(ours, [&name](const Bytes& entry) { return is_entry_of(entry, name); });
    ours.push_back(variable);
  }
  return ours;
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
  for (const Bytes& entry : request.prepend_env) prepend(result, entry);
  std::erase_if(result, [](const Bytes& entry) { return is_entry_of(entry, command_variable); });
  result.push_back(command_entry(ours, name));
  return result;
}

}  // namespace remsh

// Builders: the set of a slave, and what a builder does beyond a workspace.
#include <remsh/master/builder.hpp>

#include "base/format.hpp"
#include "base/text.hpp"
#include "master/builder_identity.hpp"
#include "master/builder_list.hpp"
#include "master/operation_forms.hpp"

#include <remsh/master/slave.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace remsh {

namespace {

/// Checks the specs, and fills in the directories.
std::vector<BuilderSpec> checked(std::vector<BuilderSpec> specs, const Request& request) {
  std::set<BytesView> names;
  std::set<BytesView> directories;
  for (BuilderSpec& spec : specs) {
    request.require(!spec.name.empty(), "a builder has no name");
    if (spec.directory.empty()) spec.directory = spec.name;
    request.require(names.insert(spec.name).second, formatted("there are two builders {}", in_quotes(spec.name)));
    request.require(directories.insert(spec.directory).second,
                    formatted("two builders have the directory {}", in_quotes(spec.directory)));
  }
  return specs;
}

std::size_t interrupt_commands(SlaveOperations& slave, Backend& backend, const std::string& builder, const Bytes& why,
                               const CallOptions& options) {
  std::size_t count = 0;
  for (const OperationInProgress& one : backend.operations().list()) {
    const bool is_command = one.operation == operations::Execute::what.method;
    if (is_command && one.builder == builder && slave.interrupt(one.id, why, options)) ++count;
  }
  return count;
}

}  // namespace

BuilderList::Change BuilderList::set(const std::vector<BuilderSpec>& specs) {
  Change change;
  std::vector<std::shared_ptr<BuilderIdentity>> kept;
  for (const BuilderSpec& spec : specs) {
    const auto old = std::find_if(all_.begin(), all_.end(), [&spec](const auto& one) {
      return one && one->name == spec.name && one->directory == spec.directory;
    });
    kept.push_back(old != all_.end() ? std::move(*old) : std::make_shared<BuilderIdentity>(spec.name, spec.directory));
  }
  for (const auto& one : all_) {
    if (!one) continue;
    one->is_removed = true;
    change.removed.push_back(one->name);
  }
  change.now = all_ = std::move(kept);
  return change;
}

Builder::~Builder() = default;

const std::string& Builder::name() const noexcept { return identity()->name; }
bool Builder::is_removed() const noexcept { return identity()->is_removed; }

std::shared_ptr<Workspace> Builder::start_build(const std::string& id, WorkspaceOptions options) {
  if (options.tag.empty()) options.tag = id;
  return std::shared_ptr<Workspace>(new Workspace(backend_, slave(), path(), std::move(options), identity()));
}

std::size_t Builder::interrupt_all(const Bytes& why, const CallOptions& options) {
  return interrupt_commands(*slave(), *backend_, name(), why, options);
}

BuilderSet Slave::set_builders(std::vector<BuilderSpec> builders, const CallOptions& options) {
  Request request(*backend_, operations::SetBuilders::what);
  const std::vector<BuilderSpec> specs = checked(std::move(builders), request);
  const auto self = weak_from_this().lock();
  operations::SetBuilders::Request asked;
  for (const BuilderSpec& spec : specs) asked.directories.push_back(spec.directory);

  BuilderList& list = builder_list();
  const std::lock_guard lock(list.mutex);
  BuilderSet set;
  set.left_over = run<operations::SetBuilders>(*this, std::move(asked), options);
  const BuilderList::Change change = list.set(specs);
  for (const std::string& name : change.removed) {
    interrupt_commands(*this, *backend_, name, "the builder was removed", options);
  }
  const Bytes base = base_directory(options);
  for (const auto& identity : change.now) {
    const Bytes path = path_in(base, identity->directory, request);
    set.builders.emplace_back(new Builder(backend_, self, path, WorkspaceOptions(), identity));
  }
  return set;
}

}  // namespace remsh

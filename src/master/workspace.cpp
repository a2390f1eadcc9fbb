// Workspace: a directory of a slave for one job, with defaults for the job's calls.
#include <remsh/master/workspace.hpp>

#include "base/format.hpp"
#include "base/text.hpp"
#include "master/builder_identity.hpp"
#include "master/target.hpp"

#include <remsh/master/slave.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace remsh {

namespace {

constexpr operations::Description making{.name = "workspace"};

/// Whether the text of a relative path leads above the directory in which it begins.
bool leads_out(BytesView path) {
  std::size_t depth = 0;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const BytesView name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      ++depth;
    } else if (depth-- == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

Bytes path_in(const Bytes& directory, const Bytes& path, const Request& request) {
  if (path.starts_with('/')) return path;
  if (leads_out(path)) {
    request.refuse(Errc::invalid_argument,
                   formatted("the path leads out of {}, where it begins: give an absolute path if that is meant",
                             in_quotes(directory)));
  }
  return directory.ends_with('/') ? directory + path : directory + '/' + path;
}

Target::Target(Backend& asked, const Workspace* in) : slave(asked), workspace_(in) {
  if (in == nullptr || !in->identity() || !in->identity()->is_removed) return;
  Request(slave, making, in->identity()->name)
      .refuse(Errc::invalid_argument, "the builder was removed: get a new one with set_builders()");
}

BytesView Target::builder() const noexcept {
  return workspace_ != nullptr && workspace_->identity() ? BytesView(workspace_->identity()->name) : BytesView();
}

Workspace::Workspace(std::shared_ptr<Backend> backend, std::shared_ptr<Slave> slave, Bytes path,
                     WorkspaceOptions options, std::shared_ptr<BuilderIdentity> builder)
    : SlaveOperations(std::move(backend)),
      slave_(std::move(slave)),
      path_(std::move(path)),
      options_(std::move(options)),
      builder_(std::move(builder)) {}

Workspace::~Workspace() = default;

/// The base directory; if the slave did not report one, the session's directory.
Bytes Slave::base_directory(const CallOptions& options) {
  Bytes base = backend_->info_copy().basedir;
  return base.starts_with('/') ? base : set_cwd("", options);
}

std::shared_ptr<Workspace> Slave::workspace(const Bytes& directory, WorkspaceOptions options) {
  Request request(*backend_, making, directory);
  request.check("path", directory);
  request.check_environment(options.env);
  Bytes base;
  if (!directory.starts_with('/')) {
    base = base_directory({.deadline = options.deadline, .stop = options.stop, .tag = options.tag});
  }
  std::shared_ptr<Workspace> made(
      new Workspace(backend_, weak_from_this().lock(), path_in(base, directory, request), std::move(options)));
  if (made->options().make) made->mkdir(made->path());
  return made;
}

}  // namespace remsh

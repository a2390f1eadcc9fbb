// Builder: a named workspace of a slave, whose builds can be told apart and interrupted together.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/workspace.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace remsh {

/// A builder to be made by Slave::set_builders().
struct BuilderSpec {
  std::string name;
  Bytes directory = {};  ///< relative to the slave's base directory; empty: the same as the name
};

/// A workspace with a name. Slave::set_builders() returns it.
///
///     auto [builders, left_over] = slave->set_builders({{"linux-gcc"}, {"linux-clang", "clang"}});
///     auto build = builders[0]->start_build("17", {.deadline = 1h});
///     build->execute({"make"});
///
/// Its operations, and those of its builds, carry its name in AuditRecord and OperationInProgress. Once it is removed
/// from its slave, they throw Error with invalid_argument. Thread-safe; it keeps the Slave alive, as any workspace.
class REMSH_API Builder final : public Workspace {
 public:
  ~Builder() override;

  [[nodiscard]] const std::string& name() const noexcept;

  /// A workspace in the same directory for one build. If the options have no tag, the calls are tagged with this id.
  [[nodiscard]] std::shared_ptr<Workspace> start_build(const std::string& id, WorkspaceOptions options = {});

  /// Interrupts the commands that this builder and its builds are running, as SlaveOperations::interrupt() does.
  /// Returns how many there were.
  std::size_t interrupt_all(const Bytes& why = {}, const CallOptions& options = {});

  /// Whether set_builders() has been called without it.
  [[nodiscard]] bool is_removed() const noexcept;

 private:
  friend class Slave;
  using Workspace::Workspace;
};

/// What Slave::set_builders() has made of a slave.
struct BuilderSet {
  std::vector<std::shared_ptr<Builder>> builders = {};  ///< in the order of their specs

  /// The other directories in the slave's base directory, except `info`, by name. They are left alone: remove those of
  /// former builders with remove() if you want to.
  std::vector<Bytes> left_over = {};
};

}  // namespace remsh

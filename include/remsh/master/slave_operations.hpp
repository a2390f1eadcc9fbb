// SlaveOperations: the operations of a slave, as a Slave and a Workspace have them.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/master/pending.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>
#include <remsh/operations/own_operation.hpp>
#include <remsh/operations/transfer.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

class Backend;
class Workspace;

/// The operations of a slave: what a Slave and a Workspace have in common. They block the calling thread and may be
/// called from any number of threads at once.
///
///     auto status = slave->execute({"make", "-j8"}, {.cwd = "project", .out = print});
///
/// Every operation throws RemoteError (the slave could not do it), Timeout or Cancelled (the deadline or the stop token
/// of the caller ended it), ConnectionLost (the slave is gone, and why), or Error: with invalid_argument or too_large
/// before anything was sent, with too_large if a limit of the caller's own was passed, with local_os_error if a local
/// file is the cause. After RemoteError, Timeout and Cancelled the slave is still usable. An exception of a callback
/// comes out of the operation as it is.
///
/// Relative paths begin in the session's directory (Slave::set_cwd()) if the operation is called on a Slave, and in the
/// directory of the Workspace if it is called on one. Absolute paths are used as they are.
class REMSH_API SlaveOperations {
 public:
  SlaveOperations(const SlaveOperations&) = delete;
  SlaveOperations& operator=(const SlaveOperations&) = delete;

  /// The environment that commands start from.
  std::map<Bytes, Bytes> getenv(const CallOptions& options = {});

  /// The files in the directory `info` of the slave's base directory, by name: what its operator says of it.
  std::map<Bytes, Bytes> read_info(const CallOptions& options = {});

  /// Makes a directory and its parents; one that is there already is fine. Those that were made are on the disk when it
  /// returns.
  void mkdir(const Bytes& path, const CallOptions& options = {});

  /// Removes a file or a whole tree, and changes permissions that prevent this. A missing path is fine.
  void remove(const Bytes& path, const CallOptions& options = {});

  /// Renames; refuses an existing destination (os() == std::errc::file_exists) unless told to overwrite.
  void rename(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// Copies one file with its permissions; as rename() about the destination, which appears only when complete.
  void copy(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// What is at a path; nullopt if nothing is there.
  std::optional<FileInfo> stat(const Bytes& path, const StatOptions& options = {});

  /// The entries of a directory, except "." and "..": sorted by name, or given to ListOptions::each as they come.
  std::vector<DirectoryEntry> list(const Bytes& path, const ListOptions& options = {});

  /// Runs a command and waits for its end. Its output is given to the callbacks live, or captured.
  ExecuteResult execute(const std::vector<Bytes>& args, const ExecuteOptions& options = {});

  /// Writes a file on the slave. It appears under its name only when it is complete.
  TransferResult send(const Source& source, const Bytes& to, const TransferOptions& options = {});

  /// Reads a file of the slave. A local file appears under its name only when it is complete.
  TransferResult fetch(const Bytes& from, const Sink& sink, const TransferOptions& options = {});

  /// Calls an operation that was registered on the slave with SlaveServer::add_operation(). Argument keys must not
  /// begin with '_'; values may be longer than a box value. A workspace leaves the arguments as they are, also those
  /// that are paths; the operation learns the directory of the workspace by OperationContext::cwd().
  Box call(const std::string& operation, const Box& arguments = {}, const OwnOperationOptions& options = {});

  /// One round trip; how long it took.
  std::chrono::nanoseconds ping(const CallOptions& options = {});

  // The same operations, started and not waited for: see Pending. Bad arguments throw at once; all else comes out of
  // Pending::wait(). What a Source, a Sink or an option refers to must live until the operation is over.

  Pending<std::map<Bytes, Bytes>> start_getenv(CallOptions options = {});
  Pending<std::map<Bytes, Bytes>> start_read_info(CallOptions options = {});
  Pending<void> start_mkdir(Bytes path, CallOptions options = {});
  Pending<void> start_remove(Bytes path, CallOptions options = {});
  Pending<void> start_rename(Bytes from, Bytes to, PathOptions options = {});
  Pending<void> start_copy(Bytes from, Bytes to, PathOptions options = {});
  Pending<std::optional<FileInfo>> start_stat(Bytes path, StatOptions options = {});
  Pending<std::vector<DirectoryEntry>> start_list(Bytes path, ListOptions options = {});
  Pending<ExecuteResult> start_execute(std::vector<Bytes> args, ExecuteOptions options = {});
  Pending<TransferResult> start_send(Source source, Bytes to, TransferOptions options = {});
  Pending<TransferResult> start_fetch(Bytes from, Sink sink, TransferOptions options = {});
  Pending<Box> start_call(std::string operation, Box arguments = {}, OwnOperationOptions options = {});
  Pending<std::chrono::nanoseconds> start_ping(CallOptions options = {});

 private:
  friend class Admissions;
  friend class OperationAccess;
  friend class Slave;
  friend class SlaveCollection;
  friend class Workspace;

  explicit SlaveOperations(std::shared_ptr<Backend> backend);
  virtual ~SlaveOperations();

  /// What this object is, if it is a workspace; null: a Slave. It is a virtual function and not a member because a
  /// master has many slaves.
  [[nodiscard]] virtual const Workspace* as_workspace() const noexcept { return nullptr; }

  std::shared_ptr<Backend> backend_;
};

}  // namespace remsh

// SlaveOperations: the operations that Slave and Workspace have in common.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/master/command.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>
#include <remsh/operations/host_facts.hpp>
#include <remsh/operations/own_operation.hpp>
#include <remsh/operations/transfer.hpp>
#include <remsh/operations/tree.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

class Backend;
class Workspace;

/// The operations that Slave and Workspace have in common. They block the calling thread and may be called from any
/// number of threads at once.
///
///     auto status = slave->execute({"make", "-j8"}, {.cwd = "project", .out = print});
///
/// Every operation throws RemoteError if the slave could not do it, Timeout or Cancelled if the caller's deadline or
/// stop token ended it, and ConnectionLost if the slave is gone. It throws Error with invalid_argument or too_large
/// before anything is sent, with too_large if a limit set by the caller is exceeded, and with local_os_error if a local
/// file is the cause. After RemoteError, Timeout and Cancelled the slave is still usable. An exception of a callback
/// comes out of the operation unchanged.
///
/// Relative paths begin in the session's directory (Slave::set_cwd()) if the operation is called on a Slave, and in the
/// directory of the Workspace if it is called on one. Absolute paths are used as they are.
class REMSH_API SlaveOperations {
 public:
  SlaveOperations(const SlaveOperations&) = delete;
  SlaveOperations& operator=(const SlaveOperations&) = delete;

  /// The environment that commands start from.
  std::map<Bytes, Bytes> getenv(const CallOptions& options = {});

  /// The contents of the files in the directory `info` of the slave's base directory, by file name. Its operator
  /// describes the slave with them.
  std::map<Bytes, Bytes> read_info(const CallOptions& options = {});

  /// Makes a directory and its parents; existing ones are not an error. New directories are on the disk when it
  /// returns.
  void mkdir(const Bytes& path, const CallOptions& options = {});

  /// Removes a file or a whole tree, changing permissions if they prevent it. A missing path is not an error.
  void remove(const Bytes& path, const CallOptions& options = {});

  /// Renames a file or directory. Refuses an existing destination (os() == std::errc::file_exists) unless `overwrite`
  /// is set.
  void rename(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// Copies one file with its permissions. An existing destination is treated as by rename(); the copy appears only
  /// when it is complete.
  void copy(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// Information about a path; nullopt if it does not exist.
  std::optional<FileInfo> stat(const Bytes& path, const StatOptions& options = {});

  /// The entries of a directory, except "." and "..": sorted by name, or passed to ListOptions::each as they arrive.
  std::vector<DirectoryEntry> list(const Bytes& path, const ListOptions& options = {});

  /// Runs a command and waits for its end. Its output goes to the callbacks as it arrives, or is captured.
  ExecuteResult execute(const std::vector<Bytes>& args, const ExecuteOptions& options = {});

  /// Starts a command and returns at once. The Command is a handle to it, for any number of threads. Keep it: without a
  /// handle the command is cancelled.
  [[nodiscard]] Command start(std::vector<Bytes> args, ExecuteOptions options = {});

  /// Interrupts a command: Command::id(), or OperationInProgress::id, of this slave. It and all its processes are ended
  /// as by a timeout, and its result has `interrupted` set. The slave logs `why`. Returns false, and does nothing, if
  /// it is over or there never was one.
  bool interrupt(std::uint64_t command, const Bytes& why = {}, const CallOptions& options = {});

  /// Sends a signal, by its number on the slave's system, to the process group of a command. Returns false, and does
  /// nothing, if it is over or there never was one.
  bool signal(std::uint64_t command, int number, const CallOptions& options = {});

  /// Writes a file on the slave. It appears under its name only when it is complete.
  TransferResult send(const Source& source, const Bytes& to, const TransferOptions& options = {});

  /// Reads a file of the slave. A local file appears under its name only when it is complete.
  TransferResult fetch(const Bytes& from, const Sink& sink, const TransferOptions& options = {});

  /// Copies a directory of this host, with everything below it, to the slave: files with their modes (0777) and times,
  /// and symbolic links as they are. It is one operation, however many files there are. The new directory appears under
  /// its name only when it is complete; its parent must exist. Entries that cannot be read do not end it, unless
  /// `require_all` is set: the result names them.
  TreeResult send_tree(const std::string& from, const Bytes& to, const TreeOptions& options = {});

  /// The same from the slave to this host, where only the owner may write to what is fetched (0755).
  TreeResult fetch_tree(const Bytes& from, const std::string& to, const TreeOptions& options = {});

  /// Calls an operation that was registered on the slave with SlaveServer::add_operation(). Argument keys must not
  /// begin with '_'; values may be longer than a box value. A workspace does not change the arguments, even if they are
  /// paths; the operation gets the directory of the workspace from OperationContext::cwd().
  Box call(const std::string& operation, const Box& arguments = {}, const OwnOperationOptions& options = {});

  /// Writes a line into the slave's log. Line ends and other characters with an effect are escaped there, and of a
  /// message of more than 4,096 bytes the slave leaves out the rest.
  void print(const Bytes& message, const CallOptions& options = {});

  /// The last lines of the slave's log, of level info and above, the oldest first; `lines` is from 1 to 1000. The slave
  /// keeps at most 1000 lines and 256 KiB of them, since it was started.
  std::vector<std::string> log_tail(std::uint64_t lines = 100, const CallOptions& options = {});

  /// The names of the operations that the slave serves and its policy allows, in ascending order: those of the library,
  /// as in docs/protocol.md section 7, and its owner's own.
  std::vector<std::string> operations(const CallOptions& options = {});

  /// What the slave's machine is, and how it is at this moment: CPUs, memory, disk, load, clock.
  HostFacts host_facts(const CallOptions& options = {});

  /// What host_facts(), operations() and read_info() say, all three of this moment.
  SlaveReport report(const CallOptions& options = {});

  /// Makes one round trip and returns how long it took.
  std::chrono::nanoseconds ping(const CallOptions& options = {});

  // The same operations, started without waiting: see Pending. Bad arguments throw at once; Pending::wait() throws
  // everything else. Whatever a Source, a Sink or an option refers to must live until the operation is over.

  Pending<std::map<Bytes, Bytes>> start_getenv(CallOptions options = {});
  Pending<std::map<Bytes, Bytes>> start_read_info(CallOptions options = {});
  Pending<void> start_mkdir(Bytes path, CallOptions options = {});
  Pending<void> start_remove(Bytes path, CallOptions options = {});
  Pending<void> start_rename(Bytes from, Bytes to, PathOptions options = {});
  Pending<void> start_copy(Bytes from, Bytes to, PathOptions options = {});
  Pending<std::optional<FileInfo>> start_stat(Bytes path, StatOptions options = {});
  Pending<std::vector<DirectoryEntry>> start_list(Bytes path, ListOptions options = {});
  Pending<ExecuteResult> start_execute(std::vector<Bytes> args, ExecuteOptions options = {});
  Pending<bool> start_interrupt(std::uint64_t command, Bytes why = {}, CallOptions options = {});
  Pending<bool> start_signal(std::uint64_t command, int number, CallOptions options = {});
  Pending<TransferResult> start_send(Source source, Bytes to, TransferOptions options = {});
  Pending<TransferResult> start_fetch(Bytes from, Sink sink, TransferOptions options = {});
  Pending<TreeResult> start_send_tree(std::string from, Bytes to, TreeOptions options = {});
  Pending<TreeResult> start_fetch_tree(Bytes from, std::string to, TreeOptions options = {});
  Pending<Box> start_call(std::string operation, Box arguments = {}, OwnOperationOptions options = {});
  Pending<void> start_print(Bytes message, CallOptions options = {});
  Pending<std::vector<std::string>> start_log_tail(std::uint64_t lines = 100, CallOptions options = {});
  Pending<std::vector<std::string>> start_operations(CallOptions options = {});
  Pending<HostFacts> start_host_facts(CallOptions options = {});
  Pending<std::chrono::nanoseconds> start_ping(CallOptions options = {});

 private:
  friend class Admissions;
  friend class Builder;
  friend class OperationAccess;
  friend class Slave;
  friend class SlaveCollection;
  friend class Workspace;

  explicit SlaveOperations(std::shared_ptr<Backend> backend);
  virtual ~SlaveOperations();

  /// This object if it is a Workspace; null if it is a Slave. A virtual function instead of a member, because a master
  /// has many slaves.
  [[nodiscard]] virtual const Workspace* as_workspace() const noexcept { return nullptr; }

  std::shared_ptr<Backend> backend_;
};

}  // namespace remsh

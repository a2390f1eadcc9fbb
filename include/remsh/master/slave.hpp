// Slave: the handle to one slave; blocking, thread-safe.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/master/operation_in_progress.hpp>
#include <remsh/master/pending.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>
#include <remsh/operations/transfer.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

class Admissions;
class Backend;

/// What a slave told of itself when it registered. Only `name` is vouched for by a handshake with keys; the rest is
/// what the slave says.
struct SlaveInfo {
  std::string name = {};
  std::string hostname = {};
  std::string system = {};    ///< "linux"
  std::string software = {};  ///< "remsh-slave 0.1.0"
  Bytes basedir = {};
  std::vector<std::string> features = {};
  std::string address = {};   ///< where it called from: "tcp 127.0.0.1:40112"
  std::string protocol = {};  ///< "remsh 2"

  // What the master knows, whatever the slave says.
  std::string key_id = {};                         ///< which key it has proven; empty: none
  std::map<std::string, std::string> labels = {};  ///< that go with this key
};

/// How a connection ended.
struct Disconnect {
  DisconnectReason reason = DisconnectReason::cut;
  std::string words = {};  ///< for people: Slave::lost_reason()
};

/// What a Slave is constructed from; a listener hands it to the slave class, which passes it on.
class REMSH_API SlaveInit {
 public:
  SlaveInit(const SlaveInfo& info, std::shared_ptr<Backend> backend);
  SlaveInit(SlaveInit&&) noexcept;
  ~SlaveInit();

  /// As Slave::info() of the slave that will be constructed from this, and valid as long as that.
  [[nodiscard]] const SlaveInfo& info() const;

 private:
  friend class Slave;
  std::shared_ptr<Backend> backend_;
};

/// One slave: its operations block the calling thread and may be called from any number of threads at once.
///
///     auto status = slave->execute({"make", "-j8"}, {.cwd = "project", .out = print});
///
/// Every operation throws RemoteError (the slave could not: it stays usable), Timeout or Cancelled (the caller's
/// patience ended: it stays usable), ConnectionLost (it is gone, and why), or Error: with invalid_argument or too_large
/// before anything was sent, with too_large if a limit of the caller's own was passed, with local_os_error where a
/// local file is the trouble. What a callback throws comes out as it is. Relative paths are relative to the session's
/// directory (set_cwd). Neither copied nor moved; handed around as std::shared_ptr<Slave>. May outlive its listener:
/// operations then throw ConnectionLost.
class REMSH_API Slave : public std::enable_shared_from_this<Slave> {
 public:
  explicit Slave(SlaveInit init);
  Slave(const Slave&) = delete;
  Slave& operator=(const Slave&) = delete;
  virtual ~Slave();  ///< disconnects, where nobody did

  /// For subclasses: called once after registration and before the slave appears in the collection, on a thread that
  /// may block and may run operations. If it throws, the slave is dropped, and told why.
  virtual void setup() {}

  /// What the slave told of itself, and its labels; never changes, and is valid as long as this object. It is kept in
  /// a compact form until the first call, and from then on also as this struct. A filter that only needs the name or
  /// a label calls name() or label(), which keep nothing.
  [[nodiscard]] const SlaveInfo& info() const;

  [[nodiscard]] std::string name() const;

  /// The value of one of SlaveInfo::labels; nullopt if the slave does not have it.
  [[nodiscard]] std::optional<std::string> label(std::string_view key) const;

  /// Returns to the slave's base directory; gives its absolute path.
  Bytes set_cwd(const CallOptions& options = {});

  /// Changes the session's directory, seen by later operations of all threads; gives its absolute path. The empty
  /// path changes nothing and only reports.
  Bytes set_cwd(const Bytes& path, const CallOptions& options = {});

  /// The environment that commands start from.
  std::map<Bytes, Bytes> getenv(const CallOptions& options = {});

  /// The files in the directory `info` of the slave's base directory, by name: what its operator says of it.
  std::map<Bytes, Bytes> read_info(const CallOptions& options = {});

  /// Makes a directory and its parents; one that is there already is fine. Those that were made are on the disk when it
  /// returns.
  void mkdir(const Bytes& path, const CallOptions& options = {});

  /// Removes a file or a whole tree, resetting permissions where they are in the way. A missing path is fine.
  void remove(const Bytes& path, const CallOptions& options = {});

  /// Renames; refuses an existing destination (os() == std::errc::file_exists) unless told to overwrite.
  void rename(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// Copies one file with its permissions; as rename() about the destination, which appears only when complete.
  void copy(const Bytes& from, const Bytes& to, const PathOptions& options = {});

  /// What is at a path; nothing where nothing is.
  std::optional<FileInfo> stat(const Bytes& path, const StatOptions& options = {});

  /// The entries of a directory, but for "." and "..": sorted by name, or given to ListOptions::each as they come.
  std::vector<DirectoryEntry> list(const Bytes& path, const ListOptions& options = {});

  /// Runs a command and waits for its end. Its output is given to the callbacks live, or captured.
  ExecuteResult execute(const std::vector<Bytes>& args, const ExecuteOptions& options = {});

  /// Writes a file on the slave. It appears under its name only when it is complete.
  TransferResult send(const Source& source, const Bytes& to, const TransferOptions& options = {});

  /// Reads a file of the slave. A local file appears under its name only when it is complete.
  TransferResult fetch(const Bytes& from, const Sink& sink, const TransferOptions& options = {});

  /// Calls an operation that was registered on the slave with SlaveServer::add_operation(). Argument keys must not
  /// begin with '_'; values may be longer than a box value.
  Box call(const std::string& operation, const Box& arguments = {}, const CallOptions& options = {});

  /// One round trip; how long it took.
  std::chrono::nanoseconds ping(const CallOptions& options = {});

  // The same operations, started and not waited for: see Pending. Bad arguments throw at once; all else comes out of
  // Pending::wait(). What a Source, a Sink or an option refers to must live until the operation is over.

  Pending<Bytes> start_set_cwd(CallOptions options = {});
  Pending<Bytes> start_set_cwd(Bytes path, CallOptions options = {});
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
  Pending<Box> start_call(std::string operation, Box arguments = {}, CallOptions options = {});
  Pending<std::chrono::nanoseconds> start_ping(CallOptions options = {});

  /// Ends the connection and returns at once; calls in progress throw ConnectionLost. The slave is told the words,
  /// and will come back by itself if it was started to do so. `reason` is for disconnect_reason().
  void disconnect(const std::string& words = "disconnected by the master",
                  DisconnectReason reason = DisconnectReason::closed_here);

  [[nodiscard]] bool is_connected() const;

  /// Why the connection ended, in words; empty while it is there.
  [[nodiscard]] std::string lost_reason() const;

  /// The same as a value; nullopt while it is there.
  [[nodiscard]] std::optional<DisconnectReason> disconnect_reason() const;

  /// The operations of all threads that are not over, in the order in which they began: those whose outcome has not
  /// been taken yet, and those that their callers have left and that the slave has still to end. For status pages.
  [[nodiscard]] std::vector<OperationInProgress> operations_in_progress() const;

  /// Calls back when the connection has ended, on one of the library's service threads; at once, in this thread, where
  /// it has already. Callbacks may block. Each is called exactly once; what it throws is dropped. The object itself may
  /// be gone by then.
  void on_disconnect(std::function<void(const Disconnect&)> callback);
  template <class Callback>
  requires std::invocable<Callback&>
  void on_disconnect(Callback callback) {
    std::function<void()> call(std::move(callback));
    if (call) on_disconnect(std::function<void(const Disconnect&)>([call](const Disconnect&) { call(); }));
  }

 private:
  friend class Admissions;
  friend class SlaveCollection;
  std::shared_ptr<Backend> backend_;
};

}  // namespace remsh

// Slave: the handle to one slave.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/operation_in_progress.hpp>
#include <remsh/master/pending.hpp>
#include <remsh/master/slave_operations.hpp>
#include <remsh/master/workspace.hpp>

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

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

/// One slave: its operations, which SlaveOperations describes, what it told of itself, and its connection.
///
///     auto status = slave->execute({"make", "-j8"}, {.cwd = "project", .out = print});
///
/// Neither copied nor moved; handed around as std::shared_ptr<Slave>. Thread-safe. May outlive its listener: operations
/// then throw ConnectionLost.
class REMSH_API Slave : public SlaveOperations, public std::enable_shared_from_this<Slave> {
 public:
  explicit Slave(SlaveInit init);
  ~Slave() override;  ///< disconnects, if nobody did

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
  /// path changes nothing and only reports. Jobs that share a slave take a workspace() each instead.
  Bytes set_cwd(const Bytes& path, const CallOptions& options = {});

  // The same, started and not waited for.
  Pending<Bytes> start_set_cwd(CallOptions options = {});
  Pending<Bytes> start_set_cwd(Bytes path, CallOptions options = {});

  /// A directory of the slave for one job, with defaults for the job's calls; see Workspace. A relative `directory`
  /// begins in the slave's base directory, whatever set_cwd() does, and must not lead out of it; if the slave does not
  /// say where that is, in the session's directory at this moment.
  ///
  /// Makes the directory, and its parents, as mkdir() does and with the same exceptions, unless the options say
  /// otherwise. It then makes no call, except to ask a slave that does not say it for its directory.
  [[nodiscard]] std::shared_ptr<Workspace> workspace(const Bytes& directory, WorkspaceOptions options = {});

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
};

}  // namespace remsh

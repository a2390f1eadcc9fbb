// Slave: the handle to one slave.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/call_options.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/master/batch.hpp>
#include <remsh/master/builder.hpp>
#include <remsh/master/operation_in_progress.hpp>
#include <remsh/master/slave_operations.hpp>
#include <remsh/master/workspace.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

class Backend;
class BuilderList;

/// What a slave reported when it registered. Only `name` is proven, by a handshake with keys. The members up to
/// `resources` are claims of the slave; the master itself sets the others.
struct SlaveInfo {
  std::string name = {};
  std::string hostname = {};
  std::string system = {};    ///< "linux"
  std::string software = {};  ///< "remsh-slave 0.1.0"
  Bytes basedir = {};
  std::string boot_id = {};                ///< changes with each boot of its machine: see Incarnation
  std::string instance_id = {};            ///< differs for each process of the slave
  std::vector<std::string> features = {};  ///< in use on this connection: "zstd" if streams are compressed
  std::map<std::string, std::string> claimed_labels =
      {};                                               ///< what the slave's operator says of it: SlaveOptions::labels
  std::uint64_t slots = 1;                              ///< how many jobs it has room for: see ReserveOptions::slots
  std::map<std::string, std::uint64_t> resources = {};  ///< what can be counted in it: see ReserveOptions::resources
  std::string address = {};                             ///< where it connected from: "tcp 127.0.0.1:40112"
  std::string protocol = {};                            ///< "remsh 2"

  std::string key_id = {};                         ///< of the key or password that it has proven; empty: none
  std::map<std::string, std::string> labels = {};  ///< the labels of this key
};

/// Options of Slave::shutdown() and restart().
struct ShutdownOptions {
  std::chrono::milliseconds within{0};  ///< how long what runs may go on
  std::string reason = {};              ///< for people: at most 1,024 bytes
  CallDeadline deadline = {};           ///< for the slave's answer
  std::stop_token stop = {};
  std::string tag = {};
};

/// How a connection ended.
struct Disconnect {
  DisconnectReason reason = DisconnectReason::cut;
  std::string words = {};  ///< a message for people: Slave::lost_reason()
};

/// What a Slave is constructed from. A listener passes it to the slave class, which passes it on.
class REMSH_API SlaveInit {
 public:
  SlaveInit(const SlaveInfo& info, std::shared_ptr<Backend> backend);
  SlaveInit(SlaveInit&&) noexcept;
  ~SlaveInit();

  /// Slave::info() of the slave that will be constructed from this object. Valid as long as this object or that slave.
  [[nodiscard]] const SlaveInfo& info() const;

 private:
  friend class Slave;
  std::shared_ptr<Backend> backend_;
};

/// One slave: its operations (see SlaveOperations), what it reported about itself, and its connection.
///
///     auto status = slave->execute({"make", "-j8"}, {.cwd = "project", .out = print});
///
/// Not copyable and not movable; pass it as std::shared_ptr<Slave>. Thread-safe. It may outlive its listener;
/// operations then throw ConnectionLost.
class REMSH_API Slave : public SlaveOperations, public std::enable_shared_from_this<Slave> {
 public:
  explicit Slave(SlaveInit init);
  ~Slave() override;  ///< disconnects, if still connected

  /// For subclasses: called once after registration and before the slave enters the collection, in a thread that may
  /// block and may run operations. If it throws, the slave is disconnected and gets the reason.
  virtual void setup() {}

  /// What the slave reported about itself, and its labels. It never changes and is valid as long as this object. It is
  /// stored in a compact form; the first call adds this struct. name() and label() do not, so use them in filters that
  /// need nothing else.
  [[nodiscard]] const SlaveInfo& info() const;

  [[nodiscard]] std::string name() const;

  /// The value of one of SlaveInfo::labels; nullopt if the slave does not have it.
  [[nodiscard]] std::optional<std::string> label(std::string_view key) const;

  /// The value of one of SlaveInfo::claimed_labels, for which nothing but the slave vouches; nullopt if it has none.
  [[nodiscard]] std::optional<std::string> claimed_label(std::string_view key) const;

  /// Returns to the slave's base directory, and returns its absolute path.
  Bytes set_cwd(const CallOptions& options = {});

  /// Changes the session's directory, which later operations of all threads use, and returns its absolute path. An
  /// empty path changes nothing and only returns the path. Jobs that share a slave should each use a workspace()
  /// instead.
  Bytes set_cwd(const Bytes& path, const CallOptions& options = {});

  // The same, started without waiting.
  Pending<Bytes> start_set_cwd(CallOptions options = {});
  Pending<Bytes> start_set_cwd(Bytes path, CallOptions options = {});

  /// Gathers what this thread starts on the slave while the batch lives, and sends it together; see Batch.
  [[nodiscard]] Batch batch();

  /// A directory of the slave for one job, with defaults for the job's calls; see Workspace. A relative `directory`
  /// begins in the slave's base directory, whatever set_cwd() does, and must not lead out of it; if the slave did not
  /// report its base directory, it begins in the current directory of the session.
  ///
  /// Makes the directory and its parents, with the exceptions of mkdir(), unless the options say otherwise. It makes no
  /// other call, except to get the session's directory from a slave that did not report its base directory.
  [[nodiscard]] std::shared_ptr<Workspace> workspace(const Bytes& directory, WorkspaceOptions options = {});

  /// Makes these builders and no others the slave's: makes the directories that are missing, keeps the builders that it
  /// has with the same name and directory, and removes the rest, interrupting their commands. Their directories stay;
  /// they are among BuilderSet::left_over. A directory that leads out of the slave's base directory, by its text or by
  /// a symbolic link, is refused by the slave (EPERM), and then no builder changes.
  BuilderSet set_builders(std::vector<BuilderSpec> builders, const CallOptions& options = {});
  /// Asks the slave to end, and returns when it has agreed. It is draining from then on: get_slave() and reserve() pass
  /// it by, and when its lease has ended and nothing runs on it, it is let go. After `within`, it ends its commands,
  /// and leaves. Its program ends and does not reconnect; on_disconnect() callbacks get DisconnectReason::released.
  void shutdown(const ShutdownOptions& options = {});
  Pending<void> start_shutdown(ShutdownOptions options = {});

  /// Like shutdown(), but then the slave's program starts again, with its options as they are then, and connects:
  /// SlaveCollection::wait_for_successor() returns the new slave, whose incarnation is `restarted`. Throws RemoteError
  /// with unsupported if the slave cannot do that: remsh-slave with --once, --stdio or a key from standard input, or a
  /// program of your own without SlaveOptions::restarts. A thread of the slave that hangs in the operating system, on a
  /// dead disk for example, holds the new start up.
  void restart(const ShutdownOptions& options = {});
  Pending<void> start_restart(ShutdownOptions options = {});

  /// Changes for this slave, while it is connected, what ListenerOptions::keepalive and keepalive_patience have set:
  /// after how much silence the master pings, and how long it then waits before it gives the slave up, at least 1.5 s.
  /// An interval of 0 turns both off. When the slave itself pings does not change. Throws Error with invalid_argument
  /// if a time is negative, and with unsupported if the slave's protocol has no keepalive.
  void set_keepalive(std::chrono::milliseconds interval,
                     std::chrono::milliseconds patience = std::chrono::milliseconds(10000));

  /// Ends the connection and returns at once; calls in progress throw ConnectionLost. The slave gets the words, and
  /// reconnects if it was started to do so. `reason` is what disconnect_reason() will return.
  void disconnect(const std::string& words = "disconnected by the master",
                  DisconnectReason reason = DisconnectReason::closed_here);

  [[nodiscard]] bool is_connected() const;

  /// Whether it has announced that it ends; see SlaveNotice::draining. It still does what it is asked.
  [[nodiscard]] bool is_draining() const;

  /// Why the connection ended, in words; empty while it is connected.
  [[nodiscard]] std::string lost_reason() const;

  /// The same as a value; nullopt while it is connected.
  [[nodiscard]] std::optional<DisconnectReason> disconnect_reason() const;

  /// The operations of all threads that are not over, in the order in which they began: those whose outcome has not
  /// been taken yet, and those that their callers have left but the slave has not ended yet. For status pages.
  [[nodiscard]] std::vector<OperationInProgress> operations_in_progress() const;

  /// Those of them that are commands, for "what runs on this slave?".
  [[nodiscard]] std::vector<OperationInProgress> commands() const;

  /// Calls back when the connection has ended, in one of the library's service threads; if it has ended already, at
  /// once in this thread. Callbacks may block; those of one slave run one after the other. Each is called exactly
  /// once; its exceptions are dropped. The Slave
  /// object may be gone by then.
  void on_disconnect(std::function<void(const Disconnect&)> callback);
  template <class Callback>
  requires std::invocable<Callback&>
  void on_disconnect(Callback callback) {
    std::function<void()> call(std::move(callback));
    if (call) on_disconnect(std::function<void(const Disconnect&)>([call](const Disconnect&) { call(); }));
  }

 private:
  Bytes base_directory(const CallOptions& options);
  BuilderList& builder_list();

  std::atomic<BuilderList*> builders_ = nullptr;  // made on demand, as a master has many slaves
};

}  // namespace remsh

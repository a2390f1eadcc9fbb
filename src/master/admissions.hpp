// Admissions: what the connections of one listener share.
#pragma once

#include "base/result.hpp"
#include "master/admission_terms.hpp"
#include "master/admitted_backend.hpp"
#include "master/keepalive.hpp"
#include "master/key_watch.hpp"
#include "master/listener_log.hpp"
#include "master/lost_callback.hpp"
#include "master/names.hpp"
#include "master/opening.hpp"
#include "master/rights_watch.hpp"
#include "master/runtime.hpp"
#include "transport/gate.hpp"

#include <remsh/master/slave_listener.hpp>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

class Admission;

/// What the connections of one listener share: its options, the admissions under way, the back ends. Thread-safe. It
/// may outlive the listener, for as long as a slave lives, but does nothing after shut_down().
class Admissions : public std::enable_shared_from_this<Admissions> {
 public:
  using Done = std::function<void(Result<std::shared_ptr<Slave>>)>;

  explicit Admissions(ListenerOptions options);

  // Called by the listener.

  /// Prepares the protocols, adds the listener's keys to those of the collection, and begins to follow the key file.
  void start();

  /// See RightsWatch::look_after().
  void look_after(RightsWatch::Look look) { rights_.look_after(std::move(look)); }

  /// Begins the admission of a connection. `done`, which may be empty, gets the outcome, on the loop or on a service
  /// thread.
  void admit(std::unique_ptr<Transport> connection, const AdmissionTerms& terms, Done done = {});

  /// Ends all admissions and all connections, and waits until nothing of them runs.
  void shut_down();

  /// Changes the keepalive of all slaves, connected now or later.
  void set_keepalive(const Keepalive& keepalive);

  [[nodiscard]] std::shared_ptr<Slave> last_accepted() const;
  void cannot_accept(int error) const;

  // Called by the listener and by each admission.

  [[nodiscard]] const ListenerOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::shared_ptr<Runtime> runtime() const;  ///< null after shut_down()
  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }

  /// See ListenerLog.
  void log(LogLevel level, const std::string& peer, const std::string& message) const {
    log_.log(level, peer, message);
  }

  // Called by each admission.

  /// The protocols that the listener accepts, in their order, and then all others. Set by start().
  [[nodiscard]] const std::vector<ServedProtocol>& protocols() const noexcept { return protocols_; }

  /// Runs a function on a service thread of one kind; shut_down() waits for it.
  void run_on(ServiceThreads& (Runtime::*threads)() noexcept, std::function<void()> function);

  [[nodiscard]] const std::shared_ptr<Names>& names() const noexcept { return names_; }
  [[nodiscard]] static Proof proof_of(const Slave& slave) noexcept;

  /// Whether a slave of this name is in the collection. Unlike SlaveCollection::find(), never leaves its caller with
  /// the last reference to a slave, so the loop may ask.
  [[nodiscard]] bool has_slave(std::string_view name) const { return options_.slave_collection.has(name); }

  /// SlaveCollection::add_slave() for the loop: touches no other slave. False if the slave is not in the collection
  /// then. What it drops goes to `leftovers`. Throws Error (in_use) if another slave has the name.
  [[nodiscard]] bool add_here(const std::shared_ptr<Slave>& slave, Leftovers& leftovers) const {
    return options_.slave_collection.add_here(slave, leftovers);
  }

  /// SlaveInfo::key_id of a slave, without unpacking the rest. Valid as long as the slave.
  [[nodiscard]] static std::string_view key_id_of(const Slave& slave) noexcept;

  /// Null if slaves have no keys.
  [[nodiscard]] KeyWatch* keys() const noexcept { return rights_.keys(); }

  /// Counts a back end that was made, until it has called its callbacks for the end of its connection: shut_down()
  /// waits for that.
  void made_backend();

  /// Opens a back end. Ends it at once if the listener is shutting down.
  void open(const std::shared_ptr<AdmittedBackend>& backend, std::unique_ptr<Transport> transport);

  // Notes how far an admission has come, for the limits.

  void proven(const Admission& admission);        ///< it has proven a key, or needs none
  void proved_wrong(const Admission& admission);  ///< its proof was wrong
  void let_in(const Admission& admission);        ///< it has registered, so its place is free
  void ended(const std::shared_ptr<Admission>& admission);
  void accepted(const std::shared_ptr<Slave>& slave);

  /// Counts one more admission whose slave class and setup() may run, until ended(). Returns why they may not; empty if
  /// it is counted.
  [[nodiscard]] std::string begin_setup(const Admission& admission);

  /// Logs a message about a connection that has proven nothing. The number of lines that each origin causes is bounded.
  void log_stranger(const Origin& origin, const std::string& who, const std::string& message);

  /// See ListenerLog.
  void log_slave(LogLevel level, const std::string& name, Proof proof, std::string message, bool is_first = false) {
    log_.log_slave(level, name, proof, std::move(message), is_first);
  }

  [[nodiscard]] bool is_shutting_down() const;

 private:
  [[nodiscard]] AdmittedBackend::Owner owner();
  [[nodiscard]] RightsWatch::Host host_of_rights();
  void serve_protocols();
  void run_farewell(const Backend& backend, std::function<void()> function);
  void backend_told();
  void backend_ended(const Backend& backend, const Failure& failure);
  [[nodiscard]] std::vector<std::shared_ptr<AdmittedBackend>> backends() const;

  const std::shared_ptr<Loop> loop_;
  const std::shared_ptr<Names> names_;  // of the collection

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Runtime> runtime_;  // reset by shut_down(): a runtime must not end on a thread of its own
  const ListenerOptions options_;     // without the runtime
  ListenerLog log_;
  RightsWatch rights_;
  std::vector<ServedProtocol> protocols_;  // set by start()
  bool shutting_down_ = false;
  unsigned services_ = 0;   // functions on service threads
  std::size_t untold_ = 0;  // back ends whose callbacks for the end are still to come
  Gate gate_;
  std::map<std::string, std::size_t> farewells_;  // that run or wait, by the name of the slave
  std::set<const Admission*> setups_;             // whose slave class and setup() may run
  std::set<std::shared_ptr<Admission>> under_way_;
  std::vector<std::weak_ptr<AdmittedBackend>> backends_;  // those that were opened
  std::size_t ended_ = 0;                                 // of backends_, since they were last tidied up
  std::weak_ptr<Slave> last_accepted_;

  std::mutex keepalive_mutex_;          // held while the next member is applied, so that the last change counts
  std::optional<Keepalive> keepalive_;  // set_keepalive(); else the options count
};

}  // namespace remsh

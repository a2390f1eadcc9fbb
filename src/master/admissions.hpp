// Admissions: what the connections of one listener share.
#pragma once

#include "base/result.hpp"
#include "master/admitted_backend.hpp"
#include "master/entrance.hpp"
#include "master/gate.hpp"
#include "master/key_watch.hpp"
#include "master/names.hpp"
#include "master/opening.hpp"
#include "master/pace.hpp"
#include "master/runtime.hpp"

#include <remsh/master/slave_listener.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace remsh {

class Admission;

/// What the connections of one listener share: its options, who is on the way, which back ends there are. Thread-safe.
/// May outlive the listener for as long as a slave does, but does nothing after shut_down().
class Admissions : public std::enable_shared_from_this<Admissions> {
 public:
  using Done = std::function<void(Result<std::shared_ptr<Slave>>)>;

  explicit Admissions(ListenerOptions options);

  // For the listener.

  /// Brings its keys to the collection, and follows them from now on.
  void start();

  /// Looks after something else besides, as often: a function that may block, and gives what is to be told to the log.
  /// Only where there are keys.
  void look_after(std::function<std::vector<LogRecord>()> look);

  /// Begins with a connection; `done`, which may be empty, is told how it ended, on the loop or a service thread.
  void admit(std::unique_ptr<Transport> connection, const Entrance& entrance, Done done = {});

  /// Ends all that is under way and all connections, and waits until nothing of it runs.
  void shut_down();

  [[nodiscard]] std::shared_ptr<Slave> last_accepted() const;
  void cannot_accept(int error) const;

  // For both.

  [[nodiscard]] const ListenerOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::shared_ptr<Runtime> runtime() const;  ///< null after shut_down()
  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }
  void log(LogLevel level, const std::string& peer, const std::string& message) const;

  // For each admission.

  /// Runs a function on a service thread of one kind; shut_down() waits for it.
  void run_on(ServiceThreads& (Runtime::*threads)() noexcept, std::function<void()> function);

  [[nodiscard]] const std::shared_ptr<Names>& names() const noexcept { return names_; }
  [[nodiscard]] static Proof proof_of(const Slave& slave) noexcept;

  /// What a slave that has proven nothing is told when there is a key of its name.
  static constexpr const char* name_has_key = "its name has a key now, which it has not proven";

  /// Null where slaves have no keys.
  [[nodiscard]] KeyWatch* keys() const noexcept { return keys_.get(); }

  /// Those that the listener accepts, in their order, and then all others. The same after start().
  [[nodiscard]] const std::vector<ServedProtocol>& protocols() const noexcept { return protocols_; }

  /// Opens a back end, which is ended at once where we are shutting down.
  void open(const std::shared_ptr<AdmittedBackend>& backend, std::unique_ptr<Transport> transport);

  // What an admission comes to, for the limits.

  void proven(const Admission& admission);  ///< or needs no proof
  void let_in(const Admission& admission);  ///< its place among those that register is free

  /// Counts one more whose slave class and setup() may run, until ended(). Why not; empty: it is counted.
  [[nodiscard]] std::string begin_setup(const Admission& admission);

  void proved_wrong(const Admission& admission);
  void log_stranger(const Origin& origin, const std::string& who, std::string message);

  /// Logs something about one slave. Of each name, and of all slaves without a key together, the log gets a bounded
  /// number of lines, and then how many were left out.
  /// `is_first`: this may be the first line about a slave that then stays for long.
  void log_slave(LogLevel level, const std::string& name, Proof proof, std::string message, bool is_first = false);

  void ended(const std::shared_ptr<Admission>& admission);

  void accepted(const std::shared_ptr<Slave>& slave);
  [[nodiscard]] bool is_shutting_down() const;

 private:
  [[nodiscard]] AdmittedBackend::Owner owner();
  void serve_protocols();
  void run_farewell(const Backend& backend, std::function<void()> function);
  void backend_ended(const Backend& backend, const Failure& failure);
  [[nodiscard]] std::vector<std::shared_ptr<AdmittedBackend>> backends() const;
  void later(Duration wait, void (Admissions::*function)());
  template <void (Admissions::*look)()>
  void look_again_and_again();
  void look_at_files();
  void look_at_clock();
  void keys_changed();
  void check_rights();
  void end_without_right(AdmittedBackend& backend) const;

  const std::shared_ptr<Loop> loop_;
  const std::unique_ptr<KeyWatch> keys_;
  const std::shared_ptr<Names> names_;     // of the collection
  Names::ListenerId listener_ = 0;         // among them; 0: not started
  std::vector<ServedProtocol> protocols_;  // since start()

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Runtime> runtime_;  // let go by shut_down(): it must not end with us, on a thread of its own
  const ListenerOptions options_;     // but for the runtime
  bool shutting_down_ = false;
  bool check_is_due_ = false;                                    // of the rights of all slaves
  TimePoint checked_ = {};                                       // when that was done last
  unsigned services_ = 0;                                        // functions on service threads
  std::vector<std::function<std::vector<LogRecord>()>> others_;  // to look after besides the keys
  Gate gate_;
  Pace lines_of_names_{{.burst = 16, .interval = std::chrono::seconds(1)}};
  Pace lines_of_keyless_{{.burst = 16384, .interval = std::chrono::milliseconds(10)}};
  std::map<std::string, std::size_t> farewells_;  // not over, by the name of the slave that has gone
  std::set<const Admission*> setups_;             // whose slave class and setup() may run
  std::set<std::shared_ptr<Admission>> under_way_;
  std::vector<std::weak_ptr<AdmittedBackend>> backends_;  // that were opened
  std::size_t ended_ = 0;                                 // of them, since those that are gone were taken out
  std::weak_ptr<Slave> last_accepted_;
};

}  // namespace remsh

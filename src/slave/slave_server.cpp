#include <remsh/slave/slave_server.hpp>

#include "auth/slave_handshake.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "operations/operations.hpp"
#include "os/threads.hpp"
#include "rpc/peer.hpp"
#include "slave/back_off.hpp"
#include "slave/dispatcher.hpp"
#include "slave/execute.hpp"
#include "slave/filesystem.hpp"
#include "slave/list.hpp"
#include "slave/master_contact.hpp"
#include "slave/own_key.hpp"
#include "slave/remsh1_server.hpp"
#include "slave/retry_log.hpp"
#include "slave/served_operations.hpp"
#include "slave/stuck_threads.hpp"
#include "slave/transfer.hpp"
#include "slave/workplace.hpp"
#include "transport/address.hpp"
#include "transport/loop.hpp"

#include <remsh/base/error.hpp>
#include <remsh/connection/trace.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using Reason = ServeResult::Reason;

/// How long operations may take to return once their connection has ended; then the slave goes on without them.
constexpr Duration return_patience = std::chrono::seconds(2);

/// How many threads may be inside an operation, those of ended connections included.
constexpr std::size_t max_threads = 1024;

class UserOperation final : public OperationContext {
 public:
  UserOperation(const rpc::ServedCall& call, const Bytes& basedir) : call_(call), basedir_(basedir) {}
  [[nodiscard]] const Box& arguments() const override { return call_.arguments(); }
  [[nodiscard]] const Bytes& basedir() const override { return basedir_; }
  [[nodiscard]] bool cancelled() const override { return call_.cancelled(); }

 private:
  const rpc::ServedCall& call_;
  const Bytes& basedir_;
};

/// One attempt to serve a master: by which options, and how far it came.
struct Attempt {
  SlaveOptions options;  ///< with the name and the key of this time
  std::optional<TimePoint> registered_at = {};
  /// Kept by operations that do not return, too.
  std::shared_ptr<std::atomic<bool>> has_served = std::make_shared<std::atomic<bool>>(false);
};

/// Counts what runs, so that the destructor can wait for it.
class InUse {
 public:
  InUse(std::mutex& mutex, std::condition_variable& changed, unsigned& count)
      : mutex_(mutex), changed_(changed), count_(count) {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() {
    const std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }

 private:
  std::mutex& mutex_;
  std::condition_variable& changed_;
  unsigned& count_;
};

}  // namespace

struct SlaveServer::Impl {
  class Serving;

  explicit Impl(SlaveOptions given) : options(std::move(given)), own_key(options) {}

  [[nodiscard]] bool is_allowed(const std::string& operation) const;
  [[nodiscard]] std::shared_ptr<Workplace> open_workplace();
  void begin_to_clean(const std::shared_ptr<const Workplace>& workplace);
  [[nodiscard]] SlaveOptions options_of_now();
  ServeResult serve(Attempt& attempt, std::unique_ptr<Transport> transport, const std::shared_ptr<Workplace>& workplace,
                    Deadline welcomed);
  ServeResult serve_remsh1(Attempt& attempt, std::unique_ptr<Transport> transport,
                           const std::shared_ptr<Workplace>& workplace, Deadline welcomed);
  ServeResult connect_and_serve(Attempt& attempt, const Address& address);
  void wait_to_connect(std::chrono::milliseconds pause, bool was_registered);
  Dispatcher make_dispatcher(const std::shared_ptr<Workplace>& workplace, const std::shared_ptr<CommandSet>& commands);
  void leave_stuck(std::vector<rpc::StuckThread> threads, const std::string& peer);
  void log(LogLevel level, const std::string& peer, const std::string& message) const {
    if (options.log) options.log(LogRecord{level, "slave", without_controls(peer), without_controls(message)});
  }
  static ServeResult over(Reason reason, std::string message, bool registered = false) {
    return {reason, std::move(message), registered, {}};
  }
  static ServeResult over_by(const Failure& failure, Reason otherwise);
  [[nodiscard]] bool is_stopped() const { return stop.stop_requested(); }

  /// The commands of a connection that has ended, and the loop that they live on.
  struct Ending {
    std::shared_ptr<Loop> loop;
    std::shared_ptr<CommandSet> commands;
  };
  void end_later(Ending ending);
  void end_now();

  const Clock& clock = real_clock();
  const SlaveOptions options;
  const std::shared_ptr<rpc::ServedCalls> served = std::make_shared<rpc::ServedCalls>(clock);  // of all connections
  std::map<std::string, Operation, std::less<>> operations;
  std::stop_source stop;
  OwnKey own_key;

  std::mutex mutex;
  std::condition_variable changed;
  unsigned serving = 0;
  bool connects_now = false;  // the next pause is left out
  std::vector<Ending> endings;
  unsigned user_operations = 0;  // that run; they use what belongs to the user, so the destructor waits for them
  StuckThreads stuck_threads;
  std::shared_ptr<const std::atomic<bool>> has_cleaned;  // null: not begun
};

/// Begins to end the commands of a connection: the next connection does not wait for that.
void SlaveServer::Impl::end_later(Ending ending) {
  ending.commands->begin_stop();
  std::vector<Ending> over;
  {
    const std::lock_guard lock(mutex);
    endings.push_back(std::move(ending));
    const auto ends = std::stable_partition(endings.begin(), endings.end(),
                                            [](const Ending& each) { return !each.commands->is_over(); });
    std::move(ends, endings.end(), std::back_inserter(over));
    endings.erase(ends, endings.end());
  }
  for (const Ending& each : over) each.loop->stop();
}

/// Waits until nothing is left of the connections that have ended.
void SlaveServer::Impl::end_now() {
  std::vector<Ending> all;
  {
    const std::lock_guard lock(mutex);
    all.swap(endings);
  }
  for (const Ending& each : all) {
    each.commands->stop();
    each.loop->stop();
  }
}

void SlaveServer::Impl::leave_stuck(std::vector<rpc::StuckThread> threads, const std::string& peer) {
  if (threads.empty()) return;
  std::string commands;
  for (const auto& stuck : threads) {
    if (commands.find(stuck.command) == std::string::npos) commands += (commands.empty() ? "" : ", ") + stuck.command;
  }
  log(LogLevel::warning, peer,
      std::to_string(threads.size()) + " operations have not returned (" + commands +
          "): going on without them. Does a disk or a network file system hang?");
  stuck_threads.add(std::move(threads));
}

/// What it means that it was not let in. Throws where the options are the cause.
ServeResult SlaveServer::Impl::over_by(const Failure& failure, Reason otherwise) {
  switch (failure.code) {
    case Errc::invalid_argument: throw_failure(failure, "", "connect to a master");
    case Errc::refused:
    case Errc::auth_failed: return over(Reason::refused, failure.message);
    case Errc::protocol_error: return over(Reason::protocol, failure.message);
    case Errc::connection_lost: return over(Reason::lost, failure.message);
    default: return over(otherwise, failure.message);
  }
}

Dispatcher SlaveServer::Impl::make_dispatcher(const std::shared_ptr<Workplace>& workplace,
                                              const std::shared_ptr<CommandSet>& commands) {
  Dispatcher dispatcher(served);
  // A master that the policy keeps from the slave's rights must not put them into a program that others can run.
  const bool is_confined = !options.policy.root.empty() || !is_allowed(std::string(operations::Execute::what.name));
  const mode_t mode_mask = is_confined ? 0777 : 07777;
  add_filesystem(dispatcher, workplace, mode_mask);
  add_list(dispatcher, workplace);
  add_transfer(dispatcher, workplace, mode_mask);
  add_execute(dispatcher, workplace, commands);
  for (const auto& [name, operation] : operations) {
    dispatcher.add(name, [this, &run = operation, workplace](const std::shared_ptr<rpc::ServedCall>& call) {
      const InUse in_use(mutex, changed, user_operations);
      UserOperation context(*call, workplace->base().path());
      call->answer(run(context));
    });
  }
  dispatcher.allow_only([this](const std::string& operation) { return is_allowed(operation); });
  return dispatcher;
}

bool SlaveServer::Impl::is_allowed(const std::string& operation) const {
  const auto& allow = options.policy.allow;
  const operations::Description* const what = operations::find(operation);
  if (options.policy.no_execute && what != nullptr && what->runs_commands) return false;
  return !allow || std::find(allow->begin(), allow->end(), operation) != allow->end();
}

/// Removes what killed slaves have left, on a thread that nobody waits for: it may be on a disk that hangs.
void SlaveServer::Impl::begin_to_clean(const std::shared_ptr<const Workplace>& workplace) {
  if (!workplace->may_have_abandoned_parts()) return;
  const std::lock_guard lock(mutex);
  if (has_cleaned && !*has_cleaned) return;
  const auto has_returned = std::make_shared<std::atomic<bool>>(false);
  std::vector<rpc::StuckThread> threads(1);
  try {
    threads[0].thread = start_thread("remsh-parts", [held = workplace, has_returned]() mutable {
      try {
        held->remove_abandoned_parts();
      } catch (const std::exception&) {  // no memory: the next one does it
      }
      held.reset();
      *has_returned = true;
    });
  } catch (const std::system_error&) {  // no thread: the next one does it
    return;
  }
  threads[0].has_returned = has_cleaned = has_returned;
  stuck_threads.add(std::move(threads));
}

std::shared_ptr<Workplace> SlaveServer::Impl::open_workplace() {
  for (const std::string& word : options.policy.allow.value_or(std::vector<std::string>())) {
    if (operations::find(word) == nullptr && word != operations::Ping::what.name && !operations.contains(word)) {
      throw Error(Errc::invalid_argument, "", "serve",
                  "the policy allows '" + escaped(word) + "', which is no operation of this slave");
    }
  }
  const std::string& root = options.policy.root;
  const std::string basedir = options.basedir.empty() && root.empty() ? "." : options.basedir;
  auto workplace = Workplace::open(basedir, root);
  if (!workplace) throw_failure(workplace.failure(), "", "open the base directory '" + escaped(basedir) + "'");
  begin_to_clean(*workplace);
  return std::move(*workplace);
}

/// The options for the next connection, with the key as it is now. Throws Error if there has never been one.
SlaveOptions SlaveServer::Impl::options_of_now() {
  auto own = own_key.read();
  if (!own) throw_failure(own.failure(), "", "read the slave's key");
  if (!own->notice.empty()) log(own->is_trouble ? LogLevel::warning : LogLevel::info, "", own->notice);
  SlaveOptions now = options;
  now.name = std::move(own->name);
  now.key = std::move(own->key);
  return now;
}

ServeResult SlaveServer::Impl::serve(Attempt& attempt, std::unique_ptr<Transport> transport,
                                     const std::shared_ptr<Workplace>& workplace, Deadline welcomed) {
  using Action = auth::SlaveHandshake::Step::Action;
  transport = traced(std::move(transport), options.trace);
  const std::string master = transport->description();
  if (options.protocol == 1) return serve_remsh1(attempt, std::move(transport), workplace, welcomed);
  auth::SlaveHandshake::Options handshake;
  handshake.registration = registration_of(attempt.options, workplace->base().path());
  handshake.key = attempt.options.key;
  auto step = shake_hands(*transport, std::move(handshake), welcomed, stop.get_token());
  if (!step) return is_stopped() ? over(Reason::stopped, "stopped") : over_by(step.failure(), Reason::lost);
  if (step->action != Action::open) {
    ServeResult result = over_by(step->failure, Reason::refused);
    result.retry = step->retry.value_or(std::chrono::milliseconds(0));
    return result;
  }
  log(LogLevel::info, master, "registered");
  attempt.registered_at = clock.now();

  const std::shared_ptr<Loop> loop = Loop::start(clock);
  const auto commands = std::make_shared<CommandSet>(loop);
  const auto dispatcher = std::make_shared<const Dispatcher>(make_dispatcher(workplace, commands));
  rpc::Peer::Options peer_options;
  peer_options.engine.serves = true;
  peer_options.session.keepalive = step->keepalive;
  peer_options.session.patience = options.keepalive_patience;
  peer_options.threads = std::max(1U, options.threads);
  peer_options.max_threads = std::max(peer_options.threads, max_threads - std::min(max_threads, stuck_threads.size()));
  peer_options.serve = [dispatcher, has_served = attempt.has_served](const std::shared_ptr<rpc::ServedCall>& call) {
    *has_served = true;
    dispatcher->dispatch(call);
  };
  peer_options.on_end = [this](rpc::Peer&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const auto connected = rpc::Peer::start(std::move(transport), loop, std::move(peer_options), step->bytes);
  {
    const std::stop_callback stopping(stop.get_token(), [&connected] { connected->close("the slave stops"); });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&connected] { return connected->ended().has_value(); });
  }
  commands->begin_stop();
  leave_stuck(connected->wait_until_left(clock.now() + return_patience), master);
  end_later({loop, commands});
  const auto goodbye = connected->said_goodbye();
  const Failure failure = *connected->ended();
  if (is_stopped()) return over(Reason::stopped, "stopped", true);
  if (goodbye) {
    ServeResult result = over(Reason::ended, without_controls(goodbye->reason), true);
    result.retry = std::chrono::milliseconds(std::min<std::uint64_t>(goodbye->retry.value_or(0), 3'600'000));
    return result;
  }
  if (failure.code == Errc::protocol_error) return over(Reason::protocol, failure.message, true);
  return over(Reason::lost, failure.message, true);
}

ServeResult SlaveServer::Impl::serve_remsh1(Attempt& attempt, std::unique_ptr<Transport> transport,
                                            const std::shared_ptr<Workplace>& workplace, Deadline welcomed) {
  const std::string master = transport->description();
  const std::shared_ptr<Loop> loop = Loop::start(clock);
  const auto commands = std::make_shared<CommandSet>(loop);
  const Dispatcher dispatcher = make_dispatcher(workplace, commands);
  Remsh1Server::Options server_options;
  server_options.loop = loop;
  server_options.workplace = workplace;
  server_options.hostname = options.name.empty() ? registration_of(options, {}).hostname : options.name;
  server_options.serve = [&dispatcher, &attempt](const std::shared_ptr<rpc::ServedCall>& call) {
    *attempt.has_served = true;
    dispatcher.dispatch(call);
  };
  server_options.registered_by = welcomed;
  server_options.on_registered = [this, &attempt, &master] {
    attempt.registered_at = clock.now();
    log(LogLevel::info, master, "registered, by remsh 1");
  };
  const auto server = std::make_shared<Remsh1Server>(std::move(transport), std::move(server_options));
  ServeResult result;
  {
    const std::stop_callback stopping(stop.get_token(), [&server] { server->close(); });
    result = server->run();
  }
  end_later({loop, commands});
  return is_stopped() ? over(Reason::stopped, "stopped", result.registered) : result;
}

ServeResult SlaveServer::Impl::connect_and_serve(Attempt& attempt, const Address& address) {
  auto workplace = open_workplace();  // where there is none, nobody need be bothered
  log(LogLevel::debug, to_string(address), "connecting");
  const Deadline welcomed(options.handshake_timeout);  // one for all of it: docs/protocol.md section 4
  auto reached = reach_master(address, attempt.options, welcomed, stop.get_token());
  if (!reached)
    return is_stopped() ? over(Reason::stopped, "stopped") : over_by(reached.failure(), Reason::unreachable);
  return serve(attempt, std::move(*reached), workplace, welcomed);
}

SlaveServer::SlaveServer(SlaveOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  if (!impl_->options.name.empty() && !auth::is_slave_name(impl_->options.name)) {
    throw Error(Errc::invalid_argument, "", "make a slave",
                "the name '" + escaped(impl_->options.name) +
                    "' is not 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit");
  }
  if (impl_->options.key && !impl_->options.key_file.empty()) {
    throw Error(Errc::invalid_argument, "", "make a slave", "it has a key and a key file: give one of the two");
  }
  if (impl_->options.protocol != 1 && impl_->options.protocol != 2) {
    throw Error(Errc::invalid_argument, "", "make a slave", "the protocol is neither 1 nor 2");
  }
}

SlaveServer::~SlaveServer() {
  stop();
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [this] { return impl_->serving == 0 && impl_->user_operations == 0; });
}

void SlaveServer::add_operation(std::string name, Operation operation) {
  if (const std::string_view why = operations::why_not_own_name(name); !why.empty()) {
    throw Error(Errc::invalid_argument, "", "add operation '" + escaped(name) + "'", std::string(why));
  }
  if (!operation) throw Error(Errc::invalid_argument, "", "add operation '" + name + "'", "the function is empty");
  if (!impl_->operations.emplace(name, std::move(operation)).second) {
    throw Error(Errc::in_use, "", "add operation '" + name + "'", "there is one of this name");
  }
}

/// A call of run() or the like, while it lasts; at its end nothing is left of the commands.
class SlaveServer::Impl::Serving {
 public:
  explicit Serving(Impl& impl) : in_use_(impl.mutex, impl.changed, impl.serving), impl_(impl) {}
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  ~Serving() { impl_.end_now(); }

 private:
  const InUse in_use_;
  Impl& impl_;
};

ServeResult SlaveServer::serve(std::unique_ptr<Transport> transport) {
  const Impl::Serving serving(*impl_);
  Attempt attempt{impl_->options_of_now()};
  return impl_->serve(attempt, std::move(transport), impl_->open_workplace(),
                      Deadline(impl_->options.handshake_timeout));
}

ServeResult SlaveServer::run_once(const std::string& address) {
  const Impl::Serving serving(*impl_);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", "connect to '" + escaped(address) + "'");
  Attempt attempt{impl_->options_of_now()};
  return impl_->connect_and_serve(attempt, *parsed);
}

ServeResult SlaveServer::run(const std::string& address) {
  const Impl::Serving serving(*impl_);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", "connect to '" + escaped(address) + "'");
  const std::string master = to_string(*parsed);
  std::mt19937_64 random(std::random_device{}());
  BackOff back_off(impl_->options.back_off_min, impl_->options.back_off_max, impl_->clock.now());
  RetryLog retry_log;
  for (bool is_first = true;; is_first = false) {
    ServeResult result;
    Visit visit = Visit::failed;
    try {
      Attempt attempt{impl_->options_of_now()};
      result = impl_->connect_and_serve(attempt, *parsed);
      visit = visit_of(result.reason, attempt.registered_at, *attempt.has_served, impl_->clock.now());
    } catch (const std::exception& error) {
      if (is_first && !impl_->is_stopped()) throw;  // it cannot work here at all; later it may be a lack that passes
      result = Impl::over(Reason::lost, error.what());
    }
    // Whatever came of the visit: the program was told to end, so nobody asks.
    if (impl_->is_stopped()) return Impl::over(Reason::stopped, "stopped", result.registered);
    if (visit == Visit::lasting || visit == Visit::brief) retry_log.reset();
    const auto pause = back_off.next(visit, result.retry, impl_->clock.now(), random());
    const RetryLog::Line line = retry_log.next(without_prefix(result.message, master + ": "), pause);  // the log has it
    impl_->log(line.level, master, line.text);
    impl_->wait_to_connect(pause, result.registered);
    if (impl_->is_stopped()) return Impl::over(Reason::stopped, "stopped");
  }
}

/// Waits for so long, until a stop, or until connect_now(); that one counts also if it came in the attempt before, but
/// not if that attempt was let in.
void SlaveServer::Impl::wait_to_connect(std::chrono::milliseconds pause, bool was_registered) {
  const std::stop_callback wake(stop.get_token(), [this] {
    const std::lock_guard inner(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  if (was_registered) connects_now = false;
  changed.wait_for(lock, pause, [this] { return is_stopped() || connects_now; });
  connects_now = false;
}

void SlaveServer::connect_now() {
  const std::lock_guard lock(impl_->mutex);
  impl_->connects_now = true;
  impl_->changed.notify_all();
}

std::vector<ServedOperation> SlaveServer::operations_in_progress() const { return served_operations(*impl_->served); }

void SlaveServer::stop() { impl_->stop.request_stop(); }

}  // namespace remsh

#include <remsh/slave/slave_server.hpp>

#include "auth/slave_handshake.hpp"
#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "operations/operations.hpp"
#include "rpc/peer.hpp"
#include "slave/back_off.hpp"
#include "slave/in_use.hpp"
#include "slave/master_contact.hpp"
#include "slave/own_key.hpp"
#include "slave/remsh1_server.hpp"
#include "slave/resident.hpp"
#include "slave/retry_log.hpp"
#include "slave/slave_log.hpp"
#include "transport/address.hpp"
#include "transport/loop.hpp"

#include <remsh/base/error.hpp>
#include <remsh/connection/trace.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

using Reason = ServeResult::Reason;

/// How long operations may take to return once their connection has ended. Then the slave goes on without them.
constexpr Duration return_patience = std::chrono::seconds(2);

/// One attempt to serve a master: its options, and how far it came.
struct Attempt {
  SlaveOptions options;  ///< with the current name and key
  std::optional<TimePoint> registered_at = {};
  /// A shared pointer, since operations that do not return keep it, too.
  std::shared_ptr<std::atomic<bool>> has_served = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

struct SlaveServer::Impl {
  explicit Impl(SlaveOptions given) : options(std::move(given)), log(options.log), own_key(options) {}

  [[nodiscard]] SlaveOptions options_of_now();
  ServeResult serve(Attempt& attempt, std::unique_ptr<Transport> transport, const std::shared_ptr<Workplace>& workplace,
                    Deadline welcomed);
  ServeResult serve_remsh1(Attempt& attempt, std::unique_ptr<Transport> transport,
                           const std::shared_ptr<Workplace>& workplace, Deadline welcomed);
  ServeResult connect_and_serve(Attempt& attempt, const Address& address);
  void wait_to_connect(std::chrono::milliseconds pause, bool was_registered);
  static ServeResult over(Reason reason, std::string message, bool registered = false) {
    return {reason, std::move(message), registered, {}};
  }
  static ServeResult over_by(const Failure& failure, Reason otherwise);
  [[nodiscard]] bool is_stopped() const { return stop.stop_requested(); }

  const Clock& clock = real_clock();
  const SlaveOptions options;
  const SlaveLog log;
  std::stop_source stop;
  OwnKey own_key;

  std::mutex mutex;
  std::condition_variable changed;
  unsigned serving = 0;
  bool connects_now = false;  // skips the next pause

  Resident resident{options, clock};  // the last member: its destructor waits for operations of the owner
};

/// The result for a slave that was not admitted. Throws if the options are the cause.
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

/// The options for the next connection, with the current key. Throws Error if there has never been a key.
SlaveOptions SlaveServer::Impl::options_of_now() {
  auto own = own_key.read();
  if (!own) throw_failure(own.failure(), "", "read the slave's key");
  if (!own->notice.empty()) log.write(own->is_trouble ? LogLevel::warning : LogLevel::info, "", own->notice);
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
  log.write(LogLevel::info, master, "registered");
  attempt.registered_at = clock.now();

  ServedSession session = resident.begin_session(workplace);
  rpc::Peer::Options peer_options;
  peer_options.engine.serves = true;
  peer_options.session.keepalive = step->keepalive;
  peer_options.session.patience = options.keepalive_patience;
  peer_options.threads = std::max(1U, options.threads);
  peer_options.max_threads = std::max(peer_options.threads, resident.max_threads());
  peer_options.serve = [dispatcher = session.dispatcher,
                        has_served = attempt.has_served](const std::shared_ptr<rpc::ServedCall>& call) {
    *has_served = true;
    dispatcher->dispatch(call);
  };
  peer_options.on_cut = peer_options.on_end = [this](rpc::Peer&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const auto connected = rpc::Peer::start(std::move(transport), session.loop, std::move(peer_options), step->bytes);
  {
    const std::stop_callback stopping(stop.get_token(), [&connected] { connected->close("the slave stops"); });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&connected] { return connected->is_cut() || connected->ended(); });
  }
  resident.connection_ended(session);
  connected->give_up();
  resident.leave_stuck(connected->wait_until_left(clock.now() + return_patience), master);
  resident.end_session(std::move(session));
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
  ServedSession session = resident.begin_session(workplace);
  Remsh1Server::Options server_options;
  server_options.loop = session.loop;
  server_options.workplace = workplace;
  server_options.hostname = options.name.empty() ? registration_of(options, {}).hostname : options.name;
  server_options.serve = [dispatcher = session.dispatcher, &attempt](const std::shared_ptr<rpc::ServedCall>& call) {
    *attempt.has_served = true;
    dispatcher->dispatch(call);
  };
  server_options.registered_by = welcomed;
  server_options.on_registered = [this, &attempt, &master] {
    attempt.registered_at = clock.now();
    log.write(LogLevel::info, master, "registered, by remsh 1");
  };
  const auto server = std::make_shared<Remsh1Server>(std::move(transport), std::move(server_options));
  ServeResult result;
  {
    const std::stop_callback stopping(stop.get_token(), [&server] { server->close(); });
    result = server->run();
  }
  resident.connection_ended(session);
  resident.end_session(std::move(session));
  return is_stopped() ? over(Reason::stopped, "stopped", result.registered) : result;
}

ServeResult SlaveServer::Impl::connect_and_serve(Attempt& attempt, const Address& address) {
  auto workplace = resident.open_workplace();  // first, since without it there is no point in connecting
  log.write(LogLevel::debug, to_string(address), "connecting");
  const Deadline welcomed(options.handshake_timeout);  // for everything up to the welcome: docs/protocol.md section 4
  auto reached = reach_master(address, attempt.options, welcomed, stop.get_token());
  if (!reached)
    return is_stopped() ? over(Reason::stopped, "stopped") : over_by(reached.failure(), Reason::unreachable);
  return serve(attempt, std::move(*reached), workplace, welcomed);
}

SlaveServer::SlaveServer(SlaveOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  if (!impl_->options.name.empty() && !auth::is_slave_name(impl_->options.name)) {
    throw Error(Errc::invalid_argument, "", "make a slave",
                formatted("the name {} is not 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit",
                          in_quotes(impl_->options.name)));
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
  impl_->changed.wait(lock, [this] { return impl_->serving == 0; });
}

void SlaveServer::add_operation(std::string name, Operation operation) {
  if (const std::string_view why = operations::why_not_own_name(name); !why.empty()) {
    throw Error(Errc::invalid_argument, "", formatted("add operation {}", in_quotes(name)), std::string(why));
  }
  const std::string what = formatted("add operation '{}'", name);
  if (!operation) throw Error(Errc::invalid_argument, "", what, "the function is empty");
  if (!impl_->resident.add_operation(std::move(name), std::move(operation))) {
    throw Error(Errc::in_use, "", what, "there is one of this name");
  }
}

ServeResult SlaveServer::serve(std::unique_ptr<Transport> transport) {
  const InUse serving(impl_->mutex, impl_->changed, impl_->serving);
  Attempt attempt{impl_->options_of_now()};
  return impl_->serve(attempt, std::move(transport), impl_->resident.open_workplace(),
                      Deadline(impl_->options.handshake_timeout));
}

ServeResult SlaveServer::run_once(const std::string& address) {
  const InUse serving(impl_->mutex, impl_->changed, impl_->serving);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", formatted("connect to {}", in_quotes(address)));
  Attempt attempt{impl_->options_of_now()};
  return impl_->connect_and_serve(attempt, *parsed);
}

ServeResult SlaveServer::run(const std::string& address) {
  const InUse serving(impl_->mutex, impl_->changed, impl_->serving);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", formatted("connect to {}", in_quotes(address)));
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
      if (is_first && !impl_->is_stopped()) throw;  // at first it is fatal; later the cause may pass
      result = Impl::over(Reason::lost, error.what());
    }
    // After a stop the outcome of the visit does not matter.
    if (impl_->is_stopped()) return Impl::over(Reason::stopped, "stopped", result.registered);
    if (visit == Visit::lasting || visit == Visit::brief) retry_log.reset();
    const auto pause = back_off.next(visit, result.retry, impl_->clock.now(), random());
    // Without the address of the master, which the log record has.
    const RetryLog::Line line = retry_log.next(without_prefix(result.message, master + ": "), pause);
    impl_->log.write(line.level, master, line.text);
    impl_->wait_to_connect(pause, result.registered);
    if (impl_->is_stopped()) return Impl::over(Reason::stopped, "stopped");
  }
}

/// Waits for `pause`, until a stop, or until connect_now(). An earlier connect_now() counts if it came during the last
/// attempt and that attempt was not admitted.
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

std::vector<ServedOperation> SlaveServer::operations_in_progress() const {
  return impl_->resident.operations_in_progress();
}

void SlaveServer::stop() { impl_->stop.request_stop(); }

}  // namespace remsh

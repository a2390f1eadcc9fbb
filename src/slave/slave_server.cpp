#include <remsh/slave/slave_server.hpp>

#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "auth/slave_handshake.hpp"
#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "connection/box_data.hpp"
#include "operations/operations.hpp"
#include "rpc/peer.hpp"
#include "slave/back_off.hpp"
#include "slave/execute.hpp"
#include "slave/in_use.hpp"
#include "slave/leave_watch.hpp"
#include "slave/log_ring.hpp"
#include "slave/master_contact.hpp"
#include "slave/master_turns.hpp"
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
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using Reason = ServeResult::Reason;

/// How long operations may take to return once their connection has ended. Then the slave goes on without them.
constexpr Duration return_patience = std::chrono::seconds(2);

/// How long answers may take to reach the master, and its goodbye to come, when the time of a draining slave is over.
constexpr Duration goodbye_patience = std::chrono::seconds(1);

constexpr std::chrono::milliseconds longest_drain{1'000'000'000'000};

/// One attempt to serve a master: its options, and how far it came.
struct Attempt {
  SlaveOptions options;  ///< with the current name and key
  std::optional<TimePoint> registered_at = {};
  /// A shared pointer, since operations that do not return keep it, too.
  std::shared_ptr<std::atomic<bool>> has_served = std::make_shared<std::atomic<bool>>(false);
};

/// The masters of one run(), and how far it is with them.
struct Masters {
  explicit Masters(std::vector<Address> all)
      : addresses(std::move(all)), turns(addresses.size()), logs(addresses.size()) {}

  std::vector<Address> addresses;
  MasterTurns turns;
  std::vector<RetryLog> logs;  // of each master
};

/// The options with a log hook that keeps the last lines, too.
SlaveOptions with_log_ring(SlaveOptions options, const std::shared_ptr<LogRing>& ring) {
  options.log = LogRing::hook(ring, std::move(options.log));
  return options;
}

}  // namespace

struct SlaveServer::Impl {
  explicit Impl(SlaveOptions given)
      : options(with_log_ring(std::move(given), log_ring)),
        log(options.log),
        own_key(options),
        leave_watch({options.idle_exit, options.lifetime, options.give_up_after}, clock) {
    resident.set_log_ring(log_ring);
    resident.on_shutdown([this](const operations::Shutdown::Request& request) { return shut_down(request); });
  }

  [[nodiscard]] SlaveOptions options_of_now();
  ServeResult serve(Attempt& attempt, std::unique_ptr<Transport> transport, const std::shared_ptr<Workplace>& workplace,
                    Deadline welcomed);
  ServeResult serve_remsh1(Attempt& attempt, std::unique_ptr<Transport> transport,
                           const std::shared_ptr<Workplace>& workplace, Deadline welcomed);
  ServeResult connect_and_serve(Attempt& attempt, const Address& address);
  [[nodiscard]] std::vector<Address> parse_masters(const std::string& first,
                                                   const std::vector<std::string>& others) const;
  void start_leave_watch();
  void end();
  ServeResult run(Masters masters);
  void take_new_masters(Masters& masters, unsigned& taken);
  ServeResult visit(Masters& masters, std::size_t index, bool is_first_round);
  void note_failure(Masters& masters, std::size_t index, const ServeResult& result, const std::string& then);
  bool wait_to_connect(std::chrono::milliseconds pause, bool was_registered);
  [[nodiscard]] ServeResult at_end(ServeResult result, const ServeResult& last);
  static ServeResult over(Reason reason, std::string message, bool registered = false) {
    return {reason, std::move(message), registered, {}};
  }
  static ServeResult over_by(const Failure& failure, Reason otherwise);
  /// Whether no further connection is wanted.
  [[nodiscard]] bool is_stopped() const { return stop.stop_requested() || drains; }
  void drain(std::chrono::milliseconds within, const std::string& reason, bool restart = false);
  Result<void> shut_down(const operations::Shutdown::Request& request);
  void add_peer(const std::shared_ptr<rpc::Peer>& peer);
  void remove_peer(const std::shared_ptr<rpc::Peer>& peer);
  void wait_until_over(const std::shared_ptr<rpc::Peer>& peer, CommandSet& commands);

  const Clock& clock = real_clock();
  const std::shared_ptr<LogRing> log_ring = std::make_shared<LogRing>();
  const SlaveOptions options;
  const SlaveLog log;
  std::stop_source stop;
  OwnKey own_key;

  std::mutex mutex;
  std::condition_variable changed;
  unsigned serving = 0;
  bool connects_now = false;  // skips the next pause
  std::vector<Address> new_masters;
  unsigned new_masters_count = 0;                 // how often they were replaced
  std::vector<std::shared_ptr<rpc::Peer>> peers;  // the connections that are served
  unsigned registering = 0;                       // connections on their way there: their masters may have them already
  std::string drain_reason;                       // once `drains`
  TimePoint drain_until{};                        // once `drains`
  bool restarts = false;                          // once `drains`: the program is to start again
  bool is_ended = false;                          // end() was called
  std::atomic<bool> drains = false;               // changed under the mutex

  LeaveWatch leave_watch;             // stopped before the resident, whose state it reads, is destroyed
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
  std::optional<InUse> registered(std::in_place, mutex, changed, registering);
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
  const bool compresses = auth::has_feature(step->features, compression_feature);
  if (options.compression && !compresses) {
    log.write(LogLevel::warning, master,
              "nothing is compressed: the master's listener does not allow it "
              "(SlaveProtocol::remsh2({.compression = true}))");
  }
  attempt.registered_at = clock.now();
  const MasterPresence presence(leave_watch);

  ServedSession session = resident.begin_session(workplace, master);
  rpc::Peer::Options peer_options;
  peer_options.engine.serves = true;
  peer_options.session.keepalive = step->keepalive;
  peer_options.session.patience =
      std::clamp<Duration>(options.keepalive_patience, std::chrono::milliseconds(10), std::chrono::hours(24));
  // So that it is the master that pings: docs/protocol.md section 5.
  peer_options.session.ping_delay =
      std::min<Duration>(peer_options.session.keepalive / 16, peer_options.session.patience / 2);
  peer_options.threads = std::max(1U, options.threads);
  peer_options.max_threads = std::max(peer_options.threads, resident.max_threads());
  const auto is_listed = std::make_shared<std::latch>(1);  // before `shutdown`, which announces the end to all peers
  peer_options.serve = [dispatcher = session.dispatcher, has_served = attempt.has_served,
                        is_listed](const std::shared_ptr<rpc::ServedCall>& call) {
    is_listed->wait();
    *has_served = true;
    dispatcher->dispatch(call);
  };
  peer_options.on_ping = [this, master] { log.write(LogLevel::debug, master, "answered a ping"); };
  peer_options.on_cut = peer_options.on_end = [this](rpc::Peer&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const auto connected =
      rpc::Peer::start(std::move(transport), session.loop, std::move(peer_options), step->bytes, compresses);
  {
    const std::stop_callback stopping(stop.get_token(), [this, &connected] {
      const auto leaves = leave_watch.reason();
      connected->close(leaves ? "the slave ends: " + leaves->text : "the slave stops");
    });
    add_peer(connected);
    registered.reset();
    is_listed->count_down();
    wait_until_over(connected, *session.commands);
    remove_peer(connected);
  }
  resident.connection_ended(session);
  connected->give_up();
  resident.leave_stuck(connected->wait_until_left(clock.now() + return_patience), master);
  resident.end_session(std::move(session));
  const auto goodbye = connected->said_goodbye();
  const Failure failure = *connected->ended();
  if (is_stopped()) return over(Reason::stopped, drains && goodbye ? "the master has let it go" : "stopped", true);
  if (goodbye) {
    ServeResult result = over(Reason::ended, without_controls(goodbye->reason), true);
    result.retry = std::chrono::milliseconds(std::min<std::uint64_t>(goodbye->retry.value_or(0), 3'600'000));
    return result;
  }
  if (failure.code == Errc::protocol_error) return over(Reason::protocol, failure.message, true);
  return over(Reason::lost, failure.message, true);
}

/// Waits until a session is over or cut. If the slave drains and its time is over, ends the session.
void SlaveServer::Impl::wait_until_over(const std::shared_ptr<rpc::Peer>& peer, CommandSet& commands) {
  const auto is_over = [&peer] { return peer->is_cut() || peer->ended(); };
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return is_over() || drains; });
  while (!is_over() && clock.now() < drain_until) {
    const TimePoint until = drain_until;  // a copy, as it may change meanwhile
    changed.wait_until(lock, until);
  }
  if (is_over()) return;
  lock.unlock();
  commands.stop();
  lock.lock();
  changed.wait_for(lock, goodbye_patience, is_over);
  lock.unlock();
  peer->close("the slave stops");
  lock.lock();
  changed.wait(lock, is_over);
}

/// A connection is served from now on. If the slave drains already, the master learns of it now.
void SlaveServer::Impl::add_peer(const std::shared_ptr<rpc::Peer>& peer) {
  std::unique_lock lock(mutex);
  peers.push_back(peer);
  if (!drains) return;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(drain_until - clock.now());
  const std::string reason = drain_reason;
  lock.unlock();
  peer->drain(reason, left);
}

void SlaveServer::Impl::remove_peer(const std::shared_ptr<rpc::Peer>& peer) {
  const std::lock_guard lock(mutex);
  std::erase(peers, peer);
}

void SlaveServer::Impl::drain(std::chrono::milliseconds within, const std::string& reason, bool restart) {
  within = std::clamp(within, std::chrono::milliseconds(0), longest_drain);
  std::vector<std::shared_ptr<rpc::Peer>> served;
  bool has_master = false;
  {
    const std::lock_guard lock(mutex);
    const TimePoint until = clock.now() + within;
    if (!drains) {
      served = peers;
      drain_reason = reason;
    }
    drain_until = drains ? std::min(drain_until, until) : until;
    restarts = restart && !is_ended && (restarts || !drains);  // who wants it to end counts more
    has_master = !peers.empty() || registering > 0;
    drains = true;
  }
  if (!has_master) {  // nobody to announce it to
    stop.request_stop();
    return;
  }
  log.write(LogLevel::info, "",
            formatted("ends within {}, or when the master lets it go: {}", in_seconds(within), reason));
  for (const auto& peer : served) peer->drain(reason, within);
  const std::lock_guard lock(mutex);
  changed.notify_all();  // now: the announcement comes before the end
}

/// What a master's `shutdown` does.
Result<void> SlaveServer::Impl::shut_down(const operations::Shutdown::Request& request) {
  if (request.restart && !options.restarts) {
    return Failure{Errc::unsupported, "The program of this slave cannot start itself again", 0};
  }
  drain(request.within, request.reason, request.restart);
  return {};
}

ServeResult SlaveServer::Impl::serve_remsh1(Attempt& attempt, std::unique_ptr<Transport> transport,
                                            const std::shared_ptr<Workplace>& workplace, Deadline welcomed) {
  const std::string master = transport->description();
  ServedSession session = resident.begin_session(workplace, master);
  Remsh1Server::Options server_options;
  server_options.loop = session.loop;
  server_options.workplace = workplace;
  server_options.hostname = options.name.empty() ? registration_of(options, {}).hostname : options.name;
  server_options.serve = [dispatcher = session.dispatcher, &attempt](const std::shared_ptr<rpc::ServedCall>& call) {
    *attempt.has_served = true;
    dispatcher->dispatch(call);
  };
  server_options.registered_by = welcomed;
  std::optional<MasterPresence> presence;
  server_options.on_registered = [this, &attempt, &master, &presence] {
    attempt.registered_at = clock.now();
    presence.emplace(leave_watch);
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
  for (const std::string* const hook : {&impl_->options.before_command, &impl_->options.after_command}) {
    if (hook->empty() || hook->find('/') != std::string::npos) continue;
    throw Error(Errc::invalid_argument, "", "make a slave",
                formatted("the hook {} has no slash: give the path of the program", in_quotes(*hook)));
  }
  if (auto checked = auth::check_claimed_labels(impl_->options.labels); !checked) {
    throw_failure(checked.failure(), "", "make a slave");
  }
  if (auto checked = auth::check_resources(impl_->options.slots, impl_->options.resources); !checked) {
    throw_failure(checked.failure(), "", "make a slave");
  }
  if (impl_->options.compression) require_compression("make a slave");
  if (impl_->options.protocol != 1 && impl_->options.protocol != 2) {
    throw Error(Errc::invalid_argument, "", "make a slave", "the protocol is neither 1 nor 2");
  }
}

SlaveServer::~SlaveServer() {
  stop();
  impl_->leave_watch.stop();
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
  impl_->start_leave_watch();
  Attempt attempt{impl_->options_of_now()};
  return impl_->at_end(impl_->serve(attempt, std::move(transport), impl_->resident.open_workplace(),
                                    Deadline(impl_->options.handshake_timeout)),
                       {});
}

// --- one master after the other

/// Parses addresses. Throws Error if one is invalid.
std::vector<Address> SlaveServer::Impl::parse_masters(const std::string& first,
                                                      const std::vector<std::string>& others) const {
  std::vector<std::string> texts{first};
  texts.insert(texts.end(), others.begin(), others.end());
  std::vector<Address> addresses;
  for (const std::string& text : texts) {
    const std::string what = formatted("connect to {}", in_quotes(text));
    auto parsed = parse_address(text);
    if (!parsed) throw_failure(parsed.failure(), "", what);
    addresses.push_back(*std::move(parsed));
  }
  return addresses;
}

void SlaveServer::Impl::start_leave_watch() {
  leave_watch.start(
      [this] {
        const auto activity = resident.activity();
        return LeaveRules::Work{activity.is_busy, activity.last_end};
      },
      [this] { end(); });
}

/// Ends everything, and for good.
void SlaveServer::Impl::end() {
  {
    const std::lock_guard lock(mutex);
    restarts = false;
    is_ended = true;
  }
  stop.request_stop();
}

/// The result of a slave that has ended: if it was stopped because it ends by itself, says why; and whether it is to
/// start again. `last`: how the last connection before has ended.
ServeResult SlaveServer::Impl::at_end(ServeResult result, const ServeResult& last) {
  {
    const std::lock_guard lock(mutex);
    result.restart = restarts;
  }
  const auto leaves = leave_watch.reason();
  if (!leaves || result.reason != Reason::stopped) return result;
  result.reason = Reason::left;
  result.message = leaves->text;
  if (leaves->why != LeaveRules::Why::no_master) return result;
  const bool is_failure = last.reason != Reason::ended && last.reason != Reason::stopped;
  result.reason = is_failure ? last.reason : Reason::unreachable;
  if (!last.message.empty()) result.message += formatted("; at last: {}", last.message);
  return result;
}

ServeResult SlaveServer::run_once(const std::string& address, const std::vector<std::string>& others) {
  const InUse serving(impl_->mutex, impl_->changed, impl_->serving);
  const std::vector<Address> addresses = impl_->parse_masters(address, others);
  impl_->start_leave_watch();
  ServeResult result;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const ServeResult last = result;
    Attempt attempt{impl_->options_of_now()};
    result = impl_->at_end(impl_->connect_and_serve(attempt, addresses[i]), last);
    if (result.registered || impl_->is_stopped() || i + 1 == addresses.size()) break;
    const std::string master = to_string(addresses[i]);
    impl_->log.write(LogLevel::warning, master,
                     without_prefix(result.message, master + ": ") + "; trying the next master");
  }
  return result;
}

ServeResult SlaveServer::run(const std::string& address, const std::vector<std::string>& others) {
  const InUse serving(impl_->mutex, impl_->changed, impl_->serving);
  Masters masters(impl_->parse_masters(address, others));
  impl_->start_leave_watch();
  return impl_->run(std::move(masters));
}

void SlaveServer::set_masters(const std::string& address, const std::vector<std::string>& others) {
  auto addresses = impl_->parse_masters(address, others);
  const std::lock_guard lock(impl_->mutex);
  impl_->new_masters = std::move(addresses);
  ++impl_->new_masters_count;
}

ServeResult SlaveServer::Impl::run(Masters masters) {
  std::mt19937_64 random(std::random_device{}());
  BackOff back_off(options.back_off_min, options.back_off_max, clock.now());
  unsigned taken = 0;
  {
    const std::lock_guard lock(mutex);
    taken = new_masters_count;
  }
  ServeResult result;
  bool is_first_round = true;
  for (;;) {
    take_new_masters(masters, taken);
    const auto index = masters.turns.next(clock.now());
    if (index) {
      const ServeResult last = std::exchange(result, visit(masters, *index, is_first_round));
      // After a stop the outcome of the visit does not matter.
      if (is_stopped()) {
        const bool says_why = result.reason == Reason::stopped;
        return at_end(says_why ? result : over(Reason::stopped, "stopped", result.registered), last);
      }
      if (masters.turns.next(clock.now())) {
        note_failure(masters, *index, result, "trying the next master");
        continue;
      }
    }
    is_first_round = false;
    const auto round = masters.turns.end_round(clock.now());
    const auto pause = back_off.next(round.visit, round.asked, clock.now(), random());
    if (index) note_failure(masters, *index, result, "connecting again in " + in_rounded_seconds(pause));
    if (wait_to_connect(pause, result.registered)) masters.turns.forget_waits();
    if (is_stopped()) return at_end(over(Reason::stopped, "stopped"), result);
  }
}

/// Uses the masters of set_masters(), if there are new ones.
void SlaveServer::Impl::take_new_masters(Masters& masters, unsigned& taken) {
  const std::lock_guard lock(mutex);
  if (std::exchange(taken, new_masters_count) == new_masters_count || new_masters == masters.addresses) return;
  masters = Masters(new_masters);
}

/// Connects to a master and serves it. In the first round it throws if that fails because of this machine or the
/// options.
ServeResult SlaveServer::Impl::visit(Masters& masters, std::size_t index, bool is_first_round) {
  ServeResult result;
  Visit kind = Visit::failed;
  try {
    Attempt attempt{options_of_now()};
    result = connect_and_serve(attempt, masters.addresses[index]);
    kind = visit_of(result.reason, attempt.registered_at, *attempt.has_served, clock.now());
  } catch (const std::exception& error) {
    if (is_first_round && !is_stopped()) throw;  // at first it is fatal; later the cause may pass
    result = over(Reason::lost, error.what());
  }
  if (kind == Visit::lasting || kind == Visit::brief) masters.logs[index].reset();
  masters.turns.tried(index, kind, result.retry, clock.now());
  return result;
}

void SlaveServer::Impl::note_failure(Masters& masters, std::size_t index, const ServeResult& result,
                                     const std::string& then) {
  const std::string master = to_string(masters.addresses[index]);
  // Without the address of the master, which the log record has.
  const RetryLog::Line line = masters.logs[index].next(without_prefix(result.message, master + ": "), then);
  log.write(line.level, master, line.text);
}

/// Waits for `pause`, until a stop, or until connect_now(). An earlier connect_now() counts if it came during the last
/// attempt and that attempt was not admitted. True after a connect_now().
bool SlaveServer::Impl::wait_to_connect(std::chrono::milliseconds pause, bool was_registered) {
  const std::stop_callback wake(stop.get_token(), [this] {
    const std::lock_guard inner(mutex);
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  if (was_registered) connects_now = false;
  changed.wait_for(lock, pause, [this] { return is_stopped() || connects_now; });
  return std::exchange(connects_now, false);
}

void SlaveServer::connect_now() {
  const std::lock_guard lock(impl_->mutex);
  impl_->connects_now = true;
  impl_->changed.notify_all();
}

std::vector<ServedOperation> SlaveServer::operations_in_progress() const {
  return impl_->resident.operations_in_progress();
}

void SlaveServer::drain(std::chrono::milliseconds within, const std::string& reason) { impl_->drain(within, reason); }

void SlaveServer::stop() { impl_->end(); }

}  // namespace remsh

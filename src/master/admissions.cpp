#include "master/admissions.hpp"

#include "base/misuse.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/admission.hpp"
#include "master/known_protocols.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <exception>
#include <future>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

/// Times that the clock can add up, and that make sense.
ListenerOptions within_reason(ListenerOptions options) {
  using std::chrono::milliseconds;
  constexpr milliseconds day = std::chrono::hours(24);
  options.keepalive = std::clamp(options.keepalive, milliseconds(10), milliseconds(auth::max_keepalive));
  for (milliseconds* time : {&options.keepalive_patience, &options.handshake_timeout, &options.arbitration_timeout}) {
    *time = std::clamp(*time, milliseconds(10), day);
  }
  return options;
}

GateOptions gate_options(const ListenerOptions& options) {
  const StrangerLimits& limits = options.strangers;
  GateOptions gate;
  gate.max_handshakes = options.max_handshakes;
  gate.max_per_address = limits.per_address;
  gate.max_per_user = limits.per_user;
  gate.first_penalty = limits.first_penalty;
  gate.longest_penalty = limits.longest_penalty;
  for (const std::string& text : limits.shared_addresses) {
    const auto network = Network::parse(text);
    if (!network) {
      throw Error(Errc::invalid_argument, "", "make a listener",
                  "shared_addresses: '" + escaped(text) + "' is no network: write 192.0.2.7, or 10.0.0.0/8");
    }
    gate.exempt.push_back(*network);
  }
  return gate;
}

Origin origin_of(const std::string& address, const Entrance& entrance) {
  if (entrance.user) return *entrance.user;
  if (const auto ip = ip_address_of(address)) return *ip;
  return {};
}

/// What slaves are told that are connected, or would be.
constexpr const char* going = "the master shuts down";

}  // namespace

Admissions::Admissions(ListenerOptions options)
    : loop_(options.runtime ? options.runtime->loop() : nullptr),
      keys_(options.keys ? std::make_unique<KeyWatch>(options.keys->store()) : nullptr),
      names_(options.slave_collection.names()),
      runtime_(std::move(options.runtime)),
      options_(within_reason(std::move(options))),
      gate_(gate_options(options_)) {
  assert(loop_);
  if (auto good = check_protocols(options_.protocols); !good) throw_failure(good.failure(), "", "make a listener");
  options_.slave_collection.listener_comes();
}

void Admissions::log(LogLevel level, const std::string& peer, const std::string& message) const {
  if (!options_.log) return;
  try {
    options_.log(LogRecord{level, "listener", without_controls(peer), without_controls(message)});
  } catch (...) {  // a hook that throws must not end the io thread
  }
}

void Admissions::cannot_accept(int error) const {
  log(LogLevel::error, "",
      "cannot take connections: " + std::generic_category().message(error) + "; slaves will try again");
}

void Admissions::admit(std::unique_ptr<Transport> connection, const Entrance& entrance, Done done) {
  const std::string address = connection->description();
  const Origin origin = origin_of(address, entrance);
  std::optional<Failure> refused;
  std::shared_ptr<Admission> admission;
  std::shared_ptr<Admission> gives_way;
  {
    const std::lock_guard lock(mutex_);
    Gate::Verdict verdict;
    if (shutting_down_) {
      refused = Failure{Errc::connection_lost, "the listener is shutting down", 0};
    } else if (verdict = gate_.begin(origin, loop_->now()); !verdict.refused.empty()) {
      refused = Failure{Errc::busy, std::move(verdict.refused), 0};
    } else {
      admission = std::make_shared<Admission>(shared_from_this(), std::move(connection), entrance, origin, verdict.id,
                                              std::move(done));
      under_way_.insert(admission);
    }
    if (verdict.gives_way) {
      const auto found = std::find_if(under_way_.begin(), under_way_.end(),
                                      [&verdict](const auto& other) { return other->place() == *verdict.gives_way; });
      if (found != under_way_.end()) gives_way = *found;
    }
  }
  if (refused) {
    log_stranger(origin, address, "not let in: " + refused->message);
    if (done) done(std::move(*refused));  // NOLINT(bugprone-use-after-move): moved only where nobody was refused
    return;
  }
  if (gives_way) {
    loop_->post([gives_way] {
      gives_way->abort({Errc::busy, "it gives way: too many are registering, and most of them from there", 0});
    });
  }
  loop_->post([admission] { admission->begin(); });
}

void Admissions::log_stranger(const Origin& origin, const std::string& who, std::string message) {
  const Gate::Telling telling = [&] {
    const std::lock_guard lock(mutex_);
    return gate_.tell(origin, loop_->now());
  }();
  if (!telling.aloud) return;
  if (telling.untold > 0) message += " (and " + std::to_string(telling.untold) + " more from there, not told)";
  if (telling.untold_of_others > 0) {
    message += " (and " + std::to_string(telling.untold_of_others) + " from elsewhere, not told)";
  }
  log(LogLevel::warning, who, message);
}

void Admissions::proven(const Admission& admission) {
  const std::lock_guard lock(mutex_);
  gate_.proven(admission.place());
}

void Admissions::proved_wrong(const Admission& admission) {
  const std::lock_guard lock(mutex_);
  gate_.failed(admission.origin(), loop_->now());
}

void Admissions::let_in(const Admission& admission) {
  const std::lock_guard lock(mutex_);
  gate_.end(admission.place());
}

/// So that neither setup()s nor on_disconnect callbacks that hang pile up without end.
std::string Admissions::begin_setup(const Admission& admission) {
  constexpr std::size_t most_farewells = 16;  // of one name
  const std::size_t most_setups = 16 * options_.max_handshakes;
  const std::lock_guard lock(mutex_);
  const auto farewells = farewells_.find(admission.name());
  if (farewells != farewells_.end() && farewells->second >= most_farewells) {
    return "on_disconnect callbacks of " + std::to_string(farewells->second) +
           " earlier connections of this slave have not returned";
  }
  if (setups_.size() >= most_setups && !std::holds_alternative<std::monostate>(admission.origin())) {
    return std::to_string(setups_.size()) + " slaves are being set up already: does setup() have a deadline?";
  }
  setups_.insert(&admission);
  return {};
}

void Admissions::log_slave(LogLevel level, const std::string& name, Proof proof, std::string message, bool is_first) {
  if (proof != Proof::started) {
    const std::lock_guard lock(mutex_);
    const TimePoint now = loop_->now();
    std::vector<Pace::Answer> answers{is_first ? lines_of_names_.ask_if_known(name, now)
                                               : lines_of_names_.ask(name, now)};
    if (proof == Proof::none) answers.push_back(lines_of_keyless_.ask({}, now));
    std::size_t left_out = 0;
    for (const Pace::Answer& answer : answers) {
      if (answer.wait > Duration::zero()) return;
      left_out += answer.left_out;
    }
    if (left_out > 0) message += " (and " + std::to_string(left_out) + " lines more, left out)";
  }
  log(level, name, message);
}

void Admissions::run_farewell(const Backend& backend, std::function<void()> function) {
  std::string name(backend.name());
  {
    const std::lock_guard lock(mutex_);
    ++farewells_[name];
  }
  run_on(&Runtime::farewell_threads, [this, name = std::move(name), function = std::move(function)]() mutable {
    function();
    function = nullptr;
    const std::lock_guard lock(mutex_);
    const auto found = farewells_.find(name);
    if (--found->second == 0) farewells_.erase(found);
  });
}

AdmittedBackend::Owner Admissions::owner() {
  const auto weak = weak_from_this();
  return {[weak](const Backend& backend, std::function<void()> function) {
            if (const auto self = weak.lock()) self->run_farewell(backend, std::move(function));
          },
          [weak](const Backend& backend, const Failure& failure) {
            if (const auto self = weak.lock()) self->backend_ended(backend, failure);
          },
          options_.audit};
}

void Admissions::serve_protocols() {
  const auto serve = [this](const SlaveProtocol& protocol, bool is_accepted) {
    const bool is_there = std::any_of(protocols_.begin(), protocols_.end(),
                                      [&protocol](const ServedProtocol& one) { return one.protocol == protocol; });
    if (is_there) return;
    protocols_.push_back({protocol,
                          protocol.worker().serve({loop_, options_.keepalive, options_.keepalive_patience, owner()}),
                          is_accepted});
  };
  for (const SlaveProtocol& protocol : options_.protocols) serve(protocol, true);
  for (const SlaveProtocol& protocol : known_protocols()) serve(protocol, false);
}

void Admissions::open(const std::shared_ptr<AdmittedBackend>& backend, std::unique_ptr<Transport> transport) {
  const bool stays = [&] {
    const std::lock_guard lock(mutex_);
    backends_.push_back(backend);
    return !shutting_down_;
  }();
  backend->open(std::move(transport));
  if (!stays) backend->disconnect(going);
  end_without_right(*backend);  // keys may have changed since it was asked for, before anybody knew of this slave
}

void Admissions::start() {
  serve_protocols();
  listener_ = names_->join(keys_ ? keys_->store() : nullptr, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->keys_changed();
  });
  if (!keys_) return;
  later(KeyWatch::period, &Admissions::look_again_and_again<&Admissions::look_at_files>);
  later(KeyWatch::period, &Admissions::look_again_and_again<&Admissions::look_at_clock>);
}

void Admissions::look_after(std::function<std::vector<LogRecord>()> look) {
  assert(keys_);
  const std::lock_guard lock(mutex_);
  others_.push_back(std::move(look));
}

/// Runs a function on a watch thread: nothing of the user's delays it there.
void Admissions::later(Duration wait, void (Admissions::*function)()) {
  loop_->at(loop_->now() + wait, [weak = weak_from_this(), function] {
    const auto self = weak.lock();
    if (self) self->run_on(&Runtime::watch_threads, [self, function] { ((*self).*function)(); });
  });
}

template <void (Admissions::*look)()>
void Admissions::look_again_and_again() {
  try {
    (this->*look)();
  } catch (const std::exception& error) {  // no memory, for one: the next look may do better
    log(LogLevel::error, "", std::string("cannot look at the keys and certificates: ") + error.what());
  }
  later(KeyWatch::period, &Admissions::look_again_and_again<look>);
}

/// May hang as long as a disk does; look_at_clock() and check_rights() do not wait for it.
void Admissions::look_at_files() {
  for (const LogRecord& record : keys_->look_at_file()) log(record.level, record.peer, record.message);
  const auto others = [this] {
    const std::lock_guard lock(mutex_);
    return others_;
  }();
  for (const auto& look_at_other : others) {
    for (const LogRecord& record : look_at_other()) log(record.level, record.peer, record.message);
  }
}

void Admissions::look_at_clock() {
  if (keys_->look_at_clock()) keys_changed();
}

/// The first change is looked at now, and many changes together.
void Admissions::keys_changed() {
  constexpr Duration pause = std::chrono::milliseconds(100);
  const std::lock_guard lock(mutex_);
  if (shutting_down_ || check_is_due_) return;
  later(std::max(checked_ + pause - loop_->now(), Duration::zero()), &Admissions::check_rights);
  check_is_due_ = true;  // not before: what throws is to be tried again at the next change
}

void Admissions::check_rights() {
  {
    const std::lock_guard lock(mutex_);
    check_is_due_ = false;
    checked_ = loop_->now();
  }
  try {
    for (const auto& backend : backends()) end_without_right(*backend);
  } catch (const std::exception& error) {
    log(LogLevel::error, "", std::string("cannot look at the rights of slaves: ") + error.what());
    keys_changed();
  }
}

void Admissions::end_without_right(AdmittedBackend& backend) const {
  if (backend.lost()) return;
  const char* why = nullptr;
  if (backend.proof() == Proof::none && names_->has_key(backend.name())) why = name_has_key;
  if (backend.proof() == Proof::key && !keys_->counts(backend.info())) why = "its key does not count any more";
  if (why == nullptr) return;
  backend.disconnect(why, DisconnectReason::refused);
  log(LogLevel::warning, std::string(backend.name()), why);
}

void Admissions::backend_ended(const Backend& backend, const Failure& failure) {
  const bool is_breach = failure.code == Errc::protocol_error;
  if (backend.proof() != Proof::started) {
    names_->note_end(std::string(backend.name()), std::string(backend.key_id()), loop_->now());
  }
  log_slave(is_breach ? LogLevel::warning : LogLevel::info, std::string(backend.name()), backend.proof(),
            "disconnected: " + failure.message);
  const std::lock_guard lock(mutex_);
  if (++ended_ < backends_.size() / 2) return;  // now and then, so that each costs little
  std::erase_if(backends_, [](const auto& entry) { return entry.expired(); });
  ended_ = 0;
}

std::vector<std::shared_ptr<AdmittedBackend>> Admissions::backends() const {
  std::vector<std::shared_ptr<AdmittedBackend>> all;
  const std::lock_guard lock(mutex_);
  for (const auto& entry : backends_) {
    if (auto backend = entry.lock()) all.push_back(std::move(backend));
  }
  return all;
}

void Admissions::run_on(ServiceThreads& (Runtime::*threads)() noexcept, std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (!runtime_) return;
  ++services_;
  ((*runtime_).*threads)().post([self = shared_from_this(), function = std::move(function)]() mutable {
    function();
    function = nullptr;
    const std::lock_guard inner(self->mutex_);
    --self->services_;
    self->changed_.notify_all();
  });
}

Proof Admissions::proof_of(const Slave& slave) noexcept { return slave.backend_->proof(); }

void Admissions::ended(const std::shared_ptr<Admission>& admission) {
  const std::lock_guard lock(mutex_);
  under_way_.erase(admission);
  setups_.erase(admission.get());
  gate_.end(admission->place());
  changed_.notify_all();
}

void Admissions::accepted(const std::shared_ptr<Slave>& slave) {
  const std::lock_guard lock(mutex_);
  last_accepted_ = slave;
}

bool Admissions::is_shutting_down() const {
  const std::lock_guard lock(mutex_);
  return shutting_down_;
}

std::shared_ptr<Runtime> Admissions::runtime() const {
  const std::lock_guard lock(mutex_);
  return runtime_;
}

std::shared_ptr<Slave> Admissions::last_accepted() const {
  const std::lock_guard lock(mutex_);
  return last_accepted_.lock();
}

void Admissions::shut_down() {
  std::unique_lock lock(mutex_);
  if (!runtime_) return;
  if (loop_->is_this_thread() || runtime_->is_service_thread()) {
    misuse("a listener is destroyed in a slave class, setup(), on_disconnect() or a hook, which it would wait for");
  }
  shutting_down_ = true;
  const auto under_way = under_way_;
  lock.unlock();
  names_->leave(listener_);
  for (const auto& admission : under_way)
    loop_->post([admission] { admission->abort({Errc::connection_lost, going, 0, DisconnectReason::closed_here}); });
  for (const auto& backend : backends()) backend->disconnect(going);
  lock.lock();
  changed_.wait(lock, [this] { return under_way_.empty(); });
  lock.unlock();
  for (const auto& backend : backends()) {  // also those that came to be meanwhile
    backend->disconnect(going);
    backend->wait_until_left();
  }
  std::promise<void> loop_is_through;  // and so has told all backends
  loop_->post([&loop_is_through] { loop_is_through.set_value(); });
  loop_is_through.get_future().wait();
  lock.lock();
  changed_.wait(lock, [this] { return services_ == 0; });
  auto runtime = std::exchange(runtime_, nullptr);
  lock.unlock();
  options_.slave_collection.listener_goes();
}

}  // namespace remsh

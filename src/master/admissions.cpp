#include "master/admissions.hpp"

#include "base/format.hpp"
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

/// Limits the times to what the clock can add.
ListenerOptions within_reason(ListenerOptions options) {
  using std::chrono::milliseconds;
  constexpr milliseconds day = std::chrono::hours(24);
  if (options.keepalive.count() != 0) {
    options.keepalive = std::clamp(options.keepalive, milliseconds(10), milliseconds(auth::max_keepalive));
  }
  for (milliseconds* time : {&options.keepalive_patience, &options.handshake_timeout, &options.arbitration_timeout}) {
    *time = std::clamp(*time, milliseconds(10), day);
  }
  return options;
}

GateOptions checked_gate_options(const ListenerOptions& options) {
  auto gate = gate_options(options.max_handshakes, options.strangers);
  if (!gate) throw_failure(gate.failure(), "", "make a listener");
  return *std::move(gate);
}

Origin origin_of(const std::string& address, const AdmissionTerms& terms) {
  if (terms.user) return *terms.user;
  if (const auto ip = ip_address_of(address)) return *ip;
  return {};
}

/// The reason that connected and new slaves get at the end.
constexpr const char* shutting_down = "the master shuts down";

}  // namespace

Admissions::Admissions(ListenerOptions options)
    : loop_(options.runtime ? options.runtime->loop() : nullptr),
      names_(options.slave_collection.names()),
      runtime_(std::move(options.runtime)),
      options_(within_reason(std::move(options))),
      log_(options_.log, loop_),
      rights_(options_.keys ? std::make_unique<KeyWatch>(auth::KeyStore::of(*options_.keys)) : nullptr, names_,
              host_of_rights()),
      gate_(checked_gate_options(options_)) {
  assert(loop_);
  if (auto good = check_protocols(options_.protocols); !good) throw_failure(good.failure(), "", "make a listener");
  options_.slave_collection.listener_comes();
}

void Admissions::cannot_accept(int error) const {
  log(LogLevel::error, "",
      formatted("cannot take connections: {}; slaves will try again", std::generic_category().message(error)));
}

void Admissions::admit(std::unique_ptr<Transport> connection, const AdmissionTerms& terms, Done done) {
  const std::string address = connection->description();
  const Origin origin = origin_of(address, terms);
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
      admission = std::make_shared<Admission>(shared_from_this(), std::move(connection), terms, origin, verdict.id,
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
    if (done) done(std::move(*refused));  // NOLINT(bugprone-use-after-move): moved only if nothing was refused
    return;
  }
  if (gives_way) {
    loop_->post([gives_way] {
      gives_way->abort({Errc::busy, "it gives way: too many are registering, and most of them from there", 0});
    });
  }
  loop_->post([admission] { admission->begin(); });
}

void Admissions::log_stranger(const Origin& origin, const std::string& who, const std::string& message) {
  const Gate::Telling telling = [&] {
    const std::lock_guard lock(mutex_);
    return gate_.tell(origin, loop_->now());
  }();
  if (!telling.aloud) return;
  log(LogLevel::warning, who, message + telling.untold_words());
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

/// Bounds the number of setup() functions and on_disconnect callbacks that hang.
std::string Admissions::begin_setup(const Admission& admission) {
  constexpr std::size_t most_farewells = 16;  // of one name
  const std::size_t most_setups = 16 * options_.max_handshakes;
  const std::lock_guard lock(mutex_);
  const auto farewells = farewells_.find(admission.name());
  if (farewells != farewells_.end() && farewells->second >= most_farewells) {
    return formatted("on_disconnect callbacks of {} earlier connections of this slave have not returned",
                     farewells->second);
  }
  if (setups_.size() >= most_setups && !std::holds_alternative<std::monostate>(admission.origin())) {
    return formatted("{} slaves are being set up already: does setup() have a deadline?", setups_.size());
  }
  setups_.insert(&admission);
  return {};
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
          [weak] {
            if (const auto self = weak.lock()) self->backend_told();
          },
          options_.audit};
}

void Admissions::serve_protocols() {
  const auto serve = [this](const SlaveProtocol& protocol, bool is_accepted) {
    const bool is_there = std::any_of(protocols_.begin(), protocols_.end(), [&protocol](const ServedProtocol& one) {
      return one.protocol.name() == protocol.name();
    });
    if (is_there) return;
    protocols_.push_back({protocol,
                          protocol.worker().serve({loop_, options_.keepalive, options_.keepalive_patience, owner()}),
                          is_accepted});
  };
  for (const SlaveProtocol& protocol : options_.protocols) serve(protocol, true);
  for (const SlaveProtocol& protocol : known_protocols()) serve(protocol, false);
}

void Admissions::made_backend() {
  const std::lock_guard lock(mutex_);
  ++untold_;
}

void Admissions::backend_told() {
  const std::lock_guard lock(mutex_);
  --untold_;
  changed_.notify_all();
}

void Admissions::open(const std::shared_ptr<AdmittedBackend>& backend, std::unique_ptr<Transport> transport) {
  const bool stays = [&] {
    const std::lock_guard lock(mutex_);
    backends_.push_back(backend);
    return !shutting_down_;
  }();
  {
    const std::lock_guard lock(keepalive_mutex_);
    if (keepalive_) backend->set_keepalive(*keepalive_);
  }
  backend->open(std::move(transport));
  if (!stays) backend->disconnect(shutting_down);
  rights_.end_without_right(*backend);  // a key may have ended before this slave was among the backends()
}

void Admissions::set_keepalive(const Keepalive& keepalive) {
  std::vector<std::shared_ptr<AdmittedBackend>> all;  // before the lock, as it may have the last references
  const std::lock_guard lock(keepalive_mutex_);
  keepalive_ = keepalive;
  all = backends();
  for (const auto& backend : all) backend->set_keepalive(keepalive);
}

void Admissions::start() {
  serve_protocols();
  rights_.start(std::shared_ptr<RightsWatch>(shared_from_this(), &rights_));
}

RightsWatch::Host Admissions::host_of_rights() {
  return {loop_, [this](std::function<void()> look) { run_on(&Runtime::watch_threads, std::move(look)); },
          [this] { return backends(); },
          [this](const LogRecord& record) { log(record.level, record.peer, record.message); }};
}

void Admissions::backend_ended(const Backend& backend, const Failure& failure) {
  const bool is_breach = failure.code == Errc::protocol_error;
  if (backend.proof() != Proof::started) {
    names_->note_end(std::string(backend.name()), std::string(backend.key_id()), loop_->now());
  }
  log_slave(is_breach ? LogLevel::warning : LogLevel::info, std::string(backend.name()), backend.proof(),
            "disconnected: " + failure.message);
  const std::lock_guard lock(mutex_);
  if (++ended_ < backends_.size() / 2) return;  // rarely, so that each end costs little
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

std::string_view Admissions::key_id_of(const Slave& slave) noexcept { return slave.backend_->key_id(); }

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
  rights_.stop();
  for (const auto& admission : under_way) {
    loop_->post([admission] {
      admission->abort({Errc::connection_lost, shutting_down, 0, DisconnectReason::closed_here});
    });
  }
  for (const auto& backend : backends()) backend->disconnect(shutting_down);
  lock.lock();
  changed_.wait(lock, [this] { return under_way_.empty(); });
  lock.unlock();
  for (const auto& backend : backends()) {  // again, for those that were opened meanwhile
    backend->disconnect(shutting_down);
    backend->wait_until_left();
  }
  std::promise<void> loop_is_through;  // then all back ends have reported their end
  loop_->post([&loop_is_through] { loop_is_through.set_value(); });
  loop_is_through.get_future().wait();
  lock.lock();
  // A back end that is being destroyed, by a thread of the user that drops its last handle, is not among backends().
  changed_.wait(lock, [this] { return untold_ == 0 && services_ == 0; });
  auto runtime = std::exchange(runtime_, nullptr);
  lock.unlock();
  options_.slave_collection.listener_goes();
}

}  // namespace remsh

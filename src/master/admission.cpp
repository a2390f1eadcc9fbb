#include "master/admission.hpp"

#include "base/misuse.hpp"
#include "base/text.hpp"
#include "os/random.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <exception>
#include <future>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using auth::Refusal;

/// When a slave whose name is taken may try again.
constexpr std::chrono::milliseconds name_retry{2000};

auth::MasterHandshake::Options handshake_options() {
  auth::MasterHandshake::Options options;
  options.nonce.resize(auth::nonce_size);
  random_bytes(options.nonce);
  return options;
}

TimePoint now() { return std::chrono::steady_clock::now(); }

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

std::string quoted(const std::string& name) { return "'" + name + "'"; }

}  // namespace

// --- Admissions

Admissions::Admissions(ListenerOptions options)
    : loop_(options.runtime ? options.runtime->loop() : nullptr),
      runtime_(std::move(options.runtime)),
      options_(within_reason(std::move(options))) {
  assert(loop_);
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

void Admissions::admit(std::unique_ptr<Transport> connection, Done done) {
  const std::string address = connection->description();
  std::optional<Failure> refused;
  std::shared_ptr<Admission> admission;
  {
    const std::lock_guard lock(mutex_);
    if (shutting_down_) {
      refused = Failure{Errc::connection_lost, "the listener is shutting down", 0};
    } else if (under_way_.size() >= options_.max_handshakes) {
      refused = Failure{Errc::busy, std::to_string(under_way_.size()) + " others are registering already", 0};
    } else {
      connection = traced(std::move(connection), options_.trace);
      admission = std::make_shared<Admission>(shared_from_this(), std::move(connection), std::move(done));
      under_way_.insert(admission);
    }
  }
  if (refused) {
    log(LogLevel::warning, address, "not let in: " + refused->message);
    if (done) done(std::move(*refused));  // NOLINT(bugprone-use-after-move): moved only where nobody was refused
    return;
  }
  loop_->post([admission] { admission->begin(); });
}

std::shared_ptr<Remsh2Group> Admissions::group() {
  const std::lock_guard lock(mutex_);
  if (group_) return group_;
  rpc::Engine::Options options;
  options.keepalive = options_.keepalive;
  options.patience = options_.keepalive_patience;
  const auto weak = weak_from_this();
  group_ = std::make_shared<Remsh2Group>(loop_, options, run_farewell(),
                                         [weak](const Remsh2Backend& backend, const Failure& failure) {
                                           if (const auto self = weak.lock()) {
                                             self->log_end(std::string(backend.name()), failure);
                                           }
                                         });
  return group_;
}

std::function<void(std::function<void()>)> Admissions::run_farewell() {
  return [weak = weak_from_this()](std::function<void()> function) {
    if (const auto self = weak.lock()) self->run_service(&Runtime::farewells, std::move(function));
  };
}

void Admissions::log_end(const std::string& name, const Failure& failure) const {
  const bool is_breach = failure.code == Errc::protocol_error;
  log(is_breach ? LogLevel::warning : LogLevel::info, name, "disconnected: " + failure.message);
}

bool Admissions::add(const std::shared_ptr<Remsh1Backend>& original) {
  const std::lock_guard lock(mutex_);
  std::erase_if(originals_, [](const auto& entry) { return entry.expired(); });
  originals_.push_back(original);
  return !shutting_down_;
}

std::vector<std::shared_ptr<Remsh1Backend>> Admissions::originals() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Remsh1Backend>> all;
  for (const auto& entry : originals_) {
    if (auto original = entry.lock()) all.push_back(std::move(original));
  }
  return all;
}

void Admissions::run_service(ServiceThreads& (Runtime::*kind)() noexcept, std::function<void()> function) {
  const std::lock_guard lock(mutex_);
  if (!runtime_) return;
  ++services_;
  ((*runtime_).*kind)().post([self = shared_from_this(), function = std::move(function)]() mutable {
    function();
    function = nullptr;
    const std::lock_guard inner(self->mutex_);
    --self->services_;
    self->changed_.notify_all();
  });
}

bool Admissions::claim(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return claimed_.insert(name).second;
}

void Admissions::release(const std::string& name) {
  const std::lock_guard lock(mutex_);
  claimed_.erase(name);
}

void Admissions::ended(const std::shared_ptr<Admission>& admission) {
  const std::lock_guard lock(mutex_);
  under_way_.erase(admission);
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

std::shared_ptr<Slave> Admissions::last_accepted() const {
  const std::lock_guard lock(mutex_);
  return last_accepted_.lock();
}

void Admissions::shut_down() {
  const Failure reason{Errc::connection_lost, "the master shuts down", 0};
  std::unique_lock lock(mutex_);
  if (!runtime_) return;
  if (loop_->is_this_thread() || runtime_->is_service_thread()) {
    misuse("a listener is destroyed in a slave class, setup(), on_disconnect() or a hook, which it would wait for");
  }
  shutting_down_ = true;
  const auto under_way = under_way_;
  const auto group = group_;
  lock.unlock();
  const auto peers = [&group] { return group ? group->all() : std::vector<std::shared_ptr<rpc::Peer>>(); };
  for (const auto& admission : under_way) loop_->post([admission, reason] { admission->abort(reason); });
  for (const auto& peer : peers()) peer->close(reason.message);
  for (const auto& original : originals()) original->disconnect(reason.message);
  lock.lock();
  changed_.wait(lock, [this] { return under_way_.empty(); });
  lock.unlock();
  for (const auto& peer : peers()) {  // also those that came to be meanwhile
    peer->close(reason.message);
    peer->wait_until_left();
  }
  for (const auto& original : originals()) {
    original->disconnect(reason.message);
    original->wait_until_left();
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

// --- Admission

Admission::Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> transport, Admissions::Done done)
    : owner_(std::move(owner)),
      address_(transport->description()),
      transport_(std::move(transport)),
      done_(std::move(done)),
      handshake_(handshake_options(), owner_->options().remsh1) {}

void Admission::begin() {
  if (state_ == State::over) return;
  slot_ = owner_->loop()->add(shared_from_this());
  has_slot_ = true;
  set_timer(owner_->options().handshake_timeout, &Admission::too_late);
  arm();
}

void Admission::arm() {
  const Ready directions = unwritten_.empty() ? Ready::read : Ready::both;
  transport_->arm(owner_->loop()->watcher(), directions, Loop::token(slot_, ++number_));
}

void Admission::set_timer(Duration wait, void (Admission::*expired)()) {
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_ = owner_->loop()->at(now() + wait, [weak = weak_from_this(), expired] {
    if (const auto self = weak.lock(); self && self->state_ != State::over) ((*self).*expired)();
  });
}

void Admission::on_ready(std::uint32_t number, Ready directions) {
  if (number != number_ || !transport_ || state_ == State::over) return;
  if (has(directions, Ready::write)) write({});
  if (has(directions, Ready::read) && state_ != State::over) read();
  if (transport_ && state_ != State::over && state_ != State::failing && !gone_) arm();
}

void Admission::read() {
  std::array<char, 4096> buffer{};
  const IoResult result = transport_->read_some(buffer, Duration::zero());
  if (result.status == IoResult::Status::would_block) return;
  AnyHandshake::Step step;
  if (result.status == IoResult::Status::ok) {
    step = handshake_.feed(BytesView(buffer.data(), result.bytes));
  } else {
    step.action = AnyHandshake::Step::Action::close;
    step.failure = result.status == IoResult::Status::end
                       ? handshake_.at_end()
                       : Failure{Errc::connection_lost, std::generic_category().message(result.error), result.error};
  }
  act(std::move(step));
}

void Admission::act(AnyHandshake::Step step) {
  using Action = AnyHandshake::Step::Action;
  switch (step.action) {
    case Action::read: return;
    case Action::send: write(step.bytes); return;
    case Action::registered:
      if (timer_) owner_->loop()->cancel(*timer_);
      timer_.reset();
      state_ = State::considering;
      registration_ = handshake_.registration();
      name_ = registration_.name;
      owner_->run_service(&Runtime::admissions, [self = shared_from_this()] { self->consider(); });
      return;
    case Action::fail:
      state_ = State::failing;
      farewell_ = std::move(step.bytes);
      verdict_ = std::move(step.failure);
      set_timer(auth::failure_delay, &Admission::send_failure);
      return;
    case Action::close:
      if (state_ == State::considering) {
        is_gone_ = true;
        gone_ = std::move(step.failure);  // welcome() comes, and sees it
      } else {
        abort(std::move(step.failure));
      }
      return;
  }
}

void Admission::write(const Bytes& bytes) {
  unwritten_.append(bytes);
  if (unwritten_.empty()) return;
  const std::string_view view = unwritten_;
  const IoResult result = transport_->write_some({&view, 1});
  if (result.status == IoResult::Status::ok) unwritten_.erase(0, result.bytes);
  if (result.status == IoResult::Status::failed) {
    abort({Errc::connection_lost, std::generic_category().message(result.error), result.error});
  }
}

void Admission::too_late() {
  const auto limit = owner_->options().handshake_timeout.count();
  abort({Errc::timeout, "did not register within " + std::to_string(limit) + " ms", 0});
}

void Admission::send_failure() {
  write(farewell_);
  if (state_ != State::over) abort(std::move(*verdict_));
}

/// Lets the connection go, not yet a slave's. What a service thread still does with it comes to nothing.
void Admission::abort(Failure failure) {
  if (state_ == State::over) return;
  if (state_ == State::considering) {
    is_gone_ = true;
    gone_ = std::move(failure);
    return;
  }
  if (state_ == State::admitted) return;  // its peer is closed
  let_go();
  finish(std::move(failure));
}

void Admission::let_go() {
  state_ = State::over;
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_.reset();
  if (transport_) {
    transport_->disarm_for_good(owner_->loop()->watcher());
    transport_->shutdown();
    transport_.reset();
  }
  if (std::exchange(has_slot_, false)) owner_->loop()->remove(slot_);
}

// --- on a service thread

bool Admission::is_name_free() {
  SlaveCollection& slaves = owner_->options().slave_collection;
  const auto holder = slaves.find(name_);
  if (!holder) return true;
  try {
    holder->ping({.deadline = owner_->options().arbitration_timeout});
    return false;
  } catch (const Timeout&) {
    owner_->log(LogLevel::warning, name_, "the slave of this name does not answer, a new one takes its place");
    holder->disconnect("another slave of this name has come, and this one did not answer");
  } catch (const ConnectionLost&) {
  } catch (const Error&) {
    return false;  // it lives, and cannot do this just now
  }
  slaves.remove_slave(*holder);
  return true;
}

void Admission::consider() {
  if (is_gone_) {  // nobody is left to find a place for
    refuse(Refusal::rejected, "it has gone");
    return;
  }
  if (owner_->is_shutting_down()) {
    refuse(Refusal::draining, "the master shuts down");
    return;
  }
  has_claim_ = owner_->claim(name_);
  if (!has_claim_ || !is_name_free()) {
    refuse(Refusal::name_in_use, "a slave with the name " + quoted(name_) + " is connected", name_retry);
    return;
  }
  make_backend();
  SlaveInit init(SlaveInfo{registration_.name, registration_.hostname, registration_.system, registration_.software,
                           registration_.basedir, registration_.features, address_, original_ ? "remsh 1" : "remsh 2"},
                 backend_);
  try {
    const SlaveFactory& factory = owner_->options().slave_class;
    slave_ = factory ? factory(std::move(init)) : std::make_shared<Slave>(std::move(init));
    if (!slave_) throw SlaveRefused("the slave class made nothing");
  } catch (const SlaveRefused& refused) {
    refuse(Refusal::rejected, refused.what());
    return;
  } catch (const std::exception& error) {
    refuse(Refusal::rejected, std::string("the slave class failed: ") + error.what());
    return;
  } catch (...) {
    refuse(Refusal::rejected, "the slave class failed");
    return;
  }
  owner_->loop()->post([self = shared_from_this()] { self->welcome(); });
}

void Admission::make_backend() {
  if (handshake_.is_original()) {
    original_ = std::make_shared<Remsh1Backend>(owner_->run_farewell());
    backend_ = original_;
  } else {
    remsh2_ = std::make_shared<Remsh2Backend>(owner_->group());
    backend_ = remsh2_;
  }
}

void Admission::refuse(Refusal refusal, std::string reason, std::optional<std::chrono::milliseconds> retry) {
  refused_ = Refused{refusal, std::move(reason), retry};
  owner_->loop()->post([self = shared_from_this()] { self->refuse_now(); });
}

// --- on the loop again

void Admission::refuse_now() {
  const Errc code = refused_->refusal == Refusal::name_in_use ? Errc::in_use : Errc::refused;
  verdict_ = Failure{code, refused_->reason, 0};
  if (gone_) verdict_ = *gone_;
  state_ = State::failing;
  if (!gone_) write(handshake_.refuse(refused_->refusal, refused_->reason, refused_->retry));
  if (state_ != State::over) abort(std::move(*verdict_));
}

void Admission::welcome() {
  if (!gone_) {
    write(handshake_.open(owner_->options().keepalive));
    if (!gone_ && !unwritten_.empty()) gone_ = Failure{Errc::connection_lost, "it does not read", 0};
  }
  if (gone_) {
    let_go();
    fail(*gone_);
    owner_->run_service(&Runtime::admissions,
                        [self = shared_from_this()] { self->finish(std::move(*self->gone_)); });  // with its slave
    return;
  }
  state_ = State::admitted;
  transport_->disarm_for_good(owner_->loop()->watcher());
  owner_->loop()->remove(slot_);
  has_slot_ = false;
  open();
  owner_->run_service(&Runtime::admissions, [self = shared_from_this()] { self->set_up(); });
}

void Admission::open() {
  if (!original_) {
    remsh2_->open(std::move(transport_));
    if (owner_->is_shutting_down()) remsh2_->close("the master shuts down");
    return;
  }
  const bool stays = owner_->add(original_);
  original_->open(std::move(transport_), owner_->loop(),
                  [owner = std::weak_ptr(owner_), name = name_](const Failure& failure) {
                    if (const auto admissions = owner.lock()) admissions->log_end(name, failure);
                  });
  if (!stays) original_->disconnect("the master shuts down");
}

void Admission::fail(const Failure& failure) {
  if (original_) {
    original_->fail(failure);
  } else {
    remsh2_->fail(failure);
  }
}

// --- and on a service thread

void Admission::set_up() {
  std::string trouble;
  try {
    slave_->setup();
  } catch (const std::exception& error) {
    trouble = std::string("setup() failed: ") + error.what();
  } catch (...) {
    trouble = "setup() failed";
  }
  bool is_in = false;
  if (trouble.empty()) {
    try {
      SlaveCollection& slaves = owner_->options().slave_collection;
      is_in = slaves.add_slave(slave_) || slaves.find(name_) == slave_;  // setup() may have put it in
      if (!is_in) trouble = slave_->lost_reason();
    } catch (const std::exception& error) {
      trouble = error.what();
    }
  }
  if (!is_in) {
    const auto lost = backend_->lost();
    backend_->disconnect(trouble);
    finish(lost ? *lost : Failure{Errc::refused, trouble, 0});
    return;
  }
  owner_->log(LogLevel::info, name_, "registered from " + address_);
  owner_->accepted(slave_);
  finish(std::move(slave_));
}

/// The last thing, wherever it ended; on a service thread where there is a slave object, as its destructor is the
/// user's.
void Admission::finish(Result<std::shared_ptr<Slave>> result) {
  if (has_claim_) owner_->release(name_);
  if (!result) {
    const std::string who = name_.empty() ? address_ : name_ + " (" + address_ + ")";
    owner_->log(LogLevel::warning, who, "not let in: " + without_controls(result.failure().message));
  }
  slave_.reset();
  backend_.reset();
  remsh2_.reset();
  original_.reset();
  if (done_) std::exchange(done_, nullptr)(std::move(result));
  owner_->ended(shared_from_this());
}

}  // namespace remsh

#include "master/admission.hpp"

#include "base/duration_text.hpp"
#include "base/text.hpp"
#include "master/blocking_backend.hpp"
#include "master/entry_rules.hpp"

#include <array>
#include <cassert>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using auth::Refusal;

/// When a slave whose name is taken may try again.
constexpr std::chrono::milliseconds name_retry{2000};

std::string quoted(const std::string& name) { return "'" + name + "'"; }

/// "remsh1()" for "remsh 1": SlaveProtocol names its functions after the protocols.
std::string function_name(std::string protocol) {
  std::erase(protocol, ' ');
  return protocol + "()";
}

}  // namespace

Admission::Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> connection, const Entrance& entrance,
                     Origin origin, Gate::Id place, Admissions::Done done)
    : owner_(std::move(owner)),
      address_(connection->description()),
      keyless_(entrance.keyless),
      required_name_(entrance.name),
      on_made_(entrance.on_made),
      origin_(std::move(origin)),
      place_(place),
      done_(std::move(done)),
      opening_(owner_->protocols()) {
  if (entrance.tls) {
    auto tls = std::make_unique<TlsTransport>(std::move(connection), entrance.tls->context());
    tls_ = tls.get();
    connection = std::move(tls);
  }
  transport_ = traced(std::move(connection), owner_->options().trace);
}

void Admission::begin() {
  if (state_ == State::over) return;
  slot_ = owner_->loop()->add(shared_from_this());
  has_slot_ = true;
  set_timer(owner_->options().handshake_timeout, &Admission::too_late);
  if (tls_ == nullptr) shake_hands();
  arm();
}

/// TLS first: each time that something came, a service thread goes on with it, as its arithmetic is long for the loop.
void Admission::secure() {
  auto step = tls_->step();
  owner_->loop()->post([self = shared_from_this(), step = std::move(step)] { self->secured(step); });
}

void Admission::secured(const Result<TlsTransport::Step>& step) {
  state_ = State::waiting;
  if (gone_) return abort(*gone_);
  if (!step) {
    if (step.failure().code == Errc::auth_failed) owner_->proved_wrong(*this);
    return abort(step.failure());
  }
  if (*step == TlsTransport::Step::done) shake_hands();
  const Ready wanted = *step == TlsTransport::Step::want_write ? Ready::write : Ready::read;
  transport_->arm(owner_->loop()->watcher(), wanted, Loop::token(slot_, ++number_));
}

void Admission::shake_hands() {
  state_ = State::handshake;
  const ServedProtocol* first = opening_.sends_first();
  if (first == nullptr) return;
  const Duration silence = *first->worker().silence_before_sending();
  if (silence == Duration::zero()) return send_first();
  silence_ = owner_->loop()->at(owner_->loop()->now() + silence, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->state_ != State::handshake || self->handshake_ || !self->opening_.bytes().empty()) return;
    self->send_first();
    if (self->state_ == State::handshake) self->arm();
  });
}

/// Begins the handshake in which the master sends first.
void Admission::send_first() {
  begin_handshake(*opening_.sends_first());
  write(handshake_->start());
}

void Admission::begin_handshake(const ServedProtocol& protocol) {
  protocol_ = &protocol;
  NewConnection connection{.keyless = keyless_, .is_tls = tls_ != nullptr, .binding = transport_->channel_binding()};
  if (owner_->keys() != nullptr) connection.keys = owner_->keys()->as_seen_from(ip_address_of(address_));
  if (tls_ != nullptr) connection.tls_identity = tls_->identity();
  handshake_ = protocol.begin(std::move(connection));
}

void Admission::arm() {
  const Ready directions = unwritten_.empty() ? Ready::read : Ready::both;
  transport_->arm(owner_->loop()->watcher(), directions, Loop::token(slot_, ++number_));
}

void Admission::set_timer(Duration wait, void (Admission::*expired)()) {
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_ = owner_->loop()->at(owner_->loop()->now() + wait, [weak = weak_from_this(), expired] {
    if (const auto self = weak.lock(); self && self->state_ != State::over) ((*self).*expired)();
  });
}

void Admission::on_ready(std::uint32_t number, Ready directions) {
  if (number != number_ || !transport_ || state_ == State::over) return;
  if (state_ == State::waiting) {
    state_ = State::securing;
    owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->secure(); });
    return;
  }
  if (has(directions, Ready::write)) write({});
  if (has(directions, Ready::read) && state_ != State::over) read();
  if (transport_ && state_ != State::over && state_ != State::failing && !gone_) arm();
}

void Admission::read() {
  std::array<char, 4096> buffer{};
  const IoResult result = transport_->read_some(buffer, Duration::zero());
  if (result.status == IoResult::Status::would_block) return;
  if (result.status == IoResult::Status::ok) return take(BytesView(buffer.data(), result.bytes));
  if (result.status != IoResult::Status::end) {
    return abort({Errc::connection_lost, std::generic_category().message(result.error), result.error});
  }
  if (!handshake_) begin_handshake(opening_.assumed());
  abort(handshake_->at_end());
}

/// Bytes of the worker: they go to the handshake, once they have shown which protocol it speaks.
void Admission::take(BytesView bytes) {
  if (handshake_) return act(handshake_->feed(bytes));
  const ServedProtocol* protocol = opening_.feed(bytes);
  if (protocol == nullptr) return;
  begin_handshake(*protocol);
  if (protocol->is_accepted) return act(handshake_->feed(opening_.bytes()));
  const std::string name = protocol->protocol.name();
  fail(handshake_->reject(), {Errc::refused,
                              "it speaks " + name + ", which this listener does not accept: add SlaveProtocol::" +
                                  function_name(name) + " to `protocols` to accept such slaves",
                              0});
}

void Admission::act(WorkerHandshake::Step step) {
  using Action = WorkerHandshake::Step::Action;
  switch (step.action) {
    case Action::read: return;
    case Action::send: return write(step.bytes);
    case Action::registered: return registered();
    case Action::fail: return fail(std::move(step.bytes), std::move(step.failure));
    case Action::close: return abort(std::move(step.failure));
  }
}

/// The handshake is over. The rules about keys and names are applied here, whatever the protocol.
void Admission::registered() {
  registration_ = handshake_->registration();
  name_ = registration_.name;
  proof_ = handshake_->proof();
  if (proof_ == Proof::none && !required_name_.empty() && required_name_ == name_) proof_ = Proof::started;
  EntryRules rules{.keyless = keyless_};
  rules.name_has_key = proof_ == Proof::none && owner_->names()->has_key(name_);
  if (tls_ != nullptr) rules.tls_identity = tls_->identity();
  if (auto why = why_rejected({name_, proof_, registration_.key_id}, rules)) {
    return fail(handshake_->reject(), std::move(*why));
  }
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_.reset();
  state_ = State::considering;
  owner_->proven(*this);
  if (tls_ != nullptr) tls_->set_proven();
  enrolment_ = handshake_->enrol();
  owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] {
    if (self->enrolment_) {
      self->enrol();
    } else {
      self->consider();
    }
  });
}

/// Rejects the worker after a while, so that guessing is slow.
void Admission::fail(Bytes farewell, Failure failure) {
  state_ = State::failing;
  if (failure.code == Errc::auth_failed) owner_->proved_wrong(*this);
  farewell_ = std::move(farewell);
  verdict_ = std::move(failure);
  set_timer(auth::failure_delay, &Admission::send_failure);
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
  if (state_ == State::considering || state_ == State::securing) {
    is_gone_ = true;
    gone_ = std::move(failure);  // welcome(), refuse_now(), enrolled() or secured() comes, and sees it
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
  if (silence_) owner_->loop()->cancel(*silence_);
  silence_.reset();
  if (transport_) {
    transport_->disarm_for_good(owner_->loop()->watcher());
    transport_->shutdown();
    transport_.reset();
  }
  if (std::exchange(has_slot_, false)) owner_->loop()->remove(slot_);
}

// --- on a service thread

/// Whether the name is its own now; if not, it has been refused.
bool Admission::get_name() {
  std::shared_ptr<Slave> holder;
  const auto find_holder = [&]() -> std::optional<Proof> {
    SlaveCollection& slaves = owner_->options().slave_collection;
    holder = slaves.find(name_);
    if (holder && !holder->is_connected()) {  // the notice of its end is on its way
      slaves.remove_slave(*holder);
      holder.reset();
    }
    return holder ? std::optional(Admissions::proof_of(*holder)) : std::nullopt;
  };
  const Names::Claim claim =
      owner_->names()->claim({name_, proof_, registration_.key_id}, find_holder, owner_->loop()->now());
  claim_ = claim.id;
  if (claim.ruling == NameRuling::is_keyed) {
    refuse(Refusal::rejected, quoted(name_) + " has a key, and this slave has proven none");
    return false;
  }
  if (claim.ruling == NameRuling::too_often) {
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(claim.wait);
    refuse(Refusal::rejected, "it comes too often: it may come again in " + in_seconds(wait), wait);
    return false;
  }
  if (claim.ruling == NameRuling::is_taken || (holder && !give_place(holder, claim.ruling))) {
    refuse(Refusal::name_in_use, "a slave with the name " + quoted(name_) + " is connected", name_retry);
    return false;
  }
  return true;
}

/// Whether the slave that has the name has lost it to this one.
bool Admission::give_place(const std::shared_ptr<Slave>& holder, NameRuling ruling) {
  if (ruling == NameRuling::displaces) {
    holder->disconnect(Admissions::name_has_key, DisconnectReason::refused);
  } else {
    try {
      holder->ping({.deadline = owner_->options().arbitration_timeout});
      return false;
    } catch (const Timeout&) {
      owner_->log_slave(LogLevel::warning, name_, proof_,
                        "the slave of this name does not answer, a new one takes its place");
      holder->disconnect("another slave of this name has come, and this one did not answer", DisconnectReason::silent);
    } catch (const ConnectionLost&) {
    } catch (const Error&) {
      return false;  // it lives, and cannot do this just now
    }
  }
  owner_->options().slave_collection.remove_slave(*holder);
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
  if (!required_name_.empty() && name_ != required_name_) {
    refuse(Refusal::rejected, "it registers as " + quoted(name_) + ", and was started to be " + quoted(required_name_));
    return;
  }
  if (auto why = owner_->begin_setup(*this); !why.empty()) {
    refuse(Refusal::full, std::move(why), name_retry);
    return;
  }
  if (!get_name()) return;
  backend_ = handshake_->make_backend();
  assert(protocol_->worker().does_one_operation_at_a_time() ||
         dynamic_cast<const HoldsThreads*>(backend_.get()) == nullptr);
  backend_->set_proof(proof_);
  SlaveInit init({.name = registration_.name,
                  .hostname = registration_.hostname,
                  .system = registration_.system,
                  .software = registration_.software,
                  .basedir = registration_.basedir,
                  .features = registration_.features,
                  .address = address_,
                  .protocol = protocol_->protocol.name(),
                  .key_id = registration_.key_id,
                  .labels = handshake_->labels()},
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
  if (on_made_) on_made_(slave_, *backend_);
  owner_->loop()->post([self = shared_from_this()] { self->welcome(); });
}

/// Who came with an invitation gets a key of its own, which is on the disk before it is told so.
void Admission::enrol() {
  auto stored = owner_->keys()->enrol(registration_, enrolment_->key);
  if (!stored) {
    owner_->log(LogLevel::error, name_, "cannot enrol: " + stored.failure().message);
    refuse(Refusal::rejected, "the master could not store the key: its log says why");
    return;
  }
  owner_->loop()->post([self = shared_from_this(), enrolled = std::move(*stored)] { self->enrolled(enrolled); });
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
  if (!gone_) write(handshake_->refuse(refused_->refusal, refused_->reason, refused_->retry));
  if (state_ != State::over) abort(std::move(*verdict_));
}

void Admission::enrolled(const auth::KeyStore::Enrolled& enrolled) {
  owner_->log(LogLevel::info, name_, "enrolled from " + address_ + ": key " + enrolled.kid + ", " + enrolled.where);
  state_ = State::failing;
  if (!gone_) write(enrolment_->welcome);
  enrolment_.reset();
  has_enrolled_ = true;
  if (state_ != State::over) abort({Errc::refused, "it has enrolled, and is to come with its own key", 0});
}

void Admission::welcome() {
  if (!gone_) {
    write(handshake_->open());
    if (!gone_ && !unwritten_.empty()) gone_ = Failure{Errc::connection_lost, "it does not read", 0};
  }
  if (gone_) {
    let_go();
    backend_->fail(*gone_);
    owner_->run_on(&Runtime::admission_threads,
                   [self = shared_from_this()] { self->finish(std::move(*self->gone_)); });  // with its slave
    return;
  }
  state_ = State::admitted;
  owner_->let_in(*this);
  transport_->disarm_for_good(owner_->loop()->watcher());
  owner_->loop()->remove(slot_);
  has_slot_ = false;
  owner_->open(backend_, std::move(transport_));
  owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->set_up(); });
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
  if (trouble.empty() && !owner_->names()->holds(name_, claim_)) trouble = Admissions::name_has_key;
  if (trouble.empty()) trouble = add_to_collection();
  if (!trouble.empty()) {
    const auto lost = backend_->lost();
    backend_->disconnect(trouble, DisconnectReason::refused);
    finish(lost ? *lost : Failure{Errc::refused, trouble, 0});
    return;
  }
  owner_->log_slave(LogLevel::info, name_, proof_, "registered from " + address_, true);
  owner_->accepted(slave_);
  finish(std::move(slave_));
}

/// Returns why it is not in the collection; empty: it is.
std::string Admission::add_to_collection() {
  SlaveCollection& slaves = owner_->options().slave_collection;
  for (;;) {
    try {
      const bool is_in = slaves.add_slave(slave_) || slaves.find(name_) == slave_;  // setup() may have put it in
      return is_in ? "" : slave_->lost_reason();
    } catch (const Error& error) {
      if (error.code() != Errc::in_use || !displace_late()) return error.what();
    } catch (const std::exception& error) {
      return error.what();
    }
  }
}

/// Whether the name is free now that another slave had: one that this one has displaced while it had no more than a
/// claim, and that came to the collection nevertheless.
bool Admission::displace_late() {
  const std::shared_ptr<Slave> holder = owner_->options().slave_collection.find(name_);
  if (!holder) return true;
  const auto ruling = rule_on_name(owner_->names()->has_key(name_), proof_, Admissions::proof_of(*holder));
  return ruling == NameRuling::displaces && give_place(holder, ruling);
}

/// The last thing, wherever it ended; on a service thread where there is a slave object, as its destructor is the
/// user's.
void Admission::finish(Result<std::shared_ptr<Slave>> result) {
  if (claim_ != 0) owner_->names()->release(name_, claim_);
  if (claim_ != 0 && !result && proof_ != Proof::started) {  // it came as far as user code, and counts
    owner_->names()->note_end(name_, registration_.key_id, owner_->loop()->now());
  }
  if (!result && !has_enrolled_) {
    const std::string why = without_controls(result.failure().message);
    if (proof_ == Proof::key) {
      owner_->log_slave(LogLevel::warning, name_, proof_, "not let in from " + address_ + ": " + why);
    } else {
      owner_->log_stranger(origin_, name_.empty() ? address_ : name_ + " (" + address_ + ")", "not let in: " + why);
    }
  }
  slave_.reset();
  backend_.reset();
  if (done_) std::exchange(done_, nullptr)(std::move(result));
  owner_->ended(shared_from_this());
}

}  // namespace remsh

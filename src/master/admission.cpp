// Admission, from the first byte to the end of the handshake, and the end of a connection before it is admitted.
#include "master/admission.hpp"

#include "base/format.hpp"
#include "master/entry_rules.hpp"

#include <array>
#include <utility>

namespace remsh {

namespace {

/// How much may wait for a worker that is not admitted yet.
constexpr std::size_t max_unwritten = std::size_t{64} * 1024;

}  // namespace

Admission::Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> connection,
                     const AdmissionTerms& terms, Origin origin, Gate::Id place, Admissions::Done done)
    : owner_(std::move(owner)),
      address_(connection->description()),
      keyless_(terms.keyless),
      required_name_(terms.name),
      labels_(terms.labels),
      on_made_(terms.on_made),
      origin_(std::move(origin)),
      place_(place),
      done_(std::move(done)),
      opening_(owner_->protocols()),
      claim_(*owner_) {
  if (terms.tls) {
    auto tls = std::make_unique<TlsTransport>(std::move(connection), terms.tls->context());
    tls_ = tls.get();
    connection = std::move(tls);
  }
  transport_ = traced(std::move(connection), owner_->options().trace);
}

// --- on the loop: the handshake

void Admission::begin() {
  if (state_ == State::over) return;
  slot_ = owner_->loop()->add(shared_from_this());
  has_slot_ = true;
  set_timer(owner_->options().handshake_timeout, &Admission::too_late);
  if (tls_ != nullptr) return arm();
  shake_hands();
  if (state_ == State::handshake) read();  // the first bytes have often come with the connection
  arm_if_it_goes_on();
}

/// Called whenever TLS bytes have arrived: a service thread processes them, as TLS may compute for too long for the
/// loop.
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
  if (*step == TlsTransport::Step::done) {
    shake_hands();
    return arm_if_it_goes_on();
  }
  const Ready wanted = *step == TlsTransport::Step::want_write ? Ready::write : Ready::read;
  is_armed_ = true;
  transport_->arm(owner_->loop()->watcher(), wanted, Loop::token(slot_, ++number_));
}

void Admission::shake_hands() {
  state_ = State::handshake;
  const ServedProtocol* first = opening_.sends_first();
  if (first == nullptr) return;
  const Duration silence = *first->worker().silence_before_sending();
  if (silence == Duration::zero()) return send_first();
  silence_ = owner_->loop()->at(owner_->loop()->now() + silence, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->silence_is_over();
  });
}

void Admission::silence_is_over() {
  if (state_ != State::handshake || handshake_) return;
  read();  // if bytes have come in the meantime, the worker speaks first
  if (state_ != State::handshake || handshake_ || !opening_.bytes().empty()) return;
  send_first();
  if (state_ == State::handshake) arm();
}

/// Begins the handshake of the protocol in which the master sends first.
void Admission::send_first() {
  begin_handshake(*opening_.sends_first());
  write(handshake_->start());
}

void Admission::begin_handshake(const ServedProtocol& protocol) {
  protocol_ = &protocol;
  NewConnection connection{.keyless = keyless_,
                           .is_tls = tls_ != nullptr,
                           .binding = transport_->channel_binding(),
                           .tls_identity = tls_identity()};
  if (owner_->keys() != nullptr) {
    connection.keys = owner_->keys()->as_seen_from(ip_address_of(address_));
    connection.passwords = owner_->keys()->passwords_as_seen_from(ip_address_of(address_));
  }
  handshake_ = protocol.begin(std::move(connection));
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

/// Takes bytes of the worker. They go to a handshake as soon as they show which protocol the worker speaks.
void Admission::take(BytesView bytes) {
  if (handshake_) return act(handshake_->feed(bytes));
  const ServedProtocol* protocol = opening_.feed(bytes);
  if (protocol == nullptr) return;
  begin_handshake(*protocol);
  if (protocol->is_accepted) return act(handshake_->feed(opening_.bytes()));
  fail(handshake_->reject(), not_accepted(*protocol));
}

void Admission::act(WorkerHandshake::Step step) {
  using Action = WorkerHandshake::Step::Action;
  switch (step.action) {
    case Action::read: return;
    case Action::send: return write(step.bytes);
    case Action::registered: return registered();
    case Action::fail:
      if (state_ == State::considering) return abort(std::move(step.failure));  // a service thread works on it
      return fail(std::move(step.bytes), std::move(step.failure));
    case Action::close: return abort(std::move(step.failure));
  }
}

/// The handshake is over. Applies the rules about keys and names, which are the same for all protocols.
void Admission::registered() {
  registration_ = handshake_->registration();
  proof_ = handshake_->proof();
  if (proof_ == Proof::none && !required_name_.empty() && required_name_ == name()) proof_ = Proof::started;
  EntryRules rules{.keyless = keyless_, .tls_identity = tls_identity()};
  rules.name_has_key = proof_ == Proof::none && owner_->names()->has_key(name());
  if (auto why = why_rejected({name(), proof_, registration_.key_id}, rules)) {
    return fail(handshake_->reject(), std::move(*why));
  }
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_.reset();
  state_ = State::considering;
  owner_->proven(*this);
  if (tls_ != nullptr) tls_->set_proven();
  enrolment_ = handshake_->enrol();
  if (!enrolment_) return decide();
  owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->enrol(); });
}

/// Admits the worker now, or has a service thread decide.
void Admission::decide() {
  if (auto refusal = why_refused()) return refuse(std::move(*refusal));
  if (runs_user_code() || !claim_.claim_if_free({name(), proof_, registration_.key_id})) {
    return owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->consider(); });
  }
  if (auto refusal = make_slave()) return refuse(std::move(*refusal));
  welcome();
}

/// Rejects the worker, after a delay so that guessing is slow.
void Admission::fail(Bytes farewell, Failure failure) {
  state_ = State::failing;
  if (failure.code == Errc::auth_failed) owner_->proved_wrong(*this);
  farewell_ = std::move(farewell);
  verdict_ = std::move(failure);
  set_timer(auth::failure_delay, &Admission::send_failure);
}

void Admission::send_failure() {
  write(farewell_);
  if (state_ != State::over) abort(std::move(*verdict_));
}

void Admission::too_late() {
  const auto limit = owner_->options().handshake_timeout.count();
  abort({Errc::timeout, formatted("did not register within {} ms", limit), 0});
}

// --- on the loop: the connection

void Admission::on_ready(std::uint32_t number, Ready directions) {
  if (number != number_ || !transport_ || state_ == State::over) return;
  is_armed_ = false;
  if (state_ == State::waiting) {
    state_ = State::securing;
    owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->secure(); });
    return;
  }
  if (has(directions, Ready::write)) write({});
  if (has(directions, Ready::read) && state_ != State::over) read();
  arm_if_it_goes_on();
}

void Admission::arm_if_it_goes_on() {
  if (transport_ && state_ != State::over && state_ != State::failing && !gone_) arm();
}

void Admission::arm() {
  is_armed_ = true;
  const Ready directions = unwritten_.empty() ? Ready::read : Ready::both;
  transport_->arm(owner_->loop()->watcher(), directions, Loop::token(slot_, ++number_));
}

void Admission::set_timer(Duration wait, void (Admission::*expired)()) {
  if (timer_) owner_->loop()->cancel(*timer_);
  timer_ = owner_->loop()->at(owner_->loop()->now() + wait, [weak = weak_from_this(), expired] {
    if (const auto self = weak.lock(); self && self->state_ != State::over) ((*self).*expired)();
  });
}

void Admission::write(const Bytes& bytes) {
  unwritten_.append(bytes);
  if (unwritten_.empty()) return;
  const std::string_view view = unwritten_;
  const IoResult result = transport_->write_some({&view, 1});
  if (result.status == IoResult::Status::ok) unwritten_.erase(0, result.bytes);
  if (unwritten_.size() > max_unwritten) return abort({Errc::connection_lost, "it does not read what it asks for", 0});
  if (result.status == IoResult::Status::failed) {
    abort({Errc::connection_lost, std::generic_category().message(result.error), result.error});
  }
}

/// Ends an admission whose connection is not a slave's yet. If a service thread works on it, the admission
/// ends when that thread is done.
void Admission::abort(Failure failure) {
  if (state_ == State::over) return;
  if (state_ == State::considering || state_ == State::securing) {
    is_gone_ = true;
    gone_ = std::move(failure);  // welcome(), refuse_now(), enrolled() or secured() follows, and sees it
    return;
  }
  if (state_ == State::admitted) return;  // the back end closes the connection
  let_go();
  finish(std::move(failure));
}

void Admission::let_go() {
  state_ = State::over;
  for (auto* timer : {&timer_, &silence_}) {
    if (*timer) owner_->loop()->cancel(**timer);
    timer->reset();
  }
  if (transport_) {
    transport_->disarm_for_good(owner_->loop()->watcher());
    transport_->shutdown();
    transport_.reset();
  }
  if (std::exchange(has_slot_, false)) owner_->loop()->remove(slot_);
}

}  // namespace remsh

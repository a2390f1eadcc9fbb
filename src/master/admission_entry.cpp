// Admission, what follows the handshake: the claim of the name, the slave object, the answer to the worker.
#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "master/admission.hpp"
#include "master/blocking_backend.hpp"
#include "master/entry_rules.hpp"

#include <cassert>
#include <exception>
#include <map>
#include <string>
#include <utility>

namespace remsh {

using auth::Refusal;

// --- on a service thread

void Admission::consider() {
  std::optional<EntryRefusal> refusal;
  if (is_gone_) refusal = EntryRefusal{Refusal::rejected, "it has gone"};
  if (!refusal) refusal = claim_.claim({name(), proof_, registration_.key_id});
  if (!refusal) refusal = make_slave();
  if (refusal) return refuse(std::move(*refusal));
  owner_->loop()->post([self = shared_from_this()] { self->welcome(); });
}

/// Whether anything of the user's runs for this worker before it is in the collection.
bool Admission::runs_user_code() const { return owner_->options().slave_class || on_made_ || done_; }

/// Why the worker is refused before it claims its name; nullopt if it is not.
std::optional<EntryRefusal> Admission::why_refused() {
  if (owner_->is_shutting_down()) return EntryRefusal{Refusal::draining, "the master shuts down"};
  if (!required_name_.empty() && name() != required_name_) {
    return EntryRefusal{Refusal::rejected,
                        formatted("it registers as '{}', and was started to be '{}'", name(), required_name_)};
  }
  if (registration_.check == "1") return EntryRefusal{Refusal::checked, "the check was passed"};
  if (auto why = owner_->begin_setup(*this); !why.empty()) {
    return EntryRefusal{Refusal::full, std::move(why), EntryRefusal::usual_retry};
  }
  return std::nullopt;
}

/// Makes the back end, and has the user's slave class make the slave. Returns why it did not; nullopt if it did.
std::optional<EntryRefusal> Admission::make_slave() {
  backend_ = handshake_->make_backend();
  owner_->made_backend();
  backend_->set_proof(proof_);
  assert(protocol_->worker().does_one_operation_at_a_time() ||
         dynamic_cast<const HoldsThreads*>(backend_.get()) == nullptr);
  using Labels = std::map<std::string, std::string>;
  Labels labels = handshake_->labels();
  labels.insert(labels_.begin(), labels_.end());
  auth::Resources resources = auth::parse_resources(registration_.resources).value_or(auth::Resources());
  const auto slots = resources.extract(std::string(auth::slots_name));
  SlaveInit init({.name = registration_.name,
                  .hostname = registration_.hostname,
                  .system = registration_.system,
                  .software = registration_.software,
                  .basedir = registration_.basedir,
                  .boot_id = registration_.boot_id,
                  .instance_id = registration_.instance_id,
                  .features = registration_.features,
                  .claimed_labels = auth::parse_claimed_labels(registration_.labels).value_or(Labels()),
                  .slots = slots ? slots.mapped() : auth::default_slots,
                  .resources = std::move(resources),
                  .address = address_,
                  .protocol = protocol_->protocol.name(),
                  .key_id = registration_.key_id,
                  .labels = std::move(labels)},
                 backend_);
  try {
    const SlaveFactory& factory = owner_->options().slave_class;
    slave_ = factory ? factory(std::move(init)) : std::make_shared<Slave>(std::move(init));
    if (!slave_) return EntryRefusal{Refusal::rejected, "the slave class made nothing"};
  } catch (const SlaveRefused& refused) {
    return EntryRefusal{Refusal::rejected, refused.what()};
  } catch (const std::exception& error) {
    return EntryRefusal{Refusal::rejected, formatted("the slave class failed: {}", error.what())};
  } catch (...) {
    return EntryRefusal{Refusal::rejected, "the slave class failed"};
  }
  if (on_made_) on_made_(slave_, *backend_);
  return std::nullopt;
}

/// Stores the new key of a worker that came with an invitation. The key is on the disk before the worker receives it.
void Admission::enrol() {
  auto stored = owner_->keys()->enrol(registration_, enrolment_->key);
  if (!stored) {
    owner_->log(LogLevel::error, name(), "cannot enrol: " + stored.failure().message);
    return refuse({Refusal::rejected, "the master could not store the key: its log says why"});
  }
  owner_->loop()->post([self = shared_from_this(), enrolled = std::move(*stored)] { self->enrolled(enrolled); });
}

void Admission::refuse(EntryRefusal refusal) {
  refused_ = std::move(refusal);
  owner_->loop()->post([self = shared_from_this()] { self->refuse_now(); });
}

// --- on the loop: after a decision

void Admission::refuse_now() {
  const Errc code = refused_->refusal == Refusal::name_in_use ? Errc::in_use : Errc::refused;
  verdict_ = Failure{code, refused_->reason, 0};
  if (gone_) verdict_ = *gone_;
  state_ = State::failing;
  if (!gone_) write(handshake_->refuse(*refused_));
  if (state_ != State::over) abort(std::move(*verdict_));
}

void Admission::enrolled(const auth::KeyStore::Enrolled& enrolled) {
  owner_->log(LogLevel::info, name(),
              formatted("enrolled from {}: key {}, {}", address_, enrolled.kid, enrolled.where));
  state_ = State::failing;
  if (!gone_) write(enrolment_->welcome);
  enrolment_.reset();
  has_enrolled_ = true;
  if (state_ != State::over) abort({Errc::refused, "it has enrolled, and has to come with its own key", 0});
}

void Admission::welcome() {
  if (!gone_) {
    write(handshake_->open());
    if (!gone_ && !unwritten_.empty()) gone_ = Failure{Errc::connection_lost, "it does not read", 0};
  }
  if (gone_) {
    let_go();
    owner_->run_on(&Runtime::admission_threads,
                   [self = shared_from_this()] { self->finish(*self->gone_); });  // destroys the slave
    return;
  }
  state_ = State::admitted;
  owner_->let_in(*this);
  if (is_armed_) transport_->arm(owner_->loop()->watcher(), Ready::none, Loop::token(slot_, ++number_));
  owner_->loop()->remove(slot_);
  has_slot_ = false;
  owner_->open(backend_, std::move(transport_));
  Leftovers leftovers;
  const bool is_in = !runs_user_code() && claim_.enter_if_free(slave_, leftovers);
  if (!leftovers.empty()) {  // they may be the user's, whose destructors must not run here
    owner_->run_on(&Runtime::admission_threads, [dropped = std::move(leftovers)] {});
  }
  if (is_in) return has_entered();
  owner_->run_on(&Runtime::admission_threads, [self = shared_from_this()] { self->set_up(); });
}

// --- on a service thread again

void Admission::set_up() {
  std::string trouble;
  try {
    slave_->setup();
  } catch (const std::exception& error) {
    trouble = formatted("setup() failed: {}", error.what());
  } catch (...) {
    trouble = "setup() failed";
  }
  if (trouble.empty()) trouble = claim_.enter(slave_);
  if (!trouble.empty()) {
    const auto lost = backend_->lost();
    backend_->disconnect(trouble, DisconnectReason::refused);
    return finish(lost ? *lost : Failure{Errc::refused, trouble, 0});
  }
  has_entered();
}

void Admission::has_entered() {
  owner_->log_slave(LogLevel::info, name(), proof_, "registered from " + address_, true);
  owner_->accepted(slave_);
  finish(std::move(slave_));
}

/// The last step of every admission. If there is an object of the user's slave class, this runs on a service thread.
void Admission::finish(Result<std::shared_ptr<Slave>> result) {
  const bool had_claim = claim_.is_made();
  claim_.release();
  if (had_claim && !result && proof_ != Proof::started) {  // user code has run for it, so it counts for the pace
    owner_->names()->note_end(name(), registration_.key_id, owner_->loop()->now());
  }
  const bool has_checked = refused_ && refused_->refusal == Refusal::checked;
  if (has_checked && proof_ == Proof::key) {
    owner_->log_slave(LogLevel::info, name(), proof_, formatted("checked its set-up from {}", address_));
  } else if (!result && !has_enrolled_) {
    const std::string why = without_controls(result.failure().message);
    if (proof_ == Proof::key) {
      owner_->log_slave(LogLevel::warning, name(), proof_, formatted("not let in from {}: {}", address_, why));
    } else {
      owner_->log_stranger(origin_, name().empty() ? address_ : formatted("{} ({})", name(), address_),
                           "not let in: " + why);
    }
  }
  if (backend_ && state_ != State::admitted) {  // the user may have kept its slave
    const bool is_refused = refused_ && !gone_;
    backend_->fail(is_refused ? Failure{Errc::connection_lost, refused_->reason, 0, DisconnectReason::refused}
                              : result.failure());
  }
  slave_.reset();
  backend_.reset();
  if (done_) std::exchange(done_, nullptr)(std::move(result));
  owner_->ended(shared_from_this());
}

}  // namespace remsh

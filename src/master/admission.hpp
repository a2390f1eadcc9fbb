// Admission: one connection on its way to being a slave.
#pragma once

#include "auth/handshake_step.hpp"
#include "auth/registration.hpp"
#include "base/result.hpp"
#include "master/admissions.hpp"
#include "master/admitted_backend.hpp"
#include "master/name_claim.hpp"
#include "master/opening.hpp"
#include "master/proof.hpp"
#include "master/worker_protocol.hpp"
#include "transport/loop.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/master/slave.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// One connection, from its first byte to the collection. The handshake advances on the loop and needs no thread. The
/// user's slave class and setup() run on a service thread, and so does what waits until a name is free:
///
///     [secure (service) →] handshake (loop) → consider (service) → welcome (loop) → set_up (service) → done
///
/// Each change of threads costs two system calls and the waking of a thread. So all of it is done on the loop for a
/// worker for which nothing of the user's runs and whose name is free.
class Admission final : public Watched, public std::enable_shared_from_this<Admission> {
 public:
  Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> connection, const AdmissionTerms& terms,
            Origin origin, Gate::Id place, Admissions::Done done);
  ~Admission() { let_go(); }

  [[nodiscard]] const Origin& origin() const noexcept { return origin_; }
  [[nodiscard]] Gate::Id place() const noexcept { return place_; }
  [[nodiscard]] const std::string& name() const noexcept { return registration_.name; }

  // On the loop.
  void begin();
  void abort(Failure failure);
  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  enum class State : std::uint8_t {
    waiting,      // for what TLS needs next
    securing,     // a service thread advances TLS; the loop watches only the time limit
    handshake,    // bytes go to and from the handshake, within its time limit
    failing,      // the farewell will be sent, and then the connection is closed
    considering,  // a service thread decides; the loop watches only for the end of the connection
    admitted,     // the connection belongs to the back end
    over,         // the connection is closed
  };

  // On the loop: the handshake.
  void secured(const Result<TlsTransport::Step>& step);
  void shake_hands();
  void silence_is_over();
  void send_first();
  void begin_handshake(const ServedProtocol& protocol);
  void read();
  void take(BytesView bytes);
  void act(WorkerHandshake::Step step);
  void registered();
  void decide();
  void fail(Bytes farewell, Failure failure);
  void send_failure();
  void too_late();

  // On the loop: the connection.
  void write(const Bytes& bytes);
  void arm();
  void arm_if_it_goes_on();
  void set_timer(Duration wait, void (Admission::*expired)());
  void let_go();

  // On the loop: after a decision.
  void welcome();
  void has_entered();
  void refuse_now();
  void enrolled(const auth::KeyStore::Enrolled& enrolled);

  // On a service thread.
  void secure();
  void consider();
  void enrol();
  void set_up();

  // On the loop or a service thread.
  [[nodiscard]] bool runs_user_code() const;
  [[nodiscard]] std::optional<EntryRefusal> why_refused();
  [[nodiscard]] std::optional<EntryRefusal> make_slave();
  void refuse(EntryRefusal refusal);
  void finish(Result<std::shared_ptr<Slave>> result);

  [[nodiscard]] std::string tls_identity() const { return tls_ != nullptr ? tls_->identity() : std::string(); }

  const std::shared_ptr<Admissions> owner_;
  const std::string address_;
  const bool keyless_;
  const std::string required_name_;                  // empty: any name
  const std::map<std::string, std::string> labels_;  // in addition to those of its key
  const std::function<void(const std::shared_ptr<Slave>&, Backend&)> on_made_;
  const Origin origin_;
  const Gate::Id place_;
  Admissions::Done done_;

  // The connection.
  TlsTransport* tls_ = nullptr;  // inside transport_; null without TLS
  std::unique_ptr<Transport> transport_;
  State state_ = State::waiting;
  std::uint32_t slot_ = 0;
  bool has_slot_ = false;
  std::uint32_t number_ = 0;  // of the last arming
  bool is_armed_ = false;
  std::optional<Loop::TimerId> timer_;
  std::optional<Loop::TimerId> silence_;  // waits for the worker to speak, before the master sends first
  Bytes unwritten_;
  std::atomic<bool> is_gone_ = false;  // for the service thread
  std::optional<Failure> gone_;        // the connection ended while a service thread decided

  // The handshake.
  Opening opening_;
  const ServedProtocol* protocol_ = nullptr;    // set with the handshake
  std::unique_ptr<WorkerHandshake> handshake_;  // set once the protocol is known
  Registration registration_;
  Proof proof_ = Proof::none;

  // What is sent and reported at the end, if the worker is not admitted.
  Bytes farewell_;
  std::optional<Failure> verdict_;
  std::optional<EntryRefusal> refused_;
  std::optional<auth::Enrolment> enrolment_;
  bool has_enrolled_ = false;

  // What the admission produces.
  NameClaim claim_;
  std::shared_ptr<AdmittedBackend> backend_;
  std::shared_ptr<Slave> slave_;
};

}  // namespace remsh

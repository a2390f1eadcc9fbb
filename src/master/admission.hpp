// Admission: one connection on its way to being a slave.
#pragma once

#include "auth/handshake_step.hpp"
#include "base/result.hpp"
#include "master/admissions.hpp"
#include "master/admitted_backend.hpp"
#include "master/names.hpp"
#include "master/opening.hpp"
#include "master/proof.hpp"
#include "master/worker_protocol.hpp"
#include "transport/loop.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/auth/registration.hpp>
#include <remsh/master/slave.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// One connection, from its first byte to the collection. The handshake is stepped on the loop, and costs no thread;
/// the user's slave class and setup() run on a service thread.
///
///     [secure (service) →] handshake (loop) → consider (service) → welcome (loop) → set_up (service) → done
class Admission final : public Watched, public std::enable_shared_from_this<Admission> {
 public:
  Admission(std::shared_ptr<Admissions> owner, std::unique_ptr<Transport> connection, const Entrance& entrance,
            Origin origin, Gate::Id place, Admissions::Done done);
  ~Admission() { let_go(); }

  [[nodiscard]] const Origin& origin() const noexcept { return origin_; }
  [[nodiscard]] Gate::Id place() const noexcept { return place_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  // On the loop.
  void begin();
  void abort(Failure failure);
  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  enum class State : std::uint8_t {
    waiting,      // for what TLS needs next
    securing,     // a service thread steps TLS; the loop sees no more than that the time is over
    handshake,    // bytes go to and from the handshake, within its time
    failing,      // it is told why not, and then let go
    considering,  // a service thread has it; the loop sees no more than that it goes
    admitted,     // the connection is the back end's
    over,         // let go
  };

  // On the loop.
  void secured(const Result<TlsTransport::Step>& step);
  void shake_hands();
  void read();
  void take(BytesView bytes);
  void begin_handshake(const ServedProtocol& protocol);
  void send_first();
  void act(WorkerHandshake::Step step);
  void registered();
  void fail(Bytes farewell, Failure failure);
  void write(const Bytes& bytes);
  void arm();
  void set_timer(Duration wait, void (Admission::*expired)());
  void too_late();
  void send_failure();
  void welcome();
  void refuse_now();
  void enrolled(const auth::KeyStore::Enrolled& enrolled);
  void let_go();

  // On a service thread.
  void secure();
  void consider();
  void enrol();
  [[nodiscard]] bool get_name();
  [[nodiscard]] bool give_place(const std::shared_ptr<Slave>& holder, NameRuling ruling);
  void set_up();
  [[nodiscard]] std::string add_to_collection();
  [[nodiscard]] bool displace_late();
  void refuse(auth::Refusal refusal, std::string reason, std::optional<std::chrono::milliseconds> retry = {});

  void finish(Result<std::shared_ptr<Slave>> result);

  const std::shared_ptr<Admissions> owner_;
  const std::string address_;
  const bool keyless_;
  const std::string required_name_;  // empty: any
  const std::function<void(const std::shared_ptr<Slave>&, Backend&)> on_made_;
  const Origin origin_;
  const Gate::Id place_;
  TlsTransport* tls_ = nullptr;  // within transport_, where there is TLS
  std::unique_ptr<Transport> transport_;
  Admissions::Done done_;
  Opening opening_;
  const ServedProtocol* protocol_ = nullptr;    // with the handshake
  std::unique_ptr<WorkerHandshake> handshake_;  // once the protocol is known
  State state_ = State::waiting;
  std::uint32_t slot_ = 0;
  bool has_slot_ = false;
  std::uint32_t number_ = 0;
  std::optional<Loop::TimerId> timer_;
  std::optional<Loop::TimerId> silence_;  // of the worker, before the master sends first
  Bytes unwritten_;
  std::atomic<bool> is_gone_ = false;  // for the service thread
  std::optional<Failure> gone_;        // it ended while it was being considered

  // What a failing or refused one is told at the end.
  struct Refused {
    auth::Refusal refusal;
    std::string reason;
    std::optional<std::chrono::milliseconds> retry;
  };
  Bytes farewell_;
  std::optional<Failure> verdict_;
  std::optional<Refused> refused_;
  std::optional<auth::Enrolment> enrolment_;
  bool has_enrolled_ = false;

  Registration registration_;
  std::string name_;
  Proof proof_ = Proof::none;
  Names::ClaimId claim_ = 0;  // 0: none
  std::shared_ptr<AdmittedBackend> backend_;
  std::shared_ptr<Slave> slave_;
};

}  // namespace remsh

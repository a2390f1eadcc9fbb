#include "master/remsh1_protocol.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "master/remsh1_backend.hpp"
#include "remsh1/greeting.hpp"
#include "remsh1/message.hpp"

#include <string>
#include <utility>

namespace remsh {

namespace {

/// An original slave ends if its stream ends inside a box. Otherwise it would spin for ever.
const Bytes half_a_key_length(1, '\0');

/// The handshake of an original slave: it sends its name in one box, and receives only that it is registered. It proves
/// nothing.
class Remsh1Handshake final : public WorkerHandshake {
 public:
  explicit Remsh1Handshake(std::shared_ptr<const WorkerHost> host) : host_(std::move(host)) {}

  Step feed(BytesView bytes) override {
    if (is_registered_) return close("the slave speaks out of its turn");
    switch (greeting_.feed(bytes)) {
      case remsh1::Greeting::Speaker::unknown: return {};
      case remsh1::Greeting::Speaker::original: return take(greeting_.registration());
      case remsh1::Greeting::Speaker::other: break;
    }
    return close("the slave does not speak remsh 1");
  }

  [[nodiscard]] Failure at_end() const override {
    return {Errc::connection_lost, "the slave closed the connection while it registered by remsh 1", 0};
  }
  [[nodiscard]] const Registration& registration() const noexcept override { return registration_; }
  [[nodiscard]] Proof proof() const noexcept override { return Proof::none; }
  [[nodiscard]] std::shared_ptr<AdmittedBackend> make_backend() override {
    return std::make_shared<Remsh1Backend>(host_->loop, host_->owner);
  }
  Bytes open() override { return encode(remsh1::registered_box()); }
  Bytes refuse(const EntryRefusal& /*refusal*/) override { return half_a_key_length; }
  Bytes reject() override { return half_a_key_length; }

 private:
  static Step close(const char* why) {
    return {.action = Step::Action::close, .failure = {Errc::protocol_error, why, 0}};
  }
  static Step fail(Errc code, std::string why) {
    return {.action = Step::Action::fail, .bytes = half_a_key_length, .failure = {code, std::move(why), 0}};
  }

  Step take(const remsh1::Register& its) {
    if (its.version != 1) {
      return fail(Errc::protocol_error,
                  formatted("it speaks version {} of the original's protocol; 1 is known", its.version));
    }
    if (!auth::is_slave_name(its.hostname)) {
      return fail(Errc::refused,
                  formatted("its host has the name {}, which no slave can have: [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}",
                            in_quotes(BytesView(its.hostname).substr(0, 256))));
    }
    registration_.name = its.hostname;
    registration_.hostname = its.hostname;
    is_registered_ = true;
    return {.action = Step::Action::registered};
  }

  const std::shared_ptr<const WorkerHost> host_;
  remsh1::Greeting greeting_;
  Registration registration_;
  bool is_registered_ = false;
};

class Remsh1Protocol final : public WorkerProtocol {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "remsh 1"; }
  [[nodiscard]] bool has_keys() const noexcept override { return false; }
  [[nodiscard]] bool does_one_operation_at_a_time() const noexcept override { return true; }
  [[nodiscard]] Recognition recognise(BytesView opening) const override {
    switch (remsh1::Greeting().feed(opening)) {
      case remsh1::Greeting::Speaker::unknown: return Recognition::need_more;
      case remsh1::Greeting::Speaker::original: return Recognition::yes;
      case remsh1::Greeting::Speaker::other: break;
    }
    return Recognition::no;
  }
  [[nodiscard]] BeginHandshake serve(WorkerHost host) const override {
    return [host = std::make_shared<const WorkerHost>(std::move(host))](const NewConnection&) {
      return std::make_unique<Remsh1Handshake>(host);
    };
  }
};

}  // namespace

std::shared_ptr<const WorkerProtocol> remsh1_protocol() { return std::make_shared<Remsh1Protocol>(); }

}  // namespace remsh

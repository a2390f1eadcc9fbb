#include "master/remsh2_protocol.hpp"

#include "connection/box_data.hpp"
#include "master/remsh2_backend.hpp"

#include <string>
#include <utility>
#include <vector>

namespace remsh {

namespace {

/// The first key of a hello, with its length. The keys of a hello are in ascending order.
constexpr BytesView hello_opening("\0\4_ask", 6);

auth::MasterHandshake::Options options_for(NewConnection connection, const std::vector<std::string>& features) {
  auth::MasterHandshake::Options options;
  options.nonce = auth::new_nonce();
  options.keyless_allowed = connection.keyless;
  options.keys = std::move(connection.keys);
  options.binding = std::move(connection.binding);
  options.psk_identity = std::move(connection.tls_identity);
  options.enrolment_allowed = connection.is_tls;
  options.features = features;
  return options;
}

class Remsh2Handshake final : public WorkerHandshake {
 public:
  Remsh2Handshake(NewConnection connection, const std::vector<std::string>& features,
                  std::shared_ptr<Remsh2Group> group)
      : handshake_(options_for(std::move(connection), features)), group_(std::move(group)) {}

  Step feed(BytesView bytes) override { return handshake_.feed(bytes); }
  [[nodiscard]] Failure at_end() const override { return handshake_.at_end(); }
  [[nodiscard]] const Registration& registration() const noexcept override { return handshake_.registration(); }
  [[nodiscard]] Proof proof() const noexcept override {
    return registration().key_id.empty() ? Proof::none : Proof::key;  // a key id was proven in the handshake
  }
  [[nodiscard]] std::map<std::string, std::string> labels() const override { return handshake_.labels(); }
  [[nodiscard]] std::optional<auth::Enrolment> enrol() const override {
    return handshake_.is_enrolment() ? std::optional(handshake_.enrol()) : std::nullopt;
  }
  [[nodiscard]] std::shared_ptr<AdmittedBackend> make_backend() override {
    auto backend = std::make_shared<Remsh2Backend>(group_);
    if (auth::has_feature(registration().features, compression_feature)) backend->use_compression();
    return backend;
  }
  Bytes open() override {
    const auto ours = std::chrono::duration_cast<std::chrono::milliseconds>(group_->options().session.keepalive);
    return handshake_.open(ours.count() > 0 ? ours : auth::max_keepalive);
  }
  Bytes refuse(const EntryRefusal& refusal) override {
    return handshake_.refuse(refusal.refusal, refusal.reason, refusal.retry);
  }
  Bytes reject() override { return handshake_.reject(); }

 private:
  auth::MasterHandshake handshake_;
  const std::shared_ptr<Remsh2Group> group_;
};

class Remsh2Protocol final : public WorkerProtocol {
 public:
  explicit Remsh2Protocol(const Remsh2Options& options) {
    if (!options.compression) return;
    require_compression("compress streams");
    features_.emplace_back(compression_feature);
  }

  [[nodiscard]] std::string_view name() const noexcept override { return "remsh 2"; }
  [[nodiscard]] bool has_keys() const noexcept override { return true; }
  [[nodiscard]] bool does_one_operation_at_a_time() const noexcept override { return false; }
  [[nodiscard]] Recognition recognise(BytesView opening) const override {
    if (opening.starts_with(hello_opening)) return Recognition::yes;
    return hello_opening.starts_with(opening) ? Recognition::need_more : Recognition::no;
  }
  [[nodiscard]] BeginHandshake serve(WorkerHost host) const override {
    Session::Options options;
    options.keepalive = host.keepalive;
    options.patience = host.keepalive_patience;
    auto group = std::make_shared<Remsh2Group>(std::move(host.loop), options, std::move(host.owner));
    return [group = std::move(group), features = features_](NewConnection connection) {
      return std::make_unique<Remsh2Handshake>(std::move(connection), features, group);
    };
  }

 private:
  std::vector<std::string> features_;  // those that this master uses if a slave offers them
};

}  // namespace

std::shared_ptr<const WorkerProtocol> remsh2_protocol(const Remsh2Options& options) {
  return std::make_shared<Remsh2Protocol>(options);
}

}  // namespace remsh

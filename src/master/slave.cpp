// Slave: the handle to one slave.
#include <remsh/master/slave.hpp>

#include "master/backend.hpp"
#include "master/builder_list.hpp"
#include "master/keepalive.hpp"
#include "master/operation_forms.hpp"

#include <utility>

namespace remsh {

namespace {

/// A callback of on_disconnect(). Its exceptions are dropped: there is no caller to receive them, and the other
/// callbacks must run.
class DisconnectCallback final : public LostCallback {
 public:
  DisconnectCallback(const Backend& backend, std::function<void(const Disconnect&)> callback)
      : backend_(backend), callback_(std::move(callback)) {}

  void note(Leftovers& /*leftovers*/) noexcept override {
    const std::optional<Failure> lost = backend_.lost();
    if (!lost) return;
    how_.reason = lost->reason;
    how_.words = lost->message;
  }

  void run() noexcept override {
    try {
      callback_(how_);
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
  }

 private:
  const Backend& backend_;  // valid in note(), but perhaps not in run()
  const std::function<void(const Disconnect&)> callback_;
  Disconnect how_;
};

}  // namespace

SlaveInit::SlaveInit(const SlaveInfo& info, std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {
  backend_->set_info(info);
}
SlaveInit::SlaveInit(SlaveInit&&) noexcept = default;
SlaveInit::~SlaveInit() = default;

const SlaveInfo& SlaveInit::info() const { return backend_->info(); }

Slave::Slave(SlaveInit init) : SlaveOperations(std::move(init.backend_)) {}

const SlaveInfo& Slave::info() const { return backend_->info(); }

std::optional<std::string> Slave::label(std::string_view key) const {
  const auto value = backend_->label(key);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

std::optional<std::string> Slave::claimed_label(std::string_view key) const {
  const auto value = backend_->claimed_label(key);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

std::string Slave::name() const { return std::string(backend_->name()); }

Slave::~Slave() {
  backend_->disconnect("the master has dropped its handle");
  delete builders_.load();
}

Bytes Slave::set_cwd(const CallOptions& options) { return run<operations::SetCwd>(*this, {}, options); }
Bytes Slave::set_cwd(const Bytes& path, const CallOptions& options) {
  return run<operations::SetCwd>(*this, {path}, options);
}
Pending<Bytes> Slave::start_set_cwd(CallOptions options) {
  return start_plain<operations::SetCwd>(*this, {}, std::move(options));
}
Pending<Bytes> Slave::start_set_cwd(Bytes path, CallOptions options) {
  return start_plain<operations::SetCwd>(*this, {std::move(path)}, std::move(options));
}

namespace {
operations::Shutdown::Request shutdown_request(const ShutdownOptions& options, bool restart) {
  const char* const usual = restart ? "restarted by the master" : "shut down by the master";
  return {options.within, options.reason.empty() ? usual : options.reason, restart};
}
}  // namespace

void Slave::shutdown(const ShutdownOptions& options) {
  run<operations::Shutdown>(*this, shutdown_request(options, false), options);
}
Pending<void> Slave::start_shutdown(ShutdownOptions options) {
  return start_plain<operations::Shutdown>(*this, shutdown_request(options, false), options);
}
void Slave::restart(const ShutdownOptions& options) {
  run<operations::Shutdown>(*this, shutdown_request(options, true), options);
}
Pending<void> Slave::start_restart(ShutdownOptions options) {
  return start_plain<operations::Shutdown>(*this, shutdown_request(options, true), options);
}

void Slave::set_keepalive(std::chrono::milliseconds interval, std::chrono::milliseconds patience) {
  if (!backend_->set_keepalive(checked_keepalive(interval, patience, name()))) {
    throw Error(Errc::unsupported, name(), "set_keepalive", "its protocol has no keepalive");
  }
}

void Slave::disconnect(const std::string& words, DisconnectReason reason) { backend_->disconnect(words, reason); }

bool Slave::is_connected() const { return !backend_->lost().has_value(); }

bool Slave::is_draining() const { return backend_->is_draining(); }

std::string Slave::lost_reason() const {
  const std::optional<Failure> lost = backend_->lost();
  return lost ? lost->message : std::string();
}

std::optional<DisconnectReason> Slave::disconnect_reason() const {
  const std::optional<Failure> lost = backend_->lost();
  return lost ? std::optional(lost->reason) : std::nullopt;
}

std::vector<OperationInProgress> Slave::operations_in_progress() const { return backend_->operations().list(); }

BuilderList& Slave::builder_list() {
  BuilderList* list = builders_;
  if (list != nullptr) return *list;
  auto made = std::make_unique<BuilderList>();
  return builders_.compare_exchange_strong(list, made.get()) ? *made.release() : *list;
}

std::vector<OperationInProgress> Slave::commands() const {
  auto all = operations_in_progress();
  std::erase_if(all, [](const OperationInProgress& one) { return one.operation != operations::Execute::what.method; });
  return all;
}

void Slave::on_disconnect(std::function<void(const Disconnect&)> callback) {
  if (!callback) return;
  auto told = std::make_unique<DisconnectCallback>(*backend_, std::move(callback));
  // A slave is seen as lost a moment before its callbacks are called. A callback that is added in between must run too.
  if (!is_connected()) {
    Leftovers leftovers;
    told->note(leftovers);
    return told->run();
  }
  backend_->on_lost(std::move(told));
}

}  // namespace remsh

// Slave: the handle to one slave: an operation of it is a SlaveWork, waited for at once or handed out.
#include <remsh/master/slave.hpp>

#include "master/backend.hpp"
#include "master/slave_work.hpp"

#include <tuple>
#include <utility>

namespace remsh {

namespace {

using namespace operations;

/// Work that was started, with all that it refers to.
template <class SomeWork, class... Args>
class Kept final : public PendingWork<typename SomeWork::Outcome> {
 public:
  Kept(Slave& slave, std::shared_ptr<Backend> backend, Args... args)
      : slave_(slave.weak_from_this().lock()),
        backend_(std::move(backend)),
        args_(std::move(args)...),
        work_(std::apply([this](const Args&... kept) { return SomeWork(*backend_, kept...); }, args_)) {
    work_.suspend();
  }

  void suspend() override {}  // it was
  bool poll(const Waker& wake) override { return work_.poll(wake); }
  bool wait_until(TimePoint until) override { return work_.wait_until(until); }
  void cancel() override { work_.cancel(); }
  typename SomeWork::Outcome take() override { return work_.take(); }

 private:
  const std::shared_ptr<Slave> slave_;  // its last handle ends the connection; null where it is no shared one
  const std::shared_ptr<Backend> backend_;
  const std::tuple<Args...> args_;
  SomeWork work_;
};

template <class SomeWork, class... Args>
Pending<typename SomeWork::Outcome> keep(Slave& slave, const std::shared_ptr<Backend>& backend, Args... args) {
  return Pending<typename SomeWork::Outcome>(
      std::make_unique<Kept<SomeWork, Args...>>(slave, backend, std::move(args)...));
}

// The two forms of an operation without streams.

template <class Operation, class Options>
OutcomeOf<Operation> run(Backend& backend, typename Operation::Request request, const Options& options) {
  return PlainWork<Operation>(backend, std::move(request), options).run();
}

template <class Operation, class Options>
Pending<OutcomeOf<Operation>> start(Slave& slave, const std::shared_ptr<Backend>& backend,
                                    typename Operation::Request request, Options options) {
  return keep<PlainWork<Operation>>(slave, backend, std::move(request), std::move(options));
}

/// A callback of on_disconnect(). There is nobody to whom an exception of it could be given, and the others must be
/// called all the same.
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
  const Backend& backend_;  // lives when the end is noted, and need not any more when this runs
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

Slave::Slave(SlaveInit init) : backend_(std::move(init.backend_)) {}

const SlaveInfo& Slave::info() const { return backend_->info(); }

std::optional<std::string> Slave::label(std::string_view key) const {
  const auto value = backend_->label(key);
  return value ? std::optional<std::string>(*value) : std::nullopt;
}

std::string Slave::name() const { return std::string(backend_->name()); }

Slave::~Slave() { backend_->disconnect("the master has dropped its handle"); }

Bytes Slave::set_cwd(const CallOptions& options) { return run<SetCwd>(*backend_, {}, options); }
Bytes Slave::set_cwd(const Bytes& path, const CallOptions& options) { return run<SetCwd>(*backend_, {path}, options); }
std::map<Bytes, Bytes> Slave::getenv(const CallOptions& options) { return run<Getenv>(*backend_, {}, options); }
std::map<Bytes, Bytes> Slave::read_info(const CallOptions& options) { return run<ReadInfo>(*backend_, {}, options); }
void Slave::mkdir(const Bytes& path, const CallOptions& options) { run<Mkdir>(*backend_, {path, {}}, options); }
void Slave::remove(const Bytes& path, const CallOptions& options) { run<Remove>(*backend_, {path}, options); }
void Slave::rename(const Bytes& from, const Bytes& to, const PathOptions& options) {
  run<Rename>(*backend_, {from, to, options.overwrite, options.durable}, options);
}
void Slave::copy(const Bytes& from, const Bytes& to, const PathOptions& options) {
  run<Copy>(*backend_, {from, to, options.overwrite, options.durable}, options);
}
std::optional<FileInfo> Slave::stat(const Bytes& path, const StatOptions& options) {
  return run<Stat>(*backend_, {path, !options.follow}, options);
}
std::vector<DirectoryEntry> Slave::list(const Bytes& path, const ListOptions& options) {
  return ListWork(*backend_, path, options).run();
}
ExecuteResult Slave::execute(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  return ExecuteWork(*backend_, args, options).run();
}
TransferResult Slave::send(const Source& source, const Bytes& to, const TransferOptions& options) {
  return SendWork(*backend_, source, to, options).run();
}
TransferResult Slave::fetch(const Bytes& from, const Sink& sink, const TransferOptions& options) {
  return FetchWork(*backend_, from, sink, options).run();
}
Box Slave::call(const std::string& operation, const Box& arguments, const CallOptions& options) {
  return CallWork(*backend_, operation, arguments, options).run();
}
std::chrono::nanoseconds Slave::ping(const CallOptions& options) { return PingWork(*backend_, options).run(); }

Pending<Bytes> Slave::start_set_cwd(CallOptions options) {
  return start<SetCwd>(*this, backend_, {}, std::move(options));
}
Pending<Bytes> Slave::start_set_cwd(Bytes path, CallOptions options) {
  return start<SetCwd>(*this, backend_, {std::move(path)}, std::move(options));
}
Pending<std::map<Bytes, Bytes>> Slave::start_getenv(CallOptions options) {
  return start<Getenv>(*this, backend_, {}, std::move(options));
}
Pending<std::map<Bytes, Bytes>> Slave::start_read_info(CallOptions options) {
  return start<ReadInfo>(*this, backend_, {}, std::move(options));
}
Pending<void> Slave::start_mkdir(Bytes path, CallOptions options) {
  return start<Mkdir>(*this, backend_, {std::move(path), {}}, std::move(options));
}
Pending<void> Slave::start_remove(Bytes path, CallOptions options) {
  return start<Remove>(*this, backend_, {std::move(path)}, std::move(options));
}
Pending<void> Slave::start_rename(Bytes from, Bytes to, PathOptions options) {
  return start<Rename>(*this, backend_, {std::move(from), std::move(to), options.overwrite, options.durable}, options);
}
Pending<void> Slave::start_copy(Bytes from, Bytes to, PathOptions options) {
  return start<Copy>(*this, backend_, {std::move(from), std::move(to), options.overwrite, options.durable}, options);
}
Pending<std::optional<FileInfo>> Slave::start_stat(Bytes path, StatOptions options) {
  return start<Stat>(*this, backend_, {std::move(path), !options.follow}, options);
}
Pending<std::vector<DirectoryEntry>> Slave::start_list(Bytes path, ListOptions options) {
  return keep<ListWork>(*this, backend_, std::move(path), std::move(options));
}
Pending<ExecuteResult> Slave::start_execute(std::vector<Bytes> args, ExecuteOptions options) {
  return keep<ExecuteWork>(*this, backend_, std::move(args), std::move(options));
}
Pending<TransferResult> Slave::start_send(Source source, Bytes to, TransferOptions options) {
  return keep<SendWork>(*this, backend_, std::move(source), std::move(to), std::move(options));
}
Pending<TransferResult> Slave::start_fetch(Bytes from, Sink sink, TransferOptions options) {
  return keep<FetchWork>(*this, backend_, std::move(from), std::move(sink), std::move(options));
}
Pending<Box> Slave::start_call(std::string operation, Box arguments, CallOptions options) {
  return keep<CallWork>(*this, backend_, std::move(operation), std::move(arguments), std::move(options));
}
Pending<std::chrono::nanoseconds> Slave::start_ping(CallOptions options) {
  return keep<PingWork>(*this, backend_, std::move(options));
}

void Slave::disconnect(const std::string& words, DisconnectReason reason) { backend_->disconnect(words, reason); }

bool Slave::is_connected() const { return !backend_->lost().has_value(); }

std::string Slave::lost_reason() const {
  const std::optional<Failure> lost = backend_->lost();
  return lost ? lost->message : std::string();
}

std::optional<DisconnectReason> Slave::disconnect_reason() const {
  const std::optional<Failure> lost = backend_->lost();
  return lost ? std::optional(lost->reason) : std::nullopt;
}

std::vector<OperationInProgress> Slave::operations_in_progress() const { return backend_->operations().list(); }

void Slave::on_disconnect(std::function<void(const Disconnect&)> callback) {
  if (!callback) return;
  auto told = std::make_unique<DisconnectCallback>(*backend_, std::move(callback));
  // Lost is seen a moment before the others are called back: who asks in between gets what it was promised too.
  if (!is_connected()) {
    Leftovers leftovers;
    told->note(leftovers);
    return told->run();
  }
  backend_->on_lost(std::move(told));
}

}  // namespace remsh

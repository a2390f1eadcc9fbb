#include <remsh/slave/slave_server.hpp>

#include "auth/handshake.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "os/random.hpp"
#include "rpc/peer.hpp"
#include "slave/back_off.hpp"
#include "slave/dispatcher.hpp"
#include "slave/execute.hpp"
#include "slave/filesystem.hpp"
#include "slave/remsh1_server.hpp"
#include "slave/transfer.hpp"
#include "slave/workplace.hpp"
#include "transport/endpoint.hpp"
#include "transport/loop.hpp"

#include <remsh/base/error.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/transport/descriptors.hpp>
#include <remsh/version.hpp>

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <stop_token>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using Reason = ServeResult::Reason;

/// From the connection to the master's welcome: docs/protocol.md section 4.
constexpr std::chrono::seconds handshake_limit{20};
constexpr std::chrono::seconds connect_limit{20};

TimePoint now() { return std::chrono::steady_clock::now(); }

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// Something that may be a slave's name, made of what may be none.
std::string name_from(std::string text) {
  const auto is_plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (char& c : text) {
    if (!is_plain(c) && c != '.' && c != '_' && c != '-') c = '-';
  }
  text.erase(text.begin(), std::find_if(text.begin(), text.end(), is_plain));
  text = text.substr(0, 64);
  return text.empty() ? "slave" : text;
}

std::string system_name() {
  utsname names{};
  if (::uname(&names) != 0) return "";
  std::string name = names.sysname;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

class UserOperation final : public OperationContext {
 public:
  UserOperation(const rpc::ServedCall& call, const Bytes& basedir) : call_(call), basedir_(basedir) {}
  [[nodiscard]] const Box& arguments() const override { return call_.arguments(); }
  [[nodiscard]] const Bytes& basedir() const override { return basedir_; }
  [[nodiscard]] bool cancelled() const override { return call_.cancelled(); }

 private:
  const rpc::ServedCall& call_;
  const Bytes& basedir_;
};

}  // namespace

struct SlaveServer::Impl {
  explicit Impl(SlaveOptions given) : options(std::move(given)) {}

  [[nodiscard]] std::shared_ptr<Workplace> open_workplace() const;
  ServeResult serve(std::unique_ptr<Transport> transport, const std::shared_ptr<Workplace>& workplace);
  ServeResult serve_remsh1(std::unique_ptr<Transport> transport, const std::shared_ptr<Workplace>& workplace);
  ServeResult connect_and_serve(const Address& address);
  Result<auth::SlaveHandshake::Step> shake_hands(Transport& transport, const Workplace& workplace);
  Result<void> write_all(Transport& transport, std::string_view bytes, TimePoint until) const;
  Dispatcher make_dispatcher(const std::shared_ptr<Workplace>& workplace, const std::shared_ptr<CommandSet>& commands);
  void log(LogLevel level, const std::string& peer, const std::string& message) const {
    if (options.log) options.log(LogRecord{level, "slave", without_controls(peer), without_controls(message)});
  }
  static ServeResult over(Reason reason, std::string message, bool registered = false) {
    return {reason, std::move(message), registered, {}};
  }
  [[nodiscard]] bool is_stopped() const { return stop.stop_requested(); }

  const SlaveOptions options;
  std::map<std::string, Operation, std::less<>> operations;
  std::stop_source stop;

  std::mutex mutex;
  std::condition_variable changed;
  unsigned serving = 0;
};

Result<void> SlaveServer::Impl::write_all(Transport& transport, std::string_view bytes, TimePoint until) const {
  while (!bytes.empty()) {
    const IoResult result = transport.write_some({&bytes, 1});
    if (result.status == IoResult::Status::ok) {
      bytes.remove_prefix(result.bytes);
    } else if (result.status == IoResult::Status::failed) {
      return Failure{Errc::connection_lost, std::generic_category().message(result.error), result.error};
    } else if (now() >= until || is_stopped()) {
      return Failure{Errc::timeout, "the master does not read", 0};
    } else {
      transport.wait(Ready::write, Transport::slice);
    }
  }
  return {};
}

/// The handshake, on this thread.
Result<auth::SlaveHandshake::Step> SlaveServer::Impl::shake_hands(Transport& transport, const Workplace& workplace) {
  using Action = auth::SlaveHandshake::Step::Action;
  auth::SlaveHandshake::Options handshake_options;
  Registration& registration = handshake_options.registration;
  const std::string host = host_name();
  registration.name = options.name.empty() ? name_from(host) : options.name;
  registration.hostname = host;
  registration.system = system_name();
  registration.software = options.software.empty() ? std::string("remsh ") + version : options.software;
  registration.basedir = workplace.base().path();
  handshake_options.nonce.resize(auth::nonce_size);
  random_bytes(handshake_options.nonce);
  auth::SlaveHandshake handshake(std::move(handshake_options));
  const TimePoint until = now() + handshake_limit;
  Bytes bytes = handshake.start();
  for (;;) {
    if (auto written = write_all(transport, bytes, until); !written) return std::move(written).failure();
    bytes.clear();
    std::array<char, 4096> buffer{};
    const IoResult result = transport.read_some(buffer, Transport::slice);
    switch (result.status) {
      case IoResult::Status::ok: break;
      case IoResult::Status::would_block:
        if (is_stopped()) return Failure{Errc::cancelled, "stopped", 0};
        if (now() < until) continue;
        return Failure{Errc::timeout,
                       "no welcome from the master within " + std::to_string(handshake_limit.count()) + " s", 0};
      case IoResult::Status::end: return handshake.at_end();
      case IoResult::Status::failed:
        return Failure{Errc::connection_lost, std::generic_category().message(result.error), result.error};
    }
    auto step = handshake.feed(BytesView(buffer.data(), result.bytes));
    if (step.action == Action::send) {
      bytes = std::move(step.bytes);
    } else if (step.action != Action::read) {
      return step;
    }
  }
}

Dispatcher SlaveServer::Impl::make_dispatcher(const std::shared_ptr<Workplace>& workplace,
                                              const std::shared_ptr<CommandSet>& commands) {
  Dispatcher dispatcher;
  add_filesystem(dispatcher, workplace);
  add_transfer(dispatcher, workplace);
  add_execute(dispatcher, workplace, commands);
  for (const auto& [name, operation] : operations) {
    dispatcher.add(name, [&run = operation, workplace](const std::shared_ptr<rpc::ServedCall>& call) {
      UserOperation context(*call, workplace->base().path());
      call->answer(run(context));
    });
  }
  return dispatcher;
}

std::shared_ptr<Workplace> SlaveServer::Impl::open_workplace() const {
  const std::string basedir = options.basedir.empty() ? "." : options.basedir;
  auto workplace = Workplace::open(basedir);
  if (!workplace) throw_failure(workplace.failure(), "", "open the base directory '" + escaped(basedir) + "'");
  return std::move(*workplace);
}

ServeResult SlaveServer::Impl::serve(std::unique_ptr<Transport> transport,
                                     const std::shared_ptr<Workplace>& workplace) {
  using Action = auth::SlaveHandshake::Step::Action;
  transport = traced(std::move(transport), options.trace);
  const std::string master = transport->description();
  if (options.protocol == 1) return serve_remsh1(std::move(transport), workplace);
  auto step = shake_hands(*transport, *workplace);
  if (!step) {
    const Failure& failure = step.failure();
    if (is_stopped()) return over(Reason::stopped, "stopped");
    return over(failure.code == Errc::protocol_error ? Reason::protocol : Reason::lost, failure.message);
  }
  if (step->action == Action::refused) {
    ServeResult result = over(Reason::refused, step->failure.message);
    result.retry = step->retry.value_or(std::chrono::milliseconds(0));
    return result;
  }
  if (step->action == Action::failed) {
    const bool is_breach = step->failure.code == Errc::protocol_error;
    return over(is_breach ? Reason::protocol : Reason::refused, step->failure.message);
  }
  log(LogLevel::info, master, "registered");

  const std::shared_ptr<Loop> loop = Loop::start();
  const auto commands = std::make_shared<CommandSet>(loop);
  const Dispatcher dispatcher = make_dispatcher(workplace, commands);
  rpc::Peer::Options peer_options;
  peer_options.engine.serves = true;
  peer_options.engine.keepalive = step->keepalive;
  peer_options.engine.patience = options.keepalive_patience;
  peer_options.threads = std::max(1U, options.threads);
  peer_options.serve = [&dispatcher](const std::shared_ptr<rpc::ServedCall>& call) { dispatcher.dispatch(call); };
  peer_options.on_end = [this](rpc::Peer&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const auto connected = rpc::Peer::start(std::move(transport), loop, std::move(peer_options), step->bytes);
  {
    // Its end is told on the loop, which goes before this function returns.
    const std::stop_callback stopping(stop.get_token(), [&connected] { connected->close("the slave stops"); });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&connected] { return connected->ended().has_value(); });
  }
  commands->stop();
  connected->wait_until_left();
  loop->stop();
  const auto goodbye = connected->said_goodbye();
  const Failure failure = *connected->ended();
  if (is_stopped()) return over(Reason::stopped, "stopped", true);
  if (goodbye) {
    ServeResult result = over(Reason::ended, without_controls(goodbye->reason), true);
    result.retry = std::chrono::milliseconds(std::min<std::uint64_t>(goodbye->retry.value_or(0), 3'600'000));
    return result;
  }
  if (failure.code == Errc::protocol_error) return over(Reason::protocol, failure.message, true);
  return over(Reason::lost, failure.message, true);
}

ServeResult SlaveServer::Impl::serve_remsh1(std::unique_ptr<Transport> transport,
                                            const std::shared_ptr<Workplace>& workplace) {
  const std::string master = transport->description();
  const std::shared_ptr<Loop> loop = Loop::start();
  const auto commands = std::make_shared<CommandSet>(loop);
  const Dispatcher dispatcher = make_dispatcher(workplace, commands);
  Remsh1Server::Options server_options;
  server_options.loop = loop;
  server_options.workplace = workplace;
  server_options.hostname = options.name.empty() ? host_name() : options.name;
  server_options.serve = [&dispatcher](const std::shared_ptr<rpc::ServedCall>& call) { dispatcher.dispatch(call); };
  server_options.on_registered = [this, &master] { log(LogLevel::info, master, "registered, by remsh 1"); };
  const auto server = std::make_shared<Remsh1Server>(std::move(transport), std::move(server_options));
  ServeResult result;
  {
    const std::stop_callback stopping(stop.get_token(), [&server] { server->close(); });
    result = server->run();
  }
  commands->stop();
  loop->stop();
  return is_stopped() ? over(Reason::stopped, "stopped", result.registered) : result;
}

ServeResult SlaveServer::Impl::connect_and_serve(const Address& address) {
  auto workplace = open_workplace();  // where there is none, nobody need be bothered
  log(LogLevel::debug, to_string(address), "connecting");
  auto socket = connect_to(address, Deadline(connect_limit), stop.get_token());
  if (!socket) {
    if (is_stopped()) return over(Reason::stopped, "stopped");
    return over(Reason::unreachable, socket.failure().message);
  }
  if (!is_to_this_host(socket->get())) {
    throw Error(
        Errc::invalid_argument, "", "connect to '" + to_string(address) + "'",
        "this slave has no key, so it serves masters on the loopback alone: reach others through an ssh tunnel");
  }
  if (options.protocol == 1) set_tcp_options(socket->get(), true, {});  // it has no ping of its own
  return serve(socket_transport(socket->release(), to_string(address)), workplace);
}

SlaveServer::SlaveServer(SlaveOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  if (!impl_->options.name.empty() && !auth::is_slave_name(impl_->options.name)) {
    throw Error(Errc::invalid_argument, "", "make a slave",
                "the name '" + escaped(impl_->options.name) +
                    "' is not 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit");
  }
  if (impl_->options.protocol != 1 && impl_->options.protocol != 2) {
    throw Error(Errc::invalid_argument, "", "make a slave", "the protocol is neither 1 nor 2");
  }
}

SlaveServer::~SlaveServer() {
  stop();
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [this] { return impl_->serving == 0; });
}

void SlaveServer::add_operation(std::string name, Operation operation) {
  static constexpr std::array ours{"set_cwd", "getenv",  "info",    "mkdir", "remove", "rename", "copy",
                                   "stat",    "execute", "send",    "fetch", "ping",   "data",   "end",
                                   "credit",  "cancel",  "goodbye", "hello", "prove"};
  const bool is_name = !name.empty() && name.size() <= 64 && name.front() != '_' && name.front() != '-' &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
                       });
  if (!is_name || std::find(ours.begin(), ours.end(), name) != ours.end()) {
    throw Error(Errc::invalid_argument, "", "add operation '" + escaped(name) + "'",
                is_name ? "the name is one of the library's own"
                        : "a name is 1 to 64 of a-z 0-9 _ - and begins with a letter or digit");
  }
  if (!operation) throw Error(Errc::invalid_argument, "", "add operation '" + name + "'", "the function is empty");
  if (!impl_->operations.emplace(name, std::move(operation)).second) {
    throw Error(Errc::in_use, "", "add operation '" + name + "'", "there is one of this name");
  }
}

namespace {
/// Counts who serves, so that the destructor can wait.
class Serving {
 public:
  Serving(std::mutex& mutex, std::condition_variable& changed, unsigned& count)
      : mutex_(mutex), changed_(changed), count_(count) {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  ~Serving() {
    const std::lock_guard lock(mutex_);
    --count_;
    changed_.notify_all();
  }

 private:
  std::mutex& mutex_;
  std::condition_variable& changed_;
  unsigned& count_;
};
}  // namespace

ServeResult SlaveServer::serve(std::unique_ptr<Transport> transport) {
  const Serving serving(impl_->mutex, impl_->changed, impl_->serving);
  return impl_->serve(std::move(transport), impl_->open_workplace());
}

ServeResult SlaveServer::run_once(const std::string& address) {
  const Serving serving(impl_->mutex, impl_->changed, impl_->serving);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", "connect to '" + escaped(address) + "'");
  return impl_->connect_and_serve(*parsed);
}

ServeResult SlaveServer::run(const std::string& address) {
  const Serving serving(impl_->mutex, impl_->changed, impl_->serving);
  const auto parsed = parse_address(address);
  if (!parsed) throw_failure(parsed.failure(), "", "connect to '" + escaped(address) + "'");
  std::mt19937_64 random(std::random_device{}());
  BackOff back_off(impl_->options.back_off_min, impl_->options.back_off_max);
  for (bool is_first = true;; is_first = false) {
    ServeResult result;
    try {
      result = impl_->connect_and_serve(*parsed);
    } catch (const std::exception& error) {
      if (is_first) throw;  // it cannot work here at all; later it may be a lack that passes
      result = Impl::over(Reason::lost, error.what());
    }
    if (impl_->is_stopped()) return result;
    if (result.registered) back_off.reset();
    const BackOff::Pause pause = back_off.next(result.retry, random());
    impl_->log(LogLevel::warning, address,
               result.message + "; connecting again in " + std::to_string(pause.count()) + " ms");
    const std::stop_callback wake(impl_->stop.get_token(), [this] {
      const std::lock_guard inner(impl_->mutex);
      impl_->changed.notify_all();
    });
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, pause, [this] { return impl_->is_stopped(); });
    if (impl_->is_stopped()) return Impl::over(Reason::stopped, "stopped");
  }
}

void SlaveServer::stop() { impl_->stop.request_stop(); }

}  // namespace remsh

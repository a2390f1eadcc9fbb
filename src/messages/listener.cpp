#include <remsh/messages/listener.hpp>

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "messages/connection_impl.hpp"
#include "messages/message_address.hpp"
#include "messages/reception.hpp"
#include "messages/started_work.hpp"
#include "os/private_directory.hpp"
#include "transport/acceptor.hpp"
#include "transport/endpoint.hpp"
#include "transport/look_up.hpp"
#include "transport/network.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

namespace remsh {

using namespace std::chrono_literals;
using messages::Reception;

namespace {

constexpr const char* accepting = "accept a connection";
constexpr const char* for_client = "for a client";

[[noreturn]] void fail(const Failure& failure, const std::string& address) {
  throw_failure(failure, "", address.empty() ? "listen" : "listen on " + in_quotes(address));
}

/// Absolute, so that the file is found again if the host program changes its directory.
std::string absolute_path(const std::string& path) {
  std::error_code error;
  auto whole = std::filesystem::absolute(path.starts_with("./") ? path.substr(2) : path, error).string();
  return error ? path : whole;
}

/// The IPv4 address of a name, which Python's clients try alone; if it has none, any.
Result<UniqueFd> listen_on_host(const Address& address, int backlog) {
  if (!parse_ip_address(address.host)) {
    auto four = listen_tcp(address.host, address.port, backlog, AF_INET);
    if (four || four.failure().os != EADDRNOTAVAIL) return four;
  }
  return listen_tcp(address.host, address.port, backlog);
}

}  // namespace

struct Listener::Impl {
  Impl(std::string text, MessageListenerOptions options);

  /// Closes the socket, and lets nobody wait any longer.
  void close();

  std::shared_ptr<Loop> loop = messages::io_thread();  // outlives what follows
  PrivateDirectory directory;
  std::string address;
  std::shared_ptr<Reception> reception;

  std::mutex mutex;
  SocketFile file;
  std::unique_ptr<Acceptor> acceptor;  // null: closed
  std::optional<std::string> last_accepted;

  MessageConnection connection_of(Reception::Arrival arrival) {
    {
      const std::lock_guard lock(mutex);
      last_accepted = std::move(arrival.address);
    }
    return MessageConnection(std::make_shared<MessageConnection::Impl>(std::move(arrival.stream), loop));
  }
};

Listener::Impl::Impl(std::string text, MessageListenerOptions options) {
  const std::string given = text;
  if (text.empty() && options.family == AddressFamily::inet) text = "127.0.0.1:0";
  if (text.empty()) {
    if (auto made = directory.make(); !made) fail(made.failure(), given);
    text = directory.path() + "/listener";
  }
  auto wanted = messages::address_of(text, options.family, AddressUse::listen);
  if (!wanted) throw_failure(wanted.failure(), "", "listen");
  messages::ReceptionRules rules{
      .terms = {options.authkey, options.require_sha256, options.authenticate, options.insecure},
      .is_unix = wanted->kind == Address::Kind::unix_socket,
      .handshake_timeout =
          std::clamp<std::chrono::milliseconds>(options.handshake_timeout, 10ms, std::chrono::hours(24)),
      .log = std::move(options.log)};
  if (auto good = rules.terms.check(*wanted); !good) fail(good.failure(), given);
  auto gate = gate_options(options.max_handshakes, options.strangers);
  if (!gate) fail(gate.failure(), given);
  rules.gate = *std::move(gate);

  UniqueFd socket;
  if (rules.is_unix) {
    const bool has_file = !is_abstract(wanted->path);
    if (has_file) wanted->path = absolute_path(wanted->path);
    const auto mode = static_cast<mode_t>(options.mode.value_or(0600));
    auto listening = listen_unix(wanted->path, options.backlog, mode);
    if (!listening) fail(listening.failure(), given);
    socket = std::move(listening->socket);
    file = listening->file;
    if (!has_file) rules.mode = mode;
    address = messages::text_of(*wanted);
  } else {
    if (options.mode) fail({Errc::invalid_argument, "`mode` is for the file of a unix socket", 0}, given);
    auto listening = listen_on_host(*wanted, options.backlog);
    if (!listening) fail(listening.failure(), given);
    socket = *std::move(listening);
    address = (wanted->kind == Address::Kind::tls ? "tls:" : "") + local_address(socket.get());
  }
  rules.is_local = listens_to_this_host(socket.get());
  if (auto good = rules.terms.check_reach(*wanted, rules.is_local); !good) fail(good.failure(), given);
  if (wanted->kind == Address::Kind::tls) {
    auto tls = rules.terms.tls_of_listener();
    if (!tls) fail(tls.failure(), given);
    rules.tls = *std::move(tls);
  }
  if (rules.terms.key) static_cast<void>(messages::new_nonce());  // throws here if the system has no random bytes
  reception = std::make_shared<Reception>(*loop, std::move(rules));
  acceptor = std::make_unique<Acceptor>(
      *loop, std::move(socket), [this](UniqueFd connection) { reception->arrive(std::move(connection)); },
      [this](int error) { reception->cannot_accept(error); });
  reception->set_valve([its_acceptor = acceptor.get()](bool lets_in) { its_acceptor->hold(!lets_in); });
}

void Listener::Impl::close() {
  std::unique_ptr<Acceptor> ended;
  {
    const std::lock_guard lock(mutex);
    ended = std::move(acceptor);
    if (!ended) return;
    if (!file.path.empty()) remove_socket_file(file);
    directory.remove();
  }
  reception->set_valve(nullptr);
  ended->stop();
  reception->close();
}

/// A started accept().
class Listener::AcceptWork final : public messages::StartedWork<MessageConnection> {
 public:
  AcceptWork(std::shared_ptr<Impl> impl, Patience patience)
      : StartedWork(std::move(patience)), impl_(std::move(impl)) {}

  ~AcceptWork() override {
    if (!is_over()) static_cast<void>(AcceptWork::leave());
  }

 protected:
  Result<bool> step(Duration wait) override {
    auto next = impl_->reception->take();
    if (!next && wait > Duration::zero()) {
      impl_->reception->wait(wait);
      next = impl_->reception->take();
    }
    if (!next) return false;
    if (!*next) return std::move(*next).failure();
    arrival_ = *std::move(*next);
    return true;
  }
  std::shared_ptr<Loop> io_loop() override { return impl_->loop; }
  void watch(Loop&, const std::shared_ptr<messages::Bell>& bell) override { impl_->reception->watch(bell); }
  bool leave() noexcept override {
    impl_->reception->unwatch(bell());
    return false;
  }
  MessageConnection outcome() override { return impl_->connection_of(std::move(arrival_)); }
  [[nodiscard]] const char* operation() const noexcept override { return accepting; }
  [[nodiscard]] const char* waits_for() const noexcept override { return for_client; }

 private:
  const std::shared_ptr<Impl> impl_;
  Reception::Arrival arrival_;
};

Listener::Listener(const std::string& address, MessageListenerOptions options)
    : impl_(std::make_shared<Impl>(address, std::move(options))) {}

Listener::~Listener() { close(); }

MessageConnection Listener::accept(const WaitOptions& options) { return start_accept(options).wait(); }

Pending<MessageConnection> Listener::start_accept(const WaitOptions& options) {
  return Pending<MessageConnection>(
      std::make_unique<AcceptWork>(impl_, Patience{options.deadline.begin(), options.stop}));
}

void Listener::close() { impl_->close(); }

std::string Listener::address() const { return impl_->address; }

std::optional<std::string> Listener::last_accepted() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->last_accepted;
}

}  // namespace remsh

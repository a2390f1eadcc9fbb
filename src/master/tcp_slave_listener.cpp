#include <remsh/master/tcp_slave_listener.hpp>

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/certificate_watch.hpp"
#include "master/listener_impl.hpp"
#include "master/worker_protocol.hpp"
#include "transport/acceptor.hpp"
#include "transport/address.hpp"
#include "transport/endpoint.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace remsh {

namespace {

/// Whether a numeric address is loopback. The address of a host name is not known here.
bool is_loopback(const std::string& host) {
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24U == 127;
  return host == "::1";
}

Address wanted_address(const TcpListenerOptions& options) {
  if (options.address.empty()) {
    return {.kind = options.keys ? Address::Kind::tls : Address::Kind::tcp,
            .host = options.host.value_or("127.0.0.1"),
            .port = options.port.value_or(0)};
  }
  if (options.host || options.port) {
    throw Error(Errc::invalid_argument, "", "listen on " + in_quotes(options.address),
                "`host` and `port` are set too: write both into `address`, or leave it empty");
  }
  auto address = parse_address(options.address, AddressUse::listen);
  if (address && address->kind == Address::Kind::unix_socket) {
    address =
        Failure{Errc::invalid_argument, "a unix socket needs a UnixSlaveListener, which make_listener() makes", 0};
  }
  if (!address) throw_failure(address.failure(), "", "listen on " + in_quotes(options.address));
  return *address;
}

/// Throws for a listener that no slave could use, or that any stranger could.
void check(const TcpListenerOptions& options, const Address& address) {
  const auto refuse = [&address](const std::string& why) {
    throw Error(Errc::invalid_argument, "", "listen on " + in_quotes(to_string(address)), why);
  };
  const bool is_plain = address.kind == Address::Kind::tcp;
  const bool is_local = is_loopback(address.host);
  for (const SlaveProtocol& protocol : options.protocols) {
    if (!options.keyless && !protocol.worker().has_keys()) {
      refuse(
          formatted("slaves that speak {} have no keys: with it in `protocols`, say `keyless` as well, on the loopback",
                    protocol.name()));
    }
    if (!is_plain && !options.certificate && protocol.worker().needs_certificate()) {
      refuse(formatted("slaves that speak {} need a certificate under TLS: give it `certificate` as well",
                       protocol.name()));
    }
  }
  if (!options.keys && !options.keyless) {
    refuse("no slave could come in: give it `keys`, or say `keyless`, on the loopback");
  }
  if (options.keyless && !is_local) {
    refuse("without keys everybody could connect: `keyless` is for the loopback alone (127.0.0.1 or ::1)");
  }
  if (!is_plain && !options.keys) refuse("TLS needs the `keys` of the slaves");
  if (is_plain && options.certificate) refuse("a certificate is for an address of TLS: tls:HOST:PORT");
  if (is_plain && !is_local && !options.insecure) {
    refuse(
        "plain TCP is for the loopback alone (127.0.0.1 or ::1): with `keys`, write tls:HOST:PORT, or say `insecure`");
  }
}

}  // namespace

struct TcpSlaveListener::Tcp {
  Address wanted;
  AdmissionTerms terms;
  std::shared_ptr<TlsServer> tls;  // the same as in the terms
  int backlog = 0;
  TcpOptions options;

  mutable std::mutex mutex;
  std::unique_ptr<Acceptor> acceptor;
  std::uint16_t port = 0;
};

TcpSlaveListener::TcpSlaveListener(TcpListenerOptions options)
    : SlaveListener(base_options(options)), tcp_(std::make_unique<Tcp>()) {
  tcp_->wanted = wanted_address(options);
  check(options, tcp_->wanted);
  tcp_->terms.keyless = options.keyless;
  if (tcp_->wanted.kind == Address::Kind::tls) {
    auto tls = TlsServer::create(KeyWatch::for_tls(auth::KeyStore::of(*options.keys)), options.certificate);
    if (!tls) throw_failure(tls.failure(), "", "listen on " + to_string(tcp_->wanted));
    tcp_->tls = std::move(*tls);
    tcp_->terms.tls = tcp_->tls;
    if (options.certificate) {
      const auto watch = std::make_shared<CertificateWatch>(tcp_->tls, *options.certificate);
      if (watch->has_files()) {
        impl().admissions->look_after([watch] { return watch->look(std::chrono::system_clock::now()); });
      }
    }
  }
  tcp_->backlog = options.backlog;
  tcp_->options = {options.tcp_keepalive, options.tcp_keepalive_idle, options.tcp_user_timeout};
}

TcpSlaveListener::~TcpSlaveListener() {
  stop();
  shut_down();
}

void TcpSlaveListener::start() {
  std::unique_lock lock(tcp_->mutex);
  if (tcp_->acceptor) {
    lock.unlock();
    throw Error(Errc::invalid_argument, "", "start()",
                formatted("it listens on {} already: stop() it first, or make another listener", address()));
  }
  auto socket = listen_tcp(tcp_->wanted.host, tcp_->wanted.port, tcp_->backlog);
  if (!socket) throw_failure(socket.failure(), "", "listen");
  tcp_->port = local_port(socket->get());
  const std::shared_ptr<Admissions>& admissions = impl().admissions;
  tcp_->acceptor = std::make_unique<Acceptor>(
      *admissions->loop(), std::move(*socket),
      [this](UniqueFd connection) {
        set_tcp_options(connection.get(), tcp_->options);
        std::string description = describe_peer(connection.get());
        impl().admissions->admit(socket_transport(connection.release(), std::move(description)), tcp_->terms);
      },
      [this](int error) { impl().admissions->cannot_accept(error); });
  lock.unlock();  // the log hook may call address()
  std::string text = "listens on " + address();
  if (tcp_->terms.keyless) text += ": slaves need no key, so every local user can register";
  admissions->log(LogLevel::info, "", text);
  if (tcp_->wanted.kind == Address::Kind::tcp && !is_loopback(tcp_->wanted.host)) {
    admissions->log(
        LogLevel::warning, "",
        address() +
            " is plain TCP, as `insecure` allows: an attacker between a slave and this master can take over the slave");
  }
}

void TcpSlaveListener::reload_certificate() {
  if (!tcp_->tls) return;
  auto reloaded = tcp_->tls->reload();
  if (!reloaded) throw_failure(reloaded.failure(), "", "reload the certificate");
}

void TcpSlaveListener::stop() {
  std::unique_ptr<Acceptor> acceptor;
  {
    const std::lock_guard lock(tcp_->mutex);
    acceptor = std::move(tcp_->acceptor);
  }
  if (acceptor) acceptor->stop();
}

std::string TcpSlaveListener::address() const {
  const std::lock_guard lock(tcp_->mutex);
  if (!tcp_->acceptor) return {};
  Address address = tcp_->wanted;
  address.port = tcp_->port;
  return to_string(address);
}

std::uint16_t TcpSlaveListener::port() const {
  const std::lock_guard lock(tcp_->mutex);
  return tcp_->acceptor ? tcp_->port : 0;
}

}  // namespace remsh

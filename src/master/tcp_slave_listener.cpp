#include <remsh/master/tcp_slave_listener.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "transport/acceptor.hpp"
#include "transport/endpoint.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <mutex>
#include <string>
#include <utility>

namespace remsh {

namespace {

/// Numbers only: what a name means is for others to say.
bool is_loopback(const std::string& host) {
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24U == 127;
  return host == "::1";
}

}  // namespace

struct TcpSlaveListener::Tcp {
  std::string host;
  std::uint16_t wanted_port = 0;
  int backlog = 0;
  bool tcp_keepalive = true;
  std::chrono::milliseconds user_timeout{0};

  mutable std::mutex mutex;
  std::unique_ptr<Acceptor> acceptor;
  std::uint16_t port = 0;
};

TcpSlaveListener::TcpSlaveListener(TcpListenerOptions options)
    : SlaveListener(base_options(options)), tcp_(std::make_unique<Tcp>()) {
  if (!is_loopback(options.host)) {
    throw Error(Errc::invalid_argument, "", "listen on '" + escaped(options.host) + "'",
                "slaves have no keys yet, so TCP is for the loopback alone (127.0.0.1 or ::1): let slaves of other "
                "hosts come through an ssh tunnel");
  }
  tcp_->host = options.host;
  tcp_->wanted_port = options.port;
  tcp_->backlog = options.backlog;
  tcp_->tcp_keepalive = options.tcp_keepalive;
  tcp_->user_timeout = options.tcp_user_timeout;
}

TcpSlaveListener::~TcpSlaveListener() {
  stop();
  shut_down();
}

void TcpSlaveListener::start() {
  std::unique_lock lock(tcp_->mutex);
  if (tcp_->acceptor) return;
  auto socket = listen_tcp(tcp_->host, tcp_->wanted_port, tcp_->backlog);
  if (!socket) throw_failure(socket.failure(), "", "listen");
  tcp_->port = local_port(socket->get());
  const std::shared_ptr<Admissions>& admissions = impl().admissions;
  tcp_->acceptor = std::make_unique<Acceptor>(
      *admissions->loop(), std::move(*socket),
      [this](UniqueFd connection) {
        set_tcp_options(connection.get(), tcp_->tcp_keepalive, tcp_->user_timeout);
        std::string description = describe_peer(connection.get());
        admit(socket_transport(connection.release(), std::move(description)));
      },
      [this](int error) { impl().admissions->cannot_accept(error); });
  lock.unlock();  // the hook may ask for our address
  admissions->log(
      LogLevel::info, "",
      "listens on " + address() + ", on the loopback only: slaves have no keys, so every local user can register");
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
  const bool is_ipv6 = tcp_->host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + tcp_->host + "]" : tcp_->host) + ":" + std::to_string(tcp_->port);
}

std::uint16_t TcpSlaveListener::port() const {
  const std::lock_guard lock(tcp_->mutex);
  return tcp_->acceptor ? tcp_->port : 0;
}

}  // namespace remsh

// FakeMaster: a port where the listener is not a master.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>
#include <utility>

namespace remsh::test {

/// A port of the loopback that reads a little of each connection, answers with the same bytes, and closes it. One
/// thread at a time.
class FakeMaster {
 public:
  explicit FakeMaster(std::string answer) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(socket_, 16);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer)] {
      for (;;) {
        const int connection = ::accept(socket_, nullptr, nullptr);
        if (connection < 0) return;
        char buffer[1024];
        static_cast<void>(::read(connection, buffer, sizeof buffer));
        static_cast<void>(::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL));
        ::close(connection);
      }
    });
  }
  FakeMaster(const FakeMaster&) = delete;
  FakeMaster& operator=(const FakeMaster&) = delete;
  ~FakeMaster() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace remsh::test

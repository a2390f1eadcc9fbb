#include <remsh/master/unix_slave_listener.hpp>

#include "base/format.hpp"
#include "base/os_words.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "transport/acceptor.hpp"
#include "transport/endpoint.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

namespace remsh {

struct UnixSlaveListener::Unix {
  std::string path;
  int backlog = 0;

  mutable std::mutex mutex;
  std::unique_ptr<Acceptor> acceptor;
  SocketFile file;
};

namespace {

/// Absolute, so that it stays valid if the host program changes its directory.
std::string absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const auto result = std::filesystem::absolute(path, error);
  if (!error) return result.string();
  const int number = error.value();
  throw_failure({Errc::local_os_error, "the directory of this program: " + os_words(number), number}, "",
                formatted("listen on 'unix:{}'", escaped(path)));
}

}  // namespace

UnixSlaveListener::UnixSlaveListener(UnixListenerOptions options)
    : SlaveListener(base_options(options)), unix_(std::make_unique<Unix>()) {
  unix_->path = absolute(options.path);
  unix_->backlog = options.backlog;
}

UnixSlaveListener::~UnixSlaveListener() {
  stop();
  shut_down();
}

void UnixSlaveListener::start() {
  std::unique_lock lock(unix_->mutex);
  if (unix_->acceptor) {
    throw Error(
        Errc::invalid_argument, "", "start()",
        formatted("it listens on unix:{} already: stop() it first, or make another listener", escaped(unix_->path)));
  }
  auto listening = listen_unix(unix_->path, unix_->backlog);
  if (!listening) throw_failure(listening.failure(), "", "listen");
  unix_->file = listening->file;
  const std::shared_ptr<Admissions>& admissions = impl().admissions;
  unix_->acceptor = std::make_unique<Acceptor>(
      *admissions->loop(), std::move(listening->socket),
      [this](UniqueFd connection) {
        const auto peer = peer_of_unix(connection.get());
        if (!peer.ok() || (peer->user != ::geteuid() && peer->user != 0)) {
          const std::string who = peer.ok() ? formatted("user {}", peer->user) : "an unknown user";
          impl().admissions->log(LogLevel::warning, "unix:" + unix_->path,
                                 formatted("not let in: {} is not ours", who));
          return;
        }
        std::string description = describe_peer(connection.get());
        impl().admissions->admit(socket_transport(connection.release(), std::move(description)),
                                 {.keyless = true, .user = peer->user});
      },
      [this](int error) { impl().admissions->cannot_accept(error); });
  lock.unlock();  // the log hook may call address()
  admissions->log(LogLevel::info, "", "listens on unix:" + escaped(unix_->path));
}

void UnixSlaveListener::stop() {
  std::unique_ptr<Acceptor> acceptor;
  {
    const std::lock_guard lock(unix_->mutex);
    if (!unix_->acceptor) return;
    acceptor = std::move(unix_->acceptor);
    remove_socket_file(unix_->file);
  }
  acceptor->stop();
}

std::string UnixSlaveListener::address() const {
  const std::lock_guard lock(unix_->mutex);
  return unix_->acceptor ? "unix:" + unix_->path : std::string();
}

}  // namespace remsh

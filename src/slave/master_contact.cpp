#include "slave/master_contact.hpp"

#include "auth/derive.hpp"
#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "connection/box_data.hpp"
#include "os/random.hpp"
#include "os/unique_fd.hpp"
#include "transport/connect.hpp"
#include "transport/endpoint.hpp"
#include "transport/fd_transport.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/version.hpp>

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using Kind = Address::Kind;

bool has_passed(Deadline deadline) { return deadline.has_passed(real_clock().now()); }

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// Makes a text, such as a host name, into a valid slave name.
std::string name_from(std::string text) {
  const auto is_plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (char& c : text) {
    if (!is_plain(c) && c != '.' && c != '_' && c != '-') c = '-';
  }
  text.erase(text.begin(), std::find_if(text.begin(), text.end(), is_plain));
  text = text.substr(0, 64);
  return text.empty() ? "slave" : text;
}

std::string name_of(const SlaveOptions& options) {
  return options.name.empty() ? name_from(host_name()) : options.name;
}

std::string system_name() {
  utsname names{};
  if (::uname(&names) != 0) return "";
  std::string name = names.sysname;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

/// The system's id of this boot; empty if it has none.
std::string boot_id() {
  const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> text{};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
  std::string id(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return id.substr(0, id.find('\n'));
}

/// The id of this process: the same for all its connections.
const std::string& instance_id() {
  static const std::string id = random_hex(16);
  return id;
}

Failure wrong(std::string why) { return {Errc::invalid_argument, std::move(why), 0}; }

/// Checks what can be checked of the options before connecting.
Result<void> check_options(const Address& address, const SlaveOptions& options) {
  const bool has_ca = !options.tls.ca.empty();
  if (options.protocol == 1 && (options.key || has_ca || address.kind == Kind::tls)) {
    return wrong("masters of remsh 1 know neither keys nor TLS");
  }
  if (options.key && options.keyless) return wrong("a slave that has a key is not keyless: say one of the two");
  if (options.insecure && !options.key) return wrong("'insecure' is for slaves that have a key (--key FILE)");
  if (!has_ca && !options.tls.server_name.empty()) {
    return wrong("a server's name says nothing without a CA that vouches for it (--ca FILE)");
  }
  if (has_ca && address.kind != Kind::tls) return wrong("a CA is for an address of TLS: tls:HOST:PORT");
  if (options.key) return {};
  if (address.kind == Kind::tls) return wrong("over TLS a slave needs its key (--key FILE)");
  if (address.kind == Kind::tcp && !options.keyless && options.protocol != 1) {
    return wrong(
        "over TCP anybody could be the master of a slave without a key: give it one (--key FILE), or say that it needs "
        "none on the loopback, where all users of this host are trusted (--keyless)");
  }
  return {};
}

/// Checks what can be checked of the listener before anything is sent.
Result<void> check_listener(int socket, const Address& address, const SlaveOptions& options) {
  if (address.kind == Kind::unix_socket) {
    if (options.key) return {};
    const auto peer = peer_of_unix(socket);
    if (!peer) return peer.failure();
    if (peer->user == ::geteuid() || peer->user == 0) return {};
    return Failure{Errc::auth_failed,
                   formatted("{}: user {} listens there, whom only a key proves to be our master (--key FILE)",
                             to_string(address), peer->user),
                   0};
  }
  if (is_to_this_host(socket) || options.insecure) return {};
  if (options.key) {
    return wrong(
        "beyond the loopback plain TCP protects nothing of what is done, whatever was proven before: use tls:HOST:PORT,"
        " or say that it may be so (--insecure)");
  }
  return wrong("this slave has no key, so it serves masters on the loopback alone: give it one (--key FILE)");
}

Result<std::shared_ptr<const TlsContext>> tls_context(const Address& address, const SlaveOptions& options) {
  if (options.tls.ca.empty()) {
    return TlsContext::client(name_of(options) + ':' + auth::kid(*options.key), auth::derive(*options.key, "tls"));
  }
  TlsTrust trust = options.tls;
  if (trust.server_name.empty()) trust.server_name = address.host;
  auto context = TlsContext::client(trust);
  // A CA file that is missing or bad is an error in the options.
  if (!context) return Failure{Errc::invalid_argument, context.failure().message, context.failure().os};
  return context;
}

Failure lost_in_handshake(int error) {
  return {Errc::connection_lost,
          "the connection to the master was lost before it had let this slave in: " +
              std::generic_category().message(error),
          error};
}

Result<void> write_all(Transport& transport, std::string_view bytes, Deadline deadline, const std::stop_token& stop) {
  while (!bytes.empty()) {
    const IoResult result = transport.write_some({&bytes, 1});
    if (result.status == IoResult::Status::ok) {
      bytes.remove_prefix(result.bytes);
    } else if (result.status == IoResult::Status::failed) {
      return lost_in_handshake(result.error);
    } else if (has_passed(deadline) || stop.stop_requested()) {
      return Failure{Errc::timeout, "the master did not read what the slave sends to register", 0};
    } else {
      transport.wait(Ready::write, Transport::slice);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Transport>> reach_master(const Address& address, const SlaveOptions& options, Deadline deadline,
                                                const std::stop_token& stop) {
  if (auto checked = check_options(address, options); !checked) return std::move(checked).failure();
  if (address.kind == Kind::tls) {
    auto context = tls_context(address, options);
    if (!context) return std::move(context).failure();
    auto connected = connect_tls(address, std::move(*context), deadline, stop);
    if (!connected) {
      Failure failure = std::move(connected).failure();
      if (failure.code == Errc::auth_failed && options.tls.ca.empty()) {
        failure.message += formatted("; ours is the key {} of {}", auth::kid(*options.key), name_of(options));
      }
      return failure;
    }
    return std::unique_ptr<Transport>(std::move(*connected));
  }
  auto socket = connect_to(address, deadline, stop);
  if (!socket) return std::move(socket).failure();
  if (auto checked = check_listener(socket->get(), address, options); !checked) return std::move(checked).failure();
  if (!is_to_this_host(socket->get()) && options.log) {
    options.log(LogRecord{LogLevel::warning, "slave", to_string(address),
                          "plain TCP beyond this host, as 'insecure' allows: who is on the way can read all, and take "
                          "the master's place"});
  }
  if (options.protocol == 1) set_tcp_options(socket->get(), {});  // remsh 1 has no ping of its own
  return std::unique_ptr<Transport>(std::make_unique<SocketTransport>(std::move(*socket), to_string(address), false));
}

Registration registration_of(const SlaveOptions& options, Bytes basedir) {
  Registration registration;
  registration.name = name_of(options);
  registration.hostname = host_name();
  registration.system = system_name();
  registration.software = options.software.empty() ? formatted("remsh {}", version) : options.software;
  registration.basedir = std::move(basedir);
  registration.boot_id = boot_id();
  registration.instance_id = instance_id();
  if (options.compression) registration.features.emplace_back(compression_feature);
  registration.labels = auth::claimed_labels_text(options.labels);
  registration.resources = auth::resources_text(options.slots, options.resources);
  return registration;
}

Result<auth::SlaveHandshake::Step> shake_hands(Transport& transport, auth::SlaveHandshake::Options options,
                                               Deadline deadline, const std::stop_token& stop) {
  using Action = auth::SlaveHandshake::Step::Action;
  options.nonce = auth::new_nonce();
  options.binding = transport.channel_binding();
  if (!options.binding.empty() && options.binding.size() != auth::binding_size) {
    // Only a transport of the user's own can return such a binding.
    return wrong(formatted("the channel binding of {} is not 32 bytes", transport.description()));
  }
  const bool is_over_tls = !options.binding.empty();
  auth::SlaveHandshake handshake(std::move(options));
  Bytes bytes = handshake.start();
  bool is_answered = false;
  for (;;) {
    // Checked even if bytes keep coming, slowly.
    if (stop.stop_requested()) return Failure{Errc::cancelled, "stopped", 0};
    if (has_passed(deadline)) return Failure{Errc::timeout, "no welcome from the master in time", 0};
    if (auto written = write_all(transport, bytes, deadline, stop); !written) return std::move(written).failure();
    bytes.clear();
    std::array<char, 4096> buffer{};
    const IoResult result = transport.read_some(buffer, Transport::slice);
    switch (result.status) {
      case IoResult::Status::ok: is_answered = true; break;
      case IoResult::Status::would_block: continue;
      case IoResult::Status::end: {
        Failure failure = handshake.at_end();
        if (!is_answered && !is_over_tls && !transport.is_inherited()) {
          failure.message += ": it may want TLS (tls:HOST:PORT), or have no room now";
        }
        return failure;
      }
      case IoResult::Status::failed: return lost_in_handshake(result.error);
    }
    auto step = handshake.feed(BytesView(buffer.data(), result.bytes));
    if (step.action == Action::send) {
      bytes = std::move(step.bytes);
    } else if (step.action != Action::read) {
      return step;
    }
  }
}

}  // namespace remsh

// make_listener(): a listener for an address of any kind.
#include <remsh/master/make_listener.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "transport/address.hpp"

#include <remsh/base/error.hpp>
#include <remsh/master/unix_slave_listener.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace remsh {

namespace {

UnixListenerOptions unix_options(const TcpListenerOptions& options, std::string path) {
  UnixListenerOptions result{.slave_collection = options.slave_collection, .path = std::move(path)};
  copy_common_options(options, result);
  return result;
}

}  // namespace

std::unique_ptr<SlaveListener> make_listener(TcpListenerOptions options) {
  const std::string operation = "listen on " + in_quotes(options.address);
  auto address = parse_address(options.address, AddressUse::listen);
  if (!address) throw_failure(address.failure(), "", operation);
  if (address->kind != Address::Kind::unix_socket) return std::make_unique<TcpSlaveListener>(std::move(options));
  const auto refuse = [&operation](const char* why) { throw Error(Errc::invalid_argument, "", operation, why); };
  if (options.host || options.port) refuse("the address of a unix socket has no host and no port");
  if (options.certificate) refuse("a certificate is for an address of TLS: tls:HOST:PORT");
  const auto is_ours = [](const SlaveProtocol& one) { return one.name() == SlaveProtocol::remsh2().name(); };
  if (!std::all_of(options.protocols.begin(), options.protocols.end(), is_ours)) {
    refuse("other `protocols` than the usual one are spoken over TCP alone: tcp:HOST:PORT");
  }
  return std::make_unique<UnixSlaveListener>(unix_options(options, std::move(address->path)));
}

}  // namespace remsh

#include <remsh/messages/client.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "messages/connection_impl.hpp"
#include "messages/message_address.hpp"
#include "messages/proof.hpp"
#include "messages/proof_run.hpp"
#include "messages/proof_terms.hpp"
#include "transport/connect.hpp"
#include "transport/endpoint.hpp"
#include "transport/tls_transport.hpp"

#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace remsh {

using messages::MessageStream;

namespace {

/// Connects, and makes the proofs.
std::shared_ptr<MessageStream> connect(const std::string& text, const ClientOptions& options) {
  const std::string operation = "connect to " + in_quotes(text);
  const auto or_throw = [&operation](auto result) {
    if (!result) throw_failure(result.failure(), "", operation);
    if constexpr (!std::is_same_v<decltype(result), Result<void>>) return *std::move(result);
  };
  const Patience patience{options.deadline.begin(), options.stop};
  const messages::ProofTerms terms{options.authkey, options.require_sha256, options.authenticate, options.insecure};
  const Address address = [&] {
    auto parsed = messages::address_of(text, options.family, AddressUse::connect);
    if (!parsed) throw_failure(parsed.failure(), "", "connect");
    return *std::move(parsed);
  }();
  or_throw(terms.check(address));
  if (address.kind == Address::Kind::tls) {
    auto context = or_throw(terms.tls_of_client());
    return MessageStream::over(or_throw(connect_tls(address, std::move(context), patience.deadline, patience.stop)));
  }
  auto connected = connect_to(address, patience.deadline, patience.stop);
  if (!connected && (connected.failure().os == ECONNREFUSED || connected.failure().os == ENOENT)) {
    connected.failure().message += "; is the listener running?";
  }
  UniqueFd socket = or_throw(std::move(connected));
  const bool is_local = is_to_this_host(socket.get());
  or_throw(terms.check_reach(address, is_local));
  if (address.kind == Address::Kind::tcp) set_tcp_options(socket.get(), {});
  std::string description = describe_peer(socket.get());
  auto stream = MessageStream::over_socket(std::move(socket), std::move(description));
  if (!terms.key) return stream;
  or_throw(messages::prove(stream,
                           std::make_unique<messages::MutualProof>(messages::MutualProof::End::client, *terms.key,
                                                                   messages::new_nonce(), terms.allows_md5(is_local)),
                           patience));
  return stream;
}

}  // namespace

Client::Client(const std::string& address, const ClientOptions& options)
    : MessageConnection(std::make_shared<Impl>(connect(address, options))) {}

}  // namespace remsh

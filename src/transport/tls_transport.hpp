// TlsTransport: TLS 1.3 over another transport.
#pragma once

#include "base/result.hpp"
#include "transport/address.hpp"
#include "transport/tls_engine.hpp"
#include "transport/tls_flight.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

namespace remsh {

/// A transport that encrypts its bytes and sends them over another transport. After the handshake it is as thread-safe
/// as that one. Before, one thread at a time, and it can only be stepped, waited for, armed and shut down.
///
///     TlsTransport transport(std::move(socket), context);
///     if (auto done = transport.handshake(10s); !done) return std::move(done).failure();
///
/// One mutex guards the engine. It is held while writing ciphertext, which never blocks, but not while reading it.
class TlsTransport final : public Transport {
 public:
  /// How much ciphertext is read from a peer whose identity is not proven.
  static constexpr std::size_t default_unproven_bytes = 16 * 1024;

  TlsTransport(std::unique_ptr<Transport> inner, std::shared_ptr<const TlsContext> context,
               std::size_t unproven_bytes = default_unproven_bytes);
  ~TlsTransport() override;  ///< sends the end of the stream, if possible without waiting

  enum class Step : std::uint8_t { want_read, want_write, done };

  /// Advances the handshake as far as possible without waiting; then wait for, or arm, the direction that it wants.
  /// After a failure the transport can only be destroyed.
  Result<Step> step();

  /// Steps until it is done.
  Result<void> handshake(Deadline deadline, const std::stop_token& stop = {});

  /// After the handshake: the identity of the proven key; empty if a certificate was used instead.
  [[nodiscard]] const std::string& identity() const { return engine_->identity(); }

  /// The other side has proven its identity by other means: it may send any amount. A client's server, and a client
  /// with a key, are proven by the handshake.
  void set_proven();

  /// Why the stream broke, in more detail than an errno value; nullopt if it did not.
  [[nodiscard]] std::optional<Failure> failure() const;

  IoResult read_some(std::span<char> buffer, Duration wait) override;

  /// If the transport below does not accept all of the ciphertext, the last byte is reported as unwritten, so that the
  /// caller retries until the ciphertext is out.
  IoResult write_some(std::span<const std::string_view> buffers) override;
  Ready wait(Ready directions, Duration wait) override;
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override;
  void disarm_for_good(Watcher& watcher) noexcept override;
  void shutdown() noexcept override;
  [[nodiscard]] std::string channel_binding() const override;
  [[nodiscard]] bool is_inherited() const override { return inner_->is_inherited(); }
  [[nodiscard]] std::string failure_words() const override;
  [[nodiscard]] std::string description() const override { return "tls over " + inner_->description(); }

 private:
  static constexpr std::size_t most_read = 64 * 1024;
  static constexpr std::size_t most_written = 64 * 1024;

  // The mutex must be held:
  bool keep(BytesView ciphertext);
  [[nodiscard]] std::size_t readable_now(std::size_t wanted) const noexcept;
  [[nodiscard]] bool has_something() const noexcept;
  IoResult decrypt(BytesView ciphertext, std::span<char> buffer);
  bool encrypt(std::span<const std::string_view>& buffers, std::size_t& done, std::size_t size);
  bool flush() noexcept;
  void say_end() noexcept;
  IoResult over(IoResult result) noexcept { return *(over_ = result); }

  const std::unique_ptr<Transport> inner_;
  const std::shared_ptr<const TlsContext> context_;
  const std::size_t unproven_bytes_;

  mutable std::mutex mutex_;
  std::optional<TlsEngine> engine_;  // in a server, made when the first message has arrived
  TlsFlight flight_;                 // of the handshake's input
  Bytes left_;                       // ciphertext that is incomplete, or whose plaintext did not fit
  std::optional<IoResult> over_;     // the result of all further reads
  std::size_t unproven_ = 0;         // bytes read before the other side was proven
  int write_error_ = 0;
  bool open_ = false;
  bool proven_ = false;
  bool held_ = false;  // one encrypted byte is not yet reported as written
  bool shut_ = false;
};

/// Connects to a TLS address and makes the handshake, all before the deadline.
Result<std::unique_ptr<TlsTransport>> connect_tls(const Address& address, std::shared_ptr<const TlsContext> context,
                                                  Deadline deadline, const std::stop_token& stop = {});

}  // namespace remsh

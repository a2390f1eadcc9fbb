// TlsEngine: TLS 1.3 over memory: ciphertext in, plaintext out. No I/O.
#pragma once

#include "base/result.hpp"
#include "transport/tls_context.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;

namespace remsh {

/// One TLS connection. Ciphertext to send collects in output(), including answers that reading requires (alerts, new
/// keys): check it after each call. One thread at a time.
class TlsEngine {
 public:
  enum class Status : std::uint8_t {
    ok,
    want_input,  ///< more ciphertext is needed
    ended,       ///< (read) the other side has ended the stream
    failed,      ///< see failure(); final
  };

  /// The maximum of plaintext in one record.
  static constexpr std::size_t max_record = 16 * 1024;

  explicit TlsEngine(std::shared_ptr<const TlsContext> context);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  /// Advances the handshake, and takes what it needs from the front of `ciphertext`. ok: the handshake is over, and the
  /// rest of `ciphertext` is for read().
  Status handshake(BytesView& ciphertext);

  /// Decrypts as much as fits; takes ciphertext from the front. `size`: the number of bytes decrypted, with any status.
  /// ok: there may be more.
  Status read(BytesView& ciphertext, std::span<char> plaintext, std::size_t& size);

  /// True if there is decrypted plaintext that did not fit.
  [[nodiscard]] bool has_plaintext() const noexcept;

  /// Encrypts all of it, into one record per max_record bytes. Returns false if it failed.
  bool write(BytesView plaintext);

  /// Sends the end of the stream.
  void close() noexcept;

  /// Reports that the stream below has ended before the end of TLS.
  void cut();

  [[nodiscard]] BytesView output() const noexcept { return BytesView(out_).substr(sent_); }
  void sent(std::size_t bytes) noexcept;

  /// Reserves memory for the records of this number of bytes of plaintext.
  void expect(std::size_t plaintext);

  /// Why it failed, with advice on what to check.
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  /// After the handshake: the identity of the proven key; empty if a certificate was used instead.
  [[nodiscard]] const std::string& identity() const noexcept { return identity_; }

  /// After the handshake: 32 bytes that only the two ends of this connection know.
  [[nodiscard]] const Bytes& exporter() const noexcept { return exporter_; }

 private:
  friend class TlsContext;
  struct Callbacks;
  struct Free {
    void operator()(ssl_st* ssl) const noexcept;
  };

  Status fail(int result);
  Status fail(Failure failure);
  Status finish();
  [[nodiscard]] Failure handshake_failure(unsigned long error) const;
  [[nodiscard]] Failure certificate_failure() const;
  void ask_for_new_keys();

  const std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  BytesView in_;  // during a call: the input
  Bytes out_;     // ciphertext; its first sent_ bytes are sent
  std::size_t sent_ = 0;
  std::string claimed_;  // (server) the identity, before it is proven
  std::string identity_;
  Bytes exporter_;
  Failure failure_;
  std::uint64_t encrypted_ = 0;  // records with the current keys
  std::uint64_t decrypted_ = 0;
  unsigned patience_ = 0;  // messages of TLS itself that the other side may still send without data
  bool open_ = false;
  bool failed_ = false;
  bool ended_ = false;
  bool closed_ = false;
  bool is_unknown_ = false;  // (server) the claimed identity has no key
  std::string why_unknown_;  // (server) for the log
};

}  // namespace remsh

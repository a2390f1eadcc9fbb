// TlsEngine: TLS 1.3 over memory: ciphertext in, plaintext out. No I/O.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/transport/tls.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

struct ssl_st;

namespace remsh {

/// The key of an identity, or why there is none.
struct TlsKey {
  // NOLINTNEXTLINE(google-explicit-constructor): what finds a key need not say why there is none
  TlsKey(std::optional<Secret> found, std::string why_not = {}) : key(std::move(found)), reason(std::move(why_not)) {}

  std::optional<Secret> key;
  std::string reason;  ///< for the log: "line expired, at ..."; may be empty
};

/// The key of the identity that a client claims. Called in the middle of a handshake: must not block.
using FindTlsKey = std::function<TlsKey(std::string_view identity)>;

struct TlsTuning {
  /// How many records one key encrypts before it is replaced; far below what AES-GCM allows (2^24.5). The other side is
  /// asked for a new one where it has sent twice as many and does not do it on its own.
  std::uint64_t records_per_key = std::uint64_t{1} << 20U;
};

/// What all connections of one configuration share. Thread-safe.
///
/// TLS 1.3 only, always with a Diffie-Hellman exchange, suites of SHA-256 only; no tickets, no resumption by TLS, no
/// early data.
class TlsContext {
 public:
  /// Longer identities are nobody's.
  static constexpr std::size_t max_identity = 128;

  /// For a client that has a key: it accepts only who knows the key, too.
  static Result<std::shared_ptr<const TlsContext>> client(std::string identity, const Secret& key,
                                                          const TlsTuning& tuning = {});

  /// For a client that trusts a certificate.
  static Result<std::shared_ptr<const TlsContext>> client(const TlsTrust& trust, const TlsTuning& tuning = {});

  /// For a server: with keys (`find_key`), with a certificate (`identity`), or with both. Clients without a key are
  /// let in where there is a certificate: see TlsEngine::identity(). An unknown identity looks like a wrong key.
  static Result<std::shared_ptr<const TlsContext>> server(FindTlsKey find_key, const TlsIdentity* identity = nullptr,
                                                          const TlsTuning& tuning = {});

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  [[nodiscard]] bool is_server() const noexcept;

  /// The same for the same certificates, of a server; empty where it has none.
  [[nodiscard]] const Bytes& certificate_digest() const noexcept;

 private:
  friend class TlsEngine;
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

/// A server's context whose certificate can be read anew while it runs. Thread-safe.
class TlsServer {
 public:
  static Result<std::unique_ptr<TlsServer>> create(FindTlsKey find_key, std::optional<TlsIdentity> identity,
                                                   const TlsTuning& tuning = {});

  /// For the next connection.
  [[nodiscard]] std::shared_ptr<const TlsContext> context() const;

  /// Reads the files of the certificate again, for new connections, and gives whether it is another one. Where they are
  /// no good all stays as it was.
  Result<bool> reload();

 private:
  TlsServer(FindTlsKey find_key, std::optional<TlsIdentity> identity, const TlsTuning& tuning);
  const FindTlsKey find_key_;
  const std::optional<TlsIdentity> identity_;
  const TlsTuning tuning_;
  std::mutex reading_;  // so that who has read the older files is not the last to put them here
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> context_;
};

/// One connection. What is to be sent gathers in output(), also answers that reading calls for (alerts, new keys): look
/// there after each call. One thread at a time.
class TlsEngine {
 public:
  enum class Status : std::uint8_t {
    ok,
    want_input,  ///< more ciphertext is needed
    ended,       ///< (read) the other side has said that nothing more comes
    failed,      ///< see failure(); stays so
  };

  /// The plaintext of one record at most.
  static constexpr std::size_t max_record = 16 * 1024;

  explicit TlsEngine(std::shared_ptr<const TlsContext> context);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  /// Goes on with the handshake, and takes what it needs from the front of `ciphertext`. ok: it is over, and what is
  /// left of `ciphertext` is for read().
  Status handshake(BytesView& ciphertext);

  /// Decrypts as much as fits; takes ciphertext from the front. `size`: how much came out, whatever the status. ok:
  /// there may be more.
  Status read(BytesView& ciphertext, std::span<char> plaintext, std::size_t& size);

  /// Whether something is decrypted already that did not fit.
  [[nodiscard]] bool has_plaintext() const noexcept;

  /// Encrypts all of it, into one record for each max_record bytes. False: failed.
  bool write(BytesView plaintext);

  /// Says that nothing more is sent.
  void close() noexcept;

  /// The stream below has ended, too early.
  void cut();

  [[nodiscard]] BytesView output() const noexcept { return BytesView(out_).substr(sent_); }
  void sent(std::size_t bytes) noexcept;

  /// Makes room for the records of so many bytes of plaintext, in one step.
  void expect(std::size_t plaintext);

  /// Why it failed: a sentence about what to look at.
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  /// After the handshake: who proved to have the key; empty where a certificate was used instead.
  [[nodiscard]] const std::string& identity() const noexcept { return identity_; }

  /// After the handshake: 32 bytes that only the two ends of this very connection know.
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
  void ask_for_new_keys();

  const std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  BytesView in_;  // during a call: what has come
  Bytes out_;     // ciphertext; its first sent_ bytes are gone
  std::size_t sent_ = 0;
  std::string claimed_;  // (server) the identity, before it is proven
  std::string identity_;
  Bytes exporter_;
  Failure failure_;
  std::uint64_t encrypted_ = 0;  // records by the present keys
  std::uint64_t decrypted_ = 0;
  unsigned patience_ = 0;  // messages of TLS itself that the other side may still send without any data
  bool open_ = false;
  bool failed_ = false;
  bool ended_ = false;
  bool closed_ = false;
  bool is_unknown_ = false;  // (server) the identity claimed has no key
  std::string why_unknown_;  // (server) for the log
};

}  // namespace remsh

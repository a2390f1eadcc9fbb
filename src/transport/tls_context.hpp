// TlsContext: what all TLS connections of one configuration share.
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
#include <string>
#include <string_view>
#include <utility>

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
  /// asked for a new one if it has sent twice as many and does not do it on its own.
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
  /// let in if there is a certificate: see TlsEngine::identity(). An unknown identity looks like a wrong key.
  static Result<std::shared_ptr<const TlsContext>> server(FindTlsKey find_key, const TlsIdentity* identity = nullptr,
                                                          const TlsTuning& tuning = {});

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  [[nodiscard]] bool is_server() const noexcept;

  /// The same for the same certificates, of a server; empty if it has none.
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

  /// Reads the files of the certificate again, for new connections. Returns whether it is another certificate. If the
  /// files are not good, nothing changes.
  Result<bool> reload();

 private:
  TlsServer(FindTlsKey find_key, std::optional<TlsIdentity> identity, const TlsTuning& tuning);
  const FindTlsKey find_key_;
  const std::optional<TlsIdentity> identity_;
  const TlsTuning tuning_;
  std::mutex reading_;  // held while the files are read, so that older files never replace newer ones
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> context_;
};

}  // namespace remsh

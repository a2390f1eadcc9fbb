// TlsContext: the configuration that several TLS connections share.
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
  // NOLINTNEXTLINE(google-explicit-constructor): a function that finds a key need not give a reason
  TlsKey(std::optional<Secret> found, std::string why_not = {}) : key(std::move(found)), reason(std::move(why_not)) {}

  std::optional<Secret> key;
  std::string reason;  ///< for the log: "line expired, at ..."; may be empty
};

/// The key of the identity that a client claims. Called in the middle of a handshake: must not block.
using FindTlsKey = std::function<TlsKey(std::string_view identity)>;

struct TlsTuning {
  /// How many records one key encrypts before it is replaced; far below the limit of AES-GCM (2^24.5). If the other
  /// side has sent twice as many without replacing its key, it is asked to.
  std::uint64_t records_per_key = std::uint64_t{1} << 20U;
};

/// The configuration that several connections share. Thread-safe.
///
/// TLS 1.3 only, always with a Diffie-Hellman exchange, suites of SHA-256 only; no tickets, no resumption by TLS, no
/// early data.
class TlsContext {
 public:
  /// Longer identities are unknown.
  static constexpr std::size_t max_identity = 128;

  /// For a client that has a key: it accepts only a server that has the same key.
  static Result<std::shared_ptr<const TlsContext>> client(std::string identity, const Secret& key,
                                                          const TlsTuning& tuning = {});

  /// For a client that trusts a certificate.
  static Result<std::shared_ptr<const TlsContext>> client(const TlsTrust& trust, const TlsTuning& tuning = {});

  /// For a server: with keys (`find_key`), with a certificate (`identity`), or with both. If there is a certificate,
  /// clients without a key are accepted: see TlsEngine::identity(). An unknown identity is indistinguishable from a
  /// wrong key.
  static Result<std::shared_ptr<const TlsContext>> server(FindTlsKey find_key, const TlsIdentity* identity = nullptr,
                                                          const TlsTuning& tuning = {});

  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  [[nodiscard]] bool is_server() const noexcept;

  /// (server) Identifies the certificates: equal for equal certificates; empty if there is none.
  [[nodiscard]] const Bytes& certificate_digest() const noexcept;

 private:
  friend class TlsEngine;
  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

/// A server's context whose certificate can be reloaded at run time. Thread-safe.
class TlsServer {
 public:
  static Result<std::unique_ptr<TlsServer>> create(FindTlsKey find_key, std::optional<TlsIdentity> identity,
                                                   const TlsTuning& tuning = {});

  /// The context for the next connection.
  [[nodiscard]] std::shared_ptr<const TlsContext> context() const;

  /// Reads the files of the certificate again, for new connections. Returns true if the certificate is a different one.
  /// If the files are not valid, nothing changes.
  Result<bool> reload();

 private:
  TlsServer(FindTlsKey find_key, std::optional<TlsIdentity> identity, const TlsTuning& tuning);
  const FindTlsKey find_key_;
  const std::optional<TlsIdentity> identity_;
  const TlsTuning tuning_;
  std::mutex reading_;  // held while reading the files, so that older contents never replace newer ones
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> context_;
};

}  // namespace remsh

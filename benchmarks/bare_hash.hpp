// SHA-256 and HMAC-SHA256 for proofs of the limits and of played slaves, as fast as libcrypto computes them.
#pragma once

#include <remsh/base/bytes.hpp>

#include <array>
#include <cstddef>
#include <memory>

struct evp_mac_ctx_st;
struct evp_md_ctx_st;

namespace remsh::bench {

inline constexpr std::size_t digest_bytes = 32;
using Digest = std::array<char, digest_bytes>;

inline BytesView view(const Digest& digest) { return {digest.data(), digest.size()}; }

/// One context, used for hash after hash. One thread at a time.
class BareSha256 {
 public:
  BareSha256();
  Digest operator()(BytesView bytes);

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// One context that has its key, used for MAC after MAC. One thread at a time.
class BareHmac {
 public:
  explicit BareHmac(BytesView key);
  Digest operator()(BytesView bytes);

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

/// A key of HMAC as its two blocks, for those who have too many keys to keep a context for each.
class HmacBlocks {
 public:
  /// The key must not be longer than a block.
  explicit HmacBlocks(BytesView key);

  /// The MAC of at most a block of bytes.
  Digest mac(BareSha256& sha256, BytesView bytes) const;

 private:
  static constexpr std::size_t block = 64;
  std::array<char, block> inner_;
  std::array<char, block> outer_;
};

void fill_at_random(char* bytes, std::size_t size);

}  // namespace remsh::bench

// Names: which slave may have which name, among all listeners of one collection.
#pragma once

#include "auth/key_store.hpp"
#include "master/pace.hpp"
#include "master/proof.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// What happens to a newcomer and to the holder of its name.
enum class NameRuling : std::uint8_t {
  comes_in,   ///< the name is free
  asks,       ///< the holder keeps the name if it answers a ping; otherwise the newcomer takes its place
  displaces,  ///< the holder has no right to the name any more: it is disconnected without a ping
  is_taken,   ///< the newcomer is refused, and the holder gets no ping
  is_keyed,   ///< the newcomer is refused: the name has a key, which it has not proven
  too_often,  ///< the newcomer is refused for now: it has come too often recently
};

/// The rule about names (docs/decisions/0019). `has_key`: a listener of the collection has a key for the name.
/// `holder`: the proof of the slave that has the name; nullopt if the name is free.
[[nodiscard]] NameRuling rule_on_name(bool has_key, Proof newcomer, std::optional<Proof> holder) noexcept;

/// Which slave may have which name, among all listeners of one collection. Each listener brings its keys: a name that
/// has a key in one listener has a key in all. Thread-safe.
class Names : public std::enable_shared_from_this<Names> {
 public:
  using ListenerId = std::uint64_t;
  using ClaimId = std::uint64_t;

  struct Claim {
    NameRuling ruling = NameRuling::is_taken;
    ClaimId id = 0;    ///< 0 if the newcomer is refused
    Duration wait{0};  ///< if too_often: for how long
  };

  Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  /// Adds a listener with its keys (null if it has none). `check` is called whenever the keys of any listener have
  /// changed, or a listener with keys has left, by the thread that did it: connected slaves may have lost the right to
  /// their names. It must not block.
  ListenerId join(const std::shared_ptr<auth::KeyStore>& keys, std::function<void()> check);
  void leave(ListenerId listener);

  /// Whether any listener has a key for the name, even if expired or used.
  [[nodiscard]] bool has_key(std::string_view name) const;

  /// Whether a slave may come with this name and a key at that time: KeyStore::expects() of any listener.
  [[nodiscard]] bool expects(std::string_view name, auth::WallTime now) const;

  /// All names that expects() has, in ascending order.
  [[nodiscard]] std::vector<std::string> expected(auth::WallTime now) const;

  struct Newcomer {
    std::string name;
    Proof proof = Proof::none;
    std::string key_id = {};  ///< of the key that it has proven
  };

  /// How often one slave may come: each time costs the master work, and runs callbacks of the user's. Each key of a
  /// name has its own pace. Slaves that we start have none.
  static constexpr Pace::Options pace{.burst = 16, .interval = std::chrono::milliseconds(250)};

  /// Claims a name. Unless it is refused, the newcomer has a claim: no other slave gets the name before release(),
  /// except one that proves a key if the claimant has proven nothing. `find_holder` returns the proof of the slave in
  /// the collection that has this name, and is called without a lock.
  Claim claim(const Newcomer& newcomer, const std::function<std::optional<Proof>()>& find_holder, TimePoint now);

  /// The connection of an admitted slave has ended: from now on the pace of this name and key counts.
  void note_end(const std::string& name, const std::string& key_id, TimePoint now);

  /// False if another slave has taken the claim over.
  [[nodiscard]] bool holds(const std::string& name, ClaimId claim) const;

  /// The claimant enters the collection now. Once it is there, it is the holder of the name for a newcomer, even before
  /// it has released its claim.
  void begin_to_enter(const std::string& name, ClaimId claim);
  void release(const std::string& name, ClaimId claim);

 private:
  struct Listener {
    std::shared_ptr<const auth::KeyStore> keys;
    std::function<void()> check;
    std::shared_ptr<const std::function<void()>> told;  // called when its keys have changed
  };
  struct Claimant {
    ClaimId id;
    Proof proof;
    bool is_entering = false;
  };

  void keys_changed() const;
  [[nodiscard]] bool is_entering(const std::string& name) const;

  mutable std::mutex mutex_;
  std::map<ListenerId, Listener> listeners_;
  std::map<std::string, Claimant> claims_;  // of slaves between their proof and the collection
  Pace pace_{pace};
  std::uint64_t last_id_ = 0;
};

}  // namespace remsh

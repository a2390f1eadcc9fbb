// Gate: limits how many unregistered connections each source may have, and blocks sources that failed to authenticate.
#pragma once

#include "base/result.hpp"
#include "transport/network.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/stranger_limits.hpp>

#include <sys/types.h>

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace remsh {

struct GateOptions {
  std::size_t max_handshakes = 256;  ///< connections at once that have not registered
  std::size_t max_per_address = 8;   ///< of these, from one address, or from one /64 of IPv6
  std::size_t max_per_user = 64;     ///< of these, from one user of this host

  std::chrono::milliseconds first_penalty{5000};
  std::chrono::milliseconds longest_penalty{600000};
  std::chrono::milliseconds penalty_memory{600000};  ///< how long after its end a penalty makes the next one longer
  std::size_t max_penalties = 65536;

  std::chrono::milliseconds log_interval{10000};  ///< each source is logged once in this time
  std::size_t max_log_lines = 256;                ///< log lines in this time for a user or a source without limits
  std::size_t max_log_sources = 256;              ///< sources logged in this time; others are only counted

  /// Addresses that many slaves may share, as behind NAT: no limit per address, and no penalties. The same holds for
  /// loopback.
  std::vector<Network> exempt = {};
};

/// The options of a gate for the limits of a listener. Fails for a shared address that is none.
Result<GateOptions> gate_options(std::size_t max_handshakes, const StrangerLimits& limits);

/// Where a connection comes from: an address, a user of this host, or (monostate) some other way, such as an inherited
/// descriptor. There are no limits for the last.
using Origin = std::variant<std::monostate, IpAddress, uid_t>;

/// The limits for connections that have not proven anything; no I/O, and no clock of its own. One thread at a time.
///
/// If all places are taken, a newcomer still gets one: the oldest connection of the source that has most is dropped. So
/// slaves that need milliseconds get in, however many connections a flood holds open. A source that has its share is
/// refused. A source that failed to authenticate is blocked for a while. The number of entries is bounded whatever
/// arrives, and each step costs O(log n).
class Gate {
 public:
  using Id = std::uint64_t;

  struct Verdict {
    Id id = 0;                      // of the place, if it was let in; 0 if it needs none
    std::string refused = {};       // why it is refused; empty: let in
    std::optional<Id> gives_way{};  // it has lost its place to the newcomer, and must be closed
  };

  /// Whether a message about a source is to be logged, and how many were not logged before it.
  struct Telling {
    bool aloud = true;
    std::size_t untold = 0;            // of this source
    std::size_t untold_of_others = 0;  // of sources that exceeded max_log_sources

    /// How many were not logged, for the end of the message; empty if all were.
    [[nodiscard]] std::string untold_words() const;
  };

  explicit Gate(GateOptions options);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  Verdict begin(const Origin& source, TimePoint now);

  /// The connection has proven its identity, or need not: it keeps its place and cannot be dropped any more, and the
  /// penalty of its source is forgotten.
  void proven(Id id);

  /// Frees the place. Does nothing for a connection that was dropped.
  void end(Id id);

  /// A connection from this source failed to authenticate.
  void failed(const Origin& source, TimePoint now);

  /// Call this before logging a message about a source.
  Telling tell(const Origin& source, TimePoint now);

  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] std::size_t penalties() const noexcept { return penalties_.size(); }

 private:
  /// What counts as one source. Ordered, not hashed, because peers choose the bytes.
  struct Key {
    std::array<std::uint8_t, 16> bytes = {};
    bool is_user = false;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  /// Values by source, in the order in which they were last touched.
  template <class Value>
  class Table {
   public:
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    Value* find(const Key& key) {
      const auto found = entries_.find(key);
      return found == entries_.end() ? nullptr : &found->second.value;
    }
    Value* oldest() { return order_.empty() ? nullptr : find(*order_.front()); }
    Value& touch(const Key& key) {
      const auto [entry, is_new] = entries_.try_emplace(key);
      if (is_new) {
        entry->second.place = order_.insert(order_.end(), &entry->first);
      } else {
        order_.splice(order_.end(), order_, entry->second.place);
      }
      return entry->second.value;
    }
    void erase(const Key& key) {
      const auto found = entries_.find(key);
      if (found == entries_.end()) return;
      order_.erase(found->second.place);
      entries_.erase(found);
    }
    void drop_oldest() { erase(*order_.front()); }

   private:
    struct Entry {
      Value value = {};
      std::list<const Key*>::iterator place = {};
    };
    std::map<Key, Entry> entries_;
    std::list<const Key*> order_;  // keys of the values
  };

  struct Penalty {
    TimePoint until = {};
    Duration length{0};
  };
  struct Told {
    TimePoint at = {};
    std::size_t lines = 0;  // logged since then
    std::size_t untold = 0;
  };

  /// A source whose connections may be dropped. First comes the one with most connections, then the one whose oldest
  /// connection is oldest.
  struct Rank {
    std::size_t count;
    Id oldest;
    friend bool operator<(const Rank& a, const Rank& b) {
      return a.count != b.count ? a.count > b.count : a.oldest < b.oldest;
    }
  };

  struct Place {
    Key key;
    bool gives_way = true;
  };

  [[nodiscard]] static Key key_of(const Origin& source);
  [[nodiscard]] bool is_exempt(const Origin& source) const;
  [[nodiscard]] std::optional<std::string> refusal(const Origin& source, const Key& key, TimePoint now);
  [[nodiscard]] bool is_forgotten(const Penalty& penalty, TimePoint now) const;
  void join(const Key& key, Id id);
  void leave(const Key& key, Id id);

  const GateOptions options_;
  Id last_id_ = 0;
  std::unordered_map<Id, Place> places_;
  std::map<Key, std::set<Id>> crowds_;  // connections that may be dropped, by source, the oldest first
  std::set<Rank> ranks_;                // one for each source in crowds_
  Table<Penalty> penalties_;
  Table<Told> told_;
  std::size_t untold_of_others_ = 0;
};

}  // namespace remsh

// Gate: which strangers a listener lets begin, and for how long it listens to none of a source.
#pragma once

#include "transport/network.hpp"

#include <remsh/base/deadline.hpp>

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
  std::size_t max_per_address = 8;   ///< of them, those of one address, or of one /64 of IPv6
  std::size_t max_per_user = 64;     ///< of them, those of one user of this host

  std::chrono::milliseconds first_penalty{5000};
  std::chrono::milliseconds longest_penalty{600000};
  std::chrono::milliseconds penalty_memory{600000};  ///< how long after its end a penalty makes the next one longer
  std::size_t max_penalties = 65536;

  std::chrono::milliseconds log_interval{10000};  ///< each source is told of once in this time
  std::size_t max_log_lines = 256;                ///< in this time, of a user, and of one that has no limits
  std::size_t max_log_sources = 256;              ///< in this time; what further ones do is only counted

  /// Many slaves may share an address of these, as behind NAT: no limit of its own, no penalties. So has the loopback.
  std::vector<Network> exempt = {};
};

/// Whose a connection is: of an address, of a user of this host, or of somebody who was let in by other means, such as
/// an inherited descriptor: those have no limits.
using Origin = std::variant<std::monostate, IpAddress, uid_t>;

/// The limits before somebody has proven anything; no I/O, and no clock of its own. One thread at a time.
///
/// Who comes when all places are taken gets one all the same: the oldest connection gives way of whom has most, so that
/// those who need milliseconds get in whatever a flood holds open. A source that has its share is refused. Who proved a
/// wrong key is not heard for a while. Whatever comes, this holds a bounded number of entries, and each step costs
/// O(log n).
class Gate {
 public:
  using Id = std::uint64_t;

  struct Verdict {
    Id id = 0;                      // of the place, where it was let in; 0 is nobody's
    std::string refused = {};       // why not, in words; empty: let in
    std::optional<Id> gives_way{};  // whose place was taken for it: to be closed, and over for us
  };

  /// Whether something about a source is to be logged, and what was not since that was done last.
  struct Telling {
    bool aloud = true;
    std::size_t untold = 0;            // of this source
    std::size_t untold_of_others = 0;  // of sources that there was no room for
  };

  explicit Gate(GateOptions options);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  Verdict begin(const Origin& source, TimePoint now);

  /// It has proven who it is, or need not: it keeps its place, does not give way any more, and a penalty of its source
  /// is forgotten.
  void proven(Id id);

  /// Its place is free. Does nothing for one that gave way.
  void end(Id id);

  /// Somebody of this source gave a wrong proof.
  void failed(const Origin& source, TimePoint now);

  /// Asked before something about a source is logged.
  Telling tell(const Origin& source, TimePoint now);

  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] std::size_t penalties() const noexcept { return penalties_.size(); }

 private:
  /// What counts as one source. Ordered, not hashed: its bytes are the peers' choice.
  struct Key {
    std::array<std::uint8_t, 16> bytes = {};
    bool is_user = false;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  /// Values by source, in the order in which they were touched last.
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
    std::list<const Key*> order_;  // of the keys in there
  };

  struct Penalty {
    TimePoint until = {};
    Duration length{0};
  };
  struct Told {
    TimePoint at = {};
    std::size_t lines = 0;  // since then
    std::size_t untold = 0;
  };

  /// A source among those that may give way: who has most comes first, then who holds its oldest place for longest.
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
  std::map<Key, std::set<Id>> crowds_;  // those who may give way, by source, the oldest first
  std::set<Rank> ranks_;                // one for each of these
  Table<Penalty> penalties_;
  Table<Told> told_;
  std::size_t untold_of_others_ = 0;
};

}  // namespace remsh

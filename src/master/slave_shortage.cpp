#include "master/slave_shortage.hpp"

#include "auth/resources.hpp"
#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/text.hpp"
#include "master/backend.hpp"
#include "master/stop_watch.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

namespace {

constexpr std::size_t most_names = 5;

/// "1 slave", "3 slaves".
std::string slaves_in_words(std::size_t count) { return formatted("{} {}", count, count == 1 ? "slave" : "slaves"); }

std::string none_is_there(const SlavePool& pool) {
  std::string text = "there is no slave: ";
  text += pool.version() == 0 ? "none has ever come" : "all that had come have left";
  if (pool.listeners == 0) {
    return text + ", and there is no listener for this collection. Make one with .slave_collection, and start() it";
  }
  return text +
         ". Check that the listener was started (start()), that slaves connect to its address, and what its log hook "
         "says of those that it refused";
}

/// "gpu=2 slots=1".
std::string share_in_words(const Share& share) {
  std::string text;
  for (const auto& [resource, count] : share) text += formatted("{}{}={}", text.empty() ? "" : " ", resource, count);
  return text;
}

/// The slaves of a collection, as a request sees them.
struct Tally {
  const Share& share;
  std::size_t all = 0;
  std::size_t lacking = 0;       // that announce too little
  std::string unannounced = {};  // a resource that none announces
  std::size_t excluded = 0;
  std::size_t lost = 0;
  std::size_t draining = 0;
  std::size_t free = 0;
  std::vector<std::string> reserved = {};
  std::vector<std::string> in_use = {};
  std::vector<std::string> paused = {};

  [[nodiscard]] std::string words() const {
    std::string text = "the collection has " + slaves_in_words(all);
    if (!unannounced.empty()) {
      return formatted("{}, {} the resource {}: start slaves with --resource, or set SlaveOptions::resources", text,
                       all == 1 ? "which does not announce" : "none of which announces", in_quotes(unannounced));
    }
    if (lacking == all) {
      return formatted("{}, {} {}", text, all == 1 ? "which announces less than" : "none of which announces",
                       share_in_words(share));
    }
    if (excluded == all) return formatted("{}, and the filter excludes {}", text, all == 1 ? "it" : "all of them");
    if (lacking > 0) {
      text += formatted(", of which {} {} less than {}", lacking, lacking == 1 ? "announces" : "announce",
                        share_in_words(share));
    }
    if (excluded > 0) {
      text += formatted("{} the filter excludes {}", lacking > 0 ? " and" : ", of which", excluded);
    }
    add_named(text, reserved, "reserved");
    add_named(text, in_use, "in use");
    add_named(text, paused, "paused");
    if (draining > 0) text += formatted("; {} {} about to end", draining, draining == 1 ? "is" : "are");
    if (lost > 0) text += formatted("; {} lost the connection just now", lost);
    if (free > 0) text += formatted("; {} became free just now: ask again", free);
    return text;
  }

 private:
  void add_named(std::string& text, const std::vector<std::string>& slaves, std::string_view what) const {
    if (slaves.empty()) return;
    text += formatted("; {}{} {} {}: ", slaves.size(), excluded + lacking > 0 ? " would do but" : "",
                      slaves.size() == 1 ? "is" : "are", what);
    for (std::size_t i = 0; i < slaves.size() && i < most_names; ++i) text += (i > 0 ? ", " : "") + slaves[i];
    if (slaves.size() > most_names) text += formatted(" and {} more", slaves.size() - most_names);
  }
};

std::uint64_t taken_by(const SlaveStatus& state, const std::string& resource) {
  std::uint64_t taken = 0;
  for (const SlaveShare& one : state.shares) {
    const auto count = one.resources.find(resource);
    taken += resource == auth::slots_name ? one.slots : count == one.resources.end() ? 0 : count->second;
  }
  return taken;
}

/// Whether others have so much of a slave, which is not reserved as a whole, that too little is left.
bool is_in_use(const SlaveEntry& entry, const SlaveStatus& state, const Share& share) {
  if (state.kept || (share.empty() && !state.shares.empty())) return true;
  return std::any_of(share.begin(), share.end(), [&](const auto& one) {
    return entry.backend.resource(one.first) - taken_by(state, one.first) < one.second;
  });
}

std::string paused_in_words(const Slave& slave, const SlaveStatus& state) {
  const std::string& why = state.paused ? state.pause_reason : state.unwell;
  return formatted("'{}' ({})", without_controls(slave.name()), without_controls(why));
}

std::string reserved_in_words(const Slave& slave, const SlaveStatus& state) {
  std::string text = "'" + without_controls(slave.name()) + "'";
  if (!state.reserved_by.empty()) text += formatted(" for '{}'", without_controls(state.reserved_by));
  if (state.releasing) text += " (released, but an operation still runs on it)";
  return text;
}

/// What the shares that are reserved of a slave leave of what is wanted, and who has them.
std::string use_in_words(const SlaveEntry& entry, const SlaveStatus& state, const Share& share) {
  std::string text;
  for (const auto& [resource, wanted] : share) {
    const std::uint64_t all = entry.backend.resource(resource);
    const std::uint64_t taken = taken_by(state, resource);
    if (all - taken < wanted)
      text += formatted("{}{} of {} {} free", text.empty() ? "" : ", ", all - taken, all, resource);
  }
  if (text.empty()) text = state.kept ? "kept for an earlier request" : "shares of it are reserved";
  std::string owners;
  for (const SlaveShare& one : state.shares) {
    if (!one.owner.empty()) owners += formatted("{}'{}'", owners.empty() ? "" : ", ", without_controls(one.owner));
  }
  if (!owners.empty()) text += "; reserved for " + owners;
  return formatted("'{}' ({})", without_controls(entry.slave->name()), text);
}

/// A resource of which no slave has any; empty if there is none.
std::string unannounced_of(const SlaveEntries& entries, const Share& share) {
  for (const auto& [resource, count] : share) {
    const std::string& name = resource;
    if (std::none_of(entries.begin(), entries.end(),
                     [&name](const auto& entry) { return entry->backend.resource(name) > 0; })) {
      return name;
    }
  }
  return {};
}

std::string why_none_fits(SlavePool& pool, const SlaveWish& wish) {
  std::shared_ptr<const SlaveEntries> entries;
  const std::vector<SlaveStatus> states = pool.states(entries);
  if (entries->empty()) return none_is_there(pool);
  const Share& share = wish.demand.share;
  Tally tally{.share = share, .all = entries->size(), .unannounced = unannounced_of(*entries, share)};
  for (std::size_t i = 0; i < entries->size(); ++i) {
    const Slave& slave = *(*entries)[i]->slave;
    if (wish.stop.stop_requested()) throw_stopped(wish.operation());
    if (!SlavePool::announces(*(*entries)[i], share)) {
      ++tally.lacking;
    } else if (!wish.filter(slave)) {
      ++tally.excluded;
    } else if (!slave.is_connected()) {
      ++tally.lost;
    } else if (states[i].draining) {
      ++tally.draining;
    } else if (states[i].paused || !states[i].unwell.empty()) {
      tally.paused.push_back(paused_in_words(slave, states[i]));
    } else if (states[i].reserved) {
      tally.reserved.push_back(reserved_in_words(slave, states[i]));
    } else if (is_in_use(*(*entries)[i], states[i], share)) {
      tally.in_use.push_back(use_in_words(*(*entries)[i], states[i], share));
    } else {
      ++tally.free;
    }
  }
  return tally.words();
}

}  // namespace

void throw_shortage(SlavePool& pool, const SlaveWish& wish, TimePoint begun, TimePoint deadline) {
  std::string text = "no slave";
  if (deadline > begun) text += " within " + in_seconds(deadline - begun);
  throw Timeout(Errc::timeout, {}, wish.operation(), text + ": " + why_none_fits(pool, wish));
}

}  // namespace remsh

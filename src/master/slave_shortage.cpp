#include "master/slave_shortage.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/text.hpp"
#include "master/stop_watch.hpp"

#include <remsh/base/error.hpp>

#include <cstddef>
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

/// The slaves of a collection, as a request sees them.
struct Tally {
  std::size_t all = 0;
  std::size_t excluded = 0;
  std::size_t lost = 0;
  std::size_t draining = 0;
  std::size_t free = 0;
  std::vector<std::string> reserved = {};
  std::vector<std::string> paused = {};

  [[nodiscard]] std::string words() const {
    std::string text = "the collection has " + slaves_in_words(all);
    if (excluded == all) return formatted("{}, and the filter excludes {}", text, all == 1 ? "it" : "all of them");
    if (excluded > 0) text += formatted(", of which the filter excludes {}", excluded);
    add_named(text, reserved, "reserved");
    add_named(text, paused, "paused");
    if (draining > 0) text += formatted("; {} {} about to end", draining, draining == 1 ? "is" : "are");
    if (lost > 0) text += formatted("; {} lost the connection just now", lost);
    if (free > 0) text += formatted("; {} became free just now: ask again", free);
    return text;
  }

 private:
  void add_named(std::string& text, const std::vector<std::string>& slaves, std::string_view what) const {
    if (slaves.empty()) return;
    text += formatted("; {}{} {} {}: ", slaves.size(), excluded > 0 ? " would do but" : "",
                      slaves.size() == 1 ? "is" : "are", what);
    for (std::size_t i = 0; i < slaves.size() && i < most_names; ++i) text += (i > 0 ? ", " : "") + slaves[i];
    if (slaves.size() > most_names) text += formatted(" and {} more", slaves.size() - most_names);
  }
};

std::string paused_in_words(const Slave& slave, const SlaveStatus& state) {
  return formatted("'{}' ({})", without_controls(slave.name()), without_controls(state.pause_reason));
}

std::string reserved_in_words(const Slave& slave, const SlaveStatus& state) {
  std::string text = "'" + without_controls(slave.name()) + "'";
  if (!state.reserved_by.empty()) text += formatted(" for '{}'", without_controls(state.reserved_by));
  if (state.releasing) text += " (released, but an operation still runs on it)";
  return text;
}

std::string why_none_fits(SlavePool& pool, const SlaveWish& wish) {
  std::shared_ptr<const SlaveEntries> entries;
  const std::vector<SlaveStatus> states = pool.states(entries);
  if (entries->empty()) return none_is_there(pool);
  Tally tally{.all = entries->size()};
  for (std::size_t i = 0; i < entries->size(); ++i) {
    const Slave& slave = *(*entries)[i]->slave;
    if (wish.stop.stop_requested()) throw_stopped(wish.operation());
    if (!wish.filter(slave)) {
      ++tally.excluded;
    } else if (!slave.is_connected()) {
      ++tally.lost;
    } else if (states[i].draining) {
      ++tally.draining;
    } else if (states[i].paused) {
      tally.paused.push_back(paused_in_words(slave, states[i]));
    } else if (states[i].reserved) {
      tally.reserved.push_back(reserved_in_words(slave, states[i]));
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

#include "master/opening.hpp"

#include "base/format.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace remsh {

Result<void> check_protocols(const std::vector<SlaveProtocol>& accepted) {
  const auto invalid = [](std::string why) { return Failure{Errc::invalid_argument, std::move(why), 0}; };
  if (accepted.empty()) return invalid("no slave could come in: `protocols` is empty");
  std::set<std::string> names;
  for (const SlaveProtocol& one : accepted) {
    if (!names.insert(one.name()).second) return invalid(formatted("`protocols` has {} twice", one.name()));
  }
  const auto sends_first = [](const SlaveProtocol& one) { return one.worker().silence_before_sending().has_value(); };
  const auto first = std::find_if(accepted.begin(), accepted.end(), sends_first);
  if (first == accepted.end()) return {};
  const std::string what = formatted("by {} the master sends first", first->name());
  if (std::count_if(accepted.begin(), accepted.end(), sends_first) > 1) {
    return invalid(what + ", as by another one of `protocols`: leave one of them out");
  }
  if (first->worker().silence_before_sending() == Duration::zero() && accepted.size() > 1) {
    return invalid(what + " and at once: it must be the only one of `protocols`");
  }
  return {};
}

Failure not_accepted(const ServedProtocol& protocol) {
  const std::string name = protocol.protocol.name();
  std::string function = name;  // SlaveProtocol names its functions after the protocols
  std::erase(function, ' ');
  std::replace(function.begin(), function.end(), '-', '_');
  return {Errc::refused,
          formatted("it speaks {}, which this listener does not accept: add SlaveProtocol::{}() to `protocols` to "
                    "accept such slaves",
                    protocol.worker().seen_as(), function),
          0};
}

const ServedProtocol* Opening::feed(BytesView bytes) {
  bytes_.append(bytes);
  for (const bool is_accepted : {true, false}) {
    bool needs_more = false;
    for (const ServedProtocol& one : protocols_) {
      if (one.is_accepted != is_accepted) continue;
      const Recognition recognition = one.worker().recognise(bytes_);
      if (recognition == Recognition::yes) return &one;
      if (recognition == Recognition::need_more) needs_more = true;
    }
    if (needs_more) return nullptr;
  }
  return &assumed();
}

const ServedProtocol* Opening::sends_first() const noexcept {
  const auto found = std::find_if(protocols_.begin(), protocols_.end(), [](const ServedProtocol& one) {
    return one.is_accepted && one.worker().silence_before_sending().has_value();
  });
  return found == protocols_.end() ? nullptr : &*found;
}

}  // namespace remsh

#include "transport/gate.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <utility>

namespace remsh {

namespace {

constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};  // IPv4 inside IPv6
constexpr std::size_t network_part = 8;  // bytes of an IPv6 address that a whole site shares

bool is_ipv4(const IpAddress& address) { return std::equal(mapped.begin(), mapped.end(), address.bytes.begin()); }

bool is_loopback(const IpAddress& address) {
  if (is_ipv4(address)) return address.bytes[mapped.size()] == 127;
  IpAddress one;
  one.bytes.back() = 1;
  return address == one;
}

GateOptions within_reason(GateOptions options) {
  for (std::size_t* most : {&options.max_handshakes, &options.max_per_address, &options.max_per_user,
                            &options.max_penalties, &options.max_log_sources}) {
    *most = std::max(*most, std::size_t{1});
  }
  constexpr std::chrono::milliseconds year = std::chrono::hours(24 * 365);  // which the clock can add
  for (std::chrono::milliseconds* time :
       {&options.first_penalty, &options.longest_penalty, &options.penalty_memory, &options.log_interval}) {
    *time = std::clamp(*time, std::chrono::milliseconds(0), year);
  }
  options.longest_penalty = std::max(options.longest_penalty, options.first_penalty);
  return options;
}

std::string others(std::size_t count) { return formatted("{} {}", count, count == 1 ? "other" : "others"); }

}  // namespace

Result<GateOptions> gate_options(std::size_t max_handshakes, const StrangerLimits& limits) {
  GateOptions gate;
  gate.max_handshakes = max_handshakes;
  gate.max_per_address = limits.per_address;
  gate.max_per_user = limits.per_user;
  gate.first_penalty = limits.first_penalty;
  gate.longest_penalty = limits.longest_penalty;
  for (const std::string& text : limits.shared_addresses) {
    const auto network = Network::parse(text);
    if (!network) {
      return Failure{Errc::invalid_argument,
                     formatted("shared_addresses: {} is no network: write 192.0.2.7, or 10.0.0.0/8", in_quotes(text)),
                     0};
    }
    gate.exempt.push_back(*network);
  }
  return gate;
}

std::string Gate::Telling::untold_words() const {
  std::string words;
  if (untold > 0) words += formatted(" (and {} more from there, left out)", untold);
  if (untold_of_others > 0) words += formatted(" (and {} from elsewhere, left out)", untold_of_others);
  return words;
}

Gate::Gate(GateOptions options) : options_(within_reason(std::move(options))) {}

Gate::Key Gate::key_of(const Origin& source) {
  Key key;
  if (const auto* address = std::get_if<IpAddress>(&source)) {
    key.bytes = address->bytes;
    if (!is_ipv4(*address)) std::fill(key.bytes.begin() + network_part, key.bytes.end(), std::uint8_t{0});
  } else if (const auto* user = std::get_if<uid_t>(&source)) {
    for (std::size_t i = 0; i < sizeof *user; ++i) key.bytes[i] = static_cast<std::uint8_t>(*user >> (8 * i));
    key.is_user = true;
  }
  return key;
}

bool Gate::is_exempt(const Origin& source) const {
  const auto* address = std::get_if<IpAddress>(&source);
  return address && (is_loopback(*address) ||
                     std::any_of(options_.exempt.begin(), options_.exempt.end(),
                                 [address](const Network& network) { return network.contains(*address); }));
}

/// Why a source is not let in, even if there is room.
std::optional<std::string> Gate::refusal(const Origin& source, const Key& key, TimePoint now) {
  if (is_exempt(source)) return std::nullopt;
  if (const Penalty* penalty = penalties_.find(key); penalty && now < penalty->until) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(penalty->until - now);
    return formatted("a proof from its address was wrong; none is listened to for {} s", left.count());
  }
  const auto crowd = crowds_.find(key);
  const std::size_t count = crowd == crowds_.end() ? 0 : crowd->second.size();
  if (count < (key.is_user ? options_.max_per_user : options_.max_per_address)) return std::nullopt;
  return formatted("{} of its {} are registering already", others(count), key.is_user ? "user" : "address");
}

Gate::Verdict Gate::begin(const Origin& source, TimePoint now) {
  if (std::holds_alternative<std::monostate>(source)) return {};
  const Key key = key_of(source);
  if (auto reason = refusal(source, key, now)) return {.refused = std::move(*reason)};
  std::optional<Id> gives_way;
  if (places_.size() >= options_.max_handshakes) {
    if (ranks_.empty()) return {.refused = others(places_.size()) + " are registering already"};
    // Counts the newcomer for its source. The source that then has the most connections loses its oldest one, even if
    // it is the newcomer's own source.
    const auto own = crowds_.find(key);
    const bool is_own = own != crowds_.end() && own->second.size() + 1 > ranks_.begin()->count;
    gives_way = is_own ? *own->second.begin() : ranks_.begin()->oldest;
    end(*gives_way);
  }
  const Id id = ++last_id_;
  places_.emplace(id, Place{key});
  join(key, id);
  return {.id = id, .gives_way = gives_way};
}

void Gate::proven(Id id) {
  const auto place = places_.find(id);
  if (place == places_.end()) return;
  penalties_.erase(place->second.key);
  if (std::exchange(place->second.gives_way, false)) leave(place->second.key, id);
}

void Gate::end(Id id) {
  const auto place = places_.find(id);
  if (place == places_.end()) return;
  if (place->second.gives_way) leave(place->second.key, id);
  places_.erase(place);
}

void Gate::join(const Key& key, Id id) {
  std::set<Id>& crowd = crowds_[key];
  if (!crowd.empty()) ranks_.erase({crowd.size(), *crowd.begin()});
  crowd.insert(crowd.end(), id);
  ranks_.insert({crowd.size(), *crowd.begin()});
}

void Gate::leave(const Key& key, Id id) {
  const auto found = crowds_.find(key);
  std::set<Id>& crowd = found->second;
  ranks_.erase({crowd.size(), *crowd.begin()});
  crowd.erase(id);
  if (crowd.empty()) {
    crowds_.erase(found);
  } else {
    ranks_.insert({crowd.size(), *crowd.begin()});
  }
}

bool Gate::is_forgotten(const Penalty& penalty, TimePoint now) const {
  return now >= penalty.until + options_.penalty_memory;
}

/// Penalties are only for addresses with limits: processes of one host, or of one user, must not lock each other out.
void Gate::failed(const Origin& source, TimePoint now) {
  if (!std::holds_alternative<IpAddress>(source) || is_exempt(source)) return;
  while (penalties_.oldest() && is_forgotten(*penalties_.oldest(), now)) penalties_.drop_oldest();
  const Key key = key_of(source);
  if (!penalties_.find(key) && penalties_.size() >= options_.max_penalties) penalties_.drop_oldest();
  Penalty& penalty = penalties_.touch(key);
  const bool is_first = penalty.length == Duration::zero() || is_forgotten(penalty, now);
  penalty.length = is_first ? options_.first_penalty : std::min<Duration>(penalty.length * 2, options_.longest_penalty);
  penalty.until = now + penalty.length;
}

Gate::Telling Gate::tell(const Origin& source, TimePoint now) {
  if (std::holds_alternative<std::monostate>(source)) return {};
  const Key key = key_of(source);
  const auto is_recent = [&](const Told& told) { return now < told.at + options_.log_interval; };
  if (Told* told = told_.find(key); told && is_recent(*told)) {
    // Several slaves share a user, or the loopback address: errors of one must not hide those of another.
    if ((is_exempt(source) || key.is_user) && told->lines < options_.max_log_lines) {
      ++told->lines;
      return {};
    }
    ++told->untold;
    return {.aloud = false};
  } else if (!told && told_.size() >= options_.max_log_sources) {
    if (is_recent(*told_.oldest())) {
      ++untold_of_others_;
      return {.aloud = false};
    }
    untold_of_others_ += told_.oldest()->untold;
    told_.drop_oldest();
  }
  Told& told = told_.touch(key);
  told.at = now;
  told.lines = 1;
  return {
      .aloud = true, .untold = std::exchange(told.untold, 0), .untold_of_others = std::exchange(untold_of_others_, 0)};
}

}  // namespace remsh

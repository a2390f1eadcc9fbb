#include "master/names.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace remsh {

namespace {

std::string pace_key(const std::string& name, const std::string& key_id) { return name + ":" + key_id; }

}  // namespace

NameRuling rule_on_name(bool has_key, Proof newcomer, std::optional<Proof> holder) noexcept {
  const auto may_have_it = [has_key](Proof proof) { return proof != Proof::none || !has_key; };
  if (!may_have_it(newcomer)) return NameRuling::is_keyed;
  if (!holder) return NameRuling::comes_in;
  if (!may_have_it(*holder)) return NameRuling::displaces;
  if (newcomer == Proof::none && *holder != Proof::none) return NameRuling::is_taken;
  return NameRuling::asks;
}

Names::ListenerId Names::join(const std::shared_ptr<auth::KeyStore>& keys, std::function<void()> check) {
  const auto told = std::make_shared<const std::function<void()>>([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->keys_changed();
  });
  if (keys) keys->on_change(told);
  const ListenerId id = [&] {
    const std::lock_guard lock(mutex_);
    listeners_.emplace(++last_id_, Listener{keys, std::move(check), told});
    return last_id_;
  }();
  if (keys) keys_changed();
  return id;
}

void Names::leave(ListenerId listener) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = listeners_.find(listener);
    if (at == listeners_.end()) return;
    const bool had_keys = at->second.keys != nullptr;
    listeners_.erase(at);
    if (!had_keys) return;
  }
  keys_changed();
}

void Names::keys_changed() const {
  std::vector<std::function<void()>> checks;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, listener] : listeners_) checks.push_back(listener.check);
  }
  for (const auto& check : checks) check();
}

bool Names::has_key(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [name](const auto& one) { return one.second.keys && one.second.keys->has(name); });
}

bool Names::expects(std::string_view name, auth::WallTime now) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(listeners_.begin(), listeners_.end(),
                     [name, now](const auto& one) { return one.second.keys && one.second.keys->expects(name, now); });
}

std::vector<std::string> Names::expected(auth::WallTime now) const {
  std::vector<std::shared_ptr<const auth::KeyStore>> stores;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, listener] : listeners_) {
      if (listener.keys) stores.push_back(listener.keys);
    }
  }
  std::vector<std::string> names;
  for (const auto& store : stores) {
    const std::vector<std::string> more = store->expected(now);
    std::vector<std::string> merged;
    std::set_union(names.begin(), names.end(), more.begin(), more.end(), std::back_inserter(merged));
    names.swap(merged);
  }
  return names;
}

Names::Claim Names::claim(const Newcomer& newcomer, const std::function<std::optional<Proof>()>& find_holder,
                          TimePoint now) {
  const auto& [name, proof, key_id] = newcomer;
  const auto is_refused = [](NameRuling ruling) {
    return ruling == NameRuling::is_taken || ruling == NameRuling::is_keyed;
  };
  const bool is_keyed = has_key(name);
  const bool has_entered = is_entering(name) && find_holder().has_value();
  Claim made;
  {
    const std::lock_guard lock(mutex_);
    const auto other = claims_.find(name);
    const auto claimant = other == claims_.end() ? std::nullopt : std::optional(other->second.proof);
    made.ruling = rule_on_name(is_keyed, proof, claimant);
    // A claimant cannot be pinged before it is in the collection.
    if (made.ruling == NameRuling::asks && !has_entered) made.ruling = NameRuling::is_taken;
    if (is_refused(made.ruling)) return made;
    made.id = ++last_id_;
    claims_.insert_or_assign(name, Claimant{made.id, proof});
  }
  // Only now, so that a slave that had the claim before is either found in the collection, or has not released it yet.
  made.ruling = rule_on_name(is_keyed, proof, find_holder());
  if (!is_refused(made.ruling) && proof != Proof::started) {
    const std::lock_guard lock(mutex_);
    made.wait = pace_.ask_if_known(pace_key(name, key_id), now).wait;
    if (made.wait > Duration::zero()) made.ruling = NameRuling::too_often;
  }
  if (is_refused(made.ruling) || made.ruling == NameRuling::too_often) release(name, std::exchange(made.id, 0));
  return made;
}

void Names::note_end(const std::string& name, const std::string& key_id, TimePoint now) {
  const std::lock_guard lock(mutex_);
  pace_.remember(pace_key(name, key_id), now);
}

bool Names::holds(const std::string& name, ClaimId claim) const {
  const std::lock_guard lock(mutex_);
  const auto found = claims_.find(name);
  return found != claims_.end() && found->second.id == claim;
}

void Names::begin_to_enter(const std::string& name, ClaimId claim) {
  const std::lock_guard lock(mutex_);
  const auto found = claims_.find(name);
  if (found != claims_.end() && found->second.id == claim) found->second.is_entering = true;
}

bool Names::is_entering(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = claims_.find(name);
  return found != claims_.end() && found->second.is_entering;
}

void Names::release(const std::string& name, ClaimId claim) {
  const std::lock_guard lock(mutex_);
  const auto found = claims_.find(name);
  if (found != claims_.end() && found->second.id == claim) claims_.erase(found);
}

}  // namespace remsh

#include "master/name_claim.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"
#include "master/admissions.hpp"
#include "master/rights_watch.hpp"

#include <remsh/base/error.hpp>
#include <remsh/master/slave.hpp>

#include <chrono>
#include <exception>
#include <utility>

namespace remsh {

std::optional<EntryRefusal> NameClaim::claim(Names::Newcomer newcomer) {
  newcomer_ = std::move(newcomer);
  std::shared_ptr<Slave> holder;
  const auto find_holder = [&]() -> std::optional<Proof> {
    SlaveCollection& slaves = admissions_.options().slave_collection;
    holder = slaves.find(newcomer_.name);
    if (holder && !holder->is_connected()) {  // its end has not been reported to the collection yet
      slaves.remove_slave(*holder);
      holder.reset();
    }
    return holder ? std::optional(Admissions::proof_of(*holder)) : std::nullopt;
  };
  const Names::Claim claim = admissions_.names()->claim(newcomer_, find_holder, admissions_.loop()->now());
  id_ = claim.id;
  if (claim.ruling == NameRuling::is_keyed) {
    return EntryRefusal{auth::Refusal::rejected,
                        formatted("'{}' has a key, and this slave has proven none", newcomer_.name)};
  }
  if (claim.ruling == NameRuling::too_often) {
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(claim.wait);
    return EntryRefusal{auth::Refusal::rejected, "it comes too often: it may come again in " + in_rounded_seconds(wait),
                        wait};
  }
  if (claim.ruling == NameRuling::is_taken || (holder && !displace(holder, claim.ruling))) {
    return EntryRefusal{auth::Refusal::name_in_use,
                        formatted("a slave with the name '{}' is connected", newcomer_.name),
                        EntryRefusal::usual_retry};
  }
  return std::nullopt;
}

bool NameClaim::claim_if_free(const Names::Newcomer& newcomer) {
  newcomer_ = newcomer;
  bool is_free = !admissions_.has_slave(newcomer_.name);
  if (!is_free) return false;
  const auto find_holder = [&]() -> std::optional<Proof> {
    if (admissions_.has_slave(newcomer_.name)) is_free = false;  // it has just come
    return std::nullopt;
  };
  const Names::Claim claim = admissions_.names()->claim(newcomer_, find_holder, admissions_.loop()->now());
  id_ = claim.id;
  if (is_free && claim.ruling == NameRuling::comes_in) return true;
  release();
  return false;
}

/// Takes the name from the slave that has it. False if that slave keeps it.
bool NameClaim::displace(const std::shared_ptr<Slave>& holder, NameRuling ruling) {
  if (ruling == NameRuling::displaces) {
    holder->disconnect(RightsWatch::name_has_key, DisconnectReason::refused);
  } else {
    try {
      holder->ping({.deadline = admissions_.options().arbitration_timeout});
      return false;
    } catch (const Timeout&) {
      admissions_.log_slave(LogLevel::warning, newcomer_.name, newcomer_.proof,
                            "the slave of this name does not answer, a new one takes its place");
      holder->disconnect("another slave of this name has come, and this one did not answer", DisconnectReason::silent);
    } catch (const ConnectionLost&) {  // it has left by itself
    } catch (const Error&) {
      return false;  // it is alive, and cannot answer now
    }
  }
  admissions_.options().slave_collection.remove_slave(*holder);
  return true;
}

std::string NameClaim::enter(const std::shared_ptr<Slave>& slave) {
  if (!admissions_.names()->holds(newcomer_.name, id_)) return RightsWatch::name_has_key;
  admissions_.names()->begin_to_enter(newcomer_.name, id_);
  SlaveCollection& slaves = admissions_.options().slave_collection;
  for (;;) {
    try {
      const bool is_in = slaves.add_slave(slave) || slaves.find(newcomer_.name) == slave;  // setup() may have added it
      return is_in ? "" : slave->lost_reason();
    } catch (const Error& error) {
      if (error.code() != Errc::in_use || !displace_late()) return error.what();
    } catch (const std::exception& error) {
      return error.what();
    }
  }
}

bool NameClaim::enter_if_free(const std::shared_ptr<Slave>& slave, Leftovers& leftovers) {
  if (!admissions_.names()->holds(newcomer_.name, id_)) return false;
  admissions_.names()->begin_to_enter(newcomer_.name, id_);
  try {
    return admissions_.add_here(slave, leftovers);
  } catch (const std::exception&) {
    return false;  // enter() tries again, and says why
  }
}

/// Whether the name, which another slave had when this one entered, is free now. That other slave had only a claim when
/// this one displaced it, and entered nevertheless.
bool NameClaim::displace_late() {
  const std::shared_ptr<Slave> holder = admissions_.options().slave_collection.find(newcomer_.name);
  if (!holder) return true;
  const auto ruling =
      rule_on_name(admissions_.names()->has_key(newcomer_.name), newcomer_.proof, Admissions::proof_of(*holder));
  return ruling == NameRuling::displaces && displace(holder, ruling);
}

void NameClaim::release() noexcept {
  if (id_ != 0) admissions_.names()->release(newcomer_.name, std::exchange(id_, 0));
}

}  // namespace remsh

// NameClaim: how a newcomer gets a name, and enters the collection under it.
#pragma once

#include "master/lost_callback.hpp"
#include "master/names.hpp"
#include "master/worker_protocol.hpp"

#include <memory>
#include <optional>
#include <string>

namespace remsh {

class Admissions;
class Slave;

/// The claim of one newcomer to its name, from its proof until it is in the collection or gone. Names has the rule, and
/// this class carries it out: it pings the slave that has the name, and disconnects the one that loses it. claim() and
/// enter() run on service threads, and may block for `arbitration_timeout`. One thread at a time.
class NameClaim {
 public:
  explicit NameClaim(Admissions& admissions) : admissions_(admissions) {}
  NameClaim(const NameClaim&) = delete;
  NameClaim& operator=(const NameClaim&) = delete;
  ~NameClaim() { release(); }

  /// Claims the name. Returns why the newcomer does not get it; nullopt if it does.
  std::optional<EntryRefusal> claim(Names::Newcomer newcomer);

  /// The same on the loop, if no slave has the name and nothing is against it. False: claim() has to decide.
  [[nodiscard]] bool claim_if_free(const Names::Newcomer& newcomer);

  [[nodiscard]] bool is_made() const noexcept { return id_ != 0; }

  /// Adds the newcomer's slave to the collection. Returns why it is not in there; empty if it is.
  std::string enter(const std::shared_ptr<Slave>& slave);

  /// The same on the loop, if no other slave has got the name. False: enter() has to decide. What it drops goes to
  /// `leftovers`.
  [[nodiscard]] bool enter_if_free(const std::shared_ptr<Slave>& slave, Leftovers& leftovers);

  /// Releases the claim.
  void release() noexcept;

 private:
  [[nodiscard]] bool displace(const std::shared_ptr<Slave>& holder, NameRuling ruling);
  [[nodiscard]] bool displace_late();

  Admissions& admissions_;
  Names::Newcomer newcomer_;
  Names::ClaimId id_ = 0;  // 0: none
};

}  // namespace remsh

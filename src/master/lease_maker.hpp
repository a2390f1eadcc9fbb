// LeaseMaker: makes the lease of a slave that was reserved in a pool.
#pragma once

#include "master/slave_pool.hpp"

#include <remsh/master/lease.hpp>

#include <memory>

namespace remsh {

/// Allocates what a lease needs before the slave is reserved, so that nothing can fail afterwards.
class LeaseMaker {
 public:
  explicit LeaseMaker(const std::shared_ptr<SlavePool>& pool);
  LeaseMaker(const LeaseMaker&) = delete;
  LeaseMaker& operator=(const LeaseMaker&) = delete;
  ~LeaseMaker();

  /// Makes the lease of a slave, or of a share of it, that was just reserved. Call it once.
  Lease make(const SlaveEntry& entry, Tick lease, bool is_share) noexcept;

 private:
  std::unique_ptr<Lease::Holder> holder_;
};

}  // namespace remsh

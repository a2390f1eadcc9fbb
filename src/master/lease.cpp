#include <remsh/master/lease.hpp>

#include "base/operations_end.hpp"
#include "master/backend.hpp"
#include "master/lease_maker.hpp"
#include "master/slave_pool.hpp"

#include <remsh/base/error.hpp>

#include <utility>

namespace remsh {

/// What a lease gives back, and to which pool. The back end lives as long as the slave of the lease.
struct Lease::Holder {
  /// Ends a lease when every operation that was started under it has ended.
  class LeaseEnd final : public OperationsEnd {
   public:
    explicit LeaseEnd(std::weak_ptr<SlavePool> of) : pool_(std::move(of)) {}

    void note() noexcept override {
      if (const auto its_pool = pool_.lock()) its_pool->end_lease(lease);
    }

    Tick lease = 0;

   private:
    const std::weak_ptr<SlavePool> pool_;
  };

  std::weak_ptr<SlavePool> pool;
  std::unique_ptr<LeaseEnd> end;
  Backend* backend = nullptr;
};

LeaseMaker::LeaseMaker(const std::shared_ptr<SlavePool>& pool)
    : holder_(std::make_unique<Lease::Holder>(Lease::Holder{pool, std::make_unique<Lease::Holder::LeaseEnd>(pool)})) {}

LeaseMaker::~LeaseMaker() = default;

Lease LeaseMaker::make(const SlaveEntry& entry) noexcept {
  holder_->backend = &entry.backend;
  holder_->end->range.first = entry.backend.next_operation();  // those that begin from now on
  holder_->end->lease = ByTick::of(&entry);
  return {entry.slave, std::move(holder_)};
}

Lease::Lease() noexcept = default;
Lease::Lease(std::shared_ptr<Slave> slave, std::unique_ptr<Holder> holder)
    : slave_(std::move(slave)), holder_(std::move(holder)) {}
Lease::Lease(Lease&&) noexcept = default;

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    slave_ = std::move(other.slave_);
    holder_ = std::move(other.holder_);
  }
  return *this;
}

Lease::~Lease() { release(); }

void Lease::throw_empty() {
  throw Error(Errc::invalid_argument, {}, "Lease",
              "the lease is empty: no slave came before the deadline of reserve(), or the lease was released or moved "
              "from. Test it before you use it: if (lease) ...");
}

void Lease::release() noexcept {
  const auto holder = std::move(holder_);
  const auto slave = std::move(slave_);
  if (!holder) return;
  const Tick lease = holder->end->lease;
  holder->end->range.end = holder->backend->next_operation();
  holder->backend->notify_when_over(std::move(holder->end));
  if (const auto pool = holder->pool.lock()) pool->note_release(lease);
}

void Lease::release_now() noexcept {
  const auto holder = std::move(holder_);
  const auto slave = std::move(slave_);
  if (!holder) return;
  if (const auto pool = holder->pool.lock()) pool->end_lease(holder->end->lease);
}

}  // namespace remsh

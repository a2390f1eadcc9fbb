#include <remsh/master/lease.hpp>

#include "base/operations_end.hpp"
#include "master/backend.hpp"
#include "master/lease_maker.hpp"
#include "master/slave_pool.hpp"

#include <remsh/base/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

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

  /// How many operations are left that a lease waits for.
  struct Left {
    std::unique_ptr<LeaseEnd> end;
    std::atomic<std::size_t> count = 0;
  };

  /// The end of one of several operations, the last of which ends the lease.
  class OneEnd final : public OperationsEnd {
   public:
    explicit OneEnd(std::shared_ptr<Left> of) : left_(std::move(of)) {}

    void note() noexcept override {
      if (--left_->count == 0) left_->end->note();
    }

   private:
    const std::shared_ptr<Left> left_;
  };

  void release_share() noexcept;
  void wait_for(const std::vector<std::uint64_t>& operations);

  std::weak_ptr<SlavePool> pool;
  std::unique_ptr<LeaseEnd> end;
  Backend* backend = nullptr;
  bool is_share = false;
  bool expects = false;  // the slave's end
};

/// Others use the slave, too, so only those operations count that were started during the lease and whose callers have
/// left.
void Lease::Holder::release_share() noexcept {
  try {
    std::vector<std::uint64_t> left;
    for (const OperationInProgress& operation : backend->operations().list()) {
      if (operation.caller_left && end->range.contains(operation.id)) left.push_back(operation.id);
    }
    wait_for(left);
  } catch (const std::exception&) {  // no memory: all that were started during the lease count
  }
  if (end) backend->notify_when_over(std::move(end));
}

/// Ends the lease when these operations have ended.
void Lease::Holder::wait_for(const std::vector<std::uint64_t>& operations) {
  if (operations.empty()) return std::exchange(end, nullptr)->note();
  std::vector<std::unique_ptr<OneEnd>> ends;
  const auto left = std::make_shared<Left>();
  for (const std::uint64_t operation : operations) {
    ends.push_back(std::make_unique<OneEnd>(left));
    ends.back()->range = {operation, operation + 1};
  }
  left->count = ends.size();
  left->end = std::move(end);
  for (auto& one : ends) backend->notify_when_over(std::move(one));
}

LeaseMaker::LeaseMaker(const std::shared_ptr<SlavePool>& pool)
    : holder_(std::make_unique<Lease::Holder>(
          Lease::Holder{.pool = pool, .end = std::make_unique<Lease::Holder::LeaseEnd>(pool)})) {}

LeaseMaker::~LeaseMaker() = default;

Lease LeaseMaker::make(const SlaveEntry& entry, Tick lease, bool is_share) noexcept {
  holder_->backend = &entry.backend;
  holder_->end->range.first = entry.backend.next_operation();  // those that begin from now on
  holder_->end->lease = lease;
  holder_->is_share = is_share;
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

void Lease::expect_disconnect(const std::string& why) {
  if (!holder_) throw_empty();
  const auto pool = holder_->pool.lock();
  if (!pool || !pool->expect(holder_->end->lease, why)) {
    throw Error(
        Errc::invalid_argument, slave_->name(), "expect_disconnect",
        holder_->is_share ? "the lease is of a share of the slave: others use it, too" : "the slave has left already");
  }
  holder_->expects = true;
  if (holder_->backend->is_draining()) holder_->backend->let_go_when_idle();  // it had waited for the end of the lease
}

bool Lease::wait_for_successor(Deadline deadline, const std::stop_token& stop) {
  if (!holder_) throw_empty();
  if (!holder_->expects) {
    throw Error(Errc::invalid_argument, slave_->name(), "wait_for_successor", "call expect_disconnect() before");
  }
  const auto pool = holder_->pool.lock();
  if (!pool) return false;
  LeaseMaker maker(pool);
  for (;;) {
    const std::uint64_t seen = pool->version();
    if (const auto successor = pool->take_successor(holder_->backend->name())) {
      holder_.reset();  // that lease ended with its slave
      *this = maker.make(*successor, successor->tick, false);
      return true;
    }
    const SlavePool::Change change{.version = seen, .count = 0};
    if (!pool->wait_for(change, "wait_for_successor", deadline, stop)) return false;
  }
}

void Lease::release() noexcept { give_back(false); }

void Lease::release_now() noexcept { give_back(true); }

void Lease::give_back(bool now) noexcept {
  const auto holder = std::move(holder_);
  const auto slave = std::move(slave_);
  if (!holder) return;
  const auto pool = holder->pool.lock();
  if (pool && holder->expects) pool->stop_expecting(holder->backend->name());
  const Tick lease = holder->end->lease;
  if (now) {
    if (pool) pool->end_lease(lease);
    return;
  }
  holder->end->range.end = holder->backend->next_operation();
  if (holder->is_share) {
    holder->release_share();
  } else {
    holder->backend->notify_when_over(std::move(holder->end));
  }
  if (pool) pool->note_release(lease);
}

}  // namespace remsh

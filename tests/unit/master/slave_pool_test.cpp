// SlavePool: what it drops. What it does with requests is in slave_collection_test.cpp and shares_test.cpp.
#include "master/slave_pool.hpp"

#include "support/fake_backend.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>

namespace remsh {
namespace {

using remsh::test::FakeSlave;

/// Puts a slave into a pool, as a collection does.
std::shared_ptr<SlaveEntry> put_into(SlavePool& pool, const FakeSlave& slave) {
  auto entry = std::make_shared<SlaveEntry>(slave.slave, *slave.backend);
  CHECK(pool.add(entry));
  return entry;
}

TEST_CASE("a slave that comes drops no list of slaves, and one that leaves hands it to its caller") {
  SlavePool pool;
  std::optional<FakeSlave> old("old");
  const std::weak_ptr<Slave> object = old->slave;
  auto entry = put_into(pool, *old);
  const std::weak_ptr<const SlaveEntries> list = pool.entries();
  const FakeSlave newcomer("new");
  const auto other = put_into(pool, newcomer);
  CHECK_FALSE(list.expired());
  std::shared_ptr<const SlaveEntries> dropped;
  CHECK(pool.remove(entry, dropped));
  CHECK(dropped == list.lock());
  entry.reset();
  old.reset();
  CHECK_FALSE(object.expired());
  dropped.reset();
  CHECK(object.expired());
}

TEST_CASE("a list of slaves is whole and in their order, whenever slaves have come and left") {
  SlavePool pool;
  const FakeSlave a("a");
  const FakeSlave b("b");
  const FakeSlave c("c");
  const auto names = [&pool] {
    std::string all;
    for (const auto& entry : *pool.entries()) all += entry->slave->name();
    return all;
  };
  CHECK(names().empty());
  const auto entry_of_a = put_into(pool, a);
  CHECK(names() == "a");
  const auto entry_of_b = put_into(pool, b);
  CHECK(pool.remove(entry_of_a));
  const auto entry_of_c = put_into(pool, c);
  CHECK(names() == "bc");
  CHECK(pool.remove(entry_of_b));
  const auto again = put_into(pool, a);
  CHECK(names() == "ca");
}

}  // namespace
}  // namespace remsh

// SlaveFilter: labels, and how filters are combined.
#include <remsh/master/slave_collection.hpp>

#include "support/fake_backend.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

using namespace remsh;

namespace {

std::shared_ptr<Slave> labelled(const std::string& name, const std::map<std::string, std::string>& labels) {
  return std::make_shared<Slave>(SlaveInit({.name = name, .labels = labels}, std::make_shared<test::FakeBackend>()));
}

}  // namespace

TEST_CASE("label() accepts the slaves that have the label, with its value if one is asked for") {
  const auto slave = labelled("a", {{"os", "linux"}, {"gpu", ""}});
  CHECK(label("os", "linux")(*slave));
  CHECK_FALSE(label("os", "bsd")(*slave));
  CHECK_FALSE(label("os", "")(*slave));
  CHECK_FALSE(label("linux", "os")(*slave));
  CHECK(label("os")(*slave));
  CHECK(label("gpu")(*slave));
  CHECK(label("gpu", "")(*slave));
  CHECK_FALSE(label("o")(*slave));
  CHECK_FALSE(label("disk", "")(*slave));
}

TEST_CASE("a slave has a label, or not") {
  const auto slave = labelled("a", {{"os", "linux"}, {"gpu", ""}});
  CHECK(slave->label("os") == "linux");
  CHECK(slave->label("gpu") == "");
  CHECK_FALSE(slave->label("disk"));
}

TEST_CASE("filters combine with &&, || and !, also with functions") {
  const auto slave = labelled("a", {{"os", "linux"}, {"gpu", ""}});
  const auto is_a = [](const Slave& one) { return one.name() == "a"; };
  const auto is_b = [](const Slave& one) { return one.name() == "b"; };
  CHECK((label("os", "linux") && label("gpu"))(*slave));
  CHECK_FALSE((label("os", "linux") && label("disk"))(*slave));
  CHECK((label("os", "bsd") || label("gpu"))(*slave));
  CHECK_FALSE((label("os", "bsd") || label("disk"))(*slave));
  CHECK((!label("disk"))(*slave));
  CHECK_FALSE((!label("gpu"))(*slave));
  CHECK((label("gpu") && is_a)(*slave));
  CHECK_FALSE((label("gpu") && is_b)(*slave));
  CHECK((is_b || label("gpu"))(*slave));
  CHECK((!(label("os", "bsd") || is_b) && label("gpu") && is_a)(*slave));
}

TEST_CASE("the second of two filters is called only if the first has not decided") {
  const auto slave = labelled("a", {});
  int calls = 0;
  const SlaveFilter counts = [&](const Slave&) { return ++calls > 0; };
  CHECK_FALSE((label("gpu") && counts)(*slave));
  CHECK((!label("gpu") || counts)(*slave));
  CHECK(calls == 0);
  CHECK((label("gpu") || counts)(*slave));
  CHECK(calls == 1);
}

TEST_CASE("an empty filter accepts every slave") {
  const auto slave = labelled("a", {});
  const std::function<bool(const Slave&)> none;
  CHECK(SlaveFilter()(*slave));
  CHECK(SlaveFilter(none)(*slave));
  CHECK((SlaveFilter() && none)(*slave));
  CHECK_FALSE((!SlaveFilter())(*slave));
}

TEST_CASE("get_slave() and reserve() find slaves by their labels") {
  SlaveCollection slaves;
  const auto linux = labelled("a", {{"os", "linux"}});
  const auto bsd = labelled("b", {{"os", "bsd"}, {"gpu", ""}});
  slaves.add_slave(linux);
  slaves.add_slave(bsd);
  CHECK(slaves.get_slave(no_wait, label("os", "linux")) == linux);
  CHECK(slaves.get_slave({.filter = label("gpu"), .deadline = no_wait}) == bsd);
  CHECK(slaves.get_slave(no_wait, label("os", "linux") && label("gpu")) == nullptr);
  const Lease lease = slaves.reserve({.filter = !label("gpu"), .deadline = no_wait});
  REQUIRE(lease);
  CHECK(lease.slave() == linux);
}

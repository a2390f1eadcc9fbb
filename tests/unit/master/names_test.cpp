// The rule about names, and claims on them.
#include "master/names.hpp"

#include "support/begin_time.hpp"

#include <remsh/auth/key_ring.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {
using remsh::test::begin_time;

namespace {

using Ruling = NameRuling;

std::optional<Proof> nobody() { return std::nullopt; }

Names::Claim claim(Names& names, const std::string& name, Proof proof,
                   const std::function<std::optional<Proof>()>& find_holder = nobody) {
  return names.claim({name, proof}, find_holder, begin_time);
}

}  // namespace

TEST_CASE("the rule about names: who comes in, who is asked, and who is displaced") {
  struct Case {
    bool has_key;
    Proof newcomer;
    std::optional<Proof> holder;
    Ruling ruling;
  };
  constexpr auto free = std::nullopt;
  const std::vector<Case> cases{
      // No listener has a key for the name.
      {false, Proof::none, free, Ruling::comes_in},
      {false, Proof::none, Proof::none, Ruling::asks},
      {false, Proof::none, Proof::key, Ruling::is_taken},  // the key has just ended
      {false, Proof::none, Proof::started, Ruling::is_taken},
      {false, Proof::key, free, Ruling::comes_in},
      {false, Proof::key, Proof::none, Ruling::asks},
      {false, Proof::key, Proof::key, Ruling::asks},
      {false, Proof::key, Proof::started, Ruling::asks},
      {false, Proof::started, free, Ruling::comes_in},
      {false, Proof::started, Proof::none, Ruling::asks},
      {false, Proof::started, Proof::key, Ruling::asks},
      {false, Proof::started, Proof::started, Ruling::asks},
      // One has.
      {true, Proof::none, free, Ruling::is_keyed},
      {true, Proof::none, Proof::none, Ruling::is_keyed},
      {true, Proof::none, Proof::key, Ruling::is_keyed},
      {true, Proof::none, Proof::started, Ruling::is_keyed},
      {true, Proof::key, free, Ruling::comes_in},
      {true, Proof::key, Proof::none, Ruling::displaces},  // it came before the key did
      {true, Proof::key, Proof::key, Ruling::asks},
      {true, Proof::key, Proof::started, Ruling::asks},
      {true, Proof::started, free, Ruling::comes_in},
      {true, Proof::started, Proof::none, Ruling::displaces},
      {true, Proof::started, Proof::key, Ruling::asks},
      {true, Proof::started, Proof::started, Ruling::asks},
  };
  for (const Case& one : cases) {
    CAPTURE(one.has_key);
    CAPTURE(static_cast<int>(one.newcomer));
    CAPTURE(one.holder ? static_cast<int>(*one.holder) : -1);
    CHECK(rule_on_name(one.has_key, one.newcomer, one.holder) == one.ruling);
  }
}

TEST_CASE("a name has a key for as long as any listener of the collection has one for it") {
  const auto names = std::make_shared<Names>();
  KeyRing first;
  KeyRing second;
  const auto keyless = names->join(nullptr, [] {});
  const auto one = names->join(auth::KeyStore::of(first), [] {});
  const auto two = names->join(auth::KeyStore::of(second), [] {});
  CHECK_FALSE(names->has_key("w1"));
  auto key = first.register_slave("w1", make_key());
  const auto other = second.register_slave("w1", make_key(), {.expires = std::chrono::system_clock::time_point{}});
  CHECK(names->has_key("w1"));
  CHECK_FALSE(names->has_key("w2"));
  key.drop();
  CHECK(names->has_key("w1"));  // one that has expired counts, too
  names->leave(two);
  CHECK_FALSE(names->has_key("w1"));
  names->leave(one);
  names->leave(keyless);
}

TEST_CASE("every listener is told of every change of keys, by call, and when a listener comes or leaves with keys") {
  const auto names = std::make_shared<Names>();
  int told = 0;
  names->join(nullptr, [&told] { ++told; });
  CHECK(told == 0);
  KeyRing ring;
  const auto id = names->join(auth::KeyStore::of(ring), [] {});
  CHECK(told == 1);
  auto key = ring.register_slave("w1", make_key());
  CHECK(told == 2);
  key.update(make_key());
  CHECK(told == 3);
  key.drop();
  CHECK(told == 4);
  key.drop();
  CHECK(told == 4);
  names->leave(id);
  CHECK(told == 5);
  const auto unheard = ring.register_slave("w1", make_key());
  CHECK(told == 5);
}

TEST_CASE("one newcomer at a time has a claim on a name, whatever listener it comes to") {
  const auto names = std::make_shared<Names>();
  const auto first = claim(*names, "w1", Proof::none);
  CHECK(first.ruling == Ruling::comes_in);
  for (const Proof proof : {Proof::none, Proof::key, Proof::started}) {
    CHECK(claim(*names, "w1", proof).ruling == Ruling::is_taken);
  }
  CHECK(claim(*names, "w2", Proof::none).ruling == Ruling::comes_in);
  CHECK(names->holds("w1", first.id));
  names->release("w1", first.id);
  CHECK_FALSE(names->holds("w1", first.id));
  const auto next = claim(*names, "w1", Proof::key, [] { return Proof::key; });
  CHECK(next.ruling == Ruling::asks);
  names->release("w1", first.id);  // which it has lost
  CHECK(names->holds("w1", next.id));
}

TEST_CASE("a slave that has entered the collection is asked, also before it has released its claim") {
  const auto names = std::make_shared<Names>();
  const auto first = claim(*names, "w1", Proof::none);
  names->begin_to_enter("w1", first.id);
  CHECK(claim(*names, "w1", Proof::none).ruling == Ruling::is_taken);  // it is not there yet
  const auto next = claim(*names, "w1", Proof::none, [] { return Proof::none; });
  CHECK(next.ruling == Ruling::asks);
  CHECK(claim(*names, "w1", Proof::none, [] { return Proof::none; }).ruling == Ruling::is_taken);  // it is asked now
  names->release("w1", first.id);
  CHECK(names->holds("w1", next.id));
}

TEST_CASE("a refused newcomer has no claim") {
  const auto names = std::make_shared<Names>();
  const auto refused = claim(*names, "w1", Proof::none, [] { return Proof::started; });
  CHECK(refused.ruling == Ruling::is_taken);
  CHECK(refused.id == 0);
  CHECK(claim(*names, "w1", Proof::none).ruling == Ruling::comes_in);
}

TEST_CASE("when a key comes, who proves it takes the claim of a newcomer that has proven nothing, and no other") {
  const auto names = std::make_shared<Names>();
  KeyRing ring;
  names->join(auth::KeyStore::of(ring), [] {});
  const auto first = claim(*names, "w1", Proof::none);
  const auto key = ring.register_slave("w1", make_key());
  CHECK(claim(*names, "w1", Proof::none).ruling == Ruling::is_keyed);
  const auto owner = claim(*names, "w1", Proof::key);
  CHECK(owner.ruling == Ruling::comes_in);
  CHECK_FALSE(names->holds("w1", first.id));
  CHECK(claim(*names, "w1", Proof::key).ruling == Ruling::is_taken);
  names->release("w1", first.id);
  CHECK(names->holds("w1", owner.id));
}

TEST_CASE("a slave that comes again and again is slowed down, and no other is") {
  const auto names = std::make_shared<Names>();
  using namespace std::chrono_literals;
  const auto come = [&](const Names::Newcomer& newcomer, TimePoint now) {
    const auto claim = names->claim(newcomer, nobody, now);
    if (claim.id != 0) {
      names->release(newcomer.name, claim.id);
      if (newcomer.proof != Proof::started) names->note_end(newcomer.name, newcomer.key_id, now);
    }
    return claim;
  };
  for (std::size_t i = 0; i < Names::pace.burst; ++i) {
    CHECK(come({"w1", Proof::key, "01234567"}, begin_time).ruling == Ruling::comes_in);
  }
  const auto refused = come({"w1", Proof::key, "01234567"}, begin_time);
  CHECK(refused.ruling == Ruling::too_often);
  CHECK(refused.id == 0);
  CHECK(refused.wait == Names::pace.interval);
  CHECK(come({"w2", Proof::none}, begin_time).ruling == Ruling::comes_in);
  CHECK(come({"w1", Proof::key, "76543210"}, begin_time).ruling == Ruling::comes_in);  // launched anew, with a new key
  CHECK(come({"w1", Proof::key, "01234567"}, begin_time + refused.wait).ruling == Ruling::comes_in);
  for (std::size_t i = 0; i < 2 * Names::pace.burst; ++i) {
    CHECK(come({"w1", Proof::started}, begin_time).ruling == Ruling::comes_in);  // the host program's own doing
  }
}

}  // namespace remsh

// Names that have a key and no slave: the list, and the notices.
#include "master/missing_watch.hpp"

#include "auth/key_store.hpp"
#include "master/slave_pool.hpp"
#include "support/fake_backend.hpp"
#include "support/fake_clock.hpp"
#include "support/keys.hpp"
#include "support/temp_dir.hpp"
#include "support/told_notices.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::FakeClock;
using remsh::test::FakeSlave;
using remsh::test::key_of;
using remsh::test::line_of;
using remsh::test::TempDir;
using remsh::test::ToldNotices;

namespace {

using Words = std::vector<std::string>;

/// A pool that is watched, with a time that the test moves. The notices come on another thread. One thread at a time.
class WatchedPool {
 public:
  WatchedPool() { watch_->start(); }
  WatchedPool(const WatchedPool&) = delete;
  WatchedPool& operator=(const WatchedPool&) = delete;
  ~WatchedPool() {
    watch_->stop();
    loop_->stop();
    pool->notices->close();
  }

  /// Moves the time, and runs what is due.
  void pass(Duration time) {
    loop_->run_due();  // what happened before, happened before
    clock_.advance(time);
    loop_->run_due();
  }

  Names::ListenerId listen(const KeyRing& keys) {
    return pool->names->join(auth::KeyStore::of(keys), [] {});
  }

  std::shared_ptr<SlaveEntry> come(const FakeSlave& slave) {
    auto entry = std::make_shared<SlaveEntry>(slave.slave, *slave.backend);
    pool->add(entry);
    return entry;
  }

  void lose(const FakeSlave& slave, const std::shared_ptr<SlaveEntry>& entry, const std::string& why) {
    slave.backend->lose({Errc::connection_lost, why, 0, DisconnectReason::cut});
    pool->remove(entry);
  }

  const std::shared_ptr<SlavePool> pool = std::make_shared<SlavePool>();

 private:
  FakeClock clock_;
  const std::shared_ptr<Loop> loop_ = Loop::make_driven(clock_, [] {});
  const std::shared_ptr<MissingWatch> watch_ = std::make_shared<MissingWatch>(pool, loop_, 10min);

 public:
  ToldNotices told;

 private:
  const SlaveSubscription subscription_ = pool->notices->subscribe(std::ref(told));
};

Words names_of_missing(const SlavePool& pool) {
  Words names;
  for (const MissingSlave& one : pool.missing()) names.push_back(one.name);
  return names;
}

}  // namespace

TEST_CASE("a name that has a key and no slave is missing, with when and why the last one left") {
  WatchedPool watched;
  KeyRing keys;
  const auto w1 = keys.register_slave("w1", key_of('1'));
  const auto w2 = keys.register_slave("w2", key_of('2'));
  CHECK(watched.pool->missing().empty());  // no listener has these keys
  watched.listen(keys);
  CHECK(names_of_missing(*watched.pool) == Words{"w1", "w2"});
  CHECK_FALSE(watched.pool->missing().at(0).last_seen);

  const FakeSlave slave("w1");
  const FakeSlave keyless("w3");
  const auto before = std::chrono::system_clock::now();
  const auto entry = watched.come(slave);
  watched.pool->remove(watched.come(keyless));
  CHECK(names_of_missing(*watched.pool) == Words{"w2"});
  watched.lose(slave, entry, "the cable was pulled");
  const std::vector<MissingSlave> missing = watched.pool->missing();
  REQUIRE(missing.size() == 2);
  CHECK(missing[0].name == "w1");
  REQUIRE(missing[0].last_seen);
  CHECK(*missing[0].last_seen >= before);
  CHECK(*missing[0].last_seen <= std::chrono::system_clock::now());
  CHECK(missing[0].reason == DisconnectReason::cut);
  CHECK(missing[0].words == "the cable was pulled");
}

TEST_CASE("a slave that is missing for the time is reported once, and once more when it was there between") {
  WatchedPool watched;
  KeyRing keys;
  const auto w1 = keys.register_slave("w1", key_of('1'));
  const auto w2 = keys.register_slave("w2", key_of('2'));
  watched.listen(keys);
  watched.pass(9min);
  const FakeSlave first("w1");
  const auto entry = watched.come(first);
  watched.pass(1min);  // w2
  watched.pass(1h);    // nothing more
  watched.lose(first, entry, "the cable was pulled");
  watched.pass(10min - 1ns);
  const std::uint64_t version = watched.pool->version();
  watched.pass(1ns);
  CHECK(watched.pool->version() == version + 1);
  watched.pass(1h);
  CHECK(watched.pool->version() == version + 1);
  const FakeSlave second("w1");
  watched.pool->remove(watched.come(second));
  watched.pass(10min);
  CHECK(watched.told.first(7) == Words{"w1 arrived", "w2 missing", "w1 left (cut): the cable was pulled",
                                       "w1 missing (cut): the cable was pulled", "w1 arrived",
                                       "w1 left: it was taken out of the collection",
                                       "w1 missing: it was taken out of the collection"});
}

TEST_CASE("keys that end are not expected any more: dropped, expired, with their listener, or gone from the file") {
  WatchedPool watched;
  const TempDir dir;
  const std::string path = dir / "slaves.keys";
  const auto put = [&](const std::string& text) {
    dir.write("slaves.keys", text);
    ::chmod(path.c_str(), 0600);
  };
  put(line_of("f1", '1') + line_of("f2", '2'));
  const KeyFile file(path);
  KeyRing ring;
  KeyRing others;
  KeyRegistration dropped = ring.register_slave("dropped", key_of('3'));
  const auto now = std::chrono::system_clock::now();
  const auto expired = ring.register_slave("expired", key_of('4'), {.expires = now - 1h});
  const auto expires = ring.register_slave("expires", key_of('5'), {.expires = now + 1h});
  const auto invited = ring.register_slave("invited", key_of('6'), {.expires = now + 1h, .is_invitation = true});
  const auto stays = ring.register_slave("stays", key_of('7'));
  const auto other = others.register_slave("other", key_of('8'));
  watched.listen(file);
  watched.listen(ring);
  const Names::ListenerId leaves = watched.listen(others);
  CHECK(names_of_missing(*watched.pool) == Words{"dropped", "expires", "f1", "f2", "other", "stays"});
  watched.pass(5min);
  dropped.drop();
  watched.pool->names->leave(leaves);
  put(line_of("f2", '2'));
  auth::KeyStore::of(file)->refresh(now + 1h);
  CHECK(names_of_missing(*watched.pool) == Words{"expires", "f2", "stays"});
  watched.pass(5min);
  CHECK(watched.told.first(3) == Words{"expires missing", "f2 missing", "stays missing"});
}

TEST_CASE("a key that is added later, or again, is expected from then on") {
  WatchedPool watched;
  KeyRing keys;
  watched.listen(keys);
  watched.pass(1h);
  auto w1 = keys.register_slave("w1", key_of('1'));
  watched.pass(6min);
  const auto w2 = keys.register_slave("w2", key_of('2'));
  watched.pass(4min);  // w1
  w1.drop();
  watched.pass(0ns);
  w1 = keys.register_slave("w1", key_of('1'));
  watched.pass(6min);  // w2
  watched.pass(4min);  // w1
  CHECK(watched.told.first(3) == Words{"w1 missing", "w2 missing", "w1 missing"});
}

TEST_CASE("slaves that come and go, and keys that change, race with the watch in nothing") {
  const auto pool = std::make_shared<SlavePool>();
  const auto loop = Loop::start();
  const auto watch = std::make_shared<MissingWatch>(pool, loop, 1us);
  watch->start();
  KeyRing keys;
  const auto stays = keys.register_slave("w0", key_of('0'));
  pool->names->join(auth::KeyStore::of(keys), [] {});
  std::thread registers([&] {
    for (int round = 0; round < 100; ++round) {
      const auto dropped = keys.register_slave("w1", key_of('1'));
    }
  });
  std::thread comes([&] {
    for (int round = 0; round < 100; ++round) {
      const FakeSlave slave(round % 2 == 0 ? "w0" : "w1");
      const auto entry = std::make_shared<SlaveEntry>(slave.slave, *slave.backend);
      pool->add(entry);
      pool->remove(entry);
    }
  });
  registers.join();
  comes.join();
  watch->stop();
  loop->stop();
  CHECK(names_of_missing(*pool) == Words{"w0"});
}

TEST_CASE("a negative time is no missing_timeout") {
  CHECK_THROWS_AS(SlaveCollection({.missing_timeout = -1ms}), Error);
}

#include "master/packed_info.hpp"

#include <doctest/doctest.h>

#include <array>
#include <latch>
#include <string>
#include <thread>
#include <vector>

namespace remsh {

TEST_CASE("what a slave told of itself comes out of the block as it went in") {
  CHECK(PackedInfo().name().empty());
  CHECK(PackedInfo().key_id().empty());
  CHECK(PackedInfo().unpack().features.empty());
  const SlaveInfo info{.name = "worker-1",
                       .hostname = std::string(127, 'h'),
                       .system = std::string(128, 's'),
                       .software = std::string(20'000, 'w'),
                       .basedir = Bytes("/srv/\0\xff\n", 8),
                       .boot_id = "boot 1",
                       .instance_id = "process 2",
                       .features = {"", "one", std::string(300, 'f')},
                       .address = "tcp 127.0.0.1:40112",
                       .protocol = "remsh 2",
                       .key_id = "0123abcd",
                       .labels = {{"rack", "7"}, {"zone", std::string(200, 'z')}}};
  const PackedInfo packed(info);
  CHECK(packed.name() == "worker-1");
  CHECK(packed.key_id() == "0123abcd");
  CHECK(packed.address() == "tcp 127.0.0.1:40112");
  CHECK(packed.boot_id() == "boot 1");
  CHECK(packed.instance_id() == "process 2");
  const SlaveInfo unpacked = packed.unpack();
  CHECK(unpacked.name == info.name);
  CHECK(unpacked.hostname == info.hostname);
  CHECK(unpacked.system == info.system);
  CHECK(unpacked.software == info.software);
  CHECK(unpacked.basedir == info.basedir);
  CHECK(unpacked.boot_id == info.boot_id);
  CHECK(unpacked.instance_id == info.instance_id);
  CHECK(unpacked.features == info.features);
  CHECK(unpacked.address == info.address);
  CHECK(unpacked.protocol == info.protocol);
  CHECK(unpacked.key_id == info.key_id);
  CHECK(unpacked.labels == info.labels);
}

TEST_CASE("a claimed label is found in the block, and is none of the key's") {
  const PackedInfo packed(
      {.features = {"gpu"}, .claimed_labels = {{"gpu", "a100"}, {"os", "linux"}}, .labels = {{"os", "debian"}}});
  CHECK(packed.claimed_label("gpu") == "a100");
  CHECK(packed.claimed_label("os") == "linux");
  CHECK(packed.label("os") == "debian");
  CHECK_FALSE(packed.label("gpu"));
  CHECK_FALSE(packed.claimed_label("rack"));
  CHECK_FALSE(PackedInfo().claimed_label("os"));
  const SlaveInfo unpacked = packed.unpack();
  CHECK(unpacked.claimed_labels == std::map<std::string, std::string>{{"gpu", "a100"}, {"os", "linux"}});
  CHECK(unpacked.labels == std::map<std::string, std::string>{{"os", "debian"}});
  CHECK(unpacked.features == std::vector<std::string>{"gpu"});
}

TEST_CASE("slots and resources are found in the block, and one slot is there without being announced") {
  const PackedInfo packed({.features = {"gpu"},
                           .claimed_labels = {{"gpu", "a100"}},
                           .slots = 4,
                           .resources = {{"gpu", 2}, {"memory", 1'000'000'000}},
                           .labels = {{"os", "debian"}}});
  CHECK(packed.resource("slots") == 4);
  CHECK(packed.resource("gpu") == 2);
  CHECK(packed.resource("memory") == 1'000'000'000);
  CHECK(packed.resource("os") == 0);
  const SlaveInfo unpacked = packed.unpack();
  CHECK(unpacked.slots == 4);
  CHECK(unpacked.resources == std::map<std::string, std::uint64_t>{{"gpu", 2}, {"memory", 1'000'000'000}});
  CHECK(unpacked.claimed_labels == std::map<std::string, std::string>{{"gpu", "a100"}});
  CHECK(unpacked.features == std::vector<std::string>{"gpu"});
  CHECK(PackedInfo(SlaveInfo{.name = "w1"}).resource("slots") == 1);
  CHECK(PackedInfo(SlaveInfo{.name = "w1"}).unpack().slots == 1);
  CHECK(PackedInfo().resource("slots") == 0);
}

TEST_CASE("a label is found in the block without the rest") {
  CHECK_FALSE(PackedInfo().label("os"));
  const PackedInfo packed(
      {.name = "os", .features = {"os", "none"}, .labels = {{"gpu", ""}, {"os", "linux"}, {"rack", "os"}}});
  CHECK(packed.label("gpu") == "");
  CHECK(packed.label("os") == "linux");
  CHECK(packed.label("rack") == "os");
  CHECK_FALSE(packed.label("linux"));
  CHECK_FALSE(packed.label("none"));
  CHECK_FALSE(packed.label(""));
}

TEST_CASE("what was unpacked once is kept, also if many threads ask at the same time") {
  const PackedInfo packed({.name = "worker-1", .features = {"one"}});
  std::array<const SlaveInfo*, 8> seen{};
  {
    std::latch all(seen.size());
    std::vector<std::jthread> threads;
    for (const SlaveInfo*& place : seen) {
      threads.emplace_back([&packed, &all, &place] {
        all.arrive_and_wait();
        place = &packed.unpacked();
      });
    }
  }
  for (const SlaveInfo* const one : seen) CHECK(one == seen.front());
  CHECK(packed.unpacked().name == "worker-1");
  CHECK(packed.unpacked().features == std::vector<std::string>{"one"});
}

TEST_CASE("a new content replaces what was unpacked") {
  PackedInfo packed({.name = "old"});
  CHECK(packed.unpacked().name == "old");
  packed.set({.name = "new"});
  CHECK(packed.name() == "new");
  CHECK(packed.unpacked().name == "new");
}

}  // namespace remsh

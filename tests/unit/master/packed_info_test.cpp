#include "master/packed_info.hpp"

#include <doctest/doctest.h>

#include <string>

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
                       .features = {"", "one", std::string(300, 'f')},
                       .address = "tcp 127.0.0.1:40112",
                       .protocol = "remsh 2",
                       .key_id = "0123abcd",
                       .labels = {{"rack", "7"}, {"zone", std::string(200, 'z')}}};
  const PackedInfo packed(info);
  CHECK(packed.name() == "worker-1");
  CHECK(packed.key_id() == "0123abcd");
  const SlaveInfo unpacked = packed.unpack();
  CHECK(unpacked.name == info.name);
  CHECK(unpacked.hostname == info.hostname);
  CHECK(unpacked.system == info.system);
  CHECK(unpacked.software == info.software);
  CHECK(unpacked.basedir == info.basedir);
  CHECK(unpacked.features == info.features);
  CHECK(unpacked.address == info.address);
  CHECK(unpacked.protocol == info.protocol);
  CHECK(unpacked.key_id == info.key_id);
  CHECK(unpacked.labels == info.labels);
}

}  // namespace remsh

// The entries of a directory of a slave.
#include "support/names_of.hpp"
#include "support/slaves.hpp"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("a directory is listed by name, with what each entry is") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const std::string base = farm.basedir();
    CHECK(slave.list(".").empty());
    slave.mkdir("d/sub");
    slave.send(Source::bytes("12345"), "d/file", {.mode = 0640});
    REQUIRE(::symlink("file", (base + "/d/link").c_str()) == 0);
    const auto entries = slave.list("d");
    REQUIRE(names_of(entries) == std::vector<Bytes>{"file", "link", "sub"});
    CHECK(entries[0].info == *slave.stat("d/file"));
    CHECK(entries[1].info == *slave.stat("d/link", {.follow = false}));
    CHECK(entries[2].info.is_directory());
    CHECK(slave.start_list("d").wait() == entries);

    const auto error = thrown_by<RemoteError>([&] { slave.list("d/file"); });
    REQUIRE(error);
    CHECK(error->os() == std::errc::not_a_directory);
    CHECK(std::string(error->what()).find("list 'd/file'") != std::string::npos);
  });
}

TEST_CASE("a directory of many entries, with any bytes in their names, comes whole") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    constexpr std::size_t count = 3000;
    const std::string many = farm.basedir() + "/many";
    fs::create_directory(many);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = "\xff\n" + std::to_string(i) + std::string(i % 200, '~');
      REQUIRE(::symlink("x", (many + "/" + name).c_str()) == 0);
    }
    const auto entries = slave.list("many");
    CHECK(entries.size() == count);
    std::size_t given = 0;
    CHECK(slave
              .list("many", {.each =
                                 [&](const DirectoryEntry& entry) {
                                   CHECK(entry.name.starts_with("\xff\n"));
                                   ++given;
                                 }})
              .empty());
    CHECK(given == count);
    const auto error = thrown_by<Error>([&] { slave.list("many", {.max_entries = count - 1}); });
    REQUIRE(error);
    CHECK(error->code() == Errc::too_large);
    CHECK(slave.list("many", {.max_entries = count}).size() == count);
  });
}

TEST_CASE("a caller can leave a list in its middle") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const std::string many = farm.basedir() + "/many";
    fs::create_directory(many);
    for (int i = 0; i < 2000; ++i) REQUIRE(::symlink("x", (many + "/" + std::to_string(i)).c_str()) == 0);
    const auto throws = [](const DirectoryEntry&) { throw std::out_of_range("enough"); };
    CHECK_THROWS_AS(slave.list("many", {.each = throws}), std::out_of_range);
    CHECK(slave.list("many").size() == 2000);
  });
}

}  // namespace remsh::test

// Directory trees to and from a slave: send_tree and fetch_tree.
#include "support/slaves.hpp"
#include "support/tree_of.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

void require_sample(const TreeResult& result) {
  CHECK(result.files == 4);
  CHECK(result.directories == 3);
  CHECK(result.links == 2);
  CHECK(result.bytes == 300'020);
  CHECK(result.failed == 0);
  CHECK(result.is_complete());
}

std::size_t entries_in(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("a tree goes to a slave and back with its modes, times and links") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    make_sample_tree(here / "tree");
    require_sample(slave.send_tree(here / "tree", "there"));
    CHECK(tree_of(farm.basedir() + "/there") == tree_of(here / "tree"));
    require_sample(slave.fetch_tree("there", here / "back"));
    CHECK(tree_of(here / "back") == tree_of(here / "tree"));
    CHECK(entries_in(farm.basedir()) == 1);
    CHECK(here.count() == 2);
  });
}

TEST_CASE("trees can be started without waiting, also in a workspace") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    make_sample_tree(here / "tree");
    const auto job = slave.workspace("job");
    require_sample(job->start_send_tree(here / "tree", "there", {.durable = false}).wait());
    CHECK(fs::exists(farm.basedir() + "/job/there/run.sh"));
    require_sample(job->start_fetch_tree("there", here / "back", {.durable = false}).wait());
    CHECK(tree_of(here / "back") == tree_of(here / "tree"));
    CHECK(thrown_by<Error>([&] { job->send_tree(here / "tree", "../out"); })->code() == Errc::invalid_argument);
  });
}

TEST_CASE("ten thousand small files are one operation") {
  on_each({Over::unix_socket}, [](Farm&, Slave& slave) {
    constexpr int directories = 20;
    constexpr int files = 500;
    const TempDir here;
    for (int d = 0; d < directories; ++d) {
      fs::create_directories(here / ("tree/" + std::to_string(d)));
      for (int f = 0; f < files; ++f) here.write("tree/" + std::to_string(d) + "/" + std::to_string(f), Bytes(64, 'x'));
    }
    const TreeResult sent = slave.send_tree(here / "tree", "there", {.durable = false});
    CHECK(sent.files == directories * files);
    CHECK(sent.bytes == std::uint64_t{64} * directories * files);
    const TreeResult fetched = slave.fetch_tree("there", here / "back", {.durable = false});
    CHECK(fetched.files == sent.files);
    CHECK(fetched.directories == directories);
    CHECK(fetched.bytes == sent.bytes);
  });
}

TEST_CASE("what is excluded stays where it is, in both directions") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    make_sample_tree(here / "tree");
    slave.send_tree(here / "tree", "there", {.exclude = {"*.c", "/src/deep"}, .durable = false});
    CHECK(entries_in(farm.basedir() + "/there/src") == 2);  // `nothing` and `dangling`
    slave.send_tree(here / "tree", "whole", {.durable = false});
    slave.fetch_tree("whole", here / "back", {.exclude = {"*.c", "/src/deep"}, .durable = false});
    CHECK(tree_of(here / "back") == tree_of(farm.basedir() + "/there"));
    for (const char* pattern : {"", "a/", "/", "../a"}) {
      const auto error = thrown_by<Error>([&] { slave.fetch_tree("whole", here / "x", {.exclude = {pattern}}); });
      REQUIRE(error);
      CHECK(error->code() == Errc::invalid_argument);
      CHECK(thrown_by<Error>([&] { slave.send_tree(here / "tree", "x", {.exclude = {pattern}}); })->code() ==
            Errc::invalid_argument);
    }
  });
}

TEST_CASE("an existing destination of a tree is refused, or replaced with all that was in it") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    here.write("tree/new", "new");
    slave.mkdir("there/old");
    fs::create_directories(here / "back/old");
    const auto remote = thrown_by<RemoteError>([&] { slave.send_tree(here / "tree", "there"); });
    REQUIRE(remote);
    CHECK(remote->os() == std::errc::file_exists);
    const auto local = thrown_by<Error>([&] { slave.fetch_tree("there", here / "back"); });
    REQUIRE(local);
    CHECK(local->code() == Errc::local_os_error);
    CHECK(local->os() == std::errc::file_exists);
    slave.send_tree(here / "tree", "there", {.overwrite = true, .durable = false});
    CHECK(tree_of(farm.basedir() + "/there").size() == 2);
    slave.fetch_tree("there", here / "back", {.overwrite = true, .durable = false});
    CHECK(tree_of(here / "back").size() == 2);
    CHECK(here.read("back/new") == "new");
    CHECK(entries_in(farm.basedir()) == 1);
    CHECK(here.count() == 2);
  });
}

TEST_CASE("what a tree cannot contain is named, and so is a source that is no tree") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    here.write("tree/file", "x");
    REQUIRE(::mkfifo((here / "tree/fifo").c_str(), 0600) == 0);
    REQUIRE(::symlink("file", (here / "tree/link").c_str()) == 0);
    const TreeResult sent = slave.send_tree(here / "tree", "there", {.durable = false});
    CHECK(sent.is_complete());
    CHECK(sent.skipped == 1);
    REQUIRE(sent.problems.size() == 1);
    CHECK(sent.problems[0].path == "fifo");
    REQUIRE(::mkfifo((farm.basedir() + "/there/pipe").c_str(), 0600) == 0);
    const TreeResult fetched = slave.fetch_tree("there", here / "back", {.links = false, .durable = false});
    CHECK(fetched.skipped == 2);
    CHECK(fetched.files == 1);
    CHECK(fetched.problems.size() == 2);
    CHECK_FALSE(here.has("back/link"));

    const auto local = thrown_by<Error>([&] { slave.send_tree(here / "tree/file", "x"); });
    REQUIRE(local);
    CHECK(local->code() == Errc::local_os_error);
    CHECK(local->os() == std::errc::not_a_directory);
    const auto remote = thrown_by<RemoteError>([&] { slave.fetch_tree("there/file", here / "x"); });
    REQUIRE(remote);
    CHECK(remote->os() == std::errc::not_a_directory);
    CHECK(thrown_by<RemoteError>([&] { slave.fetch_tree("missing", here / "x"); })->os() ==
          std::errc::no_such_file_or_directory);
    CHECK(thrown_by<Error>([&] { slave.fetch_tree("there", here / "no/such/place"); }));
    CHECK(thrown_by<Error>([&] { slave.fetch_tree("there", "."); })->os() == std::errc::invalid_argument);
    CHECK(here.count() == 2);
  });
}

TEST_CASE("a tree of more than max_bytes or max_entries is not taken, and leaves nothing") {
  on_every_transport(BeyondRemsh1::listing, [](Farm&, Slave& slave) {
    const TempDir here;
    slave.mkdir("there/d");
    slave.send(Source::bytes(Bytes(1000, 'x')), "there/file");
    for (const TreeOptions& options : {TreeOptions{.max_bytes = 999}, TreeOptions{.max_entries = 1}}) {
      const auto error = thrown_by<Error>([&] { slave.fetch_tree("there", here / "back", options); });
      REQUIRE(error);
      CHECK(error->code() == Errc::too_large);
    }
    CHECK(here.count() == 0);
    CHECK(slave.fetch_tree("there", here / "back", {.durable = false, .max_bytes = 1000, .max_entries = 2}).files == 1);
  });
}

TEST_CASE("progress of a tree is its bytes of content, and at the end how many they were") {
  on_every_transport(BeyondRemsh1::listing, [](Farm&, Slave& slave) {
    const TempDir here;
    fs::create_directory(here / "tree");
    for (int i = 0; i < 10; ++i) here.write("tree/" + std::to_string(i), Bytes(1'000'000, 'x'));
    std::uint64_t last = 0;
    std::optional<std::uint64_t> total;
    bool grows = true;
    const ProgressCallback progress = [&](std::uint64_t done, std::optional<std::uint64_t> all) {
      grows = grows && done >= last;
      last = done;
      total = all;
    };
    slave.send_tree(here / "tree", "there", {.durable = false, .progress = progress});
    CHECK(last == 10'000'000);
    CHECK(total == last);
    last = 0;
    slave.fetch_tree("there", here / "back", {.durable = false, .progress = progress, .deadline = ample});
    CHECK(last == 10'000'000);
    CHECK(total == last);
    CHECK(grows);
  });
}

TEST_CASE("a tree that fails in the middle leaves nothing on either side") {
  on_every_transport(BeyondRemsh1::listing, [](Farm& farm, Slave& slave) {
    struct Mine {};
    const TempDir here;
    fs::create_directory(here / "tree");
    here.write("tree/small", "x");
    here.write("tree/huge", "");
    fs::resize_file(here / "tree/huge", std::uintmax_t{1} << 40U);
    slave.mkdir("to");
    fs::create_directory(here / "to");
    const auto nothing_left = [&] { return entries_in(farm.basedir() + "/to") == 0; };

    std::stop_source stop;
    const ProgressCallback stop_it = [&stop](std::uint64_t, std::optional<std::uint64_t>) { stop.request_stop(); };
    const ProgressCallback throws = [](std::uint64_t, std::optional<std::uint64_t>) { throw Mine(); };
    CHECK_THROWS_AS(slave.send_tree(here / "tree", "to/there", {.progress = throws}), Mine);
    CHECK(eventually(nothing_left));
    CHECK_THROWS_AS(slave.send_tree(here / "tree", "to/there", {.progress = stop_it, .stop = stop.get_token()}),
                    Cancelled);
    CHECK(eventually(nothing_left));
    CHECK_THROWS_AS(slave.send_tree(here / "tree", "to/there", {.deadline = 50ms}), Timeout);
    CHECK(eventually(nothing_left));
    {
      auto pending = slave.start_send_tree(here / "tree", "to/there");
      pending.wait_until(10ms);
    }
    CHECK(eventually(nothing_left));

    CHECK(slave.execute({"mkdir", "from"}).ok());
    CHECK(slave.execute({"truncate", "-s", "1T", "from/huge"}).ok());
    const auto nothing_here = [&] { return entries_in(here / "to") == 0; };
    CHECK_THROWS_AS(slave.fetch_tree("from", here / "to/back", {.progress = throws}), Mine);
    CHECK(eventually(nothing_here));
    std::stop_source stop_fetch;
    const ProgressCallback stop_that = [&](std::uint64_t, std::optional<std::uint64_t>) { stop_fetch.request_stop(); };
    CHECK_THROWS_AS(slave.fetch_tree("from", here / "to/back", {.progress = stop_that, .stop = stop_fetch.get_token()}),
                    Cancelled);
    CHECK(eventually(nothing_here));
    CHECK_THROWS_AS(slave.fetch_tree("from", here / "to/back", {.deadline = 50ms}), Timeout);
    CHECK(eventually(nothing_here));
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("a lost connection in the middle of a tree leaves nothing on either side") {
  for (const Over over : {Over::local_process, Over::tcp}) {
    for (const bool sends : {true, false}) {
      CAPTURE(sends);
      Farm farm(over);
      const auto slave = farm.start();
      const TempDir here;
      for (const std::string& top : {here / "tree", farm.basedir() + "/tree"}) {
        fs::create_directory(top);
        std::ofstream(top + "/huge").close();
        fs::resize_file(top + "/huge", std::uintmax_t{1} << 40U);
      }
      fs::create_directory(here / "to");
      fs::create_directory(farm.basedir() + "/to");
      const ProgressCallback cut = [&](std::uint64_t, std::optional<std::uint64_t>) { slave->disconnect(); };
      const auto move = [&] {
        if (sends) {
          slave->send_tree(here / "tree", "to/there", {.progress = cut});
        } else {
          slave->fetch_tree("tree", here / "to/back", {.progress = cut});
        }
      };
      CHECK_THROWS_AS(move(), ConnectionLost);
      CHECK(eventually([&] { return entries_in(here / "to") + entries_in(farm.basedir() + "/to") == 0; }));
    }
  }
}

TEST_CASE("an entry that the source cannot read is named, or ends the operation") {
  on_each({Over::tcp}, [](Farm& farm, Slave& slave) {
    const TempDir here;
    const std::string deep = "i=0; while [ $i -lt 256 ]; do mkdir d; cd d; i=$((i+1)); done";
    slave.mkdir("there");
    REQUIRE(slave.execute({"sh", "-c", deep}, {.cwd = "there"}).ok());
    slave.send(Source::bytes("x"), "there/file");
    const TreeResult fetched = slave.fetch_tree("there", here / "back", {.durable = false});
    const TreeResult sent = slave.send_tree(farm.basedir() + "/there", "sent", {.durable = false});
    for (const TreeResult& result : {fetched, sent}) {
      CHECK_FALSE(result.is_complete());
      CHECK(result.failed == 1);
      CHECK(result.files == 1);
      REQUIRE(result.problems.size() == 1);
      CHECK(result.problems[0].path.ends_with("/d/d"));
      CHECK(result.problems[0].os == std::errc::filename_too_long);
      CHECK(result.problems[0].message.find("255 directories above it") != std::string::npos);
    }
    const auto remote = thrown_by<RemoteError>([&] { slave.fetch_tree("there", here / "x", {.require_all = true}); });
    REQUIRE(remote);
    CHECK(remote->os() == std::errc::filename_too_long);
    const auto local =
        thrown_by<Error>([&] { slave.send_tree(farm.basedir() + "/there", "x", {.require_all = true}); });
    REQUIRE(local);
    CHECK(local->code() == Errc::local_os_error);
    CHECK(here.count() == 1);
    CHECK(eventually([&] { return entries_in(farm.basedir()) == 2; }));
  });
}

TEST_CASE("an audit has the trees") {
  std::mutex mutex;
  std::vector<AuditRecord> records;
  Farm farm(Over::memory, {.audit = [&](const AuditRecord& record) {
              const std::lock_guard lock(mutex);
              records.push_back(record);
            }});
  const auto slave = farm.start();
  const TempDir here;
  fs::create_directory(here / "tree");
  here.write("tree/file", "content");
  slave->send_tree(here / "tree", "there", {.durable = false, .tag = "job 7"});
  slave->fetch_tree("there", here / "back", {.durable = false});
  REQUIRE(records.size() == 2);
  CHECK(records[0].operation == "send_tree");
  CHECK(records[0].arguments == std::vector<Bytes>{here / "tree", "there"});
  CHECK(records[0].tag == "job 7");
  CHECK_FALSE(records[0].error);
  CHECK(records[0].bytes > 7U);
  CHECK(records[1].operation == "fetch_tree");
  CHECK(records[1].arguments == std::vector<Bytes>{"there", here / "back"});
  CHECK(records[1].bytes > 7U);
}

}  // namespace remsh::test

// Files to and from a slave: send and fetch.
#include "support/many_bytes.hpp"
#include "support/slaves.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// Gives bytes for as long as it is asked, which is reported by `given`.
InputCallback endless(std::size_t& given) {
  return [&given](std::span<char> buffer) {
    std::fill(buffer.begin(), buffer.end(), 'x');
    given += buffer.size();
    return buffer.size();
  };
}

std::size_t count_of_entries(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("ten MiB go from memory to a file and back") {
  const Bytes bytes = many_bytes(ten_mebibytes);
  on_every_transport([&bytes](Farm& farm, Slave& slave) {
    CHECK(slave.send(Source::bytes(bytes), "file").bytes == ten_mebibytes);
    CHECK((farm.dir.read("worker/file") == bytes));
    Bytes back = "replaced";
    CHECK(slave.fetch("file", Sink::bytes(back)).bytes == ten_mebibytes);
    CHECK((back == bytes));
    CHECK(slave.send(Source::bytes(""), "empty").bytes == 0);
    CHECK(slave.fetch("empty", Sink::bytes(back)).bytes == 0);
    CHECK(back.empty());
    CHECK(count_of_entries(farm.basedir()) == 2);
  });
}

TEST_CASE("local files are sent and fetched with their permissions") {
  on_every_transport(BeyondRemsh1::details, [](Farm& farm, Slave& slave) {
    const TempDir here;
    here.write("source", "content");
    std::filesystem::permissions(here / "source", std::filesystem::perms(0710));
    slave.send(Source::file(here / "source"), "file");
    CHECK(farm.dir.read("worker/file") == "content");
    CHECK(slave.stat("file")->mode == 0710);
    slave.fetch("file", Sink::file(here / "back"));
    CHECK(here.read("back") == "content");
    CHECK(std::filesystem::status(here / "back").permissions() == std::filesystem::perms(0710));
    slave.send(Source::file(here / "source"), "other", {.mode = 0600});
    CHECK(slave.stat("other")->mode == 0600);
    slave.send(Source::bytes("x"), "open", {.mode = 0777});
    slave.fetch("open", Sink::file(here / "mine"));  // a slave does not decide that others may write here
    CHECK(std::filesystem::status(here / "mine").permissions() == std::filesystem::perms(0755));
    std::filesystem::remove(here / "mine");
    CHECK(here.count() == 2);
  });
}

TEST_CASE("callbacks give and take what is transferred, and may call the slave") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm& farm, Slave& slave) {
    int pieces = 0;
    slave.send(Source([&](std::span<char> buffer) -> std::size_t {
                 slave.ping();
                 if (++pieces > 3) return 0;
                 std::memcpy(buffer.data(), "piece ", 6);
                 return 6;
               }),
               "file");
    CHECK(farm.dir.read("worker/file") == "piece piece piece ");
    Bytes taken;
    slave.fetch("file", Sink([&](BytesView bytes) {
                  slave.ping();
                  taken += bytes;
                }));
    CHECK(taken == "piece piece piece ");
  });
}

TEST_CASE("more transfers than a slave has threads wait for their callers, and hold up nobody") {
  on_each({Over::tcp, Over::unix_socket}, [](Farm& farm, Slave& slave) {
    constexpr int transfers = 70;
    constexpr std::size_t size = 300'000;  // more than may be on its way without their callers
    farm.dir.write("worker/file", many_bytes(size));
    std::mutex mutex;
    std::condition_variable changed;
    int waiting = 0;
    const auto wait_for_all = [&] {
      std::unique_lock lock(mutex);
      ++waiting;
      changed.notify_all();
      CHECK(changed.wait_for(lock, std::chrono::minutes(1), [&] { return waiting >= transfers; }));
    };
    std::atomic<int> failed = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < transfers; ++i) {
      threads.emplace_back([&, i] {
        try {
          bool is_first = true;
          std::uint64_t bytes = 0;
          const auto take = [&](BytesView piece) {
            bytes += piece.size();
            if (!std::exchange(is_first, false)) return;
            wait_for_all();  // none of them gives credit before all of them have begun
            if (!slave.stat("file", {.deadline = ample})) ++failed;  // and each needs the slave before it goes on
          };
          const auto give = [&, left = size](std::span<char> buffer) mutable -> std::size_t {
            if (std::exchange(is_first, false)) wait_for_all();
            const std::size_t count = std::min(buffer.size(), left);
            std::memset(buffer.data(), 'x', count);
            left -= count;
            bytes += count;
            return count;
          };
          if (i % 2 == 0) {
            slave.fetch("file", Sink(take), {.deadline = ample});
          } else {
            slave.send(Source(give), "sent" + std::to_string(i), {.deadline = ample});
          }
          if (bytes != size) ++failed;
        } catch (const Error&) {
          ++failed;
        }
      });
    }
    threads.clear();
    CHECK(failed == 0);
  });
}

TEST_CASE("progress is told, and at the end how much it was") {
  const Bytes bytes = many_bytes(ten_mebibytes);
  on_every_transport([&bytes](Farm&, Slave& slave) {
    std::uint64_t last = 0;
    std::optional<std::uint64_t> last_total;
    bool grows = true;
    const ProgressCallback progress = [&](std::uint64_t done, std::optional<std::uint64_t> total) {
      grows = grows && done >= last && (!total || done <= *total);
      last = done;
      last_total = total;
    };
    slave.send(Source::bytes(bytes), "file", {.progress = progress});
    CHECK(last == ten_mebibytes);
    CHECK(last_total == ten_mebibytes);
    last = 0;
    Bytes back;
    slave.fetch("file", Sink::bytes(back), {.progress = progress});
    CHECK(last == ten_mebibytes);
    CHECK(last_total == ten_mebibytes);
    CHECK(grows);
  });
}

TEST_CASE("what is at the destination is refused, unless it may be overwritten") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm& farm, Slave& slave) {
    const TempDir here;
    here.write("local", "local");
    slave.send(Source::bytes("old"), "file");
    const auto remote = thrown_by<RemoteError>([&] { slave.send(Source::bytes("new"), "file"); });
    REQUIRE(remote);
    CHECK(remote->os() == std::errc::file_exists);
    CHECK(farm.dir.read("worker/file") == "old");
    slave.send(Source::bytes("new"), "file", {.overwrite = true});
    CHECK(farm.dir.read("worker/file") == "new");

    const auto local = thrown_by<Error>([&] { slave.fetch("file", Sink::file(here / "local")); });
    REQUIRE(local);
    CHECK(local->code() == Errc::local_os_error);
    CHECK(local->os() == std::errc::file_exists);
    CHECK(here.read("local") == "local");
    slave.fetch("file", Sink::file(here / "local"), {.overwrite = true});
    CHECK(here.read("local") == "new");

    slave.mkdir("directory");
    CHECK(thrown_by<RemoteError>([&] { slave.send(Source::bytes("x"), "directory", {.overwrite = true}); }));
    CHECK(count_of_entries(farm.basedir()) == 2);
    CHECK(here.count() == 1);
  });
}

TEST_CASE("a file that is not there is the trouble of the side that has it not") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const TempDir here;
    const auto local = thrown_by<Error>([&] { slave.send(Source::file(here / "missing"), "file"); });
    REQUIRE(local);
    CHECK(local->code() == Errc::local_os_error);
    CHECK(local->os() == std::errc::no_such_file_or_directory);
    const auto remote = thrown_by<RemoteError>([&] { slave.fetch("missing", Sink::file(here / "file")); });
    REQUIRE(remote);
    CHECK(remote->code() == Errc::os_error);
    CHECK(remote->os() == std::errc::no_such_file_or_directory);
    CHECK(thrown_by<RemoteError>([&] { slave.fetch(".", Sink::file(here / "file")); }));
    CHECK(thrown_by<RemoteError>([&] { slave.send(Source::bytes("x"), "missing/file"); }));
    CHECK(thrown_by<Error>([&] { slave.fetch("missing", Sink::file(here / "no/such/directory")); }));
    CHECK(count_of_entries(farm.basedir()) == 0);
    CHECK(here.count() == 0);
  });
}

TEST_CASE("more than max_bytes is not taken, and leaves nothing") {
  on_every_transport([](Farm&, Slave& slave) {
    const TempDir here;
    slave.send(Source::bytes(Bytes(1000, 'x')), "file");
    Bytes back = "kept";
    for (const Sink& sink : {Sink::file(here / "back"), Sink::bytes(back)}) {
      const auto error = thrown_by<Error>([&] { slave.fetch("file", sink, {.max_bytes = 999}); });
      REQUIRE(error);
      CHECK(error->code() == Errc::too_large);
    }
    // Also where nobody knows the size before.
    CHECK(thrown_by<Error>([&] { slave.fetch("/proc/version", Sink::bytes(back), {.max_bytes = 1}); }));
    CHECK(back == "kept");
    CHECK(here.count() == 0);
    CHECK(slave.fetch("file", Sink::bytes(back), {.max_bytes = 1000}).bytes == 1000);
  });
}

TEST_CASE("a transfer that fails in the middle leaves nothing on either side") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm& farm, Slave& slave) {
    struct Mine {};
    const TempDir here;
    slave.mkdir("to");
    const auto nothing_left = [&farm] { return count_of_entries(farm.basedir() + "/to") == 0; };

    CHECK_THROWS_AS(slave.send(Source([](std::span<char>) -> std::size_t { throw Mine(); }), "to/file"), Mine);
    CHECK(eventually(nothing_left));

    std::size_t given = 0;
    CHECK_THROWS_AS(slave.send(Source(endless(given)), "to/file", {.deadline = 200ms}), Timeout);
    CHECK(eventually(nothing_left));

    std::stop_source stop;
    const ProgressCallback stop_it = [&stop](std::uint64_t, std::optional<std::uint64_t>) { stop.request_stop(); };
    CHECK_THROWS_AS(slave.send(Source(endless(given)), "to/file", {.progress = stop_it, .stop = stop.get_token()}),
                    Cancelled);
    CHECK(eventually(nothing_left));
    CHECK(given > 0);

    CHECK(slave.execute({"truncate", "-s", "1T", "huge"}).ok());
    CHECK_THROWS_AS(slave.fetch("huge", Sink([](BytesView) { throw Mine(); })), Mine);
    CHECK_THROWS_AS(slave.fetch("huge", Sink::file(here / "back"), {.deadline = 20ms}), Timeout);
    std::stop_source stop_fetch;
    CHECK_THROWS_AS(
        slave.fetch("huge", Sink([&](BytesView) { stop_fetch.request_stop(); }), {.stop = stop_fetch.get_token()}),
        Cancelled);
    CHECK_THROWS_AS(slave.fetch("huge", Sink::file(here / "back"), {.max_bytes = 1000}), Error);
    CHECK(here.count() == 0);
    CHECK(slave.execute({"true"}).ok());
  });
}

}  // namespace remsh::test

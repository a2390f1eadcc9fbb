// Directories and names on a slave: set_cwd, getenv, mkdir, remove, rename, copy, stat, read_info.
#include "support/slaves.hpp"

#include <sys/inotify.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace remsh::test {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

bool is_error(const std::optional<RemoteError>& error, std::errc wanted) {
  return error && error->code() == Errc::os_error && error->os() == wanted;
}

std::size_t entries_of(const std::string& directory) {
  std::error_code gone;
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory, gone), {}));
}

/// Sees entries of a directory go.
class RemovalWatch {
 public:
  explicit RemovalWatch(const std::string& directory) : events_(::inotify_init1(IN_CLOEXEC)) {
    if (::inotify_add_watch(events_, directory.c_str(), IN_DELETE) < 0) {
      throw std::system_error(errno, std::generic_category(), "inotify_add_watch");
    }
  }
  RemovalWatch(const RemovalWatch&) = delete;
  RemovalWatch& operator=(const RemovalWatch&) = delete;
  ~RemovalWatch() { ::close(events_); }

  [[nodiscard]] bool wait_for_first() const {
    pollfd first{events_, POLLIN, 0};
    return ::poll(&first, 1, 60'000) == 1;
  }

 private:
  int events_;
};

}  // namespace

TEST_CASE("the session's directory is where relative paths begin") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const fs::path before = fs::current_path();
    const Bytes base = slave.set_cwd();
    CHECK(fs::equivalent(base, farm.basedir()));
    slave.mkdir("a/b");
    CHECK(slave.set_cwd("a") == base + "/a");
    CHECK(slave.set_cwd("b") == base + "/a/b");
    CHECK(slave.set_cwd("") == base + "/a/b");
    slave.send(Source::bytes("x"), "file");
    CHECK(farm.dir.read("worker/a/b/file") == "x");
    CHECK(slave.execute({"cat", "file"}).out == "x");
    CHECK(slave.set_cwd("..") == base + "/a");
    CHECK(slave.set_cwd("/") == "/");
    CHECK(slave.set_cwd() == base);
    CHECK(fs::current_path() == before);
  });
}

TEST_CASE("a directory that cannot be entered leaves the session where it was") {
  on_every_transport([](Farm&, Slave& slave) {
    const Bytes base = slave.set_cwd();
    slave.send(Source::bytes("x"), "file");
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.set_cwd("nowhere"); }), std::errc::no_such_file_or_directory));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.set_cwd("file"); }), std::errc::not_a_directory));
    CHECK(slave.set_cwd("") == base);
  });
}

TEST_CASE("two sessions share no directory") {
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    Farm farm(over);
    const auto one = farm.start("one");
    const auto two = farm.start("two");
    one->mkdir("below");
    one->set_cwd("below");
    CHECK(two->set_cwd("").ends_with("/two"));
    CHECK(one->set_cwd("").ends_with("/one/below"));
  }
}

TEST_CASE("the environment is the one that commands start from") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto environment = slave.getenv();
    REQUIRE(environment.contains("PATH"));
    CHECK(slave.execute({"sh", "-c", "printf %s \"$PATH\""}).out == environment.at("PATH"));
  });
}

TEST_CASE("mkdir makes parents and accepts what is there") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm& farm, Slave& slave) {
    slave.mkdir("a/b/c");
    slave.mkdir("a/b/c");
    slave.mkdir(farm.basedir() + "/a/d");
    CHECK(slave.stat("a/b/c")->is_directory());
    CHECK(slave.stat("a/d")->is_directory());
    slave.send(Source::bytes("x"), "file");
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.mkdir("file"); }), std::errc::file_exists));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.mkdir("file/below"); }), std::errc::not_a_directory));
  });
}

TEST_CASE("remove takes whole trees, and what is missing is fine") {
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.mkdir("tree/closed/deep");
    slave.send(Source::bytes("x"), "tree/closed/deep/file");
    slave.send(Source::bytes("kept"), "outside");
    fs::create_symlink("../outside", farm.basedir() + "/tree/link");
    fs::permissions(farm.basedir() + "/tree/closed/deep", fs::perms::none);
    fs::permissions(farm.basedir() + "/tree/closed", fs::perms::none);
    slave.remove("tree");
    CHECK_FALSE(slave.stat("tree"));
    CHECK(farm.dir.read("worker/outside") == "kept");
    slave.remove("tree");
    slave.remove("outside");
    CHECK_FALSE(slave.stat("outside"));
  });
}

TEST_CASE("rename refuses what is there, unless it may overwrite") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm& farm, Slave& slave) {
    slave.send(Source::bytes("one"), "one");
    slave.send(Source::bytes("two"), "two");
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.rename("one", "two"); }), std::errc::file_exists));
    CHECK(farm.dir.read("worker/one") == "one");
    CHECK(farm.dir.read("worker/two") == "two");
    slave.rename("one", "two", {.overwrite = true});
    CHECK(farm.dir.read("worker/two") == "one");
    CHECK_FALSE(slave.stat("one"));
    slave.mkdir("directory");
    slave.rename("directory", "moved");
    CHECK(slave.stat("moved")->is_directory());
    CHECK(thrown_by<RemoteError>([&] { slave.rename("two", "moved", {.overwrite = true}); }));
    CHECK(
        is_error(thrown_by<RemoteError>([&] { slave.rename("missing", "x"); }), std::errc::no_such_file_or_directory));
  });
}

TEST_CASE("copy refuses what is there, keeps permissions, and leaves nothing behind that is not complete") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm& farm, Slave& slave) {
    slave.send(Source::bytes("one"), "one", {.mode = 0750});
    slave.copy("one", "two");
    CHECK(farm.dir.read("worker/two") == "one");
    CHECK(slave.stat("two")->mode == 0750);
    slave.send(Source::bytes("three"), "three");
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.copy("one", "three"); }), std::errc::file_exists));
    CHECK(farm.dir.read("worker/three") == "three");
    slave.copy("one", "three", {.overwrite = true});
    CHECK(farm.dir.read("worker/three") == "one");
    slave.mkdir("directory");
    CHECK(thrown_by<RemoteError>([&] { slave.copy("one", "directory", {.overwrite = true}); }));
    CHECK(thrown_by<RemoteError>([&] { slave.copy("directory", "other"); }));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.copy("missing", "x"); }), std::errc::no_such_file_or_directory));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.copy("one", "missing/x"); }),
                   std::errc::no_such_file_or_directory));
    CHECK(slave.execute({"ls", "-A"}).out == "directory\none\nthree\ntwo\n");
  });
}

TEST_CASE("a copy that its caller leaves half-way stops, and leaves what was there and nothing else") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm& farm, Slave& slave) {
    slave.mkdir("to");
    slave.send(Source::bytes("old"), "to/old");
    std::ofstream(farm.basedir() + "/huge").close();
    const std::string to = farm.basedir() + "/to";
    const pid_t process = process_of(slave);

    std::optional<Cancelled> cancelled;
    off_t size = 1 << 30;
    for (; !cancelled; size *= 2) {  // until there was so much to copy that it was still at it
      REQUIRE(size < off_t{1} << 35);
      slave.remove("to/new");
      REQUIRE(::truncate((farm.basedir() + "/huge").c_str(), size) == 0);
      std::stop_source stop;
      const std::jthread stopper([&] {
        CHECK(eventually([&] { return entries_of(to) == 2 || has_open_file_in(process, to); }));
        stop.request_stop();
      });
      cancelled = thrown_by<Cancelled>([&] { slave.copy("huge", "to/new", {.stop = stop.get_token()}); });
    }
    CHECK(cancelled->slave() == "worker");
    CHECK(cancelled->operation() == "copy 'huge' to 'to/new'");
    CHECK(slave.stat("to/old"));  // it serves the next call
    CHECK(eventually([&] { return entries_of(to) == 1; }));

    REQUIRE(::truncate((farm.basedir() + "/huge").c_str(), off_t{1} << 35) == 0);
    const auto timeout =
        thrown_by<Timeout>([&] { slave.copy("huge", "to/old", {.overwrite = true, .deadline = 50ms}); });
    REQUIRE(timeout);
    CHECK(timeout->slave() == "worker");
    CHECK(timeout->operation() == "copy 'huge' to 'to/old'");
    CHECK_FALSE(slave.stat("to/new"));
    CHECK(eventually([&] { return entries_of(to) == 1; }));
    CHECK(farm.dir.read("worker/to/old") == "old");
  });
}

TEST_CASE("a remove that its caller leaves half-way stops there") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm& farm, Slave& slave) {
    slave.send(Source::bytes("x"), "file");  // links to it are quicker made than files
    std::size_t files = 2000;
    for (const bool by_deadline : {false, true}) {
      CAPTURE(by_deadline);
      std::optional<Error> left;
      Bytes name;
      std::size_t before = 0;            // so many were left
      for (; before == 0; files *= 2) {  // until there was so much to remove that it was still at it
        REQUIRE(files < 65'000);
        name = "tree-" + std::to_string(files);  // the slave may still be about to remove the last one itself
        const std::string tree = farm.basedir() + "/" + name;
        slave.mkdir(name);
        for (std::size_t i = 0; i < files; ++i) {
          fs::create_hard_link(farm.basedir() + "/file", tree + "/" + std::to_string(i));
        }
        if (by_deadline) {
          left = thrown_by<Timeout>([&] { slave.remove(name, {.deadline = 2ms}); });
        } else {
          std::stop_source stop;
          const RemovalWatch watch(tree);
          const std::jthread stopper([&] {
            CHECK(watch.wait_for_first());
            stop.request_stop();
          });
          left = thrown_by<Cancelled>([&] { slave.remove(name, {.stop = stop.get_token()}); });
        }
        if (!left) continue;
        CHECK(slave.stat("."));  // it serves the next call
        CHECK(eventually([&] {
          const std::size_t now = entries_of(tree);
          return std::exchange(before, now) == now;
        }));
      }
      CHECK(left->slave() == "worker");
      CHECK(left->operation() == "remove '" + name + "'");
      slave.remove(name);
      CHECK_FALSE(slave.stat(name));
    }
  });
}

TEST_CASE("stat tells what is there, and that nothing is") {
  on_every_transport(BeyondRemsh1::details, [](Farm& farm, Slave& slave) {
    slave.send(Source::bytes("12345"), "file", {.mode = 0640});
    fs::create_symlink("file", farm.basedir() + "/link");
    fs::create_symlink("nowhere", farm.basedir() + "/dangling");
    REQUIRE(::mkfifo((farm.basedir() + "/fifo").c_str(), 0600) == 0);

    const auto file = slave.stat("file");
    REQUIRE(file);
    CHECK(file->is_file());
    CHECK(file->size == 5);
    CHECK(file->mode == 0640);
    CHECK(std::chrono::abs(file->mtime - std::chrono::system_clock::now()) < std::chrono::hours(1));
    CHECK(slave.stat("link") == file);
    CHECK(slave.stat("link", {.follow = false})->type == FileType::symlink);
    CHECK_FALSE(slave.stat("dangling"));
    CHECK(slave.stat("dangling", {.follow = false})->type == FileType::symlink);
    CHECK(slave.stat("fifo")->type == FileType::fifo);
    CHECK(slave.stat("/dev/null")->type == FileType::character_device);
    CHECK(slave.stat(".")->is_directory());
    CHECK_FALSE(slave.stat("missing"));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.stat("file/below"); }), std::errc::not_a_directory));
  });
}

TEST_CASE("an error says which slave, what it did, and why") {
  on_every_transport(BeyondRemsh1::reasons, [](Farm&, Slave& slave) {
    slave.send(Source::bytes("x"), "file");
    slave.send(Source::bytes("x"), "other");
    slave.mkdir("directory/below");
    Bytes memory;
    struct Example {
      const char* operation;
      int os;
      const char* name_of_os;
      std::function<void()> attempt;
    };
    for (const Example& example : std::vector<Example>{
             {"set_cwd 'missing'", ENOENT, "ENOENT", [&] { slave.set_cwd("missing"); }},
             {"set_cwd 'file'", ENOTDIR, "ENOTDIR", [&] { slave.set_cwd("file"); }},
             {"mkdir 'file'", EEXIST, "EEXIST", [&] { slave.mkdir("file"); }},
             {"remove 'file/'", ENOTDIR, "ENOTDIR", [&] { slave.remove("file/"); }},
             {"remove '.'", EINVAL, "EINVAL", [&] { slave.remove("."); }},
             {"rename 'missing' to 'new'", ENOENT, "ENOENT", [&] { slave.rename("missing", "new"); }},
             {"rename 'file' to 'other'", EEXIST, "EEXIST", [&] { slave.rename("file", "other"); }},
             {"rename 'file' to 'directory'", EISDIR, "EISDIR",
              [&] { slave.rename("file", "directory", {.overwrite = true}); }},
             {"copy 'directory' to 'new'", EISDIR, "EISDIR", [&] { slave.copy("directory", "new"); }},
             {"copy 'file' to 'other'", EEXIST, "EEXIST", [&] { slave.copy("file", "other"); }},
             {"copy 'file' to 'directory'", EISDIR, "EISDIR",
              [&] { slave.copy("file", "directory", {.overwrite = true}); }},
             {"stat 'file/below'", ENOTDIR, "ENOTDIR", [&] { slave.stat("file/below"); }},
             {"stat 'file/new\\x0Aline\\xFF'", ENOTDIR, "ENOTDIR", [&] { slave.stat("file/new\nline\xff"); }},
             {"execute 'no\\x0Aprogram\\xFF'", ENOENT, "ENOENT", [&] { slave.execute({"no\nprogram\xff"}); }},
             {"execute 'true'", E2BIG, "E2BIG",
              [&] {
                slave.execute({"true", Bytes(200'000, 'x')});
              }},
             {"execute 'true'", ENOTDIR, "ENOTDIR", [&] { slave.execute({"true"}, {.cwd = "file"}); }},
             {"send to 'other'", EEXIST, "EEXIST", [&] { slave.send(Source::bytes("x"), "other"); }},
             {"send to 'directory'", EISDIR, "EISDIR",
              [&] { slave.send(Source::bytes("x"), "directory", {.overwrite = true}); }},
             {"send to 'missing/x'", ENOENT, "ENOENT", [&] { slave.send(Source::bytes("x"), "missing/x"); }},
             {"fetch 'missing'", ENOENT, "ENOENT", [&] { slave.fetch("missing", Sink::bytes(memory)); }},
             {"fetch 'directory'", EISDIR, "EISDIR", [&] { slave.fetch("directory", Sink::bytes(memory)); }},
         }) {
      const auto error = thrown_by<RemoteError>(example.attempt);
      CAPTURE(example.operation);
      REQUIRE(error);
      const std::string words = error->what();
      CAPTURE(words);
      CHECK(error->slave() == "worker");
      CHECK(error->operation() == example.operation);
      CHECK(error->code() == Errc::os_error);
      CHECK(error->os().value() == example.os);
      CHECK(words.find(std::string("slave 'worker': ") + example.operation + ": ") == 0);
      CHECK(words.find(std::strerror(example.os)) != std::string::npos);
      CHECK(words.find(example.name_of_os) != std::string::npos);
      CHECK(words.find('\n') == std::string::npos);
      CHECK(words.find('\xff') == std::string::npos);
    }
    CHECK(slave.execute({"ls", "-A"}).out == "directory\nfile\nother\n");
  });
}

TEST_CASE("names hold any bytes") {
  on_every_transport([](Farm& farm, Slave& slave) {
    for (const Bytes& name : {Bytes("new\nline"), Bytes("\xff\xfe not UTF-8"), Bytes(" "), Bytes("-rf"), Bytes("~0001"),
                              Bytes("'\"\\$*"), Bytes(255, 'n')}) {
      CAPTURE(name);
      slave.mkdir("d");
      slave.send(Source::bytes("content"), "d/" + name);
      slave.rename("d/" + name, name);
      slave.copy(name, "d/" + name);
      Bytes content;
      slave.fetch("d/" + name, Sink::bytes(content));
      CHECK(content == "content");
      CHECK(farm.dir.read("worker/d/" + name) == "content");
      CHECK(slave.execute({"cat", "--", name}).out == "content");
      slave.mkdir("d/" + Bytes("x/") + name);
      slave.remove("d");
      slave.remove(name);
    }
  });
}

TEST_CASE("arguments that cannot be are refused before anything is sent") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto refused = [](const auto& operation) {
      const auto error = thrown_by<Error>(operation);
      return error && error->code() == Errc::invalid_argument && !error->message().empty();
    };
    CHECK(refused([&] { slave.mkdir(""); }));
    CHECK(refused([&] { slave.remove(Bytes("a\0b", 3)); }));
    CHECK(refused([&] { slave.rename("a", ""); }));
    CHECK(refused([&] { slave.execute({}); }));
    CHECK(refused([&] { slave.execute({"true"}, {.env = {{"A=B", "c"}}}); }));
    CHECK(refused([&] { slave.call("stat"); }));
    CHECK(refused([&] { slave.call("Not A Name"); }));
    slave.ping();
  });
}

TEST_CASE("read_info gives the files of the directory info") {
  on_every_transport(BeyondRemsh1::info, [](Farm&, Slave& slave) {
    CHECK(slave.read_info().empty());
    slave.mkdir("info");
    slave.send(Source::bytes("blue\n"), "info/colour");
    slave.send(Source::bytes(Bytes(1, '\0')), "info/binary");
    slave.mkdir("info/directory");
    CHECK(slave.read_info() == std::map<Bytes, Bytes>{{"colour", "blue\n"}});
  });
}

}  // namespace remsh::test

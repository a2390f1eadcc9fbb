// Directories and names on a slave: set_cwd, getenv, mkdir, remove, rename, copy, stat, read_info.
#include "support/slaves.hpp"

#include <filesystem>

namespace remsh::test {

namespace {

namespace fs = std::filesystem;

bool is_error(const std::optional<RemoteError>& error, std::errc wanted) {
  return error && error->code() == Errc::os_error && error->os() == wanted;
}

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
    slave.send(Source::memory("x"), "file");
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
    slave.send(Source::memory("x"), "file");
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
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.mkdir("a/b/c");
    slave.mkdir("a/b/c");
    slave.mkdir(farm.basedir() + "/a/d");
    CHECK(slave.stat("a/b/c")->is_directory());
    CHECK(slave.stat("a/d")->is_directory());
    slave.send(Source::memory("x"), "file");
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.mkdir("file"); }), std::errc::file_exists));
    CHECK(is_error(thrown_by<RemoteError>([&] { slave.mkdir("file/below"); }), std::errc::not_a_directory));
  });
}

TEST_CASE("remove takes whole trees, and what is missing is fine") {
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.mkdir("tree/closed/deep");
    slave.send(Source::memory("x"), "tree/closed/deep/file");
    slave.send(Source::memory("kept"), "outside");
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
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.send(Source::memory("one"), "one");
    slave.send(Source::memory("two"), "two");
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
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.send(Source::memory("one"), "one", {.mode = 0750});
    slave.copy("one", "two");
    CHECK(farm.dir.read("worker/two") == "one");
    CHECK(slave.stat("two")->mode == 0750);
    slave.send(Source::memory("three"), "three");
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

TEST_CASE("stat tells what is there, and that nothing is") {
  on_every_transport([](Farm& farm, Slave& slave) {
    slave.send(Source::memory("12345"), "file", {.mode = 0640});
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
  on_every_transport([](Farm&, Slave& slave) {
    slave.send(Source::memory("x"), "file");
    const auto error = thrown_by<RemoteError>([&] { slave.stat("file/below"); });
    REQUIRE(error);
    CHECK(error->slave() == "worker");
    CHECK(error->operation() == "stat 'file/below'");
    CHECK(std::string(error->what()).find("slave 'worker': stat 'file/below': ") == 0);
    CHECK(std::string(error->what()).find("ENOTDIR") != std::string::npos);
    slave.ping();
  });
}

TEST_CASE("names hold any bytes") {
  on_every_transport([](Farm& farm, Slave& slave) {
    for (const Bytes& name : {Bytes("new\nline"), Bytes("\xff\xfe not UTF-8"), Bytes(" "), Bytes("-rf"), Bytes("~0001"),
                              Bytes("'\"\\$*"), Bytes(255, 'n')}) {
      CAPTURE(name);
      slave.mkdir("d");
      slave.send(Source::memory("content"), "d/" + name);
      slave.rename("d/" + name, name);
      slave.copy(name, "d/" + name);
      Bytes content;
      slave.fetch("d/" + name, Sink::memory(content));
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
  on_every_transport([](Farm&, Slave& slave) {
    CHECK(slave.read_info().empty());
    slave.mkdir("info");
    slave.send(Source::memory("blue\n"), "info/colour");
    slave.send(Source::memory(Bytes(1, '\0')), "info/binary");
    slave.mkdir("info/directory");
    CHECK(slave.read_info() == std::map<Bytes, Bytes>{{"colour", "blue\n"}});
  });
}

}  // namespace remsh::test

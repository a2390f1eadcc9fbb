#include "slave/filesystem.hpp"

#include "operations/operations.hpp"
#include "support/child_process.hpp"
#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"
#include "support/watched_calls.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::FakeServedCall;
using remsh::test::TempDir;
using remsh::test::watch_calls;
using remsh::test::WatchedCall;

namespace {

/// A slave's file operations in a directory of its own.
struct ServedFilesystem {
  TempDir dir;
  std::shared_ptr<Workplace> workplace = *Workplace::open(dir.path());
  Dispatcher dispatcher;

  ServedFilesystem() { add_filesystem(dispatcher, workplace); }

  Result<Box> call(const std::string& name, const Box& arguments = {}) {
    const auto made = std::make_shared<FakeServedCall>(name, arguments);
    dispatcher.dispatch(made);
    return made->outcome();
  }

  int error(const std::string& name, const Box& arguments) {
    const auto result = call(name, arguments);
    return result ? 0 : result.failure().os;
  }

  std::optional<FileInfo> stat(const Bytes& path, bool nofollow = false) {
    return from_box<Stat::Reply>(*call("stat", to_box(Stat::Request{path, nofollow})))->info;
  }

  mode_t mode(const std::string& name) const {
    struct stat what {};
    REQUIRE(::lstat((dir / name).c_str(), &what) == 0);
    return what.st_mode & 07777;
  }
};

}  // namespace

TEST_CASE("every operation on the file system says which argument is wrong") {
  ServedFilesystem session;
  for (const char* name : {"mkdir", "remove", "rename", "copy", "stat"}) {
    CAPTURE(name);
    const auto outcome = session.call(name);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.failure().code == Errc::invalid_argument);
  }
}

TEST_CASE("set_cwd moves the session, reports, and goes back") {
  ServedFilesystem session;
  const Bytes base = session.workplace->base().path();
  REQUIRE(session.call("mkdir", Box{{"path", "a"}}));
  CHECK(session.call("set_cwd", Box{{"path", "a"}})->get("path") == base + "/a");
  CHECK(session.call("set_cwd", Box{{"path", ""}})->get("path") == base + "/a");
  REQUIRE(session.call("mkdir", Box{{"path", "inside"}}));
  CHECK(session.dir.has("a/inside"));
  CHECK(session.call("set_cwd")->get("path") == base);
  CHECK(session.error("set_cwd", Box{{"path", "missing"}}) == ENOENT);
  CHECK(session.call("set_cwd", Box{{"path", ""}})->get("path") == base);
}

TEST_CASE("getenv tells the environment of the beginning, not what became of it") {
  REQUIRE(::setenv("REMSH_TEST_VARIABLE", "one=two\nthree", 1) == 0);
  ServedFilesystem session;
  ::unsetenv("REMSH_TEST_VARIABLE");
  const auto reply = from_box<Getenv::Reply>(*session.call("getenv"));
  REQUIRE(reply);
  REQUIRE(reply->env.count("REMSH_TEST_VARIABLE") == 1);
  CHECK(reply->env.at("REMSH_TEST_VARIABLE") == "one=two\nthree");
}

TEST_CASE("info gives the files of the base directory's info/, wherever the session is") {
  ServedFilesystem session;
  CHECK(from_box<ReadInfo::Reply>(*session.call("info"))->files.empty());

  REQUIRE(::mkdir((session.dir / "info").c_str(), 0755) == 0);
  REQUIRE(::mkdir((session.dir / "info/directory").c_str(), 0755) == 0);
  REQUIRE(::mkfifo((session.dir / "info/fifo").c_str(), 0600) == 0);
  session.dir.write("info/admin", "me <me@example.com>\n");
  session.dir.write("info/empty", "");
  session.dir.write("info/new\nline", "\xff");
  session.dir.write("info/zero", std::string("a\0b", 3));
  session.dir.write("info/most", std::string(64 * 1024, 'x'));
  session.dir.write("info/more", std::string(64 * 1024 + 1, 'x'));
  REQUIRE(session.call("set_cwd", Box{{"path", "/"}}));

  const auto reply = from_box<ReadInfo::Reply>(*session.call("info"));
  REQUIRE(reply);
  CHECK(reply->files.size() == 4);
  CHECK(reply->files.at("admin") == "me <me@example.com>\n");
  CHECK(reply->files.at("empty").empty());
  CHECK(reply->files.at("new\nline") == "\xff");
  CHECK(reply->files.at("most").size() == 64 * 1024);
}

TEST_CASE("info that no call can carry is an error, and costs no memory") {
  ServedFilesystem session;
  REQUIRE(::mkdir((session.dir / "info").c_str(), 0755) == 0);
  for (int i = 0; i < 20; ++i) session.dir.write("info/" + std::to_string(i), std::string(60'000, 'x'));
  const auto outcome = session.call("info");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().code == Errc::too_large);
}

TEST_CASE("mkdir makes parents, and accepts a directory that is there but no file") {
  ServedFilesystem session;
  CHECK(session.error("mkdir", to_box(Mkdir::Request{"a/b/c", 0750})) == 0);
  CHECK(session.mode("a/b/c") == 0750);
  CHECK(session.error("mkdir", to_box(Mkdir::Request{"a/b/c", {}})) == 0);
  session.dir.write("file", "");
  CHECK(session.error("mkdir", to_box(Mkdir::Request{"file", {}})) == EEXIST);
}

TEST_CASE("a directory that is made for a master whom a policy confines gets no set-group-ID bit or the like") {
  const TempDir dir;
  Dispatcher dispatcher;
  add_filesystem(dispatcher, *Workplace::open(dir.path()), 0777);
  const auto call = std::make_shared<FakeServedCall>("mkdir", to_box(Mkdir::Request{"a", 07755}));
  dispatcher.dispatch(call);
  REQUIRE(call->outcome());
  CHECK(std::filesystem::status(dir / "a").permissions() == std::filesystem::perms(0755));
}

TEST_CASE("remove removes a tree, and a missing path is fine") {
  ServedFilesystem session;
  REQUIRE(session.call("mkdir", Box{{"path", "tree/a"}}));
  session.dir.write("tree/a/file", "x");
  CHECK(session.error("remove", Box{{"path", "tree"}}) == 0);
  CHECK(session.error("remove", Box{{"path", "tree"}}) == 0);
  CHECK(session.error("remove", Box{{"path", "."}}) == EINVAL);
  CHECK(session.dir.count() == 0);
}

TEST_CASE("a remove that is cancelled stops") {
  ServedFilesystem session;
  REQUIRE(session.call("mkdir", Box{{"path", "tree/a"}}));
  const auto call = std::make_shared<FakeServedCall>("remove", Box{{"path", "tree"}});
  call->cancel();
  session.dispatcher.dispatch(call);
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK(session.dir.has("tree/a"));
}

TEST_CASE("rename refuses an existing destination unless told to overwrite") {
  ServedFilesystem session;
  session.dir.write("a", "A");
  session.dir.write("b", "B");
  CHECK(session.error("rename", to_box(TwoPaths{"a", "b"})) == EEXIST);
  CHECK(session.dir.read("b") == "B");
  CHECK(session.error("rename", to_box(TwoPaths{"a", "b", true})) == 0);
  CHECK(session.dir.read("b") == "A");
  CHECK(session.error("rename", to_box(TwoPaths{"a", "c"})) == ENOENT);
}

TEST_CASE("copy copies content and permissions, and leaves nothing else") {
  ServedFilesystem session;
  const std::string content = std::string(1'000'000, 'x') + '\0' + "\xff\n";
  session.dir.write("a", content);
  REQUIRE(::chmod((session.dir / "a").c_str(), 04751) == 0);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "b"})) == 0);
  CHECK(session.dir.read("b") == content);
  CHECK(session.mode("b") == 0751);
  CHECK(session.dir.read("a") == content);
  session.dir.write("empty", "");
  CHECK(session.error("copy", to_box(TwoPaths{"empty", "also empty"})) == 0);
  CHECK(session.dir.has("also empty"));
  CHECK(session.dir.count() == 4);
}

#if defined(SYS_copy_file_range)
TEST_CASE("copy does without the help of the kernel") {
  ServedFilesystem session;
  const std::string content(1'000'000, 'x');
  session.dir.write("a", content);
  const int code = test::run_in_child([&] {
    if (!test::refuse_system_call(SYS_copy_file_range, EXDEV)) return test::skipped;
    return session.error("copy", to_box(TwoPaths{"a", "b"})) == 0 ? 0 : 1;
  });
  CHECK(test::unless_skipped(code) == 0);
  if (code != test::skipped) CHECK(session.dir.read("b") == content);
}
#endif

TEST_CASE("copy reads to the end what tells no size") {
  ServedFilesystem session;
  CHECK(session.error("copy", to_box(TwoPaths{"/proc/self/status", "status"})) == 0);
  CHECK(session.dir.read("status").find("Name:") == 0);
}

TEST_CASE("copy refuses what it must not replace, and what is no file") {
  ServedFilesystem session;
  session.dir.write("a", "A");
  session.dir.write("b", "B");
  REQUIRE(session.call("mkdir", Box{{"path", "d"}}));
  REQUIRE(::mkfifo((session.dir / "fifo").c_str(), 0600) == 0);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "b"})) == EEXIST);
  CHECK(session.dir.read("b") == "B");
  CHECK(session.error("copy", to_box(TwoPaths{"a", "b", true})) == 0);
  CHECK(session.dir.read("b") == "A");
  CHECK(session.error("copy", to_box(TwoPaths{"d", "x"})) == EISDIR);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "d", true})) == EISDIR);
  CHECK(session.error("copy", to_box(TwoPaths{"fifo", "x"})) == EINVAL);
  CHECK(session.error("copy", to_box(TwoPaths{"missing", "x"})) == ENOENT);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "missing/x"})) == ENOENT);
  CHECK(session.dir.count() == 4);
}

TEST_CASE("a copy of a file onto itself is refused and loses nothing") {
  ServedFilesystem session;
  session.dir.write("a", "A");
  REQUIRE(::link((session.dir / "a").c_str(), (session.dir / "same").c_str()) == 0);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "./a", true})) == EINVAL);
  CHECK(session.error("copy", to_box(TwoPaths{"a", "same", true})) == EINVAL);
  CHECK(session.dir.read("a") == "A");
  CHECK(session.dir.count() == 2);
}

TEST_CASE("a copy that is cancelled leaves nothing") {
  ServedFilesystem session;
  session.dir.write("a", "A");
  const auto call = std::make_shared<FakeServedCall>("copy", to_box(TwoPaths{"a", "b"}));
  call->cancel();
  session.dispatcher.dispatch(call);
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK(session.dir.count() == 1);
}

TEST_CASE("stat tells type, size, permissions and time") {
  ServedFilesystem session;
  session.dir.write("file", "12345");
  REQUIRE(::chmod((session.dir / "file").c_str(), 0640) == 0);
  const timespec times[] = {{0, 0}, {-1, 999'999'999}};
  REQUIRE(::utimensat(AT_FDCWD, (session.dir / "file").c_str(), times, 0) == 0);
  const auto info = session.stat("file");
  REQUIRE(info);
  CHECK(info->is_file());
  CHECK(info->size == 5);
  CHECK(info->mode == 0640);
  CHECK(info->mtime.time_since_epoch().count() == -1);

  REQUIRE(::mkfifo((session.dir / "fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("file", (session.dir / "link").c_str()) == 0);
  CHECK(session.stat(".")->type == FileType::directory);
  CHECK(session.stat("fifo")->type == FileType::fifo);
  CHECK(session.stat("/dev/null")->type == FileType::character_device);
  CHECK(session.stat("link")->type == FileType::file);
  CHECK(session.stat("link", true)->type == FileType::symlink);
}

TEST_CASE("stat answers that a path is missing, and fails where it cannot know") {
  ServedFilesystem session;
  session.dir.write("file", "");
  REQUIRE(::symlink("nowhere", (session.dir / "dangling").c_str()) == 0);
  CHECK_FALSE(session.stat("missing"));
  CHECK_FALSE(session.stat("missing/x"));
  CHECK_FALSE(session.stat("dangling"));
  CHECK(session.stat("dangling", true)->type == FileType::symlink);
  CHECK(session.error("stat", to_box(Stat::Request{"file/x", false})) == ENOTDIR);
  CHECK(session.error("stat", to_box(Stat::Request{Bytes(300, 'n'), false})) == ENAMETOOLONG);

  REQUIRE(session.call("mkdir", to_box(Mkdir::Request{"closed/x", {}})));
  REQUIRE(::chmod((session.dir / "closed").c_str(), 0000) == 0);
  REQUIRE(::chmod(session.dir.path().c_str(), 0755) == 0);
  const int code = test::run_in_child([&] {
    if (!test::drop_privileges()) return test::skipped;
    return session.error("stat", to_box(Stat::Request{"closed/x", false})) == EACCES ? 0 : 1;
  });
  REQUIRE(::chmod((session.dir / "closed").c_str(), 0755) == 0);
  CHECK(test::unless_skipped(code) == 0);
}

TEST_CASE("what mkdir, rename and copy have made is on the disk when they answer, unless the caller does without") {
  ServedFilesystem session;
  REQUIRE(::mkdir((session.dir / "from").c_str(), 0755) == 0);
  REQUIRE(::mkdir((session.dir / "to").c_str(), 0755) == 0);
  session.dir.write("from/a", "A");

  /// The directories, and files not yet under their name, that an operation forces to the disk.
  std::vector<std::string> forced;
  const auto watch = [&](const std::string& name, const Box& arguments) {
    forced.clear();
    Result<Box> result = Box();
    const auto observer = [&](const WatchedCall& call) {
      const std::string link = "/proc/self/fd/" + std::to_string(call.arguments[0]);
      const std::filesystem::path path = std::filesystem::read_symlink(link);
      forced.push_back(path.string().ends_with(" (deleted)") ? "a file" : path.filename().string());
      return 0;
    };
    const bool is_watched = watch_calls(SYS_fsync, observer, [&] { result = session.call(name, arguments); });
    CHECK((!is_watched || result));
    return is_watched;
  };
  using Names = std::vector<std::string>;
  const std::string base = std::filesystem::path(session.dir.path()).filename();
  if (!watch("mkdir", {{"path", "one/two"}})) return;
  CHECK(forced == Names{base, "one"});
  watch("mkdir", {{"path", "one/two"}});
  CHECK(forced.empty());
  watch("copy", to_box(TwoPaths{"from/a", "to/a"}));
  CHECK(forced == Names{"a file", "to"});
  watch("copy", to_box(TwoPaths{.from = "from/a", .to = "to/b", .durable = false}));
  CHECK(forced.empty());
  watch("rename", to_box(TwoPaths{"from/a", "to/c"}));
  CHECK(forced == Names{"to", "from"});
  watch("rename", to_box(TwoPaths{"to/a", "to/b", true}));
  CHECK(forced == Names{"to"});
  watch("rename", to_box(TwoPaths{.from = "to/c", .to = "to/d", .durable = false}));
  CHECK(forced.empty());
}

#include "os/new_file.hpp"

#include "os/file.hpp"
#include "os/process.hpp"
#include "support/child_process.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "support/watched_calls.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::mode_of;
using remsh::test::run_in_child;
using remsh::test::TempDir;

namespace {

/// Without a name until the commit, and with a temporary one.
const std::vector named_or_not{false, true};

Result<NewFile> create(const std::string& path, bool named, bool overwrite = false) {
  return NewFile::create(AT_FDCWD, path, {.overwrite = overwrite, .always_named = named});
}

Result<void> write_new(const std::string& path, BytesView content, bool named = false, bool overwrite = false,
                       bool durable = false) {
  auto file = create(path, named, overwrite);
  if (!file) return file.failure();
  if (auto written = file->write(content); !written) return written;
  return file->commit(0644, durable);
}

bool is_directory(int descriptor) {
  struct stat what {};
  return ::fstat(descriptor, &what) == 0 && S_ISDIR(what.st_mode);
}

}  // namespace

TEST_CASE("a program can be run as soon as it is committed") {
  const TempDir dir;
  for (const bool named : named_or_not) {
    const std::string path = dir / (named ? "named" : "unnamed");
    auto file = create(path, named);
    REQUIRE(file);
    REQUIRE(file->write("#!/bin/sh\nexit 7\n"));
    REQUIRE(file->commit(0755, false));
    const auto program = spawn({.args = {path}, .env = {}});
    REQUIRE_MESSAGE(program.ok(), program.failure().message);
  }
}

TEST_CASE("a new file appears with its content and permissions when it is committed, not before") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    auto file = create(dir / "a", named);
    REQUIRE(file);
    REQUIRE(file->write("hello "));
    REQUIRE(file->write("world"));
    CHECK_FALSE(dir.has("a"));
    CHECK(dir.count() == (named ? 2 : 0));  // the part file, and the directory of its record
    REQUIRE(file->commit(0751));
    CHECK(dir.read("a") == "hello world");
    CHECK(mode_of(dir / "a") == 0751);
    CHECK(file->size() == 11);
    CHECK(dir.count() == 1);
  }
}

TEST_CASE("a new file is nobody else's to read until it is committed, and is closed on exec") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    auto file = create(dir / "a", named);
    REQUIRE(file);
    struct stat what {};
    REQUIRE(::fstat(file->descriptor(), &what) == 0);
    CHECK((what.st_mode & 07777) == 0600);
    CHECK((::fcntl(file->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("a new file that is dropped, or moved over, leaves nothing") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    {
      auto first = create(dir / "a", named);
      auto second = create(dir / "b", named);
      REQUIRE(first);
      REQUIRE(second);
      REQUIRE(first->write("x"));
      CHECK(dir.count() == (named ? 3 : 0));
      *first = std::move(*second);
      CHECK(dir.count() == (named ? 2 : 0));
      NewFile third = std::move(*first);
      CHECK(dir.count() == (named ? 2 : 0));
    }
    CHECK(dir.count() == 0);
  }
}

TEST_CASE("a relative new file is made in the directory it was given") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    REQUIRE(::mkdir((dir / "sub").c_str(), 0755) == 0);
    const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    auto file = NewFile::create(at.get(), "sub//x", {.always_named = named});
    REQUIRE(file);
    // The parent is held, so what is above it may move.
    REQUIRE(::rename((dir / "sub").c_str(), (dir / "moved").c_str()) == 0);
    REQUIRE(file->commit(0600));
    CHECK(dir.has("moved/x"));
  }
}

TEST_CASE("an existing destination is refused, unless it may be replaced") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    dir.write("a", "old");
    CHECK(error_of(write_new(dir / "a", "new", named)) == EEXIST);
    CHECK(dir.read("a") == "old");
    CHECK(error_of(write_new(dir / "a", "new", named, true)) == 0);
    CHECK(dir.read("a") == "new");
    CHECK(dir.count() == 1);
  }
}

TEST_CASE("a destination that appears meanwhile is refused by the commit") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    {
      auto file = create(dir / "a", named);
      REQUIRE(file);
      dir.write("a", "theirs");
      CHECK(error_of(file->commit(0644)) == EEXIST);
    }
    CHECK(dir.read("a") == "theirs");
    CHECK(dir.count() == 1);
  }
}

TEST_CASE("a directory is never replaced by a file") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    REQUIRE(::mkdir((dir / "d").c_str(), 0755) == 0);
    CHECK(error_of(write_new(dir / "d", "x", named)) == EEXIST);
    CHECK(error_of(write_new(dir / "d", "x", named, true)) == EISDIR);
    auto file = create(dir / "later", named, true);
    REQUIRE(file);
    REQUIRE(::mkdir((dir / "later").c_str(), 0755) == 0);
    CHECK(error_of(file->commit(0644)) == EISDIR);
  }
}

TEST_CASE("a symbolic link is a destination of its own: refused or replaced, never followed") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    dir.write("target", "old");
    REQUIRE(::symlink("target", (dir / "link").c_str()) == 0);
    REQUIRE(::symlink("nowhere", (dir / "dangling").c_str()) == 0);
    CHECK(error_of(write_new(dir / "link", "new", named)) == EEXIST);
    CHECK(error_of(write_new(dir / "dangling", "new", named)) == EEXIST);
    CHECK_FALSE(dir.has("nowhere"));
    CHECK(error_of(write_new(dir / "link", "new", named, true)) == 0);
    CHECK(dir.read("target") == "old");
    CHECK(dir.read("link") == "new");
  }
}

TEST_CASE("a path that cannot be a file's is refused, with the system's word for it") {
  TempDir dir;
  dir.write("file", "");
  CHECK(error_of(write_new("", "x")) == ENOENT);
  CHECK(error_of(write_new("/", "x")) == EISDIR);
  CHECK(error_of(write_new(dir / ".", "x")) == EISDIR);
  CHECK(error_of(write_new(dir / "..", "x", false, true)) == EISDIR);
  CHECK(error_of(write_new(dir / "new/", "x")) == EISDIR);
  CHECK(error_of(write_new(dir / "missing/x", "x")) == ENOENT);
  CHECK(error_of(write_new(dir / "file/x", "x")) == ENOTDIR);
  CHECK(error_of(write_new(dir / std::string(300, 'n'), "x")) == ENAMETOOLONG);
  CHECK(error_of(write_new(dir / std::string("a\0b", 3), "x")) == EINVAL);
  CHECK(dir.count() == 1);
}

TEST_CASE("names may be any bytes: newlines, invalid UTF-8, the longest there are") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    for (const std::string& name : {std::string("a\nb"), std::string("\xff\xfe\x80"), std::string(" "),
                                    std::string("-rf"), std::string(255, 'n')}) {
      CAPTURE(name);
      CHECK(error_of(write_new(dir / name, "x", named)) == 0);
      CHECK(dir.read(name) == "x");
      CHECK(error_of(open_file(AT_FDCWD, dir / name)) == 0);
    }
  }
}

TEST_CASE("temporary names cannot be foreseen, and a planted link is not followed") {
  TempDir dir;
  auto first = create(dir / "a", true);
  auto second = create(dir / "a", true);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(dir.count() == 3);

  // Somebody who may write there puts a link in the place of the temporary file: data goes on to the file that was
  // opened, and the commit moves the link, at worst; what it leads to is not touched.
  dir.write("precious", "untouched");
  std::string temporary;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (entry.is_regular_file() && entry.path().filename() != "precious") temporary = entry.path();
  }
  REQUIRE(::unlink(temporary.c_str()) == 0);
  REQUIRE(::symlink("precious", temporary.c_str()) == 0);
  for (auto* file : {&first, &second}) {
    REQUIRE((*file)->write("attack"));
    (void)(*file)->commit(0666);
  }
  CHECK(dir.read("precious") == "untouched");
  CHECK(mode_of(dir / "precious") != 0666);
}

TEST_CASE("of many who commit the same name at once exactly one wins") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    for (int round = 0; round < 20; ++round) {
      const std::string name = "a" + std::to_string(round);
      std::atomic<int> won{0};
      std::atomic<int> refused{0};
      std::string winner;
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          auto file = create(dir / name, named);
          if (!file) return void(refused += file.failure().os == EEXIST);
          const std::string content(1000, static_cast<char>('a' + i));
          if (!file->write(content)) return;
          auto done = file->commit(0644);
          if (done) winner = content, ++won;
          if (!done) refused += done.failure().os == EEXIST;
        });
      }
      for (auto& thread : threads) thread.join();
      CHECK(won == 1);
      CHECK(refused == 3);
      CHECK(dir.read(name) == winner);
    }
    CHECK(dir.count() == 20);
  }
}

TEST_CASE("a write that the system cannot take comes out, and nothing remains") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    const int code = run_in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{1000, 1000};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
      auto file = create(dir / "a", named);
      if (!file) return 2;
      auto written = file->write(std::string(5000, 'x'));
      if (written) return 3;
      return written.failure().os == EFBIG && written.failure().message == "write: File too large" ? 0 : 4;
    });
    CHECK(code == 0);
    CHECK(dir.count() == 0);
  }
}

TEST_CASE("a directory that may not be written refuses a new file") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "d").c_str(), 0555) == 0);
  const int code = run_in_child([&] {
    if (!remsh::test::drop_privileges()) return test::skipped;
    return error_of(write_new(dir / "d/a", "x")) == EACCES ? 0 : 1;
  });
  CHECK(test::unless_skipped(code) == 0);
}

TEST_CASE("a durable commit forces the content to the disk before there is a name, and the name before it returns") {
  for (const bool named : named_or_not) {
    for (const bool overwrite : named_or_not) {
      CAPTURE(named);
      CAPTURE(overwrite);
      TempDir dir;
      if (overwrite) dir.write("a", "old");
      std::vector<std::string> forced;
      Result<void> result;
      const auto observer = [&](const test::WatchedCall& call) {
        const bool is_there = dir.read("a") == "new";
        const std::string what = is_directory(static_cast<int>(call.arguments[0])) ? "directory" : "file";
        forced.push_back(what + (is_there ? ", with the new file" : ", without it"));
        return 0;
      };
      if (!test::watch_calls(SYS_fsync, observer,
                             [&] { result = write_new(dir / "a", "new", named, overwrite, true); })) {
        return;
      }
      CHECK(result);
      CHECK(forced == std::vector<std::string>{"file, without it", "directory, with the new file"});
    }
  }
}

TEST_CASE("a commit that need not be durable waits for no disk") {
  TempDir dir;
  int forced = 0;
  Result<void> result = Failure{Errc::os_error, "", 0};
  const auto observer = [&](const test::WatchedCall&) { return ++forced, 0; };
  if (!test::watch_calls(SYS_fsync, observer, [&] { result = write_new(dir / "a", "new"); })) return;
  CHECK(result);
  CHECK(forced == 0);
}

TEST_CASE("a disk that cannot keep the content fails a durable commit, and nothing gets the name") {
  for (const bool named : named_or_not) {
    CAPTURE(named);
    TempDir dir;
    Result<void> result;
    const auto observer = [&](const test::WatchedCall&) { return EIO; };
    if (!test::watch_calls(SYS_fsync, observer, [&] { result = write_new(dir / "a", "new", named, false, true); }))
      return;
    REQUIRE_FALSE(result);
    CHECK(result.failure().os == EIO);
    CHECK(result.failure().message == "force the file to the disk: Input/output error");
    CHECK(dir.count() == 0);
  }
}

TEST_CASE("a disk that cannot keep the name fails a durable commit") {
  TempDir dir;
  Result<void> result;
  const auto observer = [&](const test::WatchedCall& call) {
    return is_directory(static_cast<int>(call.arguments[0])) ? EIO : 0;
  };
  if (!test::watch_calls(SYS_fsync, observer, [&] { result = write_new(dir / "a", "new", false, false, true); }))
    return;
  REQUIRE_FALSE(result);
  CHECK(result.failure().os == EIO);
}

TEST_CASE("a file system that cannot force anything to a disk is no failure") {
  for (const int error : {EINVAL, ENOTSUP}) {
    CAPTURE(error);
    TempDir dir;
    Result<void> result = Failure{Errc::os_error, "", 0};
    const auto observer = [&](const test::WatchedCall&) { return error; };
    if (!test::watch_calls(SYS_fsync, observer, [&] { result = write_new(dir / "a", "new", false, false, true); }))
      return;
    CHECK(result);
    CHECK(dir.read("a") == "new");
  }
}

TEST_CASE("a system that makes files without a name and does not let them have one gets a copy") {
  TempDir dir;
  Result<void> result;
  const std::string content(200'000, 'c');
  const auto observer = [&](const test::WatchedCall&) { return EACCES; };
  const auto work = [&] {
    auto file = create(dir / "a", false);
    result = file->write(content);
    if (result) result = file->commit(0640, true);
    CHECK(file->size() == content.size());
  };
  if (!test::watch_calls(SYS_linkat, observer, work)) return;
  CHECK(result);
  CHECK((dir.read("a") == content));
  CHECK(mode_of(dir / "a") == 0640);
  CHECK(dir.count() == 1);
}

#include "os/file.hpp"

#include "support/child_process.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::run_in_child;
using remsh::test::TempDir;

namespace {

int error_of(const auto& result) { return result ? 0 : result.failure().os; }

Result<void> put(const std::string& path, BytesView content, bool overwrite = false, mode_t mode = 0644) {
  auto file = NewFile::create(AT_FDCWD, path, overwrite);
  if (!file) return file.failure();
  if (auto written = file->write(content); !written) return written;
  return file->commit(mode);
}

mode_t mode_of(const std::string& path) {
  struct stat what {};
  REQUIRE(::stat(path.c_str(), &what) == 0);
  return what.st_mode & 07777;
}

}  // namespace

TEST_CASE("a failure of the system has its sentence and its number") {
  CHECK(os_failure(ENOENT, "open").message == "open: No such file or directory");
  CHECK(os_failure(ENOENT).message == "No such file or directory");
  CHECK(os_failure(ENOENT).os == ENOENT);
  CHECK(os_failure(ENOENT).code == Errc::os_error);
}

TEST_CASE("a new file appears with its content and permissions when it is committed, not before") {
  TempDir dir;
  auto file = NewFile::create(AT_FDCWD, dir / "a", false);
  REQUIRE(file);
  REQUIRE(file->write("hello "));
  REQUIRE(file->write("world"));
  CHECK_FALSE(dir.has("a"));
  CHECK(dir.count() == 1);
  REQUIRE(file->commit(0751));
  CHECK(dir.read("a") == "hello world");
  CHECK(mode_of(dir / "a") == 0751);
  CHECK(file->size() == 11);
  CHECK(dir.count() == 1);
}

TEST_CASE("a new file is nobody else's to read until it is committed, and is closed on exec") {
  TempDir dir;
  auto file = NewFile::create(AT_FDCWD, dir / "a", false);
  REQUIRE(file);
  struct stat what {};
  REQUIRE(::fstat(file->descriptor(), &what) == 0);
  CHECK((what.st_mode & 07777) == 0600);
  CHECK((::fcntl(file->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a new file that is dropped, or moved over, leaves nothing") {
  TempDir dir;
  {
    auto first = NewFile::create(AT_FDCWD, dir / "a", false);
    auto second = NewFile::create(AT_FDCWD, dir / "b", false);
    REQUIRE(first);
    REQUIRE(second);
    REQUIRE(first->write("x"));
    CHECK(dir.count() == 2);
    *first = std::move(*second);
    CHECK(dir.count() == 1);
    NewFile third = std::move(*first);
    CHECK(dir.count() == 1);
  }
  CHECK(dir.count() == 0);
}

TEST_CASE("a relative new file is made in the directory it was given") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "sub").c_str(), 0755) == 0);
  const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto file = NewFile::create(at.get(), "sub//x", false);
  REQUIRE(file);
  // The parent is held, so what is above it may move.
  REQUIRE(::rename((dir / "sub").c_str(), (dir / "moved").c_str()) == 0);
  REQUIRE(file->commit(0600));
  CHECK(dir.has("moved/x"));
}

TEST_CASE("an existing destination is refused, unless it may be replaced") {
  TempDir dir;
  dir.write("a", "old");
  CHECK(error_of(put(dir / "a", "new")) == EEXIST);
  CHECK(dir.read("a") == "old");
  CHECK(error_of(put(dir / "a", "new", true)) == 0);
  CHECK(dir.read("a") == "new");
  CHECK(dir.count() == 1);
}

TEST_CASE("a destination that appears meanwhile is refused by the commit") {
  TempDir dir;
  {
    auto file = NewFile::create(AT_FDCWD, dir / "a", false);
    REQUIRE(file);
    dir.write("a", "theirs");
    CHECK(error_of(file->commit(0644)) == EEXIST);
  }
  CHECK(dir.read("a") == "theirs");
  CHECK(dir.count() == 1);
}

TEST_CASE("a directory is never replaced by a file") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "d").c_str(), 0755) == 0);
  CHECK(error_of(put(dir / "d", "x")) == EEXIST);
  CHECK(error_of(put(dir / "d", "x", true)) == EISDIR);
  auto file = NewFile::create(AT_FDCWD, dir / "later", true);
  REQUIRE(file);
  REQUIRE(::mkdir((dir / "later").c_str(), 0755) == 0);
  CHECK(error_of(file->commit(0644)) == EISDIR);
}

TEST_CASE("a symbolic link is a destination of its own: refused or replaced, never followed") {
  TempDir dir;
  dir.write("target", "old");
  REQUIRE(::symlink("target", (dir / "link").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (dir / "dangling").c_str()) == 0);
  CHECK(error_of(put(dir / "link", "new")) == EEXIST);
  CHECK(error_of(put(dir / "dangling", "new")) == EEXIST);
  CHECK_FALSE(dir.has("nowhere"));
  CHECK(error_of(put(dir / "link", "new", true)) == 0);
  CHECK(dir.read("target") == "old");
  CHECK(dir.read("link") == "new");
}

TEST_CASE("a path that cannot be a file's is refused, with the system's word for it") {
  TempDir dir;
  dir.write("file", "");
  CHECK(error_of(put("", "x")) == ENOENT);
  CHECK(error_of(put("/", "x")) == EISDIR);
  CHECK(error_of(put(dir / ".", "x")) == EISDIR);
  CHECK(error_of(put(dir / "..", "x", true)) == EISDIR);
  CHECK(error_of(put(dir / "new/", "x")) == EISDIR);
  CHECK(error_of(put(dir / "missing/x", "x")) == ENOENT);
  CHECK(error_of(put(dir / "file/x", "x")) == ENOTDIR);
  CHECK(error_of(put(dir / std::string(300, 'n'), "x")) == ENAMETOOLONG);
  CHECK(error_of(put(dir / std::string("a\0b", 3), "x")) == EINVAL);
  CHECK(dir.count() == 1);
}

TEST_CASE("names may be any bytes: newlines, invalid UTF-8, the longest there are") {
  TempDir dir;
  for (const std::string& name : {std::string("a\nb"), std::string("\xff\xfe\x80"), std::string(" "),
                                  std::string("-rf"), std::string(255, 'n')}) {
    CAPTURE(name);
    CHECK(error_of(put(dir / name, "x")) == 0);
    CHECK(dir.read(name) == "x");
    CHECK(error_of(open_file(AT_FDCWD, dir / name)) == 0);
  }
}

TEST_CASE("temporary names cannot be foreseen, and a planted link is not followed") {
  TempDir dir;
  auto first = NewFile::create(AT_FDCWD, dir / "a", false);
  auto second = NewFile::create(AT_FDCWD, dir / "a", false);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(dir.count() == 2);

  // Somebody who may write there puts a link in the place of the temporary file: data goes on to the file that was
  // opened, and the commit moves the link, at worst; what it leads to is not touched.
  dir.write("precious", "untouched");
  std::string temporary;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (entry.path().filename() != "precious") temporary = entry.path();
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
  TempDir dir;
  for (int round = 0; round < 20; ++round) {
    const std::string name = "a" + std::to_string(round);
    std::atomic<int> won{0};
    std::atomic<int> refused{0};
    std::string winner;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        auto file = NewFile::create(AT_FDCWD, dir / name, false);
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

TEST_CASE("a write that the system cannot take comes out, and nothing remains") {
  TempDir dir;
  const int code = run_in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    auto file = NewFile::create(AT_FDCWD, dir / "a", false);
    if (!file) return 2;
    auto written = file->write(std::string(5000, 'x'));
    if (written) return 3;
    return written.failure().os == EFBIG && written.failure().message == "write: File too large" ? 0 : 4;
  });
  CHECK(code == 0);
  CHECK(dir.count() == 0);
}

TEST_CASE("a directory that may not be written refuses a new file") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "d").c_str(), 0555) == 0);
  const int code = run_in_child([&] {
    if (!remsh::test::drop_privileges()) return test::skipped;
    return error_of(put(dir / "d/a", "x")) == EACCES ? 0 : 1;
  });
  CHECK(test::unless_skipped(code) == 0);
}

TEST_CASE("a file is opened with its size and permissions, and read to its end") {
  TempDir dir;
  dir.write("a", "0123456789");
  REQUIRE(::chmod((dir / "a").c_str(), 0640) == 0);
  auto file = open_file(AT_FDCWD, dir / "a");
  REQUIRE(file);
  CHECK(file->size == 10);
  CHECK(file->mode == 0640);
  CHECK((::fcntl(file->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  char buffer[7];
  CHECK(*read_file(file->fd.get(), buffer) == 7);
  CHECK(*read_file(file->fd.get(), buffer) == 3);
  CHECK(*read_file(file->fd.get(), buffer) == 0);
  CHECK(error_of(read_file(-1, buffer)) == EBADF);
}

TEST_CASE("only a regular file is opened, and nothing is waited for") {
  TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(error_of(open_file(AT_FDCWD, dir.path())) == EISDIR);
  CHECK(error_of(open_file(AT_FDCWD, dir / "fifo")) == EINVAL);
  CHECK(open_file(AT_FDCWD, dir / "fifo").failure().message == "open: Not a regular file");
  CHECK(error_of(open_file(AT_FDCWD, "/dev/null")) == EINVAL);
  CHECK(error_of(open_file(AT_FDCWD, dir / "missing")) == ENOENT);
  CHECK(error_of(open_file(AT_FDCWD, "")) == ENOENT);
  CHECK(error_of(open_file(AT_FDCWD, dir / std::string("fifo\0x", 6))) == EINVAL);
}

TEST_CASE("rename refuses what exists, unless it may be replaced") {
  TempDir dir;
  const auto rename = [&](const std::string& from, const std::string& to, bool overwrite) {
    return error_of(rename_path(AT_FDCWD, dir / from, AT_FDCWD, dir / to, overwrite));
  };
  dir.write("a", "A");
  dir.write("b", "B");
  CHECK(rename("a", "b", false) == EEXIST);
  CHECK(dir.read("a") == "A");
  CHECK(dir.read("b") == "B");
  CHECK(rename("a", "c", false) == 0);
  CHECK_FALSE(dir.has("a"));
  CHECK(rename("c", "b", true) == 0);
  CHECK(dir.read("b") == "A");
  CHECK(rename("missing", "b", true) == ENOENT);
  CHECK(rename("missing", "b", false) == ENOENT);

  REQUIRE(::mkdir((dir / "d").c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "e").c_str(), 0755) == 0);
  CHECK(rename("b", "d", false) == EEXIST);
  CHECK(rename("b", "d", true) == EISDIR);
  CHECK(rename("d", "b", true) == ENOTDIR);
  CHECK(rename("d", "d/inside", false) == EINVAL);
  CHECK(rename("d", "e", false) == EEXIST);
  CHECK(rename("d", "f", false) == 0);
  CHECK(rename("f", std::string("g\0h", 3), false) == EINVAL);
  CHECK(dir.has("f"));
}

#if defined(SYS_renameat2) && defined(SYS_renameat)
TEST_CASE("without a rename that never replaces, names are still given without replacing") {
  for (const bool has_links : {true, false}) {
    CAPTURE(has_links);
    TempDir dir;
    dir.write("a", "A");
    dir.write("b", "B");
    REQUIRE(::mkdir((dir / "d").c_str(), 0755) == 0);
    const int code = run_in_child([&] {
      if (!test::refuse_system_call(SYS_renameat2, EINVAL)) return test::skipped;
      if (!has_links && !test::refuse_system_call(SYS_linkat, EPERM)) return test::skipped;
      const auto rename = [&](const std::string& from, const std::string& to) {
        return error_of(rename_path(AT_FDCWD, dir / from, AT_FDCWD, dir / to, false));
      };
      if (rename("a", "b") != EEXIST || rename("a", "d") != EEXIST) return 1;
      if (rename("missing", "c") != ENOENT || rename("d", "b") != EEXIST) return 2;
      if (rename("a", "c") != 0 || rename("d", "e") != 0 || rename("e", "e/inside") != EINVAL) return 3;
      if (error_of(put(dir / "c", "x")) != EEXIST || error_of(put(dir / "new", "x")) != 0) return 4;
      auto late = NewFile::create(AT_FDCWD, dir / "late", false);
      if (!late || error_of(put(dir / "late", "first")) != 0) return 5;
      return error_of(late->commit(0644)) == EEXIST ? 0 : 6;
    });
    CHECK(test::unless_skipped(code) == 0);
    if (code == test::skipped) continue;
    CHECK(dir.read("c") == "A");
    CHECK(dir.read("b") == "B");
    CHECK(dir.read("late") == "first");
    CHECK(dir.has("e"));
    CHECK(dir.count() == 5);
  }
}
#endif

TEST_CASE("rename works between two directories that are held open, and moves a link itself") {
  TempDir one;
  TempDir two;
  const UniqueFd from(::open(one.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd to(::open(two.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(::symlink("nowhere", (one / "link").c_str()) == 0);
  CHECK(rename_path(from.get(), "link", to.get(), "moved", false));
  CHECK(one.count() == 0);
  CHECK(two.has("moved"));
}

TEST_CASE("of many who rename to the same name at once exactly one wins") {
  TempDir dir;
  std::atomic<int> won{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) dir.write("from" + std::to_string(i), std::to_string(i));
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back(
        [&, i] { won += rename_path(AT_FDCWD, dir / ("from" + std::to_string(i)), AT_FDCWD, dir / "to", false).ok(); });
  }
  for (auto& thread : threads) thread.join();
  CHECK(won == 1);
  CHECK(dir.count() == 8);
}

#include "os/tree.hpp"

#include "os/unique_fd.hpp"
#include "support/child_process.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::mode_of;
using remsh::test::run_in_child;
using remsh::test::TempDir;

namespace {

// A directory in a directory and so on, deeper than a path can say, with a file and a link in each of the lowest ones.
bool make_deep(int at, int depth, const std::string& name) {
  UniqueFd above;
  for (int i = 0; i < depth; ++i) {
    const int parent = above ? above.get() : at;
    if (::mkdirat(parent, name.c_str(), 0755) != 0) return false;
    UniqueFd below(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!below) return false;
    above = std::move(below);
    if (i + 20 < depth) continue;
    const UniqueFd file(::openat(above.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file || ::symlinkat("..", above.get(), "link") != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a directory is made with its parents, and may be there already") {
  TempDir dir;
  const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(make_directories(at.get(), "a/b//c/"));
  CHECK(make_directories(at.get(), "a/b/c"));
  CHECK(make_directories(at.get(), "a/./b/../b/d\n\xff"));
  CHECK(dir.has("a/b/c"));
  CHECK(dir.has("a/b/d\n\xff"));
  CHECK(make_directories(at.get(), "."));
  CHECK(make_directories(at.get(), "/"));
  CHECK(make_directories(at.get(), dir / "e/f"));
  CHECK(dir.has("e/f"));
}

TEST_CASE("a mode that is given is that of the last directory, whatever the umask") {
  TempDir dir;
  const int code = run_in_child([&] {
    ::umask(0077);
    return make_directories(AT_FDCWD, dir / "a/b/", 0755) && make_directories(AT_FDCWD, dir / "a", 0777) ? 0 : 1;
  });
  CHECK(code == 0);
  CHECK(mode_of(dir / "a") == 0700);
  CHECK(mode_of(dir / "a/b") == 0755);
}

TEST_CASE("what is there and is no directory is in the way of one") {
  TempDir dir;
  dir.write("file", "");
  REQUIRE(::symlink("nowhere", (dir / "dangling").c_str()) == 0);
  REQUIRE(::mkdir((dir / "real").c_str(), 0755) == 0);
  REQUIRE(::symlink("real", (dir / "link").c_str()) == 0);
  CHECK(error_of(make_directories(AT_FDCWD, dir / "file")) == EEXIST);
  CHECK(error_of(make_directories(AT_FDCWD, dir / "file/a/b")) == ENOTDIR);
  CHECK(error_of(make_directories(AT_FDCWD, dir / "dangling")) == EEXIST);
  CHECK(error_of(make_directories(AT_FDCWD, dir / "link")) == 0);
  CHECK(error_of(make_directories(AT_FDCWD, dir / "link/a/b")) == 0);
  CHECK(dir.has("real/a/b"));
  CHECK(error_of(make_directories(AT_FDCWD, "")) == ENOENT);
  CHECK(error_of(make_directories(AT_FDCWD, dir / std::string("a\0b", 3))) == EINVAL);
  CHECK(error_of(make_directories(AT_FDCWD, dir / std::string(256, 'n'))) == ENAMETOOLONG);
}

TEST_CASE("many may make the same directories at once") {
  TempDir dir;
  for (int round = 0; round < 5; ++round) {
    const std::string path = dir / ("r" + std::to_string(round) + "/a/b/c/d/e");
    std::atomic<int> made{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { made += make_directories(AT_FDCWD, path).ok(); });
    for (auto& thread : threads) thread.join();
    CHECK(made == 4);
  }
}

TEST_CASE("a file, a link, a fifo or a whole tree is removed, and nothing else") {
  TempDir dir;
  TempDir other;
  other.write("precious", "kept");
  dir.write("file", "x");
  dir.write("kept", "x");
  REQUIRE(::symlink(other.path().c_str(), (dir / "link").c_str()) == 0);
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  REQUIRE(make_directories(AT_FDCWD, dir / "tree/a/b"));
  REQUIRE(make_directories(AT_FDCWD, dir / "tree/c\n\xff"));
  dir.write("tree/a/file", "x");
  dir.write("tree/c\n\xff/.hidden", "x");
  REQUIRE(::symlink(other.path().c_str(), (dir / "tree/a/out").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (dir / "tree/dangling").c_str()) == 0);

  for (const char* name : {"file", "link", "fifo", "tree/"}) {
    CAPTURE(name);
    CHECK(error_of(remove_tree(AT_FDCWD, dir / name)) == 0);
  }
  CHECK(dir.count() == 1);
  CHECK(dir.has("kept"));
  CHECK(other.read("precious") == "kept");
}

TEST_CASE("to remove what is missing is success, to remove where we are is not") {
  TempDir dir;
  dir.write("file", "");
  REQUIRE(::symlink(".", (dir / "link").c_str()) == 0);
  CHECK(error_of(remove_tree(AT_FDCWD, dir / "missing")) == 0);
  CHECK(error_of(remove_tree(AT_FDCWD, dir / "missing/too/")) == 0);
  CHECK(error_of(remove_tree(AT_FDCWD, dir / "file/x")) == 0);
  CHECK(error_of(remove_tree(AT_FDCWD, dir / "file/")) == ENOTDIR);
  CHECK(error_of(remove_tree(AT_FDCWD, dir / "link/")) == ENOTDIR);
  for (const std::string& path : {std::string(), std::string("/"), std::string("."), std::string(".."), dir / ".",
                                  dir / "../", std::string("//"), dir / std::string("file\0x", 6)}) {
    CAPTURE(path);
    CHECK(error_of(remove_tree(AT_FDCWD, path)) == EINVAL);
  }
  CHECK(dir.count() == 2);
}

TEST_CASE("a tree of thousands of levels of the longest names is removed with few descriptors") {
  // In memory where that is possible: on a disk the making and removing of so many takes many seconds.
  const bool in_memory = ::access("/dev/shm", W_OK) == 0;
  TempDir dir(in_memory ? "/dev/shm" : std::filesystem::temp_directory_path());
  const int depth = in_memory ? 5000 : 500;
  const int code = run_in_child([&] {
    const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!make_deep(at.get(), depth, std::string(255, 'n'))) return 1;
    const rlimit limit{64, 64};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 2;
    return remove_tree(at.get(), std::string(255, 'n')) ? 0 : 3;
  });
  CHECK(code == 0);
  CHECK(dir.count() == 0);
}

TEST_CASE("wide directories are removed also when they have to be listed again") {
  TempDir dir;
  const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(make_directories(at.get(), "top"));
  const UniqueFd top(::openat(at.get(), "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 4; ++i) REQUIRE(make_deep(top.get(), 30, "d" + std::to_string(i)));
  for (int i = 0; i < 2000; ++i) dir.write("top/f" + std::to_string(i), "");
  CHECK(error_of(remove_tree(at.get(), "top")) == 0);
  CHECK(dir.count() == 0);
}

TEST_CASE("permissions that are in the way are reset, in the tree and not above it") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  const int code = run_in_child([&] {
    if (!test::drop_privileges()) return test::skipped;
    for (const mode_t mode : {0000U, 0100U, 0200U, 0300U, 0400U, 0500U, 0600U}) {
      const std::string top = dir / ("top" + std::to_string(mode));
      if (!make_directories(AT_FDCWD, top + "/a/b/c")) return 1;
      for (const char* path : {"/file", "/a/file", "/a/b/c/file"}) {
        const UniqueFd file(::open((top + path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0400));
        if (!file) return 2;
      }
      for (const char* path : {"/a/b/c", "/a/b", "/a", ""}) {
        if (::chmod((top + path).c_str(), mode) != 0) return 3;
      }
      if (!remove_tree(AT_FDCWD, top)) return 4;
    }
    // The directory that holds it is not ours to change.
    if (!make_directories(AT_FDCWD, dir / "holder/x") || ::chmod((dir / "holder").c_str(), 0555) != 0) return 5;
    const auto refused = remove_tree(AT_FDCWD, dir / "holder/x");
    if (error_of(refused) != EACCES || refused.failure().message != "remove 'x': Permission denied") return 6;
    if (::chmod((dir / "holder").c_str(), 0755) != 0) return 7;
    return remove_tree(AT_FDCWD, dir / "holder") ? 0 : 8;
  });
  CHECK(test::unless_skipped(code) == 0);
  CHECK(dir.count() == 0);
}

TEST_CASE("deep directories without permissions are removed") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  const int code = run_in_child([&] {
    if (!test::drop_privileges()) return test::skipped;
    std::string path = dir / "top";
    std::vector<std::string> paths;
    for (int i = 0; i < 60; ++i, path += "/d") paths.push_back(path);
    if (!make_directories(AT_FDCWD, paths.back())) return 1;
    for (auto at = paths.rbegin(); at != paths.rend(); ++at) {
      if (::chmod(at->c_str(), 0400) != 0) return 2;
    }
    return remove_tree(AT_FDCWD, dir / "top") ? 0 : 3;
  });
  CHECK(test::unless_skipped(code) == 0);
  CHECK(dir.count() == 0);
}

TEST_CASE("what cannot be removed is named with its path") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  REQUIRE(make_directories(AT_FDCWD, dir / "top/theirs/x"));
  REQUIRE(::chmod((dir / "top").c_str(), 0777) == 0);
  const int code = run_in_child([&] {
    if (::geteuid() != 0 || !test::drop_privileges()) return test::skipped;
    const auto result = remove_tree(AT_FDCWD, dir / "top");
    return error_of(result) == EACCES && result.failure().message == "remove 'top/theirs/x': Permission denied" ? 0 : 1;
  });
  CHECK(test::unless_skipped(code) == 0);
  CHECK(dir.has("top/theirs/x"));
}

TEST_CASE("a removal stops when it is cancelled") {
  TempDir dir;
  REQUIRE(make_directories(AT_FDCWD, dir / "top"));
  for (int i = 0; i < 50; ++i) dir.write("top/" + std::to_string(i), "");
  int asked = 0;
  const auto result = remove_tree(AT_FDCWD, dir / "top", [&] { return ++asked == 10; });
  REQUIRE_FALSE(result);
  CHECK(result.failure().code == Errc::cancelled);
  CHECK(dir.has("top"));
}

TEST_CASE("many may remove the same tree at once") {
  TempDir dir;
  const UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int round = 0; round < 3; ++round) {
    REQUIRE(make_directories(at.get(), "top"));
    const UniqueFd top(::openat(at.get(), "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 3; ++i) REQUIRE(make_deep(top.get(), 40, "d" + std::to_string(i)));
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { done += remove_tree(at.get(), "top").ok(); });
    for (auto& thread : threads) thread.join();
    CHECK(done == 4);
    CHECK(dir.count() == 0);
  }
}

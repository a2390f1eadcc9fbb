#include "os/rename.hpp"

#include "os/new_file.hpp"
#include "support/child_process.hpp"
#include "support/temp_dir.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::run_in_child;
using remsh::test::TempDir;

namespace {

Result<void> write_file(const std::string& path, BytesView content) {
  auto file = NewFile::create(AT_FDCWD, path, false);
  if (!file) return file.failure();
  if (auto written = file->write(content); !written) return written;
  return file->commit(0644);
}

}  // namespace

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
      if (error_of(write_file(dir / "c", "x")) != EEXIST || error_of(write_file(dir / "new", "x")) != 0) return 4;
      auto late = NewFile::create(AT_FDCWD, dir / "late", false);
      if (!late || error_of(write_file(dir / "late", "first")) != 0) return 5;
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

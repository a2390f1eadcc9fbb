#include "os/directory.hpp"

#include "support/child_process.hpp"
#include "support/temp_dir.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::TempDir;

TEST_CASE("a directory knows its absolute path, without symbolic links") {
  TempDir dir;
  const std::string real = std::filesystem::canonical(dir.path());
  REQUIRE(::mkdir((dir / "d\n\xff").c_str(), 0755) == 0);
  REQUIRE(::symlink("d\n\xff", (dir / "link").c_str()) == 0);
  CHECK(Directory::open(AT_FDCWD, dir / "link/.")->path() == real + "/d\n\xff");
  CHECK(Directory::open(AT_FDCWD, "/")->path() == "/");
}

TEST_CASE("a relative path is opened against the directory it is given") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "d").c_str(), 0755) == 0);
  auto outer = Directory::open(AT_FDCWD, dir.path());
  REQUIRE(outer);
  auto inner = Directory::open(outer->descriptor(), "d");
  REQUIRE(inner);
  CHECK(inner->path() == outer->path() + "/d");
  CHECK(Directory::open(inner->descriptor(), "..")->path() == outer->path());
  CHECK((::fcntl(inner->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("what is not a directory, or not a path, is refused") {
  TempDir dir;
  dir.write("file", "");
  CHECK(error_of(Directory::open(AT_FDCWD, dir / "file")) == ENOTDIR);
  CHECK(error_of(Directory::open(AT_FDCWD, dir / "missing")) == ENOENT);
  CHECK(error_of(Directory::open(AT_FDCWD, "")) == ENOENT);
  CHECK(error_of(Directory::open(AT_FDCWD, dir / std::string(".\0x", 3))) == EINVAL);
}

TEST_CASE("a directory may be worked in without being readable, but not without being searchable") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "search").c_str(), 0111) == 0);
  REQUIRE(::mkdir((dir / "closed").c_str(), 0444) == 0);
  const int code = test::run_in_child([&] {
    if (!test::drop_privileges()) return test::skipped;
    if (error_of(Directory::open(AT_FDCWD, dir / "search")) != 0) return 1;
    return error_of(Directory::open(AT_FDCWD, dir / "closed")) == EACCES ? 0 : 2;
  });
  CHECK(test::unless_skipped(code) == 0);
  REQUIRE(::chmod((dir / "search").c_str(), 0755) == 0);  // else only root can remove it
}

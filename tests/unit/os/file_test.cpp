#include "os/file.hpp"

#include "support/temp_dir.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::TempDir;

TEST_CASE("a failure of the system has its sentence and its number") {
  CHECK(os_failure(ENOENT, "open").message == "open: No such file or directory");
  CHECK(os_failure(ENOENT).message == "No such file or directory");
  CHECK(os_failure(ENOENT).os == ENOENT);
  CHECK(os_failure(ENOENT).code == Errc::os_error);
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

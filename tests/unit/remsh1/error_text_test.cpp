// What error texts of remsh 1 mean.
#include "remsh1/error_text.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <string>

using namespace remsh;
using remsh::remsh1::failure_of;

namespace {

int os_of(BytesView text) {
  const Failure failure = failure_of(text);
  CHECK(failure.code == (failure.os == 0 ? Errc::remote_failure : Errc::os_error));
  CHECK(failure.message == text);
  return failure.os;
}

}  // namespace

TEST_CASE("what the system of this machine says is understood") {
  for (const int error : {E2BIG,  EACCES,  EBUSY,  EEXIST, EFBIG,        EINVAL, EIO,    EISDIR, ELOOP,
                          EMFILE, EMLINK,  ENFILE, ENODEV, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTEMPTY,
                          EROFS,  ENOTDIR, ENXIO,  EPERM,  ENOEXEC,      EXDEV,  EAGAIN, EFAULT}) {
    CAPTURE(error);
    CHECK(os_of(std::strerror(error)) == error);
  }
}

TEST_CASE("the sentences of the original are understood, whatever the path") {
  CHECK(os_of("File 'x' already exists") == EEXIST);
  CHECK(os_of("'x' already exists") == EEXIST);
  CHECK(os_of("File 'x' does not exist") == ENOENT);
  CHECK(os_of("'Permission denied' does not exist") == ENOENT);
  CHECK(os_of("tree not removed") == 0);
}

TEST_CASE("a system's error that Python has wrapped is understood") {
  CHECK(os_of("[Errno 21] Is a directory: 'x'") == EISDIR);
  CHECK(os_of("[Errno 13] Permission denied") == EACCES);
  CHECK(os_of("OSError(2, 'No such file or directory')") == ENOENT);
  CHECK(os_of("FileNotFoundError(2, 'No such file or directory')") == ENOENT);
  CHECK(os_of("OSError(13, 'Permission denied', 'x')") == EACCES);
}

TEST_CASE("words count, not numbers, which are those of another system") {
  CHECK(os_of("[Errno 9999] No space left on device: 'x'") == ENOSPC);
  CHECK(os_of("[Errno 2] Something new: 'x'") == 0);
}

TEST_CASE("what is not quite such a text has no code") {
  for (const char* const text : {"x", "(2, 'No such file or directory')", "OSError(", "OSError(2", "OSError(2, 'No",
                                 "[Errno ] File exists", "[Errno 2]", "a file: No such file or directory"}) {
    CAPTURE(text);
    CHECK(os_of(text) == 0);
  }
}

TEST_CASE("an error without a text still says something, and one that is long is cut") {
  CHECK(failure_of("").message == "the slave did not say why");
  CHECK(failure_of(Bytes(10'000, 'x')).message.size() == 4096);
}

// Error and the sentence that it says.
#include <remsh/base/error.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

using remsh::Errc;
using remsh::Error;

namespace {

std::error_code os_code(int error) { return {error, std::generic_category()}; }

std::string said(const Error& error) { return error.what(); }

}  // namespace

TEST_CASE("an error names the slave, the operation, the cause and the system's name for it") {
  const Error error(Errc::os_error, "w1", "rename 'a' to 'b'", "File exists", os_code(EEXIST));
  CHECK(said(error) == "slave 'w1': rename 'a' to 'b': File exists (EEXIST)");
  CHECK(error.code() == Errc::os_error);
  CHECK(error.slave() == "w1");
  CHECK(error.operation() == "rename 'a' to 'b'");
  CHECK(error.message() == "File exists");
  CHECK(error.os() == std::errc::file_exists);
}

TEST_CASE("what is not known about an error is left out of its sentence") {
  CHECK(said(Error(Errc::in_use, "", "listen on 127.0.0.1:1", "taken")) == "listen on 127.0.0.1:1: taken");
  CHECK(said(Error(Errc::busy, "w1", "", "no room")) == "slave 'w1': no room");
  CHECK(said(Error(Errc::busy, "", "", "no room")) == "no room");
}

TEST_CASE("an error without a message still says something") {
  CHECK(said(Error(Errc::timeout, "w1", "stat 'a'", "")) == "slave 'w1': stat 'a': timeout");
  CHECK(said(Error(Errc::local_os_error, "", "open 'a'", "", os_code(ENOENT))) ==
        "open 'a': " + os_code(ENOENT).message() + " (ENOENT)");
}

TEST_CASE("the system's name for a cause is said once") {
  CHECK(said(Error(Errc::os_error, "", "", "File exists (EEXIST)", os_code(EEXIST))) == "File exists (EEXIST)");
}

TEST_CASE("a number that has no name is said as a number") {
  CHECK(said(Error(Errc::os_error, "", "", "odd", os_code(99999))) == "odd (errno 99999)");
}

TEST_CASE("control bytes of names, paths and peers' messages do not reach what() raw") {
  const Error error(Errc::remote_failure, "w\x1B", "stat 'a\nb'", "bad\r");
  CHECK(said(error) == "slave 'w\\x1B': stat 'a\\x0Ab': bad\\x0D");
  CHECK(error.operation() == "stat 'a\nb'");
}

TEST_CASE("a subclass is caught as what it is and as the root") {
  CHECK_THROWS_AS(throw remsh::ConnectionLost(Errc::connection_lost, "w1", "", "gone"), remsh::ConnectionLost);
  CHECK_THROWS_AS(throw remsh::Timeout(Errc::timeout, "w1", "", "late"), Error);
}

TEST_CASE("every code has a name of its own") {
  CHECK(remsh::to_string(Errc::os_error) == "os_error");
  CHECK(remsh::to_string(Errc::in_use) == "in_use");
  CHECK(remsh::to_string(Errc::protocol_error) == "protocol_error");
}

// What remsh-slave enrol does for itself before it takes the token.
#include "base/exit_code.hpp"
#include "programs/program.hpp"
#include "support/child_process.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <string>

namespace remsh::test {

#if defined(__linux__)
TEST_CASE("an enrolment leaves no core file, and nobody reads its memory") {
  const TempDir dir;
  const int code = run_in_child([&dir] {
    std::string program = "remsh-slave";
    std::string command = "enrol";
    std::string master = "--master=tls:127.0.0.1:1";
    std::string key = "--key=" + (dir / "w1.key");
    char* args[] = {program.data(), command.data(), master.data(), key.data(), nullptr};
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(nothing, STDIN_FILENO);  // in which it looks for the token
    ::dup2(nothing, STDERR_FILENO);
    if (program::run_program(4, args) != exit_usage) return 2;
    return ::prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1;
  });
  CHECK(code == 0);
}
#endif

}  // namespace remsh::test

// Tests of the limit of descriptors, of this process and of its children.
#include "os/descriptor_limit.hpp"
#include "os/process.hpp"
#include "support/child_process.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace remsh {
namespace {

TEST_CASE("the soft limit is raised to the hard one, and children get the one from before") {
  const int code = test::run_in_child([] {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < 200) return test::skipped;
    limit.rlim_cur = 100;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 2;
    raise_descriptor_limit();
    rlimit raised{};
    ::getrlimit(RLIMIT_NOFILE, &raised);
    if (raised.rlim_cur != raised.rlim_max) return 3;
    auto in = open_pipe_to_child();
    auto out = open_pipe_from_child();
    if (!in || !out) return 4;
    // It looks when it has been told to, which is after spawn() has returned.
    auto child = spawn({.args = {"/bin/sh", "-c", "read line; ulimit -Sn"},
                        .env = {},
                        .in = in->theirs.get(),
                        .out = out->theirs.get()});
    if (!child) return 5;
    out->theirs.reset();
    if (::write(in->ours.get(), "\n", 1) != 1) return 6;
    std::string text;
    for (char byte = 0; text.find('\n') == std::string::npos;) {
      const ssize_t count = ::read(out->ours.get(), &byte, 1);
      if (count == 0) break;
      if (count == 1) text += byte;
    }
    return text == "100\n" ? 0 : 7;
  });
  CHECK(test::unless_skipped(code) == 0);
}

}  // namespace
}  // namespace remsh

// How long a SlaveServer waits for a master that says nothing.
#include <remsh/slave/slave_server.hpp>

#include "os/unique_fd.hpp"
#include "support/temp_dir.hpp"
#include "support/tls.hpp"
#include "transport/endpoint.hpp"

#include <doctest/doctest.h>
#include <remsh/transport/memory.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Reason = ServeResult::Reason;

bool has(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("a master that says nothing is given up after the handshake's time, wherever it stops") {
  const TempDir dir;
  auto listening = listen_tcp("127.0.0.1", 0, 8);  // the system accepts, nobody reads
  REQUIRE(listening);
  const std::string port = std::to_string(local_port(listening->get()));
  SlaveOptions options{.name = "w1", .basedir = dir / "w1", .key = key_of('k')};
  options.handshake_timeout = 10ms;

  SlaveServer server(options);
  ServeResult result = server.run_once("tls:127.0.0.1:" + port);
  CHECK(result.reason == Reason::unreachable);
  CHECK(has(result.message, "in time"));
  result = server.run_once("tcp:127.0.0.1:" + port);
  CHECK_FALSE(result.registered);
  CHECK(has(result.message, "in time"));
  auto [ours, theirs] = memory_pair();
  result = server.serve(std::move(theirs));
  CHECK_FALSE(result.registered);
  CHECK(has(result.message, "in time"));

  options.key.reset();
  options.protocol = 1;
  SlaveServer of_remsh1(options);
  result = of_remsh1.run_once("tcp:127.0.0.1:" + port);
  CHECK(result.reason == Reason::lost);
  CHECK(has(result.message, "not registered this slave in time"));
}

}  // namespace remsh::test

// The wire trace: what it says of boxes, and that what is traced goes through unchanged.
#include "unit/transport/transports.hpp"

#include <remsh/connection/connection.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::for_each_transport;

namespace {

/// Keeps what it is told. Copies keep the same.
class TraceLines {
 public:
  [[nodiscard]] TraceHook hook() const {
    return [kept = kept_](const TraceRecord& record) {
      const std::lock_guard lock(kept->mutex);
      (record.sent ? kept->sent : kept->received).push_back(record.text);
    };
  }
  [[nodiscard]] const std::vector<std::string>& sent() const { return kept_->sent; }
  [[nodiscard]] const std::vector<std::string>& received() const { return kept_->received; }

 private:
  struct Kept {
    std::mutex mutex;
    std::vector<std::string> sent;
    std::vector<std::string> received;
  };
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a box is a line of its keys and short values") {
  CHECK(to_string(Box{{"_ask", "1"}, {"_command", "stat"}, {"path", "/tmp"}}) == "_ask=1 _command=stat path=/tmp");
  CHECK(to_string(Box{{"args", BytesView("make\0-j8\0", 9)}}) == R"(args="make\x00-j8\x00")");
  CHECK(to_string(Box{{"path", "a b"}, {"reason", "say \"no\"\n"}}) == R"(path="a b" reason="say \"no\"\x0A")");
  CHECK(to_string(Box{{"cwd", ""}}) == R"(cwd="")");
  CHECK(to_string(Box{{"a=b c", "x=y"}}) == R"("a=b c"="x=y")");
}

TEST_CASE("of what is long, or nobody's business, only the length is told") {
  CHECK(to_string(Box{{"path", std::string(121, 'x')}}) == "path=<121 bytes>");
  CHECK(to_string(Box{{"path", std::string(120, 'x')}}) == "path=" + std::string(120, 'x'));
  CHECK(to_string(Box{{"data", "geheim"}, {"env", "PASSWORD=x"}, {"env~0001", "more"}, {"mac", "0123"}}) ==
        "data=<6 bytes> env=<10 bytes> env~0001=<4 bytes> mac=<4 bytes>");
  CHECK(to_string(Box{{"env_PASSWORD", "x"}}) == "env_PASSWORD=<1 bytes>");
}

TEST_CASE("what contains a secret is not shown, in whichever part of a long value it is") {
  const Box call{
      {"_command", "execute"}, {"args", BytesView("login\0-p\0hunter2\0", 17)}, {"secrets", BytesView("hunter2\0", 8)}};
  CHECK(to_string(call) == "_command=execute args=<17 bytes> secrets=<8 bytes>");
  const Box other{{"_command", "execute"}, {"args", BytesView("login\0", 6)}, {"secrets", BytesView("hunter2\0", 8)}};
  CHECK(to_string(other) == R"(_command=execute args="login\x00" secrets=<8 bytes>)");
  CHECK(to_string(Box{{"args~0001", "ter2"}, {"secrets", BytesView("hunter2\0", 8)}}) ==
        "args~0001=<4 bytes> secrets=<8 bytes>");
  CHECK(to_string(Box{{"args", "x"}, {"secrets", "hun"}, {"secrets~0001", "ter2"}}) ==
        "args=<1 bytes> secrets=<3 bytes> secrets~0001=<4 bytes>");
  CHECK(to_string(Box{{"prepend", "PATH=x"}}) == "prepend=<6 bytes>");
}

TEST_CASE("a record is a line with time, peer and direction") {
  const auto at = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + 9h + 5min + 7s + 42us;
  CHECK(to_string(TraceRecord{at, true, "tcp 127.0.0.1:1", "a=b"}) == "09:05:07.000042 tcp 127.0.0.1:1 > a=b");
  CHECK(to_string(TraceRecord{at, false, "memory", "a=b"}) == "09:05:07.000042 memory < a=b");
}

TEST_CASE("what is traced goes through unchanged, and each box is told once, on every transport") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    const TraceLines lines;
    {
      Connection here(traced(std::move(a), lines.hook()));
      Connection there(std::move(b));
      here.send_box({{"n", "1"}});
      CHECK(there.read_box() == Box{{"n", "1"}});
      there.send_box({{"n", "2"}});
      there.send_box({{"n", "3"}});
      CHECK(here.read_box() == Box{{"n", "2"}});
      CHECK(here.read_box() == Box{{"n", "3"}});
      here.send_box({{"n", "4"}});
      CHECK(there.read_box() == Box{{"n", "4"}});
    }
    CHECK(lines.sent() == Texts{"n=1", "n=4"});
    CHECK(lines.received() == Texts{"n=2", "n=3"});
  });
}

TEST_CASE("boxes that come in pieces are told whole, and the end once") {
  auto [near, far] = memory_pair();
  const TraceLines lines;
  const auto transport = traced(std::move(near), lines.hook());
  const Bytes bytes = encode(Box{{"key", "value"}}) + encode(Box{{"more", "yes"}});
  char byte = 0;
  for (const char c : bytes) {
    const std::string_view piece(&c, 1);
    REQUIRE(far->write_some({&piece, 1}).bytes == 1);
    REQUIRE(transport->read_some({&byte, 1}, Duration::zero()).bytes == 1);
    CHECK(byte == c);
  }
  CHECK(lines.received() == Texts{"key=value", "more=yes"});
  far.reset();
  CHECK(transport->read_some({&byte, 1}, Duration::zero()).status == IoResult::Status::end);
  CHECK(transport->read_some({&byte, 1}, Duration::zero()).status == IoResult::Status::end);
  CHECK(lines.received() == Texts{"key=value", "more=yes", "(end)"});
}

TEST_CASE("what is no box is said to be none, and goes through all the same") {
  auto [near, far] = memory_pair();
  const TraceLines lines;
  const auto transport = traced(std::move(near), lines.hook());
  const std::string_view http = "GET / HTTP/1.1\r\n\r\n";
  REQUIRE(far->write_some({&http, 1}).bytes == http.size());
  char buffer[64];
  CHECK(transport->read_some(buffer, Duration::zero()).bytes == http.size());
  REQUIRE(lines.received().size() == 1);
  CHECK(lines.received()[0].find("not AMP boxes") != std::string::npos);
  REQUIRE(far->write_some({&http, 1}).bytes == http.size());
  CHECK(transport->read_some(buffer, Duration::zero()).bytes == http.size());
  CHECK(lines.received().size() == 1);
}

TEST_CASE("a hook that throws harms nobody, and no hook costs nothing") {
  auto [near, far] = memory_pair();
  Transport* const bare = near.get();
  const auto same = traced(std::move(near), nullptr);
  CHECK(same.get() == bare);
  auto [one, two] = memory_pair();
  Connection here(traced(std::move(one), [](const TraceRecord&) { throw std::runtime_error("no"); }));
  Connection there(std::move(two));
  here.send_box({{"n", "1"}});
  CHECK(there.read_box() == Box{{"n", "1"}});
}

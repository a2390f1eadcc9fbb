// Messages between C++ and Python: the system's, and those that PYTHONS names.
#include "support/ample.hpp"
#include "support/has.hpp"
#include "support/many_bytes.hpp"
#include "support/python.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <remsh/messages.hpp>

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace remsh::test {

namespace {

const AuthKey key("secret");

/// What every program begins with. An address of ours as one of Python's; a listener of Python tells its address by
/// connecting to `back` as a client.
const std::string prologue = R"(
import sys
from multiprocessing.connection import (Listener, Client, Connection, AuthenticationError, BufferTooShort,
                                        deliver_challenge, answer_challenge)

def address_of(text):
    if text.startswith('@'):
        return '\0' + text[1:]
    if text.startswith('/'):
        return text
    host, port = text.rsplit(':', 1)
    return host, int(port)

def text_of(address):
    if isinstance(address, bytes):
        address = address.decode()
    return address if isinstance(address, str) else '%s:%d' % address
)";

/// Runs a test with each Python.
void with_each_python(const std::function<void(const std::string& python)>& test) {
  for (const std::string& python : pythons()) {
    CAPTURE(python);
    Python version(python, "import sys; print('%d.%d' % sys.version_info[:2])", {});
    if (!version.runs() || version.wait() != 0) {
      skip("there is no " + python);
      continue;
    }
    test(python);
  }
}

void expect_success(Python& program) {
  const int code = program.wait();
  CHECK_MESSAGE(code == 0, program.err());
}

std::vector<std::string> local_addresses(const TempDir& dir) {
  std::vector<std::string> all{"127.0.0.1:0", "localhost:0", dir / "socket"};
#if defined(__linux__)
  all.push_back("@remsh-python-" + std::to_string(::getpid()));
#endif
  return all;
}

std::optional<AuthKey> key_if(bool is_keyed) { return is_keyed ? std::optional(key) : std::nullopt; }

/// A listener in Python, and a connection of ours to it.
class Served {
 public:
  /// The program has `connection`, which it has accepted.
  Served(const std::string& python, const std::string& address, bool is_keyed, const std::string& program)
      : program_(python, prologue + R"(
back, address, key = sys.argv[1:4]
key = key.encode() or None
listener = Listener(address_of(address), authkey=key)
Client(back).send_bytes(text_of(listener.address).encode())
connection = listener.accept()
)" + program,
                 {back_.address(), address, is_keyed ? "secret" : ""}) {
    Bytes theirs = back_.accept({.deadline = ample}).recv_bytes({.deadline = ample});
    if (theirs[0] == '\0') theirs[0] = '@';
    address_ = theirs;
  }

  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  Python& program() noexcept { return program_; }

 private:
  Listener back_;
  Python program_;
  std::string address_;
};

/// The values of which Python tells the length and gives the reversed list back.
const Value& values() {
  static const Value all = Value::list({Value(), true, false, 0, -1, 255, 256, 65536, std::int64_t{1} << 40U,
                                        Value::What(Value::LargeInt{Bytes(9, '\x7f')}), 2.25, Value::text("junk"),
                                        Value::text("\xc3\xa9"), Value::bytes(Bytes("\xff\0", 2)), Value::tuple({}),
                                        Value::tuple({1, 2, 3, 4}), Value::list({Value::list({})}),
                                        Value::dict({{Value::text("a"), 1}, {2, Value()}}), Value::set({7})});
  return all;
}

}  // namespace

TEST_CASE("a client in Python exchanges messages with a listener of ours") {
  with_each_python([](const std::string& python) {
    const TempDir dir;
    for (const std::string& address : local_addresses(dir)) {
      for (const bool is_keyed : {true, false}) {
        CAPTURE(address);
        CAPTURE(is_keyed);
        Listener listener(address, {.authkey = key_if(is_keyed), .handshake_timeout = ample});
        Python client(python, prologue + R"(
connection = Client(address_of(sys.argv[1]), authkey=sys.argv[2].encode() or None)
connection.send_bytes(b'hello')
assert connection.recv_bytes() == b''
for i in range(3):
    connection.send_bytes(connection.recv_bytes() + b'!')
values = connection.recv()
connection.send(list(reversed(values)))
connection.send([2.25, None, 'junk'])
connection.close()
)",
                      {listener.address(), is_keyed ? "secret" : ""});
        auto connection = listener.accept({.deadline = ample});
        CHECK(connection.recv_bytes({.deadline = ample}) == "hello");
        connection.send_bytes("");
        for (const std::size_t size : {5UL, 16'385UL, 3'000'000UL}) {
          const Bytes message = many_bytes(size);
          connection.send_bytes(message, {.deadline = ample});
          CHECK(connection.recv_bytes({.deadline = ample}) == message + "!");
        }
        connection.send(values());
        auto reversed = values().get_if<Value::List>()->items;
        std::reverse(reversed.begin(), reversed.end());
        CHECK(connection.recv({.deadline = ample}) == Value::list(reversed));
        CHECK(connection.recv({.deadline = ample}) == Value::list({2.25, Value(), Value::text("junk")}));
        CHECK_THROWS_AS(connection.recv({.deadline = ample}), EndOfMessages);
        expect_success(client);
      }
    }
  });
}

TEST_CASE("a client of ours exchanges messages with a listener in Python") {
  with_each_python([](const std::string& python) {
    const TempDir dir;
    for (const std::string& address : local_addresses(dir)) {
      for (const bool is_keyed : {true, false}) {
        CAPTURE(address);
        CAPTURE(is_keyed);
        Served served(python, address, is_keyed, R"(
connection.send([2.25, None, 'junk'])
connection.send_bytes(connection.recv_bytes())
connection.send(connection.recv())
try:
    connection.recv_bytes_into(bytearray(3))
except BufferTooShort as error:
    connection.send_bytes(error.args[0])
try:
    connection.recv_bytes()
except EOFError:
    sys.exit(0)
sys.exit(1)
)");
        Client client(served.address(), {.authkey = key_if(is_keyed), .deadline = ample});
        CHECK(client.recv({.deadline = ample}) == Value::list({2.25, Value(), Value::text("junk")}));
        const Bytes large = many_bytes(1'000'000);
        client.send_bytes(large, {.deadline = ample});
        CHECK(client.recv_bytes({.deadline = ample}) == large);
        client.send(values());
        CHECK(client.recv({.deadline = ample}) == values());
        client.send_bytes("long");
        CHECK(client.recv_bytes({.deadline = ample}) == "long");
        client.close();
        expect_success(served.program());
      }
    }
  });
}

TEST_CASE("with a wrong key both sides are told, in C++ and in Python") {
  with_each_python([](const std::string& python) {
    Listener listener("127.0.0.1:0", {.authkey = key, .handshake_timeout = ample});
    Python client(python, prologue + R"(
try:
    Client(address_of(sys.argv[1]), authkey=b'guess')
except AuthenticationError:
    Client(address_of(sys.argv[1]), authkey=b'secret').send_bytes(b'in')
)",
                  {listener.address()});
    CHECK_THROWS_AS(listener.accept({.deadline = ample}), AuthenticationError);
    CHECK(listener.accept({.deadline = ample}).recv_bytes({.deadline = ample}) == "in");
    expect_success(client);

    Listener back;
    Python server(python, prologue + R"(
listener = Listener(('localhost', 0), authkey=b'secret')
back = Client(sys.argv[1])
back.send_bytes(text_of(listener.address).encode())
try:
    listener.accept()
except AuthenticationError:
    back.send_bytes(b'refused')
listener.accept().send_bytes(b'welcome')
)",
                  {back.address()});
    auto told = back.accept({.deadline = ample});
    const std::string address = told.recv_bytes({.deadline = ample});
    CHECK_THROWS_AS(Client(address, {.authkey = AuthKey("guess"), .deadline = ample}), AuthenticationError);
    CHECK(told.recv_bytes({.deadline = ample}) == "refused");
    CHECK(Client(address, {.authkey = key, .deadline = ample}).recv_bytes({.deadline = ample}) == "welcome");
    expect_success(server);
  });
}

TEST_CASE("a Python that knows MD5 alone is refused where SHA-256 is required") {
  with_each_python([](const std::string& python) {
    Python version(python, "import sys; sys.exit(sys.version_info < (3, 12))", {});
    const bool is_new = version.wait() == 0;
    Listener listener("127.0.0.1:0", {.authkey = key, .require_sha256 = true, .handshake_timeout = ample});
    Python client(python, prologue + R"(
try:
    Client(address_of(sys.argv[1]), authkey=b'secret')
except AuthenticationError:
    sys.exit(3)
)",
                  {listener.address()});
    if (is_new) {
      CHECK_NOTHROW(listener.accept({.deadline = ample}));
      expect_success(client);
      return;
    }
    try {
      listener.accept({.deadline = ample});
      FAIL("a proof by MD5 was accepted");
    } catch (const AuthenticationError& error) {
      CHECK(has(error.what(), "Python up to 3.11 knows no other hash"));
    }
    CHECK(client.wait() == 3);

    Served served(python, "127.0.0.1:0", true, "");
    try {
      Client(served.address(), {.authkey = key, .require_sha256 = true, .deadline = ample});
      FAIL("a challenge by MD5 was answered");
    } catch (const AuthenticationError& error) {
      CHECK(has(error.what(), "the challenge demands MD5"));
    }
  });
}

TEST_CASE("challenges alone are delivered to Python, and answered by it") {
  with_each_python([](const std::string& python) {
    for (const bool is_good : {true, false}) {
      CAPTURE(is_good);
      auto ends = pipe();
      const int end = ends.second.release();
      Python program(python, prologue + R"(
connection = Connection(3)
outcomes = []
for play in answer_challenge, deliver_challenge:
    try:
        play(connection, sys.argv[1].encode())
        outcomes.append('good')
    except (AuthenticationError, EOFError):
        outcomes.append('bad')
        break
print(outcomes)
)",
                     {is_good ? "secret" : "guess"}, end);
      ::close(end);
      const ChallengeOptions options{.deadline = ample};
      if (is_good) {
        CHECK_NOTHROW(deliver_challenge(ends.first, key, options));
        CHECK_NOTHROW(answer_challenge(ends.first, key, options));
      } else {
        CHECK_THROWS_AS(deliver_challenge(ends.first, key, options), AuthenticationError);
      }
      expect_success(program);
      CHECK(program.out() == (is_good ? "['good', 'good']\n" : "['bad']\n"));
    }
  });
}

TEST_CASE("the end of a pipe works in a child in Python, which gets its key over a descriptor") {
  with_each_python([](const std::string& python) {
    auto ends = pipe();
    const int end = ends.second.release();
    Python child(python, prologue + "c = Connection(3)\nwhile True: c.send(c.recv())\n", {}, end);
    ::close(end);
    for (int i = 0; i < 3; ++i) {
      ends.first.send(values());
      CHECK(ends.first.recv({.deadline = ample}) == values());
    }
    ends.first.close();
    CHECK(child.wait() == 1);  // EOFError
    CHECK(has(child.err(), "EOFError"));

    const AuthKey random = random_authkey();
    Listener listener("", {.authkey = random, .handshake_timeout = ample});
    std::optional<AuthKeyPipe> key_pipe(random);
    Python keyed(python, prologue + R"(
import os
connection = Client(sys.argv[1], authkey=os.read(3, 1024))
connection.recv_bytes()
)",
                 {listener.address()}, key_pipe->descriptor());
    key_pipe.reset();
    auto connection = listener.accept({.deadline = ample});
    for (const char* const name : {"cmdline", "environ"}) {
      std::ifstream file("/proc/" + std::to_string(keyed.pid()) + "/" + name);
      const std::string content{std::istreambuf_iterator<char>(file), {}};
      CHECK_FALSE(content.empty());
      CHECK_FALSE(has(content, random.bytes().substr(0, 8)));
    }
    connection.send_bytes("end");
    expect_success(keyed);
  });
}

TEST_CASE("an object of a class in Python is refused by name, and nothing of it is done") {
  with_each_python([](const std::string& python) {
    const TempDir dir;
    Listener listener;
    Python client(python, prologue + R"(
import os
class Trap:
    def __reduce__(self):
        return os.mkdir, (sys.argv[2],)
connection = Client(sys.argv[1])
connection.send(Trap())
connection.send('fine')
connection.recv_bytes()
)",
                  {listener.address(), dir / "trap"});
    auto connection = listener.accept({.deadline = ample});
    try {
      connection.recv({.deadline = ample});
      FAIL("an object of a class was accepted");
    } catch (const ProtocolError& error) {
      CHECK(has(error.what(), "STACK_GLOBAL"));
    }
    CHECK(connection.recv({.deadline = ample}) == Value::text("fine"));
    connection.send_bytes("end");
    expect_success(client);
    CHECK_FALSE(std::ifstream(dir / "trap").good());
  });
}

}  // namespace remsh::test

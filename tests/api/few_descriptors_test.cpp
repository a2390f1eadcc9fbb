// What a host program hears when it has no descriptors left: an Error of the right code, whatever it made.
#include "support/slaves.hpp"

#include <sys/resource.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

/// Leaves this process so many descriptors for as long as it lives, and no more.
class FewDescriptors {
 public:
  explicit FewDescriptors(std::size_t free) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 200;
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (;;) {
      const int descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) break;
      taken_.push_back(descriptor);
    }
    for (; free > 0 && !taken_.empty(); --free) {
      ::close(taken_.back());
      taken_.pop_back();
    }
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() {
    for (const int descriptor : taken_) ::close(descriptor);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace

TEST_CASE("without a free descriptor everything that a host makes fails with a local Error that says so") {
  const TempDir dir;
  SlaveCollection slaves;
  KeyRing ring;
  const auto runtime = make_runtime();
  const std::map<std::string, std::function<void()>> uses = {
      {"make_runtime", [&] { make_runtime(); }},
      {"a TCP listener",
       [&] {
         TcpSlaveListener listener({.slave_collection = slaves, .keyless = true});
         listener.start();
       }},
      {"a TLS listener",
       [&] {
         TcpSlaveListener listener({.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keys = ring});
         listener.start();
       }},
      {"a TCP listener with threads of another",
       [&] {
         TcpSlaveListener listener({.slave_collection = slaves, .keyless = true, .runtime = runtime});
         listener.start();
       }},
      {"a unix listener",
       [&] {
         UnixSlaveListener listener({.slave_collection = slaves, .path = dir / "socket"});
         listener.start();
       }},
      {"a listener for started slaves",
       [&] {
         LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
         listener.start();
       }},
      {"a subscription to notices", [&] { const auto kept = slaves.on_change([](const SlaveNotice&) {}); }},
  };
  for (const auto& each : uses) {
    const auto& what = each.first;
    const auto& use = each.second;
    CAPTURE(what);
    int failures = 0;
    int successes = 0;
    for (std::size_t free = 0; free < 16; ++free) {
      CAPTURE(free);
      const FewDescriptors few(free);
      try {
        use();
        ++successes;
      } catch (const Error& error) {
        ++failures;
        CAPTURE(std::string(error.what()));
        CHECK(error.code() == Errc::local_os_error);
        CHECK(error.os() == std::errc::too_many_files_open);
        CHECK(std::string(error.what()).find("ulimit -n") != std::string::npos);
      } catch (const std::exception& error) {
        FAIL_CHECK("not an Error: ", std::string(error.what()));
      }
    }
    CHECK(failures > 0);
    CHECK(successes > 0);
  }
}

TEST_CASE("without a free descriptor a slave fails with an Error that says so, and serves when it has some again") {
  const TempDir dir;
  SlaveCollection slaves;
  TransportSlaveListener connections({.slave_collection = slaves});
  SlaveServer server({.name = "w1", .basedir = dir / "work", .keyless = true});
  int failures = 0;
  int successes = 0;
  for (std::size_t free = 0; free < 16; ++free) {
    CAPTURE(free);
    const FewDescriptors few(free);
    auto ends = memory_pair();
    std::jthread master([&connections, end = std::move(ends.first)]() mutable {
      try {
        connections.handle_new_connection(std::move(end))->disconnect("that is enough");
      } catch (const Error&) {  // the slave was not there
      }
    });
    try {
      server.serve(std::move(ends.second));
      ++successes;
    } catch (const Error& error) {
      ++failures;
      CAPTURE(std::string(error.what()));
      CHECK(error.os() == std::errc::too_many_files_open);
    } catch (const std::exception& error) {
      FAIL_CHECK("not an Error: ", std::string(error.what()));
    }
  }
  CHECK(failures > 0);
  CHECK(successes > 0);
}

TEST_CASE("a file for TLS that is missing at the master is this program's trouble") {
  const TempDir dir;
  SlaveCollection slaves;
  const auto missing = thrown_by<Error>([&] {
    TcpSlaveListener listener({.slave_collection = slaves,
                               .address = "tls:127.0.0.1:0",
                               .keys = KeyRing(),
                               .certificate = TlsIdentity{.certificate = dir / "missing.pem"}});
  });
  REQUIRE(missing);
  CHECK(missing->code() == Errc::local_os_error);
  CHECK(missing->os() == std::errc::no_such_file_or_directory);
  CHECK(missing->message().find("missing.pem") != std::string::npos);
}

TEST_CASE("a CA that is missing at the slave is told with the error of the system") {
  const TempDir dir;
  SlaveOptions options{.name = "w1", .basedir = dir / "work"};
  options.key = make_key();
  options.tls = {.ca = dir / "missing.pem", .server_name = "localhost"};
  SlaveServer server(options);
  const auto missing = thrown_by<Error>([&] { static_cast<void>(server.run_once("tls:127.0.0.1:1")); });
  REQUIRE(missing);
  CHECK(missing->code() == Errc::invalid_argument);  // of the options
  CHECK(missing->os() == std::errc::no_such_file_or_directory);
  CHECK(missing->message().find("missing.pem") != std::string::npos);
}

}  // namespace remsh::test

// Admissions: what those of one listener share, and what they look at now and then.
#include "master/admissions.hpp"

#include "master/runtime.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/slave_listener.hpp>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh {

TEST_CASE("a look that fails is logged, and does not end the looks or the program") {
  SlaveCollection slaves;
  std::promise<std::string> logged;
  std::promise<void> looked_again;
  int looks = 0;
  ListenerOptions options{.slave_collection = slaves, .keys = KeyRing(), .runtime = make_runtime()};
  options.log = [&logged](const LogRecord& record) { logged.set_value(record.message); };
  const auto admissions = std::make_shared<Admissions>(std::move(options));
  admissions->look_after([&]() -> std::vector<LogRecord> {
    if (++looks == 1) throw std::runtime_error("no room for it");
    if (looks == 2) looked_again.set_value();
    return {};
  });
  admissions->start();
  looked_again.get_future().wait();
  CHECK(logged.get_future().get() == "cannot look at the keys and certificates: no room for it");
  admissions->shut_down();
}

}  // namespace remsh

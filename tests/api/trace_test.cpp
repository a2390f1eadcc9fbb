// The wire trace, as a host switches it on.
#include "support/slaves.hpp"

#include <remsh/connection/trace.hpp>

#include <mutex>
#include <string>

namespace remsh::test {

namespace {

/// Keeps what is traced. Copies keep the same. Thread-safe.
class Trace {
 public:
  [[nodiscard]] TraceHook hook() const {
    return [kept = kept_](const TraceRecord& record) {
      const std::lock_guard lock(kept->mutex);
      kept->text += to_string(record) + '\n';
    };
  }
  [[nodiscard]] bool has(const std::string& words) const {
    const std::lock_guard lock(kept_->mutex);
    return kept_->text.find(words) != std::string::npos;
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::string text;
  };
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

/// What either side's trace must tell, with its own arrows.
void check(const Trace& trace, const std::string& from_slave, const std::string& from_master) {
  CHECK(trace.has(from_slave + "_ask=1 _command=hello "));
  CHECK(trace.has("name=worker"));
  CHECK(trace.has(from_master + "_answer=1 "));
  CHECK(trace.has("_command=execute args=\"sh\\x00-c\\x00echo $TOKEN\\x00\""));
  CHECK(trace.has("env=<13 bytes>"));
  CHECK(trace.has(from_slave + "_command=data data=<7 bytes>"));
  CHECK(trace.has("exit=0"));
  CHECK_FALSE(trace.has("geheim"));
  CHECK_FALSE(trace.has("hunter2"));
}

}  // namespace

TEST_CASE("both sides can trace every box, and tell no secrets") {
  const TempDir dir;
  const Trace masters;
  const Trace slaves_own;
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .trace = masters.hook()});
  SlaveServer server({.name = "worker", .basedir = dir / "worker", .trace = slaves_own.hook()});
  auto [ours, theirs] = memory_pair();
  std::jthread serving([&server, end = std::move(theirs)]() mutable { server.serve(std::move(end)); });
  const auto slave = listener.handle_new_connection(std::move(ours));
  CHECK(slave->execute({"sh", "-c", "echo $TOKEN"}, {.env = {{"TOKEN", "geheim"}}}).out == "geheim\n");
  CHECK(slave->execute({"echo", "hunter2"}, {.env = {{"TOKEN", "geheim"}}, .secrets = {"hunter2"}}).out == "hunter2\n");
  const auto error = thrown_by<RemoteError>([&slave] { slave->execute({"no-hunter2"}, {.secrets = {"hunter2"}}); });
  REQUIRE(error);
  CHECK(std::string(error->what()).find("hunter2") == std::string::npos);
  slave->disconnect("enough");
  serving.join();
  check(masters, " < ", " > ");
  check(slaves_own, " > ", " < ");
  CHECK(slaves_own.has(" < _command=goodbye reason=enough"));
}

}  // namespace remsh::test

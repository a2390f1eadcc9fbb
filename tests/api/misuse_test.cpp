// What a program must not do: it is told, and ended, instead of hanging or going on with what is gone.
#include "support/child_process.hpp"
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>

namespace remsh::test {

namespace {

/// How a process ended that was to misuse the library, and what it wrote to stderr.
struct Ending {
  int status;
  std::string err;
};

Ending ending_of(const std::function<void()>& misuse) {
  const TempDir dir;
  const std::string path = dir / "stderr";
  const int status = status_of_child([&] {
    const int err = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (err < 0 || ::dup2(err, STDERR_FILENO) < 0) return 2;
    std::signal(SIGABRT, SIG_DFL);  // instead of doctest's handler
    ::alarm(30);                    // a hang ends with SIGALRM
    std::signal(SIGALRM, SIG_DFL);
    misuse();
    return 0;
  });
  return {status, dir.read("stderr")};
}

bool is_reported_by_sanitizer(const Ending& ending) {
  return has(ending.err, "Sanitizer") || has(ending.err, "runtime error:");
}

/// Whether it was ended by misuse(), with this message, and by nothing else.
bool is_misuse(const Ending& ending, const char* message) {
  return WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == SIGABRT && has(ending.err, message) &&
         !is_reported_by_sanitizer(ending);
}

/// A listener with one slave, which serves on a thread.
struct World {
  World() : listener(std::make_unique<TransportSlaveListener>(ListenerOptions{.slave_collection = *slaves})) {
    auto [ours, theirs] = memory_pair();
    serving = std::thread([this, end = std::move(theirs)]() mutable { server.serve(std::move(end)); });
    slave = listener->handle_new_connection(std::move(ours));
  }
  TempDir dir;
  std::unique_ptr<SlaveCollection> slaves = std::make_unique<SlaveCollection>();
  SlaveServer server{{.name = "worker", .basedir = dir / "worker"}};
  std::unique_ptr<SlaveListener> listener;
  std::thread serving;
  std::shared_ptr<Slave> slave;
};

}  // namespace

TEST_CASE("what is right does not end the program") {
  const Ending ending = ending_of([] {
    World world;
    world.slave->execute({"echo"}, {.out = [](BytesView) {}});
    world.listener.reset();
    world.slaves.reset();
    world.serving.join();
  });
  CAPTURE(ending.err);
  CHECK(WIFEXITED(ending.status));
  CHECK(WEXITSTATUS(ending.status) == 0);
  CHECK_FALSE(is_reported_by_sanitizer(ending));
}

TEST_CASE("a collection that goes before its listener ends the program") {
  const Ending ending = ending_of([] {
    World world;
    world.slaves.reset();
  });
  CAPTURE(ending.err);
  CHECK(is_misuse(ending, "a SlaveCollection is destroyed before a listener or a launcher that fills it"));
}

TEST_CASE("a collection that is destroyed in a callback of its own ends the program") {
  for (const bool by_filter : {false, true}) {
    CAPTURE(by_filter);
    const Ending ending = ending_of([by_filter] {
      World world;
      auto own = std::make_unique<SlaveCollection>();
      SlaveSubscription subscription;
      if (!by_filter) subscription = own->on_change([&own](const SlaveNotice&) { own.reset(); });
      const auto destroy = [&own](const Slave&) {
        own.reset();
        return true;
      };
      const auto pending = own->start_reserve({.filter = by_filter ? destroy : SlaveFilter()});
      own->add_slave(world.slave);
      for (;;) ::pause();
    });
    CAPTURE(ending.err);
    CHECK(is_misuse(ending, "a SlaveCollection is destroyed by a callback of its own"));
  }
}

TEST_CASE("a batch that ends in another thread ends the program") {
  const Ending ending = ending_of([] {
    World world;
    const auto* const batch = new Batch(world.slave->batch());
    std::thread([batch] { delete batch; }).join();
  });
  CAPTURE(ending.err);
  CHECK(is_misuse(ending, "a Batch ends in another thread than it began in"));
}

TEST_CASE("a listener that is destroyed in a callback of a call ends the program") {
  const Ending ending = ending_of([] {
    World world;
    world.slave->execute({"echo"}, {.out = [&](BytesView) { world.listener.reset(); }});
  });
  CAPTURE(ending.err);
  CHECK(is_misuse(ending, "a listener is destroyed in a callback of a call"));
}

TEST_CASE("a listener that is destroyed in an on_disconnect callback ends the program") {
  const Ending ending = ending_of([] {
    World world;
    const Event over;
    world.slave->on_disconnect([&] {
      world.listener.reset();
      over.happened();
    });
    world.slave->disconnect();
    static_cast<void>(over.wait());
    ::_exit(0);
  });
  CAPTURE(ending.err);
  CHECK(is_misuse(ending, "a listener is destroyed in a slave class, setup(), on_disconnect() or a hook"));
}

}  // namespace remsh::test

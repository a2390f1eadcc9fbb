// What a program must not do: it is told, and ended, instead of hanging or going on with what is gone.
#include "support/child_process.hpp"
#include "support/slaves.hpp"

#include <unistd.h>

#include <csignal>
#include <memory>

namespace remsh::test {

namespace {

/// Runs it in a process of its own, its stderr thrown away; true where it aborted.
bool aborts(const std::function<void()>& misuse) {
  return run_in_child([&misuse] {
           const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
           ::dup2(null, STDERR_FILENO);
           std::signal(SIGABRT, SIG_DFL);  // doctest would tell of it
           ::alarm(30);  // a hang is no abort, but would also be a signal: make it an exit
           std::signal(SIGALRM, [](int) { ::_exit(1); });
           misuse();
           return 0;
         }) == -1;
}

/// A listener with one slave, which serves on a thread.
struct World {
  World() : listener(std::make_unique<SlaveListener>(ListenerOptions{.slave_collection = *slaves})) {
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
  CHECK_FALSE(aborts([] {
    World world;
    world.slave->execute({"echo"}, {.stdout_cb = [](BytesView) {}});
    world.listener.reset();
    world.slaves.reset();
    world.serving.join();
  }));
}

TEST_CASE("a collection that goes before its listener ends the program") {
  CHECK(aborts([] {
    World world;
    world.slaves.reset();
  }));
}

TEST_CASE("a listener that is destroyed in a callback of a call ends the program") {
  CHECK(aborts([] {
    World world;
    world.slave->execute({"echo"}, {.stdout_cb = [&](BytesView) { world.listener.reset(); }});
  }));
}

TEST_CASE("a listener that is destroyed in an on_disconnect callback ends the program") {
  CHECK(aborts([] {
    World world;
    const Event over;
    world.slave->on_disconnect([&] {
      world.listener.reset();
      over.happened();
    });
    world.slave->disconnect();
    static_cast<void>(over.wait());
    ::_exit(0);
  }));
}

}  // namespace remsh::test

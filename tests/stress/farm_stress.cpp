// A farm hammered by many threads: slaves come, collide, go and are stopped, listeners are destroyed and made again,
// while callers get, reserve, use and lose slaves. Best for the thread sanitizer.
//
// REMSH_STRESS_SEED repeats the choices of a run, though not its timing; REMSH_STRESS_ROUNDS makes it longer.
#include "support/slaves.hpp"
#include "support/stress.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

/// Thrown by callbacks, filters and setup(): comes out as it is.
struct Thrown : std::runtime_error {
  Thrown() : std::runtime_error("by a callback") {}
};

/// Bytes that can be told from others by themselves.
Bytes pattern(std::size_t size) {
  Bytes bytes(size, 'p');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
  return bytes;
}

/// What has happened in a run. Thread-safe; outlives everything in it.
class Tally {
 public:
  explicit Tally(unsigned seed) : seed_(seed) {}

  void complain(const std::string& what) {
    ++wrong;
    std::fprintf(stderr, "farm_stress: seed %u: %s\n", seed_, what.c_str());
  }

  /// What a callback counts: how often it was called.
  std::shared_ptr<std::atomic<int>> farewell() {
    auto calls = std::make_shared<std::atomic<int>>(0);
    const std::lock_guard lock(mutex_);
    farewells_.push_back(calls);
    return calls;
  }

  /// How many were not called exactly once, of how many; to be asked when all listeners are gone.
  std::pair<std::size_t, std::size_t> astray() {
    const std::lock_guard lock(mutex_);
    const auto count =
        std::count_if(farewells_.begin(), farewells_.end(), [](const auto& calls) { return *calls != 1; });
    return {static_cast<std::size_t>(count), farewells_.size()};
  }

  void count(const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++counts_[what];
  }
  std::map<std::string, int> counts() {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

  std::atomic<int> wrong{0};

 private:
  const unsigned seed_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<std::atomic<int>>> farewells_;
  std::map<std::string, int> counts_;
};

/// A slave that registers callbacks in its setup(), which may fail.
class Counted final : public Slave {
 public:
  Counted(SlaveInit init, std::shared_ptr<Tally> tally, unsigned seed)
      : Slave(std::move(init)), tally_(std::move(tally)), random_(seed) {}

  void setup() override {
    const unsigned callbacks = 1 + static_cast<unsigned>(random_() % 3);
    for (unsigned i = 0; i < callbacks; ++i) say_farewell(one_in(random_, 4));
    tally_->count("setup");
    if (one_in(random_, 3)) {
      try {
        (void)stat(".", {.deadline = one_in(random_, 2) ? block : Deadline(1ms)});
      } catch (const Timeout&) {
        tally_->count("setup timed out");
      }
    }
    if (one_in(random_, 12)) disconnect("in setup()");
    if (one_in(random_, 8)) throw Thrown();
  }

  void say_farewell(bool throws) {
    on_disconnect([calls = tally_->farewell(), throws] {
      ++*calls;
      if (throws) throw Thrown();
    });
  }

  std::atomic<int> holders{0};
  std::atomic<bool> was_removed{false};  // so its lease excludes nobody any more

 private:
  const std::shared_ptr<Tally> tally_;
  Random random_;
};

enum class Place { tcp, unix_socket, memory };
constexpr Place places[] = {Place::tcp, Place::unix_socket, Place::memory};

/// A listener and what replaces it.
struct Post {
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<SlaveListener> listener;
  std::mutex replacing;  // held over the life's end of a listener
};

/// A slave's thread, and the slave that it is now.
struct Berth {
  std::mutex mutex;
  std::shared_ptr<SlaveServer> server;
};

class FarmRun {
 public:
  FarmRun(unsigned seed, int rounds) : seed_(seed), rounds_(rounds), tally_(std::make_shared<Tally>(seed)) {}

  void run() {
    for (const Place place : places) open(place);
    std::vector<std::thread> slaves;
    for (unsigned i = 0; i < berths_.size(); ++i) slaves.emplace_back([this, i] { serve(Random(seed_ + 1 + i), i); });
    std::vector<std::thread> users;
    for (unsigned i = 0; i < 8; ++i) users.emplace_back([this, i] { use(Random(seed_ + 100 + i), i); });
    for (auto& user : users) user.join();
    is_over_ = true;
    for (Post& post : posts_) {
      const std::lock_guard lock(post.mutex);
      post.changed.notify_all();
    }
    for (Berth& berth : berths_) stop(berth);
    for (auto& slave : slaves) slave.join();
    for (Post& post : posts_) post.listener.reset();
    check_the_end();
  }

  [[nodiscard]] Tally& tally() noexcept { return *tally_; }

 private:
  /// A caller: what it keeps from round to round.
  struct User {
    Random random;
    Bytes path;
    std::vector<std::shared_ptr<Slave>> handles = {};
    Lease lease = {};
  };

  void check_the_end() {
    const auto [astray, all] = tally_->astray();
    if (astray > 0) {
      tally_->complain(std::to_string(astray) + " of " + std::to_string(all) + " callbacks not called exactly once");
    }
    if (slaves_.size() != 0) tally_->complain("slaves are left in the collection");
    for (const auto& slave : left_) {
      if (slave->is_connected()) tally_->complain("connected, though its listener is gone");
      if (!thrown_by<ConnectionLost>([&slave = slave] { slave->ping(); }))
        tally_->complain("nobody there, yet no loss");
    }
  }

  // Listeners.

  Post& post(Place place) { return posts_[static_cast<std::size_t>(place)]; }

  template <class Listener, class Options>
  std::shared_ptr<SlaveListener> make(Options options, Random& random) {
    options.slave_class = [tally = tally_, seed = std::make_shared<std::atomic<unsigned>>(random())](SlaveInit init) {
      if (*seed % 16 == 0) {
        ++*seed;
        throw SlaveRefused("not today");
      }
      return std::make_shared<Counted>(std::move(init), tally, (*seed)++);
    };
    options.keepalive = one_in(random, 2) ? 5ms : 10000ms;
    options.arbitration_timeout = one_in(random, 2) ? 20ms : 5000ms;
    if (one_in(random, 4)) options.handshake_timeout = 5ms;
    if (one_in(random, 3)) options.max_handshakes = 1;
    if (one_in(random, 2)) options.runtime = runtime_;
    auto listener = std::make_shared<Listener>(std::move(options));
    listener->start();
    return listener;
  }

  void open(Place place) {
    Random random(seed_ + 1000 + opened_++);
    std::shared_ptr<SlaveListener> made;
    switch (place) {
      case Place::tcp:
        made = make<TcpSlaveListener>(TcpListenerOptions{.slave_collection = slaves_, .keyless = true}, random);
        break;
      case Place::unix_socket:
        made = make<UnixSlaveListener>(UnixListenerOptions{.slave_collection = slaves_, .path = dir_ / "s"}, random);
        break;
      case Place::memory:
        made = make<TransportSlaveListener>(ListenerOptions{.slave_collection = slaves_}, random);
        break;
    }
    const std::lock_guard lock(post(place).mutex);
    post(place).listener = std::move(made);
    post(place).changed.notify_all();
  }

  /// Destroys a listener in the middle of everything; never in a callback.
  void replace(Place place) {
    const std::unique_lock replacing(post(place).replacing, std::try_to_lock);
    if (!replacing) return;
    std::shared_ptr<SlaveListener> old;
    {
      const std::lock_guard lock(post(place).mutex);
      old = std::exchange(post(place).listener, nullptr);
    }
    old.reset();  // or who admits over it at this moment
    open(place);
    tally_->count("listener replaced");
  }

  std::shared_ptr<SlaveListener> listener(Place place) {
    std::unique_lock lock(post(place).mutex);
    post(place).changed.wait(lock, [&] { return is_over_ || post(place).listener; });
    return post(place).listener;
  }

  // Slaves.

  void serve(Random random, unsigned number) {
    while (!is_over_) {
      const Place place = places[random() % std::size(places)];
      // Few at a time, so that they meet; and others now and then, as who comes again and again is slowed down.
      const std::string name = "w" + std::to_string(random() % 6) + "." + std::to_string(served_++ / 64);
      SlaveOptions options{.name = name, .basedir = dir_ / name, .back_off_min = 1ms, .back_off_max = 20ms};
      options.keyless = true;
      options.threads = 1 + static_cast<unsigned>(random() % 8);
      const auto server = std::make_shared<SlaveServer>(std::move(options));
      server->add_operation("echo", [](OperationContext& context) { return context.arguments(); });
      server->add_operation("leave", [weak = std::weak_ptr(server)](OperationContext& context) {
        if (const auto self = weak.lock()) self->stop();
        return context.arguments();
      });
      {
        const std::lock_guard lock(berths_[number].mutex);
        berths_[number].server = server;
      }
      if (is_over_) server->stop();
      try {
        serve(*server, place, random);
      } catch (const std::exception& error) {
        tally_->complain(std::string("the slave throws: ") + error.what());
      }
    }
  }

  void serve(SlaveServer& server, Place place, Random& random) {
    if (place == Place::memory) {
      serve_over_memory(server, random);
      return;
    }
    std::string address;
    if (const auto at = listener(place)) address = at->address();
    if (address.empty()) return;
    const ServeResult result = one_in(random, 8) ? server.run(address) : server.run_once(address);
    tally_->count(result.registered ? "served" : "not let in");
    if (result.reason == ServeResult::Reason::protocol) tally_->complain("the slave says: " + result.message);
  }

  void serve_over_memory(SlaveServer& server, Random& random) {
    auto [ours, theirs] = one_in(random, 2) ? memory_pair() : memory_pair(1 + random() % 5000);
    std::thread serving([&server, &end = theirs, this] {
      const ServeResult result = server.serve(std::move(end));
      if (result.reason == ServeResult::Reason::protocol) tally_->complain("the slave says: " + result.message);
    });
    if (const auto at = listener(Place::memory)) {
      try {
        at->handle_new_connection(std::move(ours));
        tally_->count("handed over");
      } catch (const ProtocolError& error) {
        tally_->complain(std::string("handed over: ") + error.what());
      } catch (const Error&) {
        tally_->count("not taken");
      }
    }
    ours.reset();
    serving.join();
  }

  static void stop(Berth& berth) {
    std::shared_ptr<SlaveServer> server;
    {
      const std::lock_guard lock(berth.mutex);
      server = berth.server;
    }
    if (server) server->stop();
  }

  // Callers.

  void use(Random random, unsigned number) {
    User user{std::move(random), "u" + std::to_string(number)};
    const auto enough = steady_clock::now() + 8s;  // on a slow machine
    for (int round = 0; round < rounds_ && steady_clock::now() < enough; ++round) {
      try {
        step(user);
      } catch (const Thrown&) {
        tally_->count("thrown");
      } catch (const std::exception& error) {
        tally_->complain(std::string("out of a round: ") + error.what());
      }
    }
    release(user);
    const std::lock_guard lock(mutex_);
    left_.insert(left_.end(), user.handles.begin(), user.handles.end());
  }

  void step(User& user) {
    Random& random = user.random;
    switch (random() % 24) {
      case 0:
        if (one_in(random, 4)) replace(places[random() % std::size(places)]);
        break;
      case 1: stop(berths_[random() % berths_.size()]); break;
      case 2: look_around(random); break;
      case 3:
        if (const auto slave = any(random)) remove(*slave, random);
        break;
      case 4:
        if (const auto slave = any(random)) slave->disconnect("at random");
        break;
      case 5: user.handles.clear(); break;
      case 6: stop_some(random); break;
      case 7:
        if (!user.handles.empty()) operate(user, *user.handles.back(), 0);
        break;
      default: work(user);
    }
  }

  /// Gets or reserves a slave and uses it; may keep it for the next round, and longer than it lives.
  void work(User& user) {
    Random& random = user.random;
    const auto slave = acquire(user);
    if (!slave) return;
    if (one_in(random, 4)) dynamic_cast<Counted&>(*slave).say_farewell(one_in(random, 4));
    for (auto operations = 1 + random() % 5; operations > 0; --operations) operate(user, *slave, 0);
    if (user.handles.size() < 3 && one_in(random, 4)) user.handles.push_back(slave);
    if (!one_in(random, 4)) release(user);
  }

  std::shared_ptr<Slave> acquire(User& user) {
    Random& random = user.random;
    const Deadline deadline = one_in(random, 4) ? no_wait : Deadline(std::chrono::microseconds(random() % 20'000));
    const std::stop_token stop = token(random);
    SlaveFilter filter;
    if (one_in(random, 3)) {
      filter = [name = "w" + std::to_string(random() % 6)](const Slave& slave) { return slave.name() != name; };
    } else if (one_in(random, 20)) {
      filter = [](const Slave&) -> bool { throw Thrown(); };
    }
    SlaveCompare compare;
    if (one_in(random, 4)) compare = [](const Slave& a, const Slave& b) { return a.name() < b.name(); };
    try {
      if (one_in(random, 2)) {
        return slaves_.get_slave({.filter = filter, .compare = compare, .deadline = deadline, .stop = stop});
      }
      release(user);
      const ReserveOptions options{
          .filter = filter, .compare = compare, .owner = user.path, .deadline = deadline, .stop = stop};
      user.lease = one_in(random, 2) ? slaves_.start_reserve(options).wait() : slaves_.reserve(options);
      if (!user.lease) return nullptr;
      auto& held = dynamic_cast<Counted&>(*user.lease);
      if (++held.holders != 1 && !held.was_removed) tally_->complain("reserved by two");
      tally_->count("reserved");
      return user.lease.slave();
    } catch (const Cancelled&) {
      if (!stop.stop_requested()) tally_->complain("cancelled by nobody");
      return nullptr;
    }
  }

  void release(User& user) {
    if (!user.lease) return;
    --dynamic_cast<Counted&>(*user.lease).holders;
    user.lease.release();
  }

  std::shared_ptr<Slave> any(Random& random) {
    const auto all = slaves_.get_all_slaves();
    return all.empty() ? nullptr : all[random() % all.size()];
  }

  void look_around(Random& random) {
    const auto version = slaves_.version();
    for (const SlaveStatus& status : slaves_.snapshot()) {
      if (const auto slave = slaves_.find(status.info.name); slave && slave->name() != status.info.name) {
        tally_->complain("found another");
      }
    }
    slaves_.wait_for_change(version, std::chrono::microseconds(random() % 5000));
    slaves_.wait_for_slaves(1 + random() % 6, std::chrono::microseconds(random() % 5000));
  }

  void remove(Slave& slave, Random& random) {
    dynamic_cast<Counted&>(slave).was_removed = true;
    const bool was_in = slaves_.remove_slave(slave);
    if (!was_in || one_in(random, 2)) return;
    try {
      slaves_.add_slave(slave.shared_from_this());
      tally_->count("added again");
    } catch (const Error& error) {
      if (error.code() != Errc::in_use) tally_->complain(std::string("added again: ") + error.what());
    }
  }

  // Stops.

  std::stop_token token(Random& random) {
    if (!one_in(random, 4)) return {};
    std::stop_source source;
    if (one_in(random, 10)) source.request_stop();
    const std::lock_guard lock(mutex_);
    sources_.push_back(source);
    return source.get_token();
  }

  void stop_some(Random& random) {
    std::vector<std::stop_source> sources;
    {
      const std::lock_guard lock(mutex_);
      sources.swap(sources_);
    }
    for (std::stop_source& source : sources) {
      if (!one_in(random, 3)) source.request_stop();
    }
  }

  // Operations.

  /// One operation, of which any of the ways to end is right that fits what was asked.
  void operate(User& user, Slave& slave, int depth) {
    Random& random = user.random;
    CallOptions patience{.deadline = {}, .stop = token(random)};
    if (one_in(random, 4)) patience.deadline = Deadline(std::chrono::microseconds(random() % 20'000));
    try {
      operate(user, slave, patience, depth);
    } catch (const Timeout& error) {
      if (patience.deadline.is_never()) tally_->complain(std::string("no deadline, yet: ") + error.what());
      tally_->count("timeout");
    } catch (const Cancelled& error) {
      if (!patience.stop.stop_requested()) tally_->complain(std::string("no stop, yet: ") + error.what());
      tally_->count("stop");
    } catch (const ConnectionLost& error) {
      // It may still be saying goodbye, and so be connected.
      if (!slave.is_connected() && slave.lost_reason().empty()) {
        tally_->complain(std::string("lost without a reason: ") + error.what());
      }
      tally_->count("lost");
    } catch (const RemoteError& error) {
      const bool is_missing = error.os() == std::errc::no_such_file_or_directory;
      if (!is_missing && error.code() != Errc::busy && error.code() != Errc::cancelled) {
        tally_->complain(std::string("refused: ") + error.what());
      }
      tally_->count("refused");
    } catch (const Error& error) {
      tally_->complain(error.what());
    }
  }

  void operate(User& user, Slave& slave, CallOptions& patience, int depth) {
    Random& random = user.random;
    const auto in_a_callback = [&](BytesView) { call_back(user, slave, depth); };
    switch (random() % 10) {
      case 0: {
        ExecuteOptions options{.deadline = patience.deadline, .stop = patience.stop};
        const bool is_captured = one_in(random, 2);
        if (!is_captured) options.out = in_a_callback;
        const auto result = slave.execute({"echo", "words"}, options);
        if (is_captured && result.ok() && result.out != "words\n") tally_->complain("other words");
        tally_->count("echo done");
        break;
      }
      case 1: {
        // Does not end by itself.
        patience.deadline = Deadline(std::chrono::microseconds(random() % 20'000));
        ExecuteOptions options{.out = in_a_callback, .deadline = patience.deadline, .stop = patience.stop};
        slave.execute({"sh", "-c", "while echo word; do :; done"}, options);
        break;
      }
      case 2:
      case 3: {
        const Bytes bytes = pattern(random() % (one_in(random, 10) ? 500'000 : 5000));
        TransferOptions options{.overwrite = true, .deadline = patience.deadline, .stop = patience.stop};
        if (one_in(random, 3)) options.progress = [&](std::uint64_t, auto) { call_back(user, slave, depth); };
        slave.send(Source::bytes(bytes), user.path, options);
        tally_->count("send done");
        break;
      }
      case 4:
      case 5: {
        Bytes bytes;
        const TransferOptions options{.deadline = patience.deadline, .stop = patience.stop};
        if (one_in(random, 3)) {
          slave.fetch(user.path, Sink(in_a_callback), options);
        } else {
          slave.fetch(user.path, Sink::bytes(bytes), options);
          if (bytes != pattern(bytes.size())) tally_->complain("fetched something else");
        }
        tally_->count("fetch done");
        break;
      }
      case 6: {
        const Box asked{{"v", Bytes(random() % (one_in(random, 20) ? 300'000 : 100), 'v')}};
        const OwnOperationOptions options{.deadline = patience.deadline, .stop = patience.stop};
        if (slave.call(one_in(random, 20) ? "leave" : "echo", asked, options) != asked)
          tally_->complain("another echo");
        tally_->count("call done");
        break;
      }
      default: {
        const auto info = slave.stat(".", {.deadline = patience.deadline, .stop = patience.stop});
        if (!info || !info->is_directory()) tally_->complain("the base directory is none");
        tally_->count("stat done");
      }
    }
  }

  /// What a callback does: nothing mostly, throws, or uses the library.
  void call_back(User& user, Slave& slave, int depth) {
    Random& random = user.random;
    if (one_in(random, 20)) throw Thrown();
    if (depth >= 2 || !one_in(random, 8)) return;
    tally_->count("nested");
    switch (random() % 4) {
      case 0: slave.disconnect("in a callback"); break;
      case 1:
        if (const auto other = slaves_.get_slave(no_wait)) operate(user, *other, depth + 1);
        break;
      default: operate(user, slave, depth + 1);
    }
  }

  const unsigned seed_;
  const int rounds_;
  const std::shared_ptr<Tally> tally_;
  const TempDir dir_;
  const std::shared_ptr<Runtime> runtime_ = make_runtime();
  SlaveCollection slaves_;
  std::array<Post, 3> posts_;
  std::array<Berth, 10> berths_;
  std::atomic<unsigned> opened_{0};
  std::atomic<unsigned> served_ = 0;
  std::atomic<bool> is_over_{false};
  std::mutex mutex_;
  std::vector<std::stop_source> sources_;
  std::vector<std::shared_ptr<Slave>> left_;  // what outlives the listeners
};

}  // namespace

TEST_CASE("a farm keeps its promises whatever many threads do to it") {
  const auto seed = static_cast<unsigned>(std::stoul(setting("REMSH_STRESS_SEED", "20240229")));
  const int rounds = std::stoi(setting("REMSH_STRESS_ROUNDS", "300"));
  std::printf("farm_stress: seed %u\n", seed);
  std::fflush(stdout);
  FarmRun run(seed, rounds);
  run.run();
  for (const auto& [what, count] : run.tally().counts()) std::printf("farm_stress: %s %d\n", what.c_str(), count);
  CHECK(run.tally().wrong == 0);
  auto counts = run.tally().counts();
  for (const char* const what : {"setup", "call done", "stat done", "send done", "reserved"}) {
    CAPTURE(what);
    CHECK(counts[what] > 0);
  }
}

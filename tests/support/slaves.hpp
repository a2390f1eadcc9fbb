// Farm: a master with running slaves, over each kind of transport. API tests begin with it.
#pragma once

#include "support/ample.hpp"
#include "support/log.hpp"
#include "support/temp_dir.hpp"
#include "twisted/twisted_slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/master.hpp>
#include <remsh/slave.hpp>
#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

/// The transport between a master and its slaves. Slaves on Twisted, and those that speak remsh 1, connect over TCP.
enum class Over { local_process, tcp, tls, unix_socket, pipes, memory, twisted, remsh1 };

/// All for our own slaves; or only Twisted, if the test program was started to test it.
inline const std::vector<Over> all_transports =
    TwistedSlaves::are_wanted()
        ? std::vector{Over::twisted}
        : std::vector{Over::local_process, Over::tcp, Over::tls, Over::unix_socket, Over::pipes, Over::memory};

inline std::string to_string(Over over) {
  switch (over) {
    case Over::local_process: return "a local process";
    case Over::tcp: return "TCP";
    case Over::tls: return "TLS";
    case Over::unix_socket: return "a unix socket";
    case Over::pipes: return "a pair of pipes";
    case Over::memory: return "memory, compressed";
    case Over::twisted: return "Twisted";
    case Over::remsh1: return "remsh 1";
  }
  return "?";
}

/// Something that happens once, and that threads can wait for. Thread-safe; copies are of the same event.
class Event {
 public:
  void happened() const { state_->promise.set_value(); }
  [[nodiscard]] bool wait(std::chrono::milliseconds limit = ample) const {
    return state_->future.wait_for(limit) == std::future_status::ready;
  }

 private:
  struct State {
    std::promise<void> promise;
    std::shared_future<void> future = promise.get_future().share();
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Polls until a condition is true, for conditions that send no notification.
inline bool eventually(const std::function<bool()>& is_so) {
  const auto until = std::chrono::steady_clock::now() + ample;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

/// A pipe with a name that processes hold open: shows when the first has begun and when the last has ended.
///
///     slave.execute({"sh", "-c", "exec 9>\"$0\"; echo >&9; sleep 1000", lifeline.path()}, ...)
class Lifeline {
 public:
  Lifeline() : path_(dir_ / "lifeline") {
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category(), "mkfifo");
    reader_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  }
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;
  ~Lifeline() { ::close(reader_); }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// A command that writes a line into the pipe and then runs for ever.
  [[nodiscard]] std::vector<Bytes> endless_command() const {
    return {"sh", "-c", "exec 9>\"$0\"; echo >&9; sleep 100000", path_};
  }

  /// Waits until a process has written a line into it.
  [[nodiscard]] bool wait_for_begin() const {
    return wait([](ssize_t count, char byte) { return count == 1 && byte == '\n'; });
  }

  /// Waits until a process has written a line into it, and no process has it open any more. Without that line the
  /// result is false: a command that has not begun cannot have ended.
  [[nodiscard]] bool wait_for_end() const {
    return wait([this](ssize_t count, char) { return count == 0 && begun_.exchange(false); });
  }

  /// After wait_for_begin(): whether no process has it open any more.
  [[nodiscard]] bool has_ended() const {
    char byte = 0;
    return ::read(reader_, &byte, 1) == 0;
  }

  /// Whether a process has written a line into it before now.
  [[nodiscard]] bool has_begun() const {
    char byte = 0;
    if (::read(reader_, &byte, 1) == 1 && byte == '\n') begun_ = true;
    return begun_;
  }

 private:
  template <typename Done>
  [[nodiscard]] bool wait(const Done& is_done) const {
    const auto until = std::chrono::steady_clock::now() + ample;
    while (std::chrono::steady_clock::now() < until) {
      pollfd ready{reader_, POLLIN, 0};
      ::poll(&ready, 1, 100);
      char byte = 0;
      const ssize_t count = ::read(reader_, &byte, 1);
      if (count == 1 && byte == '\n') begun_ = true;
      if (is_done(count, byte)) return true;
    }
    return false;
  }

  TempDir dir_;
  std::string path_;
  int reader_ = -1;
  mutable std::atomic<bool> begun_ = false;
};

/// The test operations that every slave here has.
inline void add_test_operations(SlaveServer& server) {
  server.add_operation("echo", [](OperationContext& context) { return context.arguments(); });
  server.add_operation("where", [](OperationContext& context) { return Box{{"basedir", context.basedir()}}; });
  server.add_operation("throw", [](OperationContext& context) -> Box {
    throw std::runtime_error("it went wrong: " + Bytes(context.arguments().get("why").value_or("")));
  });
  server.add_operation("throw_errno", [](OperationContext&) -> Box {
    throw std::system_error(ENOSPC, std::generic_category(), "the tape");
  });
  server.add_operation("complain", [](OperationContext& context) {
    std::cerr << context.arguments().get("text").value_or("") << std::endl;
    return Box{};
  });
  server.add_operation("memory", [](OperationContext&) {
#ifdef __linux__
    return Box{{"is_private", ::prctl(PR_GET_DUMPABLE) == 0 ? "yes" : "no"}};
#else
    return Box{{"is_private", "unknown"}};
#endif
  });
  server.add_operation("cwd", [](OperationContext& context) { return Box{{"cwd", context.cwd()}}; });
  // Streams its input back, in capitals.
  server.add_operation("capitals", [](OperationContext& context) {
    std::size_t count = 0;
    for (BytesView piece = context.read(); !piece.empty(); piece = context.read()) {
      Bytes text(piece);
      for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      context.write(text);
      count += text.size();
    }
    return Box{{"bytes", std::to_string(count)}};
  });
  // Runs until it is cancelled, which it notices in one of three ways, and then writes a file.
  server.add_operation("endless", [](OperationContext& context) -> Box {
    const auto way = context.arguments().get("way");
    const Bytes file = context.cwd() + "/ended";
    try {
      if (way == "reads") {
        while (!context.read().empty()) continue;
      } else if (way == "writes") {
        for (;;) context.write(Bytes(1000, 'x'));
      } else {
        context.write("begun");
        std::mutex mutex;
        std::condition_variable_any changed;
        std::unique_lock lock(mutex);
        const std::stop_token stop = context.stop_token();
        changed.wait(lock, stop, [] { return false; });
        if (!context.cancelled()) throw std::runtime_error("stopped, but not cancelled");
        throw Cancelled(Errc::cancelled, "", "wait", "stopped");
      }
    } catch (const Cancelled&) {
      ::close(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      throw;
    }
    return {};
  });
  // Writes a file when it begins and another when it is cancelled; waits for nothing else.
  server.add_operation("until_cancelled", [](OperationContext& context) -> Box {
    const auto touch = [&context](const char* name) {
      ::close(::open((context.basedir() + name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    };
    touch("/begun");
    if (!eventually([&context] { return context.cancelled(); })) throw std::runtime_error("nobody cancelled it");
    touch("/cancelled");
    return {};
  });
}

/// A slave on a thread of this process.
class SlaveThread {
 public:
  SlaveThread(SlaveOptions options, std::function<ServeResult(SlaveServer&)> serve) : server_(std::move(options)) {
    add_test_operations(server_);
    thread_ = std::thread([this, serve = std::move(serve)] {
      try {
        result_.set_value(serve(server_));
      } catch (...) {
        result_.set_exception(std::current_exception());
      }
    });
  }
  SlaveThread(const SlaveThread&) = delete;
  SlaveThread& operator=(const SlaveThread&) = delete;
  ~SlaveThread() {
    server_.stop();
    thread_.join();
  }

  [[nodiscard]] SlaveServer& server() noexcept { return server_; }

  /// Waits for the slave's end, and returns its result.
  [[nodiscard]] ServeResult result() {
    if (future_.wait_for(ample) != std::future_status::ready) throw std::runtime_error("the slave does not end");
    return future_.get();
  }

 private:
  SlaveServer server_;
  std::promise<ServeResult> result_;
  std::shared_future<ServeResult> future_ = result_.get_future().share();
  std::thread thread_;
};

/// Options of a listener for slaves on Twisted, with the security that the test program was told to use.
inline TcpListenerOptions for_twisted_slaves(SlaveCollection& slaves, const KeyRing& keys) {
  const std::string over = TwistedSlaves::over();
  TcpListenerOptions options{.slave_collection = slaves};
  options.address = over == "tls" ? "tls:127.0.0.1:0" : "tcp:127.0.0.1:0";
  if (over == "keyless") {
    options.keyless = true;
  } else {
    options.keys = keys;
  }
  if (over == "tls") options.certificate = TlsIdentity{.certificate = TwistedSlaves::certificate()};
  return options;
}

/// The differences between a Farm and the default.
struct FarmOptions {
  SlaveFactory slave_class = {};
  std::chrono::milliseconds keepalive{10000};
  std::chrono::milliseconds keepalive_patience{10000};
  std::chrono::milliseconds arbitration_timeout{5000};
  std::chrono::milliseconds handshake_timeout{60000};
  std::chrono::milliseconds kill_after{10000};
  std::shared_ptr<Runtime> runtime = {};
  AuditHook audit = {};
  std::uint64_t slots = 1;  // that slaves in this process announce, and the resources
  std::map<std::string, std::uint64_t> resources = {};
};

/// A master and its slaves over one kind of transport. One thread at a time.
///
///     Farm farm(Over::tcp);
///     auto slave = farm.start("w1");
class Farm {
 public:
  explicit Farm(Over over, FarmOptions options = {}) : over_(over), options_(std::move(options)) { open(); }

  /// Starts a slave in a directory of its own, and returns it when it is in the collection.
  std::shared_ptr<Slave> start(const std::string& name = "worker") {
    const std::string basedir = this->basedir(name);
    if (auto* const local = dynamic_cast<LocalSlaveListener*>(listener.get())) return local->start_slave(basedir, name);
    if (over_ == Over::tcp || over_ == Over::tls || over_ == Over::unix_socket || over_ == Over::twisted ||
        over_ == Over::remsh1) {
      if (over_ == Over::twisted) {
        static TwistedSlaves twisted;
        twisted.call_in(listener->address(), name, basedir,
                        TwistedSlaves::over() == "keyless" ? "" : key_of(name).to_base64());
      } else {
        call_in(name);
      }
      return slaves.get_slave(ample, [&name](const Slave& slave) { return slave.name() == name; });
    }
    auto [ours, theirs] = over_ == Over::memory ? memory_pair() : pair_of_pipes();
    serve(name, std::move(theirs));
    return listener->handle_new_connection(std::move(ours));
  }

  /// A slave that connects to the listener once.
  SlaveThread& call_in(const std::string& name) {
    return servers_.emplace_back(slave_options(name),
                                 [address = listener->address()](auto& server) { return server.run_once(address); });
  }

  /// A slave that serves a transport.
  SlaveThread& serve(const std::string& name, std::unique_ptr<Transport> transport) {
    return servers_.emplace_back(slave_options(name),
                                 [shared = std::make_shared<std::unique_ptr<Transport>>(std::move(transport))](
                                     auto& server) { return server.serve(std::move(*shared)); });
  }

  [[nodiscard]] std::string basedir(const std::string& name = "worker") const { return dir / name; }

  /// The port of the listener, which must be one over TCP.
  [[nodiscard]] std::uint16_t port() const { return dynamic_cast<const TcpSlaveListener&>(*listener).port(); }
  [[nodiscard]] LocalSlaveListener& local() const { return dynamic_cast<LocalSlaveListener&>(*listener); }

  /// Stops the slaves that are threads of this process; they say goodbye.
  void stop_slaves() {
    for (SlaveThread& server : servers_) server.server().stop();
  }

  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  std::unique_ptr<SlaveListener> listener;  // may be reset

 private:
  void open() {
    switch (over_) {
      case Over::local_process: {
        LocalListenerOptions local{.slave_collection = slaves, .embedded = true, .kill_after = options_.kill_after};
        make<LocalSlaveListener>(std::move(local));
        break;
      }
      case Over::tcp: make<TcpSlaveListener>(TcpListenerOptions{.slave_collection = slaves, .keyless = true}); break;
      case Over::twisted: make<TcpSlaveListener>(for_twisted_slaves(slaves, keys_)); break;
      case Over::tls:
        make<TcpSlaveListener>(
            TcpListenerOptions{.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keys = keys_});
        break;
      case Over::remsh1:
        make<TcpSlaveListener>(TcpListenerOptions{.slave_collection = slaves,
                                                  .keyless = true,
                                                  .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}});
        break;
      case Over::unix_socket:
        make<UnixSlaveListener>(UnixListenerOptions{.slave_collection = slaves, .path = dir / "socket"});
        break;
      case Over::memory:
        make<TransportSlaveListener>(ListenerOptions{
            .slave_collection = slaves, .protocols = {SlaveProtocol::remsh2({.compression = has_compression()})}});
        break;
      case Over::pipes: make<TransportSlaveListener>(ListenerOptions{.slave_collection = slaves}); break;
    }
    listener->start();
  }

  template <class Listener, class Options>
  void make(Options options) {
    options.slave_class = options_.slave_class;
    options.keepalive = options_.keepalive;
    options.keepalive_patience = options_.keepalive_patience;
    options.arbitration_timeout = options_.arbitration_timeout;
    options.handshake_timeout = options_.handshake_timeout;
    options.runtime = options_.runtime;
    options.audit = options_.audit;
    options.log = log.hook();
    listener = std::make_unique<Listener>(std::move(options));
  }

  /// The key of a slave of this name. From now on the master knows it.
  const Secret& key_of(const std::string& name) {
    auto& key = slaves_keys_[name];
    if (!key) {
      const Secret made = make_key();
      key.emplace(made, keys_.register_slave(name, made));
    }
    return key->first;
  }

  [[nodiscard]] SlaveOptions slave_options(const std::string& name) {
    SlaveOptions options{.name = name, .basedir = basedir(name)};
    options.keepalive_patience = options_.keepalive_patience;
    if (over_ == Over::tls) {
      options.key = key_of(name);
    } else {
      options.keyless = true;
    }
    options.compression = over_ == Over::memory && has_compression();
    options.protocol = over_ == Over::remsh1 ? 1 : 2;
    options.slots = options_.slots;
    options.resources = options_.resources;
    options.log = log.hook();
    return options;
  }

  static std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> pair_of_pipes() {
    int down[2] = {-1, -1};
    int up[2] = {-1, -1};
    if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    return {pipe_transport(up[0], down[1], "pipes to a slave"), pipe_transport(down[0], up[1], "pipes to a master")};
  }

  const Over over_;
  const FarmOptions options_;
  KeyRing keys_;
  std::map<std::string, std::optional<std::pair<Secret, KeyRegistration>>> slaves_keys_;
  std::list<SlaveThread> servers_;  // destroyed before the listener
};

/// What a slave that speaks remsh 1 cannot do. A test that needs one of these names it, and is left out over remsh 1;
/// all other tests run over it, too. See docs/remsh1.md.
enum class BeyondRemsh1 {
  details,      ///< mode, size and time; any file type but directory; stat of a link itself
  environment,  ///< a command has the environment of the slave
  info,         ///< what the slave reports of itself, apart from its name
  input,        ///< a command gets no input
  listing,      ///< directories cannot be listed
  leaving,      ///< nothing stops an operation, so a caller who leaves costs the connection, or makes others wait
  long_values,  ///< over 65535 bytes
  merging,      ///< a command's outputs cannot be merged, nor its background processes be told apart from it
  overwriting,  ///< a file cannot be replaced in one step; a file in place of a new directory counts as that directory
  own_operations,
  reasons,        ///< an error is only a text, in the words of the original
  several_calls,  ///< only one call at a time
  time_limits,    ///< a command has no time limit
};

/// Runs a test with one slave over each of these kinds.
inline void on_each(const std::vector<Over>& kinds, const std::function<void(Farm&, Slave&)>& test) {
  for (const Over over : kinds) {
    const std::string words = to_string(over);
    CAPTURE(words);
    Farm farm(over);
    const auto slave = farm.start();
    REQUIRE(slave != nullptr);
    test(farm, *slave);
  }
}

/// Runs a test with one slave over each kind of transport, but not over remsh 1.
inline void on_every_transport(BeyondRemsh1, const std::function<void(Farm&, Slave&)>& test) {
  on_each(all_transports, test);
}

/// The same, and over remsh 1, too.
inline void on_every_transport(const std::function<void(Farm&, Slave&)>& test) {
  std::vector<Over> kinds = all_transports;
  if (!TwistedSlaves::are_wanted()) kinds.push_back(Over::remsh1);
  on_each(kinds, test);
}

/// The pid of a slave that is a process of its own: of its worker, if it has a supervisor.
inline pid_t process_of(Slave& slave) { return std::stoi(slave.execute({"sh", "-c", "echo $PPID"}).out); }

/// Whether a process has ended, reaped or not.
inline bool is_gone(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string line(std::istreambuf_iterator<char>(file), {});
  return line.empty() || line.find(") Z ") != std::string::npos;
}

/// Whether a process has a file of a directory open, even if the file has no name yet.
inline bool has_open_file_in(pid_t process, const std::string& directory) {
  std::error_code error;
  const std::filesystem::directory_iterator descriptors("/proc/" + std::to_string(process) + "/fd", error);
  return !error && std::any_of(begin(descriptors), end(descriptors), [&](const auto& descriptor) {
    std::error_code gone;
    return std::filesystem::read_symlink(descriptor.path(), gone).string().starts_with(directory + "/");
  });
}

/// Stops a process, and waits until all of its threads stand still.
inline bool stop_process(pid_t process) {
  if (::kill(process, SIGSTOP) != 0) return false;
  return eventually([process] {
    std::error_code error;
    const std::filesystem::directory_iterator threads("/proc/" + std::to_string(process) + "/task", error);
    return !error && std::all_of(begin(threads), end(threads), [](const auto& thread) {
      std::ifstream file(thread.path() / "stat");
      const std::string line(std::istreambuf_iterator<char>(file), {});
      return line.find(") T ") != std::string::npos;
    });
  });
}

/// The exception of this type that a function throws; nullopt if it throws none.
template <class Exception, class Function>
std::optional<Exception> thrown_by(const Function& function) {
  try {
    function();
  } catch (const Exception& exception) {
    return exception;
  }
  return std::nullopt;
}

}  // namespace remsh::test

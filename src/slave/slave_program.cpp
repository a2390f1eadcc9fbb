#include <remsh/slave/embedded.hpp>

#include "base/decimal.hpp"
#include "base/embedded_mark.hpp"
#include "base/exit_code.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "os/descriptor_limit.hpp"
#include "os/guard.hpp"
#include "os/process_tree.hpp"
#include "os/threads.hpp"
#include "os/unique_fd.hpp"
#include "slave/enrol_program.hpp"
#include "slave/key_input.hpp"
#include "slave/keygen_program.hpp"

#include <remsh/auth/slave_key.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/transport/descriptors.hpp>
#include <remsh/version.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {

namespace {

constexpr const char* usage =
    "usage: remsh-slave --master ADDRESS [options]\n"
    "       remsh-slave --stdio [options]\n"
    "       remsh-slave enrol ...         gets a key for an invitation: 'remsh-slave enrol --help'\n"
    "       remsh-slave keygen ...        makes keys for slaves: 'remsh-slave keygen --help'\n"
    "\n"
    "Connects to a master, registers, and does what it is told until it is stopped.\n"
    "\n"
    "  --master ADDRESS   tls:HOST:PORT, tcp:HOST:PORT or unix:PATH; connects again whenever it is lost\n"
    "  --key FILE         its line, NAME KEY: proves the name to the master, and the master to us; read for each\n"
    "                     connection, so that a new key needs no restart; -: the line comes by standard input, once\n"
    "  --ca FILE          with tls: the master also shows a certificate by one of these CAs\n"
    "  --server-name NAME the name in that certificate (default: the host of the address)\n"
    "  --keyless          over TCP on the loopback no key is needed: all users of this host are trusted\n"
    "  --insecure         plain TCP beyond the loopback, with a key: who is on the way can read and take over\n"
    "  --stdio            speak over standard input and output instead; ends with them\n"
    "  --until-eof        end when standard input does: with who started this program, and holds its other end\n"
    "  --once             connect once, and end with that connection\n"
    "  --retry-max SECS   wait no longer than this before connecting again (default: 60; 2 if the master was there\n"
    "                     within the last 5 minutes)\n"
    "  --basedir DIR      where relative paths begin; made if missing (default: the current directory)\n"
    "  --root DIR         let no path of the master's lead out of this directory (commands are not held by it)\n"
    "  --allow WORDS      do these operations alone: set_cwd,getenv,info,mkdir,remove,rename,copy,stat,execute,\n"
    "                     send,fetch, and those that this program has added\n"
    "  --no-execute       run no commands\n"
    "  --name NAME        1 to 64 of A-Z a-z 0-9 . _ - (default: that of the key, or the host's name)\n"
    "  --protocol 1|2     1: serve a master of the original remsh, of 2009 (default: 2)\n"
    "  --percent-encoded  in the values of the options behind it %XX is a byte: a master that starts slaves through a\n"
    "                     shell, as ssh does, writes all but A-Z a-z 0-9 / . _ - : , @ + = like that\n"
    "  --verbose          log more\n"
    "  --trace            also log every box that is sent or received; docs/embedding.md says how it looks\n"
    "  --quiet            log nothing but what ends the program\n"
    "  --help             this text\n"
    "  --version          versions of program and protocol\n"
    "\n"
    "SIGTERM and SIGINT end it. SIGHUP makes it connect now if it waits to do so, and leaves a connection alone that\n"
    "is there; if it has a terminal, --once or --stdio, SIGHUP ends it.\n"
    "exit codes: 0 stopped or told to end, 64 usage, 69 master not reachable (--once), 70 cannot work here,\n"
    "            75 connection lost (--once, --stdio), 76 the other side does not speak the protocol, 77 refused\n";

struct Arguments {
  std::string master;
  std::string basedir;
  std::string name;
  std::string key;
  TlsTrust tls;
  bool keyless = false;
  bool insecure = false;
  SlavePolicy policy;
  bool stdio = false;
  bool until_eof = false;
  bool once = false;
  std::optional<std::chrono::seconds> retry_max;
  unsigned protocol = 2;
  LogLevel level = LogLevel::info;
  bool trace = false;
  bool quiet = false;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "remsh-slave: %s\nTry 'remsh-slave --help'.\n", what.c_str());
  return exit_usage;
}

void say(LogLevel level, const std::string& text) {
  char stamp[32] = "";
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (::localtime_r(&now, &local) != nullptr) std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S%z", &local);
  const std::string_view word = to_string(level);
  std::fprintf(stderr, "%s remsh-slave[%ld] %.*s: %s\n", stamp, static_cast<long>(::getpid()),
               static_cast<int>(word.size()), word.data(), text.c_str());
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words(1);
  for (const char c : list) {
    if (c == ',') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

/// %XX is a byte; any other text is itself.
std::string percent_decoded(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    unsigned char byte = 0;
    const bool is_byte = text.size() >= 3 && text[0] == '%' &&
                         std::from_chars(text.data() + 1, text.data() + 3, byte, 16).ptr == text.data() + 3;
    result += is_byte ? static_cast<char>(byte) : text[0];
    text.remove_prefix(is_byte ? 3 : 1);
  }
  return result;
}

/// The exit code, where the arguments are such that the program ends here.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  bool is_encoded = false;  // the values of the options that follow
  for (int i = 1; i < argc; ++i) {
    std::string_view option = argv[i];
    std::optional<std::string> value;
    if (const auto equals = option.find('='); option.starts_with("--") && equals != std::string_view::npos) {
      value = std::string(option.substr(equals + 1));
      option = option.substr(0, equals);
    }
    const auto take = [&](std::string& into) {
      if (!value && i + 1 < argc) value = argv[++i];
      if (!value) return false;
      into = std::exchange(value, std::nullopt).value();
      if (is_encoded) into = percent_decoded(into);
      return !into.empty();
    };
    const std::string needs = "the option " + std::string(option) + " needs a value";
    if (option == "--help" || option == "-h") {
      std::fputs(usage, stdout);
      return exit_ok;
    }
    if (option == "--version") {
      std::printf("remsh-slave %s, protocol remsh %d\n", version, protocol_version);
      return exit_ok;
    }
    if (option == "--master") {
      if (!take(arguments.master)) return complain(needs);
    } else if (option == "--basedir") {
      if (!take(arguments.basedir)) return complain(needs);
    } else if (option == "--root") {
      if (!take(arguments.policy.root)) return complain(needs);
    } else if (option == "--allow") {
      std::string words;
      if (!take(words)) return complain(needs);
      arguments.policy.allow = words_of(words);
    } else if (option == "--no-execute") {
      arguments.policy.no_execute = true;
    } else if (option == "--name") {
      if (!take(arguments.name)) return complain(needs);
    } else if (option == "--key") {
      if (!take(arguments.key)) return complain(needs);
    } else if (option == "--ca") {
      if (!take(arguments.tls.ca)) return complain(needs);
    } else if (option == "--server-name") {
      if (!take(arguments.tls.server_name)) return complain(needs);
    } else if (option == "--keyless") {
      arguments.keyless = true;
    } else if (option == "--insecure") {
      arguments.insecure = true;
    } else if (option == "--retry-max") {
      std::string text;
      if (!take(text)) return complain(needs);
      const auto seconds = from_decimal(text);
      if (!seconds || *seconds == 0 || *seconds > 86'400) return complain("--retry-max takes 1 to 86400 seconds");
      arguments.retry_max = std::chrono::seconds(*seconds);
    } else if (option == "--protocol") {
      std::string protocol;
      if (!take(protocol)) return complain(needs);
      if (protocol != "1" && protocol != "2") return complain("the protocol is 1 or 2");
      arguments.protocol = protocol == "1" ? 1 : 2;
    } else if (option == "--stdio") {
      arguments.stdio = true;
    } else if (option == "--until-eof") {
      arguments.until_eof = true;
    } else if (option == "--percent-encoded") {
      is_encoded = true;
    } else if (option == "--once") {
      arguments.once = true;
    } else if (option == "--verbose") {
      arguments.level = LogLevel::debug;
    } else if (option == "--trace") {
      arguments.trace = true;
    } else if (option == "--quiet") {
      arguments.quiet = true;
    } else {
      return complain("unknown option '" + std::string(argv[i]) + "'");
    }
    if (value) return complain("the option " + std::string(option) + " takes no value");
  }
  if (arguments.stdio == !arguments.master.empty()) return complain("give either --master ADDRESS or --stdio");
  const bool speaks_of_access = !arguments.key.empty() || !arguments.tls.ca.empty() ||
                                !arguments.tls.server_name.empty() || arguments.keyless || arguments.insecure;
  if (arguments.stdio && speaks_of_access) {
    return complain("--stdio serves who started it: it takes no --key, --ca, --server-name, --keyless and --insecure");
  }
  if (arguments.stdio && arguments.until_eof) return complain("--stdio ends with standard input anyway");
  return std::nullopt;
}

int exit_code(const ServeResult& result) {
  switch (result.reason) {
    case ServeResult::Reason::stopped:
    case ServeResult::Reason::ended: return exit_ok;
    case ServeResult::Reason::lost: return exit_lost;
    case ServeResult::Reason::unreachable: return exit_unreachable;
    case ServeResult::Reason::refused: return exit_refused;
    case ServeResult::Reason::protocol: return exit_protocol;
  }
  return exit_software;
}

/// Standard input, moved out of the way of everything that reads.
UniqueFd take_stdin() {
  UniqueFd in(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!in || !null || ::dup2(null.get(), STDIN_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "standard input");
  }
  return in;
}

/// Standard input and output for the protocol alone.
std::unique_ptr<Transport> take_stdio() {
  UniqueFd in = take_stdin();
  UniqueFd out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!out || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "standard output");
  }
  const int from = in.release();
  return pipe_transport(from, out.release(), "stdio");
}

bool has_terminal() { return static_cast<bool>(UniqueFd(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC))); }

/// SIGINT and SIGTERM stop the server, SIGHUP too or makes it connect now: taken by a thread of their own, as there are
/// no signal handlers here.
class SignalThread {
 public:
  enum class Hangup : std::uint8_t { stops, connects };

  SignalThread(SlaveServer& server, Hangup on_hangup) {
    ::sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR2}) ::sigaddset(&signals_, signal);
    struct sigaction hangup {};
    ::sigaction(SIGHUP, nullptr, &hangup);
    if (hangup.sa_handler != SIG_IGN) ::sigaddset(&signals_, SIGHUP);  // nohup wants it to be survived
    sigset_t blocked = signals_;
    ::sigaddset(&blocked, SIGPIPE);  // a closed stderr is no reason to end
    ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    thread_ = std::thread([this, &server, on_hangup] {
      int signal = 0;
      while (!done_ && ::sigwait(&signals_, &signal) == 0) {
        if (signal == SIGHUP && on_hangup == Hangup::connects) {
          server.connect_now();
        } else if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) {
          server.stop();
        }
      }
    });
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread() {
    done_ = true;
    ::pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
  }

 private:
  sigset_t signals_{};
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

/// The end of standard input stops the server; what comes by it is dropped.
class StopAtEof {
 public:
  StopAtEof(SlaveServer& server, UniqueFd in) : in_(std::move(in)) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    wake_.reset(ends[0]);
    waker_.reset(ends[1]);
    thread_ = start_thread("remsh-stdin", [this, &server] {
      if (wait()) server.stop();
    });
  }
  StopAtEof(const StopAtEof&) = delete;
  StopAtEof& operator=(const StopAtEof&) = delete;
  ~StopAtEof() {
    waker_.reset();
    thread_.join();
  }

 private:
  /// True at the end of the input; false where nobody wants to know any more.
  [[nodiscard]] bool wait() const {
    for (;;) {
      std::array<pollfd, 2> ready{{{in_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
      if (::poll(ready.data(), ready.size(), -1) < 0) continue;  // interrupted
      if (ready[1].revents != 0) return false;
      std::array<char, 1024> dropped{};
      const ssize_t count = ::read(in_.get(), dropped.data(), dropped.size());
      if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return true;
    }
  }

  const UniqueFd in_;
  UniqueFd wake_;
  UniqueFd waker_;
  std::thread thread_;
};

/// What a process needs that runs commands for somebody else.
void prepare_process(bool has_key) {
  ::signal(SIGCHLD, SIG_DFL);  // if it is ignored, as our parent may have left it, no command has an exit status
  raise_descriptor_limit();    // each command takes a few
  start_guard();               // before there are threads, secrets and children
  claim_orphans();             // what commands leave behind comes to us, and can be found and ended
#ifdef __linux__
  if (has_key) ::prctl(PR_SET_DUMPABLE, 0);  // nor may they read our memory; the key is in no core file
#else
  static_cast<void>(has_key);
#endif
}

/// The key that --key names. Throws Error.
SlaveKey take_key(const std::string& where, int input) {
  if (where != "-") return read_slave_key(where);
  auto line = read_key_input(input, false);
  if (!line) throw_failure(line.failure(), "", "read a slave's key");
  return {std::move(line->name), std::move(line->key)};
}

}  // namespace

int run_slave_program(int argc, char** argv, const PrepareSlave& prepare) {
  if (argc > 1 && std::string_view(argv[1]) == "keygen") return run_keygen_program(argc - 1, argv + 1);
  if (argc > 1 && std::string_view(argv[1]) == "enrol") return run_enrol_program(argc - 1, argv + 1);
  Arguments arguments;
  if (const auto code = parse(argc, argv, arguments)) return *code;
  prepare_process(!arguments.key.empty());
  try {
    SlaveOptions options;
    options.name = arguments.name;
    if (Secret::from_base64(arguments.key)) return complain("--key takes the file that the key is in, not the key");
    UniqueFd input;
    if (arguments.key == "-" || arguments.until_eof) input = take_stdin();
    if (!arguments.key.empty()) {
      std::optional<SlaveKey> own;
      try {
        own = take_key(arguments.key, input.get());
      } catch (const Error& error) {
        say(LogLevel::error, error.message());
        return exit_software;
      }
      if (!arguments.name.empty() && arguments.name != own->name) {
        const std::string where = arguments.key == "-" ? "on standard input" : "in '" + escaped(arguments.key) + "'";
        return complain("the key " + where + " is that of '" + own->name + "', and --name says '" +
                        escaped(arguments.name) + "'");
      }
      options.name = own->name;
      if (arguments.key == "-") {
        options.key = std::move(own->key);
      } else {
        options.key_file = arguments.key;
      }
    }
    if (arguments.retry_max) options.back_off_max = *arguments.retry_max;
    if (!arguments.until_eof) input.reset();
    options.tls = arguments.tls;
    options.keyless = arguments.keyless;
    options.insecure = arguments.insecure;
    options.basedir = arguments.basedir;
    options.policy = arguments.policy;
    options.software = std::string("remsh-slave ") + version;
    options.protocol = arguments.protocol;
    options.log = [&arguments](const LogRecord& record) {
      if (arguments.quiet || record.level < arguments.level) return;
      say(record.level, record.peer.empty() ? record.message : record.peer + ": " + record.message);
    };
    if (arguments.trace) {
      options.trace = [](const TraceRecord& record) { std::fprintf(stderr, "%s\n", to_string(record).c_str()); };
    }
    SlaveServer server(std::move(options));
    if (prepare) prepare(server);
    // Of a service it is what an operator sends; else the terminal has gone, or whoever started it.
    const bool comes_back = !arguments.stdio && !arguments.once;
    const SignalThread signals(
        server, comes_back && !has_terminal() ? SignalThread::Hangup::connects : SignalThread::Hangup::stops);
    std::optional<StopAtEof> stop_at_eof;
    if (input) stop_at_eof.emplace(server, std::move(input));
    const ServeResult result = arguments.stdio  ? server.serve(take_stdio())
                               : arguments.once ? server.run_once(arguments.master)
                                                : server.run(arguments.master);
    const bool is_good = result.reason == ServeResult::Reason::stopped || result.reason == ServeResult::Reason::ended;
    if (!is_good || !arguments.quiet) say(is_good ? LogLevel::info : LogLevel::error, "ends: " + result.message);
    return exit_code(result);
  } catch (const Error& error) {
    if (error.code() == Errc::invalid_argument) return complain(error.what());
    say(LogLevel::error, error.what());
  } catch (const std::exception& error) {
    say(LogLevel::error, error.what());
  }
  return exit_software;
}

std::optional<int> run_embedded_slave(int argc, char** argv, const PrepareSlave& prepare) {
  if (argc < 2 || std::string_view(argv[1]) != embedded_mark) return std::nullopt;
  ::unsetenv(embedded_variable);
  return run_slave_program(argc - 1, argv + 1, prepare);
}

}  // namespace remsh

// Commands on a slave.
#include "support/has.hpp"
#include "support/many_bytes.hpp"
#include "support/slaves.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

InputCallback give(const Bytes& bytes) {
  return [&bytes, done = std::size_t{0}](std::span<char> buffer) mutable {
    const std::size_t count = std::min(buffer.size(), bytes.size() - done);
    std::memcpy(buffer.data(), bytes.data() + done, count);
    done += count;
    return count;
  };
}

std::vector<Bytes> shell(const Bytes& script) { return {"sh", "-c", script}; }

/// Whether a slave is of this library. Others do not know all options.
bool is_ours(Slave& slave) {
  const std::string& software = slave.info().software;
  return software.starts_with("remsh ") || software.starts_with("remsh-slave ");
}

std::set<int> inherited_descriptors() {
  std::set<int> result;
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    const int flags = ::fcntl(descriptor, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) result.insert(descriptor);
  }
  return result;
}

}  // namespace

TEST_CASE("a command ends with an exit code or a signal") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto good = slave.execute({"true"});
    CHECK(good.ok());
    CHECK(good.exit_code == 0);
    CHECK_FALSE(good.signal);
    const auto bad = slave.execute(shell("exit 7"));
    CHECK_FALSE(bad.ok());
    CHECK(bad.exit_code == 7);
    const auto killed = slave.execute(shell("kill -KILL $$"));
    CHECK_FALSE(killed.exit_code);
    CHECK(killed.signal == SIGKILL);
  });
}

TEST_CASE("the result says which process a command was, and in which directory, and its header shows it") {
  on_every_transport(BeyondRemsh1::environment, [](Farm& farm, Slave& slave) {
    slave.mkdir("sub");
    const ExecuteOptions options{.cwd = "sub", .env = {{"TOKEN", "hunter2"}}, .err = discard, .secrets = {}};
    const std::vector<Bytes> args = shell("echo $$; exit 3");
    const auto result = slave.execute(args, options);
    REQUIRE(result.pid);
    CHECK(result.out == std::to_string(*result.pid) + "\n");
    CHECK(std::filesystem::equivalent(result.dir, farm.basedir() + "/sub"));
    const std::string text = header(args, options, result);
    CHECK(text.starts_with("command: 'sh' '-c' 'echo $$; exit 3'\nenvironment: of the slave; TOKEN set\ndirectory: " +
                           result.dir + "\nprocess: " + std::to_string(*result.pid) + "\nended: exit code 3"));
  });
}

TEST_CASE("the header of a command comes while it runs, in lines") {
  on_every_transport([](Farm&, Slave& slave) {
    std::vector<Bytes> header;
    const auto result = slave.execute({"true"}, {.header = lines([&](BytesView line) { header.emplace_back(line); })});
    REQUIRE(header.size() >= 3);
    CHECK(header.front() == "command: 'true'");
    CHECK(header[1] == "environment: of the slave");
    CHECK(header.back().starts_with("ended: exit code 0"));
    CHECK(header.size() == (result.pid ? 5 : 3));
  });
  on_every_transport([](Farm&, Slave& slave) {
    std::vector<Bytes> header;
    CHECK(thrown_by<RemoteError>([&] {
      slave.execute({"no-such-program"}, {.header = lines([&](BytesView line) { header.emplace_back(line); })});
    }));
    REQUIRE(header.size() == 3);
    CHECK(header[0] == "command: 'no-such-program'");
    CHECK(header[2].starts_with("ended: "));
  });
  on_every_transport(BeyondRemsh1::time_limits, [](Farm& farm, Slave& slave) {
    slave.mkdir("sub");
    std::vector<Bytes> header;
    const auto take = [&](BytesView line) { header.emplace_back(line); };
    const auto result = slave.execute(
        {"sleep", "100000"},
        {.cwd = "sub", .env = {{"TOKEN", "secret"}}, .header = lines(take), .timeout = 100ms, .stop_signal = SIGINT});
    CHECK(result.timed_out);
    REQUIRE(header.size() == 7);
    CHECK(header[0] == "command: 'sleep' '100000'");
    CHECK(header[1] == "environment: of the slave; TOKEN set");
    CHECK(header[2] == "limits: 0.1 s");
    REQUIRE(header[3].starts_with("directory: "));
    CHECK(std::filesystem::equivalent(header[3].substr(11), farm.basedir() + "/sub"));
    CHECK(header[4] == "process: " + std::to_string(result.pid.value_or(0)));
    CHECK(header[5] == "ending: timed out after 0.1 s, SIGINT");
    CHECK(header[6].starts_with("ended: signal 2, timed out"));
  });
}

TEST_CASE("the result says how long a command ran and what it used, with the processes that it waited for") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto before = std::chrono::steady_clock::now();
    const auto result = slave.execute(
        shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/dev/null bs=64M count=2"));
    const auto took = std::chrono::steady_clock::now() - before;
    if (!is_ours(slave)) {  // says nothing
      CHECK_FALSE(result.ran);
      CHECK(result.used == ResourceUse{});
      return;
    }
    REQUIRE(result.ran);
    CHECK(*result.ran > 0us);
    CHECK(*result.ran < took);
    REQUIRE((result.used.user_time && result.used.system_time && result.used.peak_memory));
    CHECK(*result.used.user_time + *result.used.system_time > 0us);
    CHECK(*result.used.user_time + *result.used.system_time < took * 2);
    CHECK(*result.used.peak_memory > 64'000'000);
    CHECK(*result.used.peak_memory < 640'000'000);
  });
}

TEST_CASE("output is captured, each stream by itself") {
  on_every_transport(BeyondRemsh1::merging, [](Farm&, Slave& slave) {
    const auto result = slave.execute(shell("printf 'to out\\n'; printf 'to err' >&2"));
    CHECK(result.out == "to out\n");
    CHECK(result.err == "to err");
    CHECK(slave.execute(shell("printf a; printf b >&2; printf c"), {.err = remsh::merge}).out == "abc");
    const auto discarded = slave.execute(shell("echo a; echo b >&2"), {.out = remsh::discard, .err = remsh::discard});
    CHECK(discarded.ok());
    CHECK(discarded.out.empty());
    CHECK(discarded.err.empty());
    CHECK(slave.execute(shell("printf '\\000\\377'")).out == Bytes("\0\xff", 2));
  });
}

TEST_CASE("a line reaches the callback before the command ends, and in the thread that called") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    slave.execute({"mkfifo", "go"});
    Bytes out;
    Bytes err;
    bool same_thread = true;
    const auto result = slave.execute(shell("echo ready; cat go; echo done >&2"),
                                      {.out =
                                           [&, caller = std::this_thread::get_id()](BytesView bytes) {
                                             same_thread = same_thread && std::this_thread::get_id() == caller;
                                             out += bytes;
                                             // The command cannot end before this, a call within a callback, is done.
                                             if (out == "ready\n") CHECK(slave.execute(shell("echo went > go")).ok());
                                           },
                                       .err = [&](BytesView bytes) { err += bytes; }});
    CHECK(result.ok());
    CHECK(out == "ready\nwent\n");
    CHECK(err == "done\n");
    CHECK(result.out.empty());
    CHECK(same_thread);
  });
}

TEST_CASE("a command runs where it is told, with the environment it is told") {
  on_every_transport(BeyondRemsh1::environment, [](Farm&, Slave& slave) {
    slave.mkdir("a/b");
    const Bytes base = slave.set_cwd("a");
    CHECK(slave.execute({"pwd", "-P"}).out == base + "\n");
    CHECK(slave.execute({"pwd", "-P"}, {.cwd = "b"}).out == base + "/b\n");
    CHECK(slave.execute({"pwd", "-P"}, {.cwd = "/"}).out == "/\n");

    const Bytes show = "printf '%s|%s' \"${REMSH_TEST-unset}\" \"${PATH-unset}\"";
    const Bytes path = slave.getenv().at("PATH");
    CHECK(slave.execute(shell(show)).out == "unset|" + path);
    CHECK(slave.execute(shell(show), {.env = {{"REMSH_TEST", "a b\n="}}}).out == "a b\n=|" + path);
    CHECK(slave.execute({"/bin/sh", "-c", show}, {.env = {{"PATH", std::nullopt}}}).out.starts_with("unset|"));
    CHECK(slave.execute({"/usr/bin/env"}, {.env = {{"PATH", std::nullopt}}}).out.find("\nPATH=") == Bytes::npos);
    const Bytes cleared = slave.execute({"/usr/bin/env"}, {.env = {{"A", "1"}}, .clear_env = true}).out;
    CHECK(cleared.find("A=1\n") != Bytes::npos);
    CHECK(cleared.find("PATH=") == Bytes::npos);
    CHECK(cleared.find("HOME=") == Bytes::npos);
  });
}

TEST_CASE("a command reads nothing, bytes, or what a callback gives") {
  on_every_transport(BeyondRemsh1::input, [](Farm&, Slave& slave) {
    CHECK(slave.execute({"cat"}).out.empty());
    CHECK(slave.execute({"cat"}, {.in = Source::bytes(Bytes("some\0bytes", 10))}).out == Bytes("some\0bytes", 10));
    CHECK(slave.execute({"cat"}, {.in = Source::bytes(Bytes())}).out.empty());
    int asked = 0;
    const InputCallback thrice = [&asked](std::span<char> buffer) -> std::size_t {
      if (++asked > 3) return 0;
      buffer[0] = static_cast<char>('0' + asked);
      return 1;
    };
    CHECK(slave.execute({"cat"}, {.in = thrice}).out == "123");
    CHECK(asked == 4);
    // A command that does not read its input does not hang, nor fail.
    CHECK(slave.execute({"true"}, {.in = Source::bytes(many_bytes(ten_mebibytes))}).ok());
  });
}

TEST_CASE("a thousand small writes arrive in order, and those that are there together arrive in few boxes") {
  const TempDir dir;
  SlaveCollection slaves;
  std::atomic<int> boxes = 0;
  LocalListenerOptions options{.slave_collection = slaves, .embedded = true};
  options.trace = [&boxes](const TraceRecord& record) {
    if (!record.sent && has(record.text, "_command=data")) ++boxes;
  };
  LocalSlaveListener listener(std::move(options));
  const auto slave = listener.start_slave(dir / "base", "worker");
  // The slave stands still while its command writes, so that it finds all of it at once. It does so when the thread
  // that takes the signal has run.
  const auto result = slave->execute({"sh", "-c",
                                      "kill -STOP $PPID; until grep -q '^State:.T' /proc/$PPID/status; do :; done; "
                                      "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i + 1)); done; "
                                      "kill -CONT $PPID"});
  Bytes expected;
  for (int i = 0; i < 1000; ++i) expected += std::to_string(i) + "\n";
  CHECK(result.ok());
  CHECK(result.out == expected);
  CHECK(boxes >= 1);
  CHECK(boxes <= 10);
}

TEST_CASE("ten MiB go through a command in each direction, both streams full") {
  const Bytes bytes = many_bytes(ten_mebibytes);
  on_every_transport(BeyondRemsh1::input, [&bytes](Farm&, Slave& slave) {
    const auto result = slave.execute({"tee", "/dev/stderr"}, {.in = give(bytes)});
    CHECK(result.ok());
    CHECK((result.out == bytes));
    CHECK((result.err == bytes));
  });
}

TEST_CASE("a command that cannot be started is an error with the cause") {
  on_every_transport(BeyondRemsh1::reasons, [](Farm&, Slave& slave) {
    const auto fails = [&slave](const std::vector<Bytes>& args, const ExecuteOptions& options, std::errc cause,
                                const std::string& words) {
      const auto error = thrown_by<RemoteError>([&] { slave.execute(args, options); });
      REQUIRE(error);
      CAPTURE(error->what());
      CHECK(error->code() == Errc::os_error);
      CHECK(error->os() == cause);
      CHECK(error->message().find(words) != std::string::npos);
    };
    fails({"no-such-program"}, {}, std::errc::no_such_file_or_directory, "no-such-program");
    fails({"/"}, {}, std::errc::permission_denied, "/");
    fails({"true"}, {.cwd = "missing"}, std::errc::no_such_file_or_directory, "missing");
    slave.send(Source::bytes("#!/no/such/interpreter\n"), "script", {.mode = 0755});
    fails({"./script"}, {}, std::errc::no_such_file_or_directory, "interpreter");
    slave.ping();
  });
}

TEST_CASE("a command begins with the settings of its options") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    const auto result = slave.execute(shell("umask; ulimit -S -n; ulimit -H -n; ulimit -c; echo $A; nice"),
                                      {.env = {{"A", "b"}},
                                       .prepend_env = {{"A", "a"}},
                                       .nice = 1,
                                       .umask = 027,
                                       .limits = {{"nofile", 50, 60}, {"core", 0}}});
    const Bytes before = slave.execute({"nice"}).out;
    CHECK(result.out == "0027\n50\n60\n0\na:b\n" + std::to_string(std::min(std::stoi(before) + 1, 19)) + "\n");
  });
}

TEST_CASE("a command whose settings cannot be made is not run, and the error says which") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    const auto error = thrown_by<RemoteError>([&slave] {
      slave.execute({"touch", "ran"}, {.umask = 022, .limits = {{"core", 0}, {"nofile", 60, 50}}});
    });
    REQUIRE(error);
    CHECK(error->code() == Errc::os_error);
    CHECK(error->message().find("nofile") != std::string::npos);
    const auto unknown = thrown_by<RemoteError>([&slave] {
      slave.execute({"touch", "ran"}, {.limits = {{"wishes", 3}}});
    });
    REQUIRE(unknown);
    CHECK(unknown->code() == Errc::invalid_argument);
    CHECK_FALSE(slave.stat("ran"));
  });
}

TEST_CASE("a command that is ended gets the signal of its choice") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    ExecuteResult result;
    for (auto time = 200ms; result.out.empty(); time *= 2) {  // it must begin within this time
      REQUIRE(time < ample);
      result = slave.execute(shell("trap 'echo interrupted; exit 4' INT; echo begun; while :; do sleep 0.01; done"),
                             {.timeout = time, .stop_signal = SIGINT, .kill_after = 1h});
    }
    CHECK(result.timed_out);
    CHECK(result.exit_code == 4);
    CHECK(result.out == "begun\ninterrupted\n");
  });
}

TEST_CASE("a callback can have the time of each piece of output, by the slave's clock") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    using Time = std::chrono::sys_time<std::chrono::microseconds>;
    slave.execute({"mkfifo", "go"});
    Time first;
    Time second;
    const Time begun = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    Time answered;
    const auto out = [&](BytesView, Time at) {
      first = at;
      answered = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
      CHECK(slave.execute(shell("echo > go")).ok());  // the second piece cannot be written before this
    };
    CHECK(slave
              .execute(shell("echo a; read line < go; echo b >&2"),
                       {.out = out, .err = [&](BytesView, Time at) { second = at; }})
              .ok());
    CHECK(begun <= first);
    CHECK(first <= answered);
    CHECK(answered <= second);
  });
}

TEST_CASE("a command on a terminal talks with its caller") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    Bytes seen;
    int typed = 0;
    const auto type = [&](std::span<char> buffer) -> std::size_t {
      const Bytes line = typed == 0 ? "me\n" : "";
      ++typed;
      std::copy(line.begin(), line.end(), buffer.begin());
      return line.size();
    };
    const auto run = [&] {
      return slave.execute(shell("stty -echo; echo who; read name; echo hello $name; stty size; exec cat"),
                           {.in = type, .out = [&](BytesView bytes) { seen += bytes; }, .terminal = Terminal{90, 20}});
    };
    if (!is_ours(slave)) {
      const auto error = thrown_by<RemoteError>(run);
      REQUIRE(error);
      CHECK(error->code() == Errc::invalid_argument);
      return;
    }
    const auto result = run();
    CHECK(result.exit_code == 0);
    CHECK(seen.find("hello me\r\n") != Bytes::npos);
    CHECK(seen.find("20 90\r\n") != Bytes::npos);
    CHECK(result.err.empty());
  });
}

TEST_CASE("of an output only so much comes as was asked for, and the result says how much is missing") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    const auto run = [&slave] {
      return slave.execute(shell("for i in 1 2 3 4; do echo $i; done; printf abc >&2; exit 3"),
                           {.output_limit = {.bytes = 3, .lines = 2}});
    };
    if (!is_ours(slave)) {
      const auto error = thrown_by<RemoteError>(run);
      REQUIRE(error);
      CHECK(error->code() == Errc::invalid_argument);
      return;
    }
    const auto result = run();
    CHECK(result.out == "1\n2\n[remsh: the rest of the output, beyond 3 bytes, is dropped]\n");
    CHECK(result.err == "abc");
    CHECK(result.out_dropped == 5);
    CHECK(result.err_dropped == 0);
    CHECK(result.exit_code == 3);
    CHECK(to_string(result) == "exit code 3, output cut");
  });
}

TEST_CASE("the slave ends a command that writes nothing for too long") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    ExecuteResult result;
    for (auto time = 200ms; result.out.empty(); time *= 2) {  // it must begin within this time
      REQUIRE(time < 60s);
      result = slave.execute({"sh", "-c", "echo begun; exec sleep 100000"}, {.silence_timeout = time});
      CHECK(result.went_silent);
    }
    CHECK(result.out == "begun\n");
    CHECK(!result.timed_out);
    CHECK(to_string(result) == "signal 15, silent for too long");
    CHECK(slave.execute({"true"}, {.silence_timeout = 60s}).ok());
  });
}

TEST_CASE("the slave ends a command whose time is over, with all that it started") {
  on_every_transport(BeyondRemsh1::time_limits, [](Farm&, Slave& slave) {
    for (auto timeout = 200ms; true; timeout *= 2) {  // until the command has begun before its time is over
      const Lifeline lifeline;
      const auto result =
          slave.execute({"sh", "-c", "exec 9>\"$0\"; echo >&9; echo begun; (trap '' TERM; sleep 100000) & sleep 100000",
                         lifeline.path()},
                        {.timeout = timeout, .kill_after = 100ms});
      CHECK(result.timed_out);
      CHECK(result.signal);
      if (result.out.empty()) {
        REQUIRE(timeout < ample);
        continue;
      }
      CHECK(result.out == "begun\n");
      CHECK(lifeline.wait_for_end());
      break;
    }
    CHECK(slave.execute({"true"}, {.timeout = 60s}).timed_out == false);
  });
}

TEST_CASE("of more output than is to be captured the beginning and the end are kept, and the command goes on") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto result =
        slave.execute(shell("printf begin; head -c 1000000 /dev/zero; printf end"), {.out = remsh::capture(100'000)});
    CHECK(result.ok());
    CHECK(result.out.starts_with("begin"));
    CHECK(result.out.ends_with("end"));
    CHECK(result.out_omitted == 1'000'008 - 100'000);
    CHECK(result.out.find("[remsh: 900008 bytes omitted]") != Bytes::npos);
    CHECK(slave.execute(shell("printf 12345"), {.out = remsh::capture(5)}).out == "12345");
  });
}

TEST_CASE("output comes by lines, or goes into a file of this host") {
  on_every_transport([](Farm& farm, Slave& slave) {
    std::vector<Bytes> got;
    const auto take = [&](BytesView line) { got.emplace_back(line); };
    CHECK(slave.execute(shell("echo one; echo; printf last"), {.out = remsh::lines(take)}).ok());
    CHECK(got == std::vector<Bytes>{"one", "", "last"});
    CHECK(
        slave.execute(shell("echo out; echo err >&2"), {.out = to_file(farm.dir / "log"), .err = remsh::discard}).ok());
    CHECK(farm.dir.read("log") == "out\n");
  });
}

TEST_CASE("what a callback throws ends the command and comes out as it is") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    struct Mine {};
    for (const bool from_input : {false, true}) {
      const Lifeline lifeline;
      ExecuteOptions options;
      if (from_input) {
        options.in = InputCallback([&lifeline](std::span<char>) -> std::size_t {
          CHECK(lifeline.wait_for_begin());
          throw Mine();
        });
      } else {
        options.out = [](BytesView) { throw Mine(); };
      }
      CHECK_THROWS_AS(
          slave.execute({"sh", "-c", "exec 9>\"$0\"; echo >&9; echo out; sleep 100000", lifeline.path()}, options),
          Mine);
      CHECK(lifeline.wait_for_end());
      CHECK(slave.execute({"true"}).ok());
    }
  });
}

TEST_CASE("a background process does not hold the answer back for long") {
  on_every_transport(BeyondRemsh1::merging, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    slave.execute({"mkfifo", "go"});
    const auto result = slave.execute({"sh", "-c", "(exec 9>\"$0\"; echo >&9; cat go) & printf early", lifeline.path()},
                                      {.background = Background::leave});
    CHECK(result.exit_code == 0);
    CHECK(result.left_background);
    CHECK(result.out == "early");
    CHECK(lifeline.wait_for_begin());
    slave.execute(shell("echo late > go"));
    CHECK(lifeline.wait_for_end());
  });
}

TEST_CASE("a background process is ended before the result comes, which says so") {
  on_every_transport(BeyondRemsh1::merging, [](Farm&, Slave& slave) {
    const Lifeline lifeline;
    slave.execute({"mkfifo", "begun"});
    const auto result = slave.execute(
        {"sh", "-c", "sh -c 'exec 9>\"$0\"; echo >&9; echo > begun; sleep 100000' \"$0\" & cat begun; exit 3",
         lifeline.path()},
        {.kill_after = 100ms});
    CHECK(lifeline.wait_for_begin());
    CHECK(lifeline.has_ended());
    CHECK(result.exit_code == 3);
    CHECK(result.ended_background);
    CHECK_FALSE(result.left_background);
    CHECK(to_string(result) == "exit code 3, left processes that were ended");
  });
}

TEST_CASE("long arguments and environments arrive whole") {
  on_every_transport(BeyondRemsh1::long_values, [](Farm&, Slave& slave) {
    // Linux takes at most 128 KiB in one argument, and 200 KB in several.
    const Bytes half(100'000, 'x');
    CHECK(slave.execute({"sh", "-c", "printf %s \"$0$1\"", half, half}).out == half + half);
    CHECK(slave.execute(shell("printf %s \"$A$B\""), {.env = {{"A", half}, {"B", half}}}).out == half + half);
    const Box long_values{{"a", Bytes(200'000, 'a')}, {"b", Bytes(65'535, 'b')}, {"c", Bytes(65'536, 'c')}};
    CHECK((slave.call("echo", long_values) == long_values));
  });
}

TEST_CASE("every list of arguments that a program can be given arrives, of any bytes, and what it cannot is said") {
  on_every_transport(BeyondRemsh1::long_values, [](Farm&, Slave& slave) {
    // A quarter of the stack is what Linux takes: 2 MiB with the usual one. The shell's environment is in it too.
    const auto counted = [&slave](std::size_t bytes, std::size_t count) {
      Bytes piece(bytes / count - 1, '\0');
      for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<char>(i % 255 + 1);
      std::vector<Bytes> args{"sh", "-c", "printf '%s\\0' \"$@\" | cksum", "sh"};
      args.insert(args.end(), count, piece);
      const Bytes sum = slave.execute(args).out;
      Bytes list;
      for (std::size_t i = 0; i < count; ++i) list.append(piece).push_back('\0');
      slave.send(Source::bytes(list), "list", {.overwrite = true, .durable = false});
      return sum == slave.execute(shell("cksum <list")).out;
    };
    CHECK(counted(1024 * 1024, 32));
    CHECK(counted(1024 * 1024, 512));
    CHECK(counted(2'000'000, 50));

    std::map<Bytes, std::optional<Bytes>> env;
    for (int i = 0; i < 40; ++i) env["V" + std::to_string(i)] = Bytes(100'000, 'x');
    const auto error = thrown_by<RemoteError>([&] { slave.execute({"true"}, {.env = env}); });
    REQUIRE(error);
    CHECK(error->os() == std::errc::argument_list_too_long);
    if (!TwistedSlaves::are_wanted()) CHECK(error->message().find("the environment (") != std::string::npos);
  });
}

TEST_CASE("arguments that no call can carry are refused clearly, before anything is done") {
  on_every_transport(BeyondRemsh1::long_values, [](Farm&, Slave& slave) {
    const Bytes big(9'000'000, 'x');
    for (const auto& attempt : std::vector<std::function<void()>>{
             [&] {
               slave.execute({"true", big});
             },
             [&] {
               slave.execute({"true"}, {.env = {{"A", big}}});
             },
             [&] {
               slave.call("echo", Box{{"a", big}});
             },
             [&] { slave.stat(big); },
         }) {
      const auto error = thrown_by<Error>(attempt);
      REQUIRE(error);
      CHECK(error->code() == Errc::too_large);
      CHECK(error->message().find("8 MiB") != std::string::npos);
      CHECK(std::strlen(error->what()) < 1000);
    }
    // What a call can carry and a program cannot take is the slave's to refuse.
    const auto error = thrown_by<RemoteError>([&] { slave.execute({"true", Bytes(200'000, 'x')}); });
    REQUIRE(error);
    CHECK(error->os() == std::errc::argument_list_too_long);
    slave.ping();
  });
}

TEST_CASE("no descriptor of ours reaches a command") {
  const std::set<int> before = inherited_descriptors();
  on_every_transport(BeyondRemsh1::input, [&before](Farm&, Slave& slave) {
    for (const ExecuteOptions& options : {ExecuteOptions{}, ExecuteOptions{.in = Source::bytes(Bytes("x"))}}) {
      // The list has also the descriptor with which ls reads it: the lowest that is free.
      const Bytes listed = slave.execute({"ls", "/proc/self/fd"}, options).out;
      std::set<Bytes> names;
      for (std::size_t at = 0; at < listed.size(); at = listed.find('\n', at) + 1) {
        names.insert(listed.substr(at, listed.find('\n', at) - at));
      }
      for (const int descriptor : before) names.erase(std::to_string(descriptor));
      for (const char* standard : {"0", "1", "2"}) names.erase(standard);
      CHECK(names.size() == 1);
    }
    CHECK(inherited_descriptors() == before);
  });
}

}  // namespace remsh::test

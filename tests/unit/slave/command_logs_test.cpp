// The log files of a command, as its caller sees them.
#include "base/clock.hpp"
#include "operations/operations.hpp"
#include "os/user.hpp"
#include "slave/execute.hpp"
#include "support/fake_served_call.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using operations::Execute;
using operations::LogRequest;
using operations::OutputMode;
using remsh::test::FakeServedCall;
using remsh::test::skip;
using remsh::test::TempDir;
using rpc::StreamName;

namespace {

/// A slave that runs scripts with log files, in a directory.
class LogSlave {
 public:
  explicit LogSlave(std::vector<std::string> users = {})
      : commands_(std::make_shared<CommandSet>(loop_, CommandSet::default_grace, LogHook(), CommandHooks(),
                                               std::move(users))) {
    add_execute(dispatcher_, *Workplace::open(dir.path()), commands_);
  }
  LogSlave(const LogSlave&) = delete;
  LogSlave& operator=(const LogSlave&) = delete;
  ~LogSlave() {
    commands_->stop();
    loop_->stop();
  }

  std::shared_ptr<FakeServedCall> start(const std::shared_ptr<FakeServedCall>& call) {
    dispatcher_.dispatch(call);
    return call;
  }
  std::shared_ptr<FakeServedCall> start(const Execute::Request& request) {
    return start(std::make_shared<FakeServedCall>("execute", to_box(request)));
  }

  static Execute::Reply reply_of(FakeServedCall& call) {
    auto outcome = call.outcome();
    REQUIRE_MESSAGE(outcome.ok(), outcome.failure().message);
    auto reply = operations::from_box<Execute::Reply>(*outcome);
    REQUIRE(reply.ok());
    return *reply;
  }

  TempDir dir;

 private:
  std::shared_ptr<Loop> loop_ = Loop::start(real_clock());
  Dispatcher dispatcher_;
  const std::shared_ptr<CommandSet> commands_;
};

/// A script that reads lines from its input, and has these log files.
Execute::Request logging(const Bytes& script, std::vector<LogRequest> logs) {
  Execute::Request request;
  request.args = {"/bin/sh", "-c", script};
  request.in = true;
  request.logs = std::move(logs);
  return request;
}

/// The code of an error.
Bytes log_code(const Execute::Reply& reply, const Bytes& number) {
  const auto found = reply.log_errors.find(number);
  return found == reply.log_errors.end() ? "" : found->second.substr(0, found->second.find(' '));
}

}  // namespace

TEST_CASE("log files are sent while their command runs, each as itself, and also if they appear later") {
  LogSlave slave;
  const auto call = slave.start(
      logging("echo one >a; read x; mkdir d; echo two >d/b; read x; echo three >>a", {{"a", {}}, {"d/b", {}}}));
  CHECK(call->wait_log(0, "one\n"));
  CHECK(call->log(1).empty());
  call->feed("go on\n");
  CHECK(call->wait_log(1, "two\n"));
  CHECK_FALSE(call->is_over());
  call->feed("go on\n");
  const auto reply = LogSlave::reply_of(*call);
  CHECK(reply.exit_code == 0);
  CHECK(reply.log_errors.empty());
  CHECK(call->log(0) == "one\nthree\n");
  CHECK(call->log(1) == "two\n");
}

TEST_CASE("a log file that is truncated or rotated while the command runs is sent on") {
  LogSlave slave;
  const auto call = slave.start(logging(
      "echo the first >log; read x; echo b >log; read x; echo c >>log; mv log log.1; echo d >log; read x; echo e >>log",
      {{"log", {}}}));
  CHECK(call->wait_log(0, "the first\n"));
  call->feed("go on\n");
  CHECK(call->wait_log(0, "the first\nb\n"));
  call->feed("go on\n");
  CHECK(call->wait_log(0, "the first\nb\nc\nd\n"));
  call->feed("go on\n");
  CHECK(LogSlave::reply_of(*call).exit_code == 0);
  CHECK(call->log(0) == "the first\nb\nc\nd\ne\n");
}

TEST_CASE("what a log file contains before its command is sent as was asked for") {
  LogSlave slave;
  const std::vector<LogRequest> logs{{"log", LogBegin::changed}, {"log", LogBegin::start}, {"log", LogBegin::end}};
  slave.dir.write("log", "old\n");
  auto call = slave.start(logging("true", logs));
  CHECK(LogSlave::reply_of(*call).log_errors.empty());
  CHECK(call->log(0).empty());
  CHECK(call->log(1) == "old\n");
  CHECK(call->log(2).empty());

  call = slave.start(logging("echo new >>log", logs));
  CHECK(LogSlave::reply_of(*call).log_errors.empty());
  CHECK(call->log(0) == "old\nnew\n");
  CHECK(call->log(1) == "old\nnew\n");
  CHECK(call->log(2) == "new\n");

  // The same bytes once more, perhaps before the clock of the files has moved on.
  slave.dir.write("log", "same\n");
  call = slave.start(logging("echo same >log", logs));
  CHECK(LogSlave::reply_of(*call).log_errors.empty());
  CHECK(call->log(0) == "same\n");
}

TEST_CASE("a log file that is missing or no file is told of with the result, by its number") {
  LogSlave slave;
  std::filesystem::create_directory(slave.dir / "directory");
  REQUIRE(::mkfifo((slave.dir / "fifo").c_str(), 0600) == 0);
  const auto call = slave.start(
      logging("echo a >log", {{"missing/x", {}}, {"directory", {}}, {"fifo", {}}, {"/dev/null", {}}, {"log", {}}}));
  const auto reply = LogSlave::reply_of(*call);
  CHECK(reply.exit_code == 0);
  CHECK(reply.log_errors.size() == 4);
  CHECK(reply.log_errors.at("0") == "ENOENT open: No such file or directory");
  CHECK(log_code(reply, "1") == "EISDIR");
  CHECK(reply.log_errors.at("2") == "EINVAL open: Not a regular file");
  CHECK(log_code(reply, "3") == "EINVAL");
  CHECK(call->log(4) == "a\n");
}

TEST_CASE("much in log files comes whole and in order, however little room there is") {
  LogSlave slave;
  auto request = logging("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done >log", {{"log", {}}});
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(request));
  call->set_room(StreamName::log, 1000);
  slave.start(call);
  CHECK(call->wait_sent(StreamName::log, 1000).size() == 1000);
  CHECK_FALSE(call->is_over());
  for (int i = 0; i < 300; ++i) call->add_room(StreamName::log, 1000);
  CHECK(LogSlave::reply_of(*call).exit_code == 0);
  Bytes all;
  for (int i = 1; i <= 20000; ++i) all += "line " + std::to_string(i) + "\n";
  CHECK((call->log(0) == all));
}

TEST_CASE("a command whose log waits for room ends at once if it is cancelled") {
  LogSlave slave;
  const auto request = logging("echo more than there is room for >log", {{"log", {}}});
  const auto call = std::make_shared<FakeServedCall>("execute", to_box(request));
  call->set_room(StreamName::log, 10);
  slave.start(call);
  CHECK(call->wait_sent(StreamName::log, 10) == "more than ");
  call->cancel();
  const auto outcome = call->outcome();
  REQUIRE_FALSE(outcome.ok());
  CHECK(outcome.failure().code == Errc::cancelled);
}

TEST_CASE("of each log file only so much is sent as was asked for, with times if they were") {
  LogSlave slave;
  auto request = logging("echo 12345 >a; echo 1 >b; echo 2 >>b; echo 3 >>b", {{"a", {}}, {"b", {}}});
  request.max_bytes = 4;
  request.max_lines = 2;
  request.at = true;
  const auto call = slave.start(request);
  const auto reply = LogSlave::reply_of(*call);
  CHECK(call->log(0) == "1234\n[remsh: the rest of the output, beyond 4 bytes, is dropped]\n");
  CHECK(call->log(1) == "1\n2\n[remsh: the rest of the output, beyond 4 bytes, is dropped]\n");
  CHECK(reply.log_dropped == std::map<Bytes, Bytes>{{"0", "2"}, {"1", "2"}});
  for (const auto& time : call->times()) CHECK(time);
}

TEST_CASE("a process that is left behind and goes on to write into a log does not delay the answer") {
  LogSlave slave;
  auto request = logging(
      "(while sleep 0.001; do echo more; done >>log) >&- 2>&- & echo begun >>log; until [ -s log ]; do sleep 0.01; "
      "done",
      {{"log", {}}});
  request.leaves = true;
  const auto call = slave.start(request);
  const auto reply = LogSlave::reply_of(*call);
  CHECK(reply.background);
  CHECK(call->log(0).find("begun\n") != Bytes::npos);
}

TEST_CASE("a log file counts as output of a command that must not be silent") {
  LogSlave slave;
  Execute::Request request;
  for (request.silence = 200ms;; request.silence *= 2) {
    auto logs = logging("echo begun >log; exec sleep 100000", {{"log", {}}});
    logs.silence = request.silence;
    const auto call = slave.start(logs);
    const auto reply = LogSlave::reply_of(*call);
    CHECK(reply.silent);
    CHECK(reply.ran >= request.silence);
    if (call->log(0) == "begun\n") break;
    REQUIRE(request.silence < 60s);
  }
}

TEST_CASE("log files are read with the rights of the user as whom the command runs") {
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  const auto account = find_user("nobody");
  if (!account.ok() || !*account) return skip("there is no user nobody");
  LogSlave slave({"nobody"});
  REQUIRE(::chmod(slave.dir.path().c_str(), 0777) == 0);
  slave.dir.write("secret", "of root\n");
  REQUIRE(::chmod((slave.dir / "secret").c_str(), 0600) == 0);
  auto request = logging("ln -s secret stolen; echo mine >log", {{"stolen", {}}, {"secret", {}}, {"log", {}}});
  request.user = "nobody";
  const auto call = slave.start(request);
  const auto reply = LogSlave::reply_of(*call);
  CHECK(reply.exit_code == 0);
  CHECK(log_code(reply, "0") == "EACCES");
  CHECK(log_code(reply, "1") == "EACCES");
  CHECK(call->log(0).empty());
  CHECK(call->log(1).empty());
  CHECK(call->log(2) == "mine\n");
  CHECK(slave.dir.read("secret") == "of root\n");  // this process has its rights

  request.user.clear();
  request.logs = {{"secret", LogBegin::start}};
  const auto own = slave.start(request);
  CHECK(LogSlave::reply_of(*own).log_errors.empty());
  CHECK(own->log(0) == "of root\n");
}

TEST_CASE("no link of /proc lends the log files of another user's command what this process has open") {
  if (::geteuid() != 0) return skip("only root can run commands as another user");
  const auto account = find_user("nobody");
  if (!account.ok() || !*account) return skip("there is no user nobody");
  LogSlave slave({"nobody"});
  REQUIRE(::chmod(slave.dir.path().c_str(), 0777) == 0);
  REQUIRE(::mkdir((slave.dir / "closed").c_str(), 0700) == 0);
  slave.dir.write("closed/file", "of root\n");  // anybody could read it, but for its directory
  REQUIRE(::chmod((slave.dir / "closed/file").c_str(), 0644) == 0);
  const UniqueFd held(::open((slave.dir / "closed").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(held);
  const std::string link = "/proc/self/fd/" + std::to_string(held.get()) + "/file";
  auto request = logging("ln -s " + link + " link; ln -s /proc/self/maps maps", {{"link", {}}, {"maps", {}}});
  request.user = "nobody";
  const auto call = slave.start(request);
  const auto reply = LogSlave::reply_of(*call);
  CHECK(reply.exit_code == 0);
  CHECK(log_code(reply, "0") == "ELOOP");
  CHECK(log_code(reply, "1") == "EPERM");
  CHECK(call->log(0).empty());
  CHECK(call->log(1).empty());
}

TEST_CASE("a command that cannot be started has no log files") {
  LogSlave slave;
  slave.dir.write("log", "old\n");
  Execute::Request request;
  request.args = {"no-such-program"};
  request.logs = {{"log", LogBegin::start}};
  const auto call = slave.start(request);
  CHECK_FALSE(call->outcome().ok());
}

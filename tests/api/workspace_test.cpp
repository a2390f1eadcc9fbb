// Workspaces: directories of jobs that share a slave, and what is said once for all calls of a job.
#include "support/audited.hpp"
#include "support/names_of.hpp"
#include "support/slaves.hpp"

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

using namespace std::chrono_literals;

namespace {

/// Runs every operation that a path can be given to, blocking and started; `at` is put in front of each path.
void use_all_operations(SlaveOperations& job, const Bytes& at) {
  job.mkdir(at + "dir");
  job.start_mkdir(at + "dir/started").wait();
  CHECK(job.send(Source::bytes("content"), at + "file").bytes == 7);
  CHECK(job.start_send(Source::bytes("more"), at + "dir/file").wait().bytes == 4);
  job.copy(at + "file", at + "copy");
  job.start_copy(at + "file", at + "second").wait();
  job.rename(at + "copy", at + "renamed");
  job.start_rename(at + "second", at + "dir/second").wait();
  CHECK(job.stat(at + "renamed"));
  CHECK(job.start_stat(at + "dir/second").wait());
  CHECK_FALSE(job.stat(at + "copy"));
  Bytes fetched;
  CHECK(job.fetch(at + "renamed", Sink::bytes(fetched)).bytes == 7);
  CHECK(fetched == "content");
  CHECK(job.start_fetch(at + "dir/file", Sink::bytes(fetched)).wait().bytes == 4);
  CHECK(fetched == "more");
  CHECK(job.execute({"cat", "file"}, {.cwd = at + "dir"}).out == "more");
  CHECK(job.start_execute({"cat", "file"}, {.cwd = at + "dir"}).wait().out == "more");
  job.remove(at + "renamed");
  job.start_remove(at + "dir").wait();
  CHECK_FALSE(job.stat(at + "renamed"));
  CHECK_FALSE(job.stat(at + "dir"));
  job.remove(at + "file");
}

/// Where commands run.
Bytes directory_of(SlaveOperations& on, const Bytes& cwd = {}) {
  const Bytes out = on.execute({"pwd"}, {.cwd = cwd}).out;
  return out.substr(0, out.find('\n'));
}

}  // namespace

TEST_CASE("a workspace is a directory of the slave, made when it is asked for, whatever the session's directory is") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const auto job = slave.workspace("jobs/a");
    CHECK(std::filesystem::equivalent(job->path(), farm.basedir() + "/jobs/a"));
    CHECK(std::filesystem::is_directory(job->path()));
    slave.mkdir("elsewhere");
    slave.set_cwd("elsewhere");
    const Bytes elsewhere = directory_of(slave);
    CHECK(directory_of(*job) == job->path());
    CHECK(directory_of(slave) == elsewhere);
    const auto absolute = slave.workspace(farm.basedir() + "/jobs/b");
    CHECK(absolute->path() == farm.basedir() + "/jobs/b");
    CHECK(std::filesystem::is_directory(absolute->path()));
  });
}

TEST_CASE("all operations begin in the directory of the workspace, and absolute paths are used as they are") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const auto job = slave.workspace("job");
    slave.mkdir("elsewhere");
    slave.set_cwd("elsewhere");
    use_all_operations(*job, "");
    use_all_operations(*job, farm.basedir() + "/");
    CHECK(std::filesystem::is_empty(job->path()));
    CHECK(std::filesystem::is_empty(farm.basedir() + "/elsewhere"));
    CHECK(directory_of(*job, farm.basedir()) == farm.basedir());
    CHECK(job->ping() > 0ns);
    CHECK(job->start_ping().wait() > 0ns);
    CHECK(job->getenv() == slave.getenv());
    CHECK(job->start_getenv().wait() == slave.getenv());
  });
}

TEST_CASE("the entries of a workspace are listed") {
  on_every_transport(BeyondRemsh1::listing, [](Farm&, Slave& slave) {
    const auto job = slave.workspace("job");
    job->send(Source::bytes("content"), "file");
    CHECK(names_of(job->list(".")) == std::vector<Bytes>{"file"});
    CHECK(names_of(job->start_list(job->path()).wait()) == std::vector<Bytes>{"file"});
  });
}

TEST_CASE("the files of a source and of a sink are the master's") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const auto job = slave.workspace("job");
    farm.dir.write("source", "content");
    job->send(Source::file(farm.dir / "source"), "file");
    job->fetch("file", Sink::file(farm.dir / "sink"));
    CHECK(farm.dir.read("sink") == "content");
  });
}

TEST_CASE("what a slave says of itself is read through a workspace as it is") {
  on_every_transport(BeyondRemsh1::info, [](Farm&, Slave& slave) {
    const auto job = slave.workspace("job");
    CHECK(job->read_info() == slave.read_info());
    CHECK(job->start_read_info().wait() == slave.read_info());
  });
}

TEST_CASE("operations of the host's own are called through a workspace as they are") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    const auto job = slave.workspace("job");
    CHECK(job->call("echo", {{"path", "file"}}) == Box{{"path", "file"}});
    CHECK(job->start_call("echo", {{"path", "file"}}).wait() == Box{{"path", "file"}});
  });
}

TEST_CASE("two users of one slave work in directories of their own at the same time") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto use = [&slave](const Bytes& name) {
      const auto job = slave.workspace(name);
      for (int i = 0; i < 5; ++i) {
        job->send(Source::bytes(name), "file");
        CHECK(job->execute({"cat", "file"}).out == name);
        job->rename("file", "renamed");
        Bytes fetched;
        job->fetch("renamed", Sink::bytes(fetched));
        CHECK(fetched == name);
        job->remove("renamed");
      }
    };
    std::thread other([&use] { use("one"); });
    use("two");
    other.join();
  });
}

TEST_CASE("a relative path that leads out of a workspace is refused before anything is sent") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const auto job = slave.workspace("job");
    const std::vector<std::function<void()>> escapes{
        [&] { job->mkdir("../x"); },
        [&] { static_cast<void>(job->start_mkdir("../x")); },
        [&] { job->remove("a/../.."); },
        [&] { job->remove(".."); },
        [&] { job->rename("../a", "b"); },
        [&] { job->copy("a", "./../b"); },
        [&] { static_cast<void>(job->stat("a//../../b")); },
        [&] { static_cast<void>(job->list("..")); },
        [&] { job->execute({"true"}, {.cwd = ".."}); },
        [&] { job->send(Source::bytes("content"), "../file"); },
        [&] {
          Bytes bytes;
          job->fetch("../file", Sink::bytes(bytes));
        },
        [&] { static_cast<void>(slave.workspace("../other")); },
    };
    for (std::size_t i = 0; i < escapes.size(); ++i) {
      CAPTURE(i);
      const auto refused = thrown_by<Error>(escapes[i]);
      REQUIRE(refused);
      CHECK(refused->code() == Errc::invalid_argument);
      CHECK(std::string(refused->what()).find("leads out of") != std::string::npos);
    }
    const auto refused = thrown_by<Error>([&] { job->mkdir("../x"); });
    CHECK(refused->operation() == "mkdir '../x'");
    // These stay in it, and an absolute path is meant.
    job->mkdir("a");
    CHECK(job->stat("a/../a/./."));
    CHECK(job->stat("..a") == std::nullopt);
    CHECK(job->stat(farm.basedir()));
    CHECK(thrown_by<Error>([&] { static_cast<void>(job->stat("")); })->code() == Errc::invalid_argument);
    CHECK(thrown_by<Error>([&] { static_cast<void>(slave.workspace("")); })->code() == Errc::invalid_argument);
  });
}

TEST_CASE("a workspace need not be made, and operations in a directory that is missing fail until it is") {
  on_every_transport([](Farm& farm, Slave& slave) {
    const auto job = slave.workspace("job", {.make = false});
    CHECK_FALSE(std::filesystem::exists(farm.basedir() + "/job"));
    CHECK_THROWS_AS(job->execute({"true"}), RemoteError);
    CHECK_THROWS_AS(job->send(Source::bytes("content"), "file"), RemoteError);
    job->mkdir(job->path());
    CHECK(job->execute({"true"}).ok());
    job->send(Source::bytes("content"), "file");
    slave.remove("job");
    CHECK_THROWS_AS(job->send(Source::bytes("content"), "file"), RemoteError);
    CHECK(slave.workspace("job")->stat("."));
  });
}

TEST_CASE("what a workspace is to be in that cannot be a directory is said when it is asked for") {
  on_every_transport(BeyondRemsh1::overwriting, [](Farm&, Slave& slave) {
    slave.send(Source::bytes("content"), "file");
    const auto failed = thrown_by<RemoteError>([&] { static_cast<void>(slave.workspace("file/job")); });
    REQUIRE(failed);
    CHECK(failed->os() == std::errc::not_a_directory);
    const auto refused = thrown_by<Error>([&] { static_cast<void>(slave.workspace("job", {.env = {{"A=B", "c"}}})); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK_FALSE(slave.stat("job"));
  });
}

TEST_CASE("calls have the deadline of their workspace, unless they have one of their own") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    const auto impatient = slave.workspace("job", {.make = false, .deadline = 20ms});
    slave.mkdir("job");
    CHECK_THROWS_AS(impatient->execute({"sleep", "1000"}), Timeout);
    auto started = impatient->start_execute({"sleep", "1000"});
    CHECK_THROWS_AS(started.wait(), Timeout);
    CHECK(impatient->execute({"sleep", "0.1"}, {.deadline = ample}).ok());
    const auto patient = slave.workspace("job", {.deadline = ample});
    CHECK_THROWS_AS(patient->execute({"sleep", "1000"}, {.deadline = 20ms}), Timeout);
    CHECK(patient->execute({"true"}).ok());
  });
}

TEST_CASE("a call ends by the stop token of its workspace, and by its own") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    std::stop_source all;
    std::stop_source one;
    const auto job = slave.workspace("job", {.stop = all.get_token()});
    const auto run = [&](std::stop_token own, std::stop_source& stopped) {
      const Lifeline lifeline;
      auto pending = job->start_execute(lifeline.endless_command(), {.stop = std::move(own)});
      REQUIRE(lifeline.wait_for_begin());
      CHECK_FALSE(pending.is_done());
      stopped.request_stop();
      CHECK_THROWS_AS(pending.wait(), Cancelled);
      CHECK(lifeline.wait_for_end());
    };
    run(one.get_token(), one);
    CHECK(job->execute({"true"}).ok());
    CHECK(job->execute({"true"}, {.stop = std::stop_source().get_token()}).ok());
    run(std::stop_source().get_token(), all);
    CHECK_THROWS_AS(job->execute({"sleep", "1000"}), Cancelled);
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("commands have the environment of their workspace, and what a call says of it counts more") {
  on_every_transport(BeyondRemsh1::environment, [](Farm&, Slave& slave) {
    const auto job = slave.workspace("job", {.env = {{"A", "job"}, {"B", "job"}, {"HOME", std::nullopt}}});
    const std::vector<Bytes> show{"/bin/sh", "-c", "echo ${A-none} ${B-none} ${HOME-none}"};
    CHECK(job->execute(show).out == "job job none\n");
    CHECK(job->execute(show, {.env = {{"A", "call"}, {"B", std::nullopt}}}).out == "call none none\n");
    CHECK(job->execute(show, {.env = {{"HOME", "call"}}, .clear_env = true}).out == "job job call\n");
    CHECK(job->start_execute(show).wait().out == "job job none\n");
  });
}

TEST_CASE("the tag of a workspace is listed and audited, with absolute paths, and a call's own counts more") {
  std::vector<Over> kinds = all_transports;
  if (!TwistedSlaves::are_wanted()) kinds.push_back(Over::remsh1);
  for (const Over over : kinds) {
    const std::string words = to_string(over);
    CAPTURE(words);
    Audited audited;
    Farm farm(over, {.audit = audited.hook()});
    const auto slave = farm.start();
    const auto job = slave->workspace("job", {.tag = "job 7"});
    CHECK(audited.take().back().tag == "job 7");
    job->mkdir("dir");
    job->execute({"true"});
    job->execute({"true"}, {.cwd = "dir", .tag = "step 1"});
    const auto records = audited.take();
    REQUIRE(records.size() == 3);
    CHECK(records[0].tag == "job 7");
    CHECK(records[0].arguments == std::vector<Bytes>{job->path() + "/dir"});
    CHECK(records[1].tag == "job 7");
    CHECK(records[1].cwd == job->path());
    CHECK(records[1].arguments == std::vector<Bytes>{"true"});
    CHECK(records[2].tag == "step 1");
    CHECK(records[2].cwd == job->path() + "/dir");

    const Lifeline lifeline;
    auto pending = job->start_execute(lifeline.endless_command());
    REQUIRE(lifeline.wait_for_begin());
    const auto all = slave->operations_in_progress();
    REQUIRE(all.size() == 1);
    CHECK(all[0].tag == "job 7");
    CHECK(all[0].cwd == job->path());
    pending.cancel();
  }
}

TEST_CASE("a workspace keeps its slave, and an operation that was started keeps its workspace") {
  for (const Over over : all_transports) {
    const std::string words = to_string(over);
    CAPTURE(words);
    Farm farm(over);
    const auto job = farm.start()->workspace("job");
    farm.slaves.remove_slave(*farm.slaves.get_all_slaves().at(0));
    CHECK(job->ping() > 0ns);
    farm.listener.reset();
    CHECK_THROWS_AS(job->ping(), ConnectionLost);
    CHECK_THROWS_AS(job->start_ping().wait(), ConnectionLost);
  }
  Farm farm(Over::memory);
  auto pending = farm.start()->workspace("job", {.tag = Bytes(100, 't')})->start_execute({"pwd"});
  CHECK(pending.wait().out == farm.basedir() + "/job\n");
}

TEST_CASE("a workspace in the root of a slave's policy works with paths that stay beneath it") {
  const TempDir dir;
  Farm farm(Over::tcp);
  SlaveThread confined({.name = "confined", .policy = {.root = dir / "root"}, .keyless = true},
                       [&farm](SlaveServer& server) { return server.run_once(farm.listener->address()); });
  const auto slave = farm.slaves.get_slave(ample, [](const Slave& each) { return each.name() == "confined"; });
  REQUIRE(slave);
  const auto job = slave->workspace("jobs/a");
  use_all_operations(*job, "");
  CHECK_THROWS_AS(static_cast<void>(slave->workspace(dir / "outside")), RemoteError);
  CHECK_FALSE(std::filesystem::exists(dir / "outside"));
}

}  // namespace remsh::test

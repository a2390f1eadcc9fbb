// `remsh-slave enrol` and `remsh-slave --key`, as an operator meets them.
#include "support/has.hpp"
#include "support/mode_of.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/auth/key_ring.hpp>

#include <sys/stat.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

Run run(const std::vector<std::string>& args, const std::string& in = "/dev/null") {
  return Program(args, {}, in).finish();
}

/// A master over TLS whose key file is made by keygen, and what an operator has beside it. One thread at a time.
class EnrollingMaster : public TempDir {
 public:
  EnrollingMaster() {
    const Run invited = run({"keygen", "invite", "w1", "--expires=1h", "--keys=" + (*this / "slaves.keys")});
    REQUIRE(invited.code == 0);
    write("token", invited.out);
    TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
    options.keys = KeyFile(*this / "slaves.keys");
    options.log = log.hook();
    listener.emplace(std::move(options));
    listener->start();
  }

  [[nodiscard]] Run enrol(const std::string& file, const std::string& token = "token") const {
    return run({"enrol", "--master", listener->address(), "--key=" + (*this / file)}, *this / token);
  }

  const Log log;
  SlaveCollection slaves;
  std::optional<TcpSlaveListener> listener;
};

}  // namespace

TEST_CASE("enrol gets a key for a token, by which the slave comes, and the token is used up") {
  EnrollingMaster master;
  const Run enrolled = master.enrol("w1.key");
  CHECK_MESSAGE(enrolled.code == 0, enrolled.err);
  CHECK(enrolled.out.empty());
  CHECK(mode_of(master / "w1.key") == 0600);
  const std::string line = master.read("w1.key");
  CHECK(line.starts_with("w1 "));
  CHECK_FALSE(line == master.read("token"));
  CHECK(has(master.read("slaves.keys"), line.substr(3, 44)));
  CHECK_FALSE(has(enrolled.err, line.substr(3, 12)));

  const Run again = master.enrol("again.key");
  CHECK(again.code == 77);
  CHECK_FALSE(master.has("again.key"));

  Program slave({"--master", master.listener->address(), "--key", master / "w1.key", "--basedir", master / "base"});
  const auto handle = master.slaves.get_slave(ample);
  REQUIRE(handle);
  CHECK(handle->name() == "w1");
  CHECK(handle->execute({"true"}).ok());
  CHECK(has(handle->execute({"sh", "-c", "tr '\\0' ' ' </proc/$PPID/cmdline; env"}).out, "--key"));
  CHECK_FALSE(has(handle->execute({"sh", "-c", "tr '\\0' ' ' </proc/$PPID/cmdline; env"}).out, line.substr(3, 12)));
  REQUIRE(::kill(slave.pid(), SIGTERM) == 0);
  CHECK(slave.wait() == 0);
  CHECK_FALSE(has(slave.err(), line.substr(3, 12)));
}

TEST_CASE("enrol uses no token up where there is no place for the key") {
  EnrollingMaster master;
  master.write("w1.key", "something else");
  Run failed = master.enrol("w1.key");
  CHECK(failed.code == 70);
  CHECK(has(failed.err, "is there already"));
  CHECK(master.read("w1.key") == "something else");
  failed = master.enrol("no/such/directory/w1.key");
  CHECK(failed.code == 70);
  CHECK(master.enrol("w1.other").code == 0);
}

TEST_CASE("an invitation is no key, and a key no invitation") {
  EnrollingMaster master;
  ::chmod((master / "token").c_str(), 0600);
  const Run as_key = run({"--once", "--master", master.listener->address(), "--key", master / "token"});
  CHECK(as_key.code == 77);
  CHECK(has(as_key.err, "of w1"));
  const Run added = run({"keygen", "add", "w2", "--keys=" + (master / "slaves.keys")});
  master.write("w2.token", added.out);
  CHECK(master.log.wait_for("an invitation as a key"));
  CHECK(eventually([&] { return master.enrol("w2.key", "w2.token").code == 77 && !master.has("w2.key"); }));
}

TEST_CASE("enrol says what is wrong with its arguments, and shows no token") {
  const TempDir dir;
  const std::string key = make_key().to_base64();
  const std::string file = dir / "w1.key";
  dir.write("none", "");
  dir.write("token", "w1 " + key + "\n");
  for (const auto& example : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "--master"},
           {{"--master=tls:127.0.0.1:1"}, "--key FILE"},
           {{"--master=tls:127.0.0.1:1", "--key"}, "needs a value"},
           {{"--master=tls:127.0.0.1:1", "--key=" + key}, "takes a file"},
           {{"--master=tls:127.0.0.1:1", "--key=" + file, key}, "a word too many"},
           {{"--master=tls:127.0.0.1:1", "--key=" + file, "--token=" + key}, "'--token'"},
           {{"--master=127.0.0.1:1", "--key=" + file}, "over TLS"},
           {{"--master=tls:127.0.0.1", "--key=" + file}, "no port"},
           {{"--master=tls:127.0.0.1:1", "--key=" + file, "--ca=/no/such/file"}, "/no/such/file"},
           {{"--master=tls:127.0.0.1:1", "--key=" + file, "--server-name=x"}, "CA"},
       }) {
    CAPTURE(example.second);
    std::vector<std::string> args = example.first;
    args.insert(args.begin(), "enrol");
    const Run wrong = run(args, dir / "token");
    CHECK(wrong.code == 64);
    CHECK_MESSAGE(has(wrong.err, example.second), wrong.err);
    CHECK_FALSE(has(wrong.err, key.substr(0, 12)));
  }
  const Run without_token = run({"enrol", "--master=tls:127.0.0.1:1", "--key=" + file}, dir / "none");
  CHECK(without_token.code == 64);
  CHECK(has(without_token.err, "standard input"));
  const Run nobody_there = run({"enrol", "--master=tls:127.0.0.1:1", "--key=" + file}, dir / "token");
  CHECK(nobody_there.code == 69);
  const Run help = run({"enrol", "--help"});
  CHECK(help.code == 0);
  CHECK(has(help.out, "usage: remsh-slave enrol"));
  CHECK_FALSE(dir.has("w1.key"));
}

}  // namespace remsh::test

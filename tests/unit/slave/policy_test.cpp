// The policy of a slave, against a master that wants out.
#include "operations/operations.hpp"
#include "slave/execute.hpp"
#include "slave/filesystem.hpp"
#include "slave/transfer.hpp"
#include "slave/tree_transfer.hpp"
#include "support/confined.hpp"
#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string>
#include <thread>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::confined;
using remsh::test::FakeServedCall;
using remsh::test::TempDir;
using Reach = At::Reach;

namespace {

namespace fs = std::filesystem;

/// A slave whose root is `root`, and whose base directory is `root/base`; around it is what must stay as it is.
struct Jail {
  TempDir dir;
  std::shared_ptr<Workplace> workplace;
  std::shared_ptr<Loop> loop = Loop::start();
  std::shared_ptr<CommandSet> commands = std::make_shared<CommandSet>(loop);
  Dispatcher dispatcher;

  explicit Jail(Reach reach) : workplace(*Workplace::open("base", dir / "root", reach)) {
    fs::create_directories(dir / "outside/dir");
    dir.write("outside/secret", "outside");
    dir.write("root/base/file", "inside");
    fs::create_directory_symlink("../../outside", dir / "root/base/link");
    fs::create_directory_symlink(dir / "outside", dir / "root/base/absolute");
    fs::create_symlink("../../outside/secret", dir / "root/base/secret");
    add_filesystem(dispatcher, workplace);
    add_transfer(dispatcher, workplace);
    add_tree_transfer(dispatcher, workplace);
    add_execute(dispatcher, workplace, commands);
  }
  Jail(const Jail&) = delete;
  Jail& operator=(const Jail&) = delete;
  ~Jail() {
    commands->stop();
    loop->stop();
  }

  std::shared_ptr<FakeServedCall> start(const std::string& name, const Box& arguments) {
    const auto call = std::make_shared<FakeServedCall>(name, arguments);
    if (name == "send") {
      call->feed("new");
      call->end_input();
    }
    dispatcher.dispatch(call);
    return call;
  }

  int error(const std::string& name, const Box& arguments) {
    const auto result = start(name, arguments)->outcome();
    return result ? 0 : result.failure().os;
  }

  bool forbids(const std::string& name, const Box& arguments) {
    const auto result = start(name, arguments)->outcome();
    return !result && result.failure().os == EPERM && result.failure().code == Errc::os_error &&
           result.failure().message.find("policy") != std::string::npos;
  }

  /// The same for a log file of a command; what is found out of the root only when it is opened is told in the result.
  bool forbids_log(const Bytes& path) {
    Execute::Request command;
    command.args = {"true"};
    command.logs = {{path, LogBegin::start}};
    const auto call = start("execute", to_box(command));
    const auto result = call->outcome();
    if (!call->log(0).empty()) return false;
    if (!result) return result.failure().os == EPERM && result.failure().message.find("policy") != std::string::npos;
    const auto reply = from_box<Execute::Reply>(*result);
    return reply && reply->log_errors.contains("0") && reply->log_errors.at("0").starts_with("EPERM open: The policy");
  }

  /// Nothing has come to what is outside, nor gone from it.
  [[nodiscard]] bool is_untouched() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
      const std::string name = fs::relative(entry.path(), dir.path()).string();
      if (!name.starts_with("root")) names.insert(name);
    }
    struct stat status {};
    return names == std::set<std::string>{"outside", "outside/dir", "outside/secret"} &&
           ::stat((dir / "outside/dir").c_str(), &status) == 0 && (status.st_mode & S_IRWXU) == S_IRWXU &&
           dir.read("outside/secret") == "outside";
  }
};

Box command_in(const Bytes& cwd) {
  Execute::Request command;
  command.args = {"true"};
  command.cwd = cwd;
  return to_box(command);
}

}  // namespace

TEST_CASE("no operation of a master gets out of the root") {
  for (const Reach reach : confined) {
    CAPTURE(reach == Reach::beneath);
    Jail jail(reach);
    const std::string outside = jail.dir / "outside";
    for (const std::string& way :
         {std::string("../../outside"), std::string("link"), std::string("absolute"), outside, std::string("../.."),
          std::string("./../base/../../outside"), std::string("link/../outside"), jail.dir / "root/../outside",
          jail.dir / "root/base/link"}) {
      CAPTURE(way);
      const Bytes secret = way + "/secret";
      const Bytes fresh = way + "/new";
      CHECK(jail.forbids("stat", to_box(Stat::Request{secret})));
      CHECK(jail.forbids("stat", to_box(Stat::Request{secret, true})));
      CHECK(jail.forbids("fetch", to_box(Fetch::Request{secret})));
      CHECK(jail.forbids("send", to_box(Send::Request{fresh})));
      CHECK(jail.forbids("send", to_box(Send::Request{secret, true})));
      CHECK(jail.forbids("fetch_tree", to_box(FetchTree::Request{way, {}})));
      CHECK(jail.forbids("send_tree", to_box(SendTree::Request{fresh})));
      CHECK(jail.forbids("send_tree", to_box(SendTree::Request{way + "/dir", true})));
      CHECK(jail.forbids("mkdir", to_box(Mkdir::Request{fresh, {}})));
      CHECK(jail.forbids("mkdir", to_box(Mkdir::Request{fresh + "/a/b", 0700})));
      CHECK(jail.forbids("remove", to_box(Remove::Request{secret})));
      CHECK(jail.forbids("remove", to_box(Remove::Request{way + "/dir"})));
      CHECK(jail.forbids("rename", to_box(TwoPaths{secret, "stolen", true})));
      CHECK(jail.forbids("rename", to_box(TwoPaths{"file", fresh, true})));
      CHECK(jail.forbids("rename", to_box(TwoPaths{"file", secret, true})));
      CHECK(jail.forbids("copy", to_box(TwoPaths{secret, "stolen", true})));
      CHECK(jail.forbids("copy", to_box(TwoPaths{"file", fresh, true})));
      CHECK(jail.forbids("copy", to_box(TwoPaths{"file", secret, true})));
      CHECK(jail.forbids("set_cwd", to_box(SetCwd::Request{way})));
      CHECK(jail.forbids("execute", command_in(way)));
      CHECK(jail.forbids_log(secret));
    }
    CHECK(jail.forbids_log("secret"));
    CHECK_FALSE(jail.forbids_log("file"));
    CHECK(jail.forbids("fetch", to_box(Fetch::Request{"secret"})));
    CHECK(jail.forbids("copy", to_box(TwoPaths{"secret", "stolen", true})));
    CHECK(jail.forbids("stat", to_box(Stat::Request{"secret"})));
    CHECK(jail.is_untouched());
    CHECK(jail.dir.read("root/base/file") == "inside");
    CHECK_FALSE(jail.dir.has("root/base/stolen"));
  }
}

TEST_CASE("what is done to the name of a link is done to the link") {
  for (const Reach reach : confined) {
    Jail jail(reach);
    CHECK(jail.error("remove", to_box(Remove::Request{"link"})) == 0);
    CHECK(jail.error("remove", to_box(Remove::Request{"absolute/"})) == ENOTDIR);
    CHECK(jail.error("rename", to_box(TwoPaths{"absolute/", "other", true})) == ENOTDIR);
    CHECK(jail.error("rename", to_box(TwoPaths{"absolute", "other", true})) == 0);
    CHECK(jail.error("send", to_box(Send::Request{"secret", true})) == 0);
    CHECK(jail.dir.read("root/base/secret") == "new");
    CHECK(jail.error("mkdir", to_box(Mkdir::Request{"other", {}})) == EEXIST);
    fs::create_directories(jail.dir / "root/base/tree/deep");
    fs::create_directory_symlink(jail.dir / "outside", jail.dir / "root/base/tree/deep/link");
    CHECK(jail.error("remove", to_box(Remove::Request{"tree"})) == 0);
    CHECK(jail.is_untouched());
  }
}

TEST_CASE("beneath the root all is as it is without one") {
  for (const Reach reach : confined) {
    CAPTURE(reach == Reach::beneath);
    Jail jail(reach);
    const Bytes root = fs::canonical(jail.dir / "root").string();
    CHECK(*jail.workplace->set_current("") == root + "/base");
    CHECK(jail.error("mkdir", to_box(Mkdir::Request{"a/b/c", 0705})) == 0);
    CHECK((fs::status(jail.dir / "root/base/a/b/c").permissions() & fs::perms::mask) == fs::perms(0705));
    CHECK(jail.error("mkdir", to_box(Mkdir::Request{"a/b", {}})) == 0);
    CHECK(jail.error("mkdir", to_box(Mkdir::Request{"file/x", {}})) == ENOTDIR);
    CHECK(jail.error("send", to_box(Send::Request{"../top"})) == 0);
    CHECK(jail.dir.read("root/top") == "new");
    CHECK(jail.error("send", to_box(Send::Request{"../top"})) == EEXIST);
    CHECK(jail.error("copy", to_box(TwoPaths{"a/../../top", "a/b/copy", true})) == 0);
    CHECK(jail.dir.read("root/base/a/b/copy") == "new");
    CHECK(jail.error("copy", to_box(TwoPaths{"file", "file", true})) == EINVAL);
    CHECK(jail.error("rename", to_box(TwoPaths{"a/b/", "d/", true})) == 0);
    CHECK(jail.error("rename", to_box(TwoPaths{"file", "a/", true})) == ENOTDIR);
    CHECK(jail.error("rename", to_box(TwoPaths{"missing", "x", true})) == ENOENT);
    CHECK(jail.error("rename", to_box(TwoPaths{"a/..", "x", true})) == EBUSY);
    CHECK(jail.error("rename", to_box(TwoPaths{"file", "d/copy", false})) == EEXIST);
    CHECK(jail.error("remove", to_box(Remove::Request{"a/b/missing"})) == 0);
    CHECK(jail.error("remove", to_box(Remove::Request{root})) == EINVAL);
    fs::create_directory_symlink("d", jail.dir / "root/base/in");
    CHECK(jail.start("fetch", to_box(Fetch::Request{"in/copy"}))->outcome());
    CHECK(jail.start("fetch", to_box(Fetch::Request{root + "//base/d/copy"}))->outcome());
    CHECK(jail.error("fetch", to_box(Fetch::Request{"d"})) == EISDIR);
    CHECK(jail.error("stat", to_box(Stat::Request{""})) == jail.error("stat", to_box(Stat::Request{"missing"})));
    CHECK(jail.error("execute", command_in("d")) == 0);
    CHECK(jail.error("execute", command_in("missing")) == ENOENT);

    CHECK(*jail.workplace->set_current("in") == root + "/base/d");
    CHECK(jail.start("fetch", to_box(Fetch::Request{"copy"}))->outcome());
    CHECK(*jail.workplace->set_current("../..") == root);
    CHECK(jail.workplace->set_current("..").failure().os == EPERM);
    CHECK(jail.start("fetch", to_box(Fetch::Request{"top"}))->outcome());
    CHECK(*jail.workplace->set_current(root + "/base") == root + "/base");
    CHECK(*jail.workplace->set_current(std::nullopt) == root + "/base");
    CHECK(jail.is_untouched());
  }
}

TEST_CASE("what the operator says of a slave is read beneath the root alone") {
  for (const Reach reach : confined) {
    Jail jail(reach);
    fs::create_directory(jail.dir / "root/base/info");
    jail.dir.write("root/base/info/kind", "arm64");
    fs::create_symlink("../file", jail.dir / "root/base/info/linked");
    fs::create_symlink("../../../outside/secret", jail.dir / "root/base/info/stolen");
    auto reply = from_box<ReadInfo::Reply>(*jail.start("info", {})->outcome());
    CHECK(reply->files == std::map<Bytes, Bytes>{{"kind", "arm64"}, {"linked", "inside"}});
    fs::remove_all(jail.dir / "root/base/info");
    fs::create_directory_symlink("../../outside", jail.dir / "root/base/info");
    CHECK(jail.forbids("info", {}));
  }
}

TEST_CASE("a base directory is beneath the root, or there is no slave") {
  for (const Reach reach : confined) {
    const TempDir dir;
    const std::string root = dir / "root";
    const Bytes real = fs::canonical(dir.path()).string() + "/root";
    CHECK((*Workplace::open("", root, reach))->base().path() == real);
    CHECK((*Workplace::open("a/b", root, reach))->base().path() == real + "/a/b");
    CHECK((*Workplace::open(real + "/c", root, reach))->base().path() == real + "/c");
    CHECK(Workplace::open(dir / "other", root, reach).failure().os == EPERM);
    CHECK(Workplace::open(real + "x", root, reach).failure().os == EPERM);
    CHECK(Workplace::open("../other", root, reach).failure().os == EPERM);
    // As a master may have left it for the slave's next start.
    fs::create_directory_symlink("../..", dir / "root/a/out");
    CHECK(Workplace::open("a/out", root, reach).failure().os == EEXIST);
    CHECK(Workplace::open("a/out/made", root, reach).failure().os == EPERM);
    CHECK(dir.count() == 1);
    CHECK((*Workplace::open("", "/", reach))->set_current(dir.path()).value() == fs::canonical(dir.path()).string());
  }
}

TEST_CASE("a master that swaps directories for links meanwhile gets nowhere") {
  for (const Reach reach : confined) {
    CAPTURE(reach == Reach::beneath);
    Jail jail(reach);
    const std::string base = jail.dir / "root/base/";
    fs::create_directories(base + "d/dir");
    jail.dir.write("root/base/d/secret", "inside");
    std::atomic<bool> done = false;
    std::thread swapper([&] {
      const auto swap = [&base](const char* from, const char* to) {
        ::rename((base + from).c_str(), (base + to).c_str());
      };
      while (!done) swap("d", "aside"), swap("link", "d"), swap("d", "link"), swap("aside", "d");
    });
    for (int i = 0; i < 60; ++i) {
      const Bytes number = std::to_string(i);
      const auto fetched = jail.start("fetch", to_box(Fetch::Request{"d/secret"}));
      static_cast<void>(fetched->outcome());
      CHECK(fetched->sent(rpc::StreamName::out).find("outside") == Bytes::npos);
      jail.error("copy", to_box(TwoPaths{"d/secret", "copied" + number, true}));
      CHECK(jail.dir.read("root/base/copied" + number).find("outside") == std::string::npos);
      jail.error("send", to_box(Send::Request{"d/new" + number}));
      jail.error("mkdir", to_box(Mkdir::Request{"d/made" + number + "/deep", 0}));
      jail.error("mkdir", to_box(Mkdir::Request{"d/m" + number, 0}));
      jail.error("copy", to_box(TwoPaths{"file", "d/copy", true}));
      jail.error("rename", to_box(TwoPaths{"copied" + number, "d/renamed", true}));
      jail.error("rename", to_box(TwoPaths{"d/secret", "d/secret", true}));
      jail.error("remove", to_box(Remove::Request{"d/dir"}));
      static_cast<void>(jail.workplace->set_current("d"));
      CHECK(jail.workplace->current()->path().find("outside") == Bytes::npos);
      REQUIRE(jail.workplace->set_current(std::nullopt));
    }
    done = true;
    swapper.join();
    CHECK(jail.is_untouched());
  }
}

TEST_CASE("an operation that the policy does not allow is answered so, and not done") {
  Jail jail(Reach::beneath);
  jail.dispatcher.allow_only([](const std::string& name) { return name == "stat"; });
  CHECK(jail.error("stat", to_box(Stat::Request{"file"})) == 0);
  for (const char* name : {"set_cwd", "getenv", "info", "mkdir", "remove", "rename", "copy", "execute", "send", "fetch",
                           "send_tree", "fetch_tree"}) {
    CHECK(jail.forbids(name, Box{{"path", "file"}}));
  }
  CHECK(jail.start("remove", {})->outcome().failure().message == "The policy of this slave does not allow 'remove'");
  CHECK(jail.start("unknown", {})->outcome().failure().code == Errc::unsupported);
  CHECK(jail.dir.has("root/base/file"));
}

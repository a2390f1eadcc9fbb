#include "slave/tree_transfer.hpp"

#include "operations/operations.hpp"
#include "operations/tree_sink.hpp"
#include "support/confined.hpp"
#include "support/fake_served_call.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "support/tree_boxes.hpp"
#include "support/tree_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

using namespace remsh;
using namespace remsh::operations;
using namespace remsh::test;
using remsh::rpc::StreamName;

namespace {

namespace fs = std::filesystem;

/// A slave's transfers of trees, in a directory of its own.
struct ServedTrees {
  TempDir dir;
  std::shared_ptr<Workplace> workplace = *Workplace::open(dir.path());
  Dispatcher dispatcher;

  ServedTrees() { add_tree_transfer(dispatcher, workplace); }

  static std::shared_ptr<FakeServedCall> send(const Bytes& path, bool overwrite = false) {
    return std::make_shared<FakeServedCall>("send_tree", to_box(SendTree::Request{path, overwrite, false}));
  }
  static std::shared_ptr<FakeServedCall> fetch(const Bytes& path, std::vector<Bytes> exclude = {}) {
    return std::make_shared<FakeServedCall>("fetch_tree", to_box(FetchTree::Request{path, std::move(exclude)}));
  }

  Result<Box> serve(const std::shared_ptr<FakeServedCall>& call) const {
    dispatcher.dispatch(call);
    return call->outcome();
  }
};

const Bytes small_tree = tree_top() + tree_file("file", "content") + tree_up();

}  // namespace

TEST_CASE("a tree that is sent appears when it is complete") {
  ServedTrees session;
  const auto call = ServedTrees::send("tree");
  std::thread server([&] { session.dispatcher.dispatch(call); });
  const Bytes first = tree_top() + tree_directory("d") + tree_file("a", "12", true);
  call->feed(first);
  call->feed(tree_content("34") + tree_up());
  call->wait_used(first.size());
  CHECK_FALSE(session.dir.has("tree"));
  call->feed(tree_link("l", "d/a") + tree_up());
  call->end_input();
  server.join();
  const auto reply = from_box<SendTree::Reply>(*call->outcome());
  CHECK(reply->entries == 3);
  CHECK(reply->bytes == 4);
  CHECK(session.dir.read("tree/d/a") == "1234");
  CHECK(session.dir.read("tree/l") == "1234");
  CHECK(session.dir.count() == 1);
}

TEST_CASE("a tree that is cancelled, cut or incomplete leaves nothing, also what it would have replaced stays") {
  for (const std::string how : {"cancel", "lose", "end", "nonsense", "twice"}) {
    CAPTURE(how);
    ServedTrees session;
    fs::create_directory(session.dir / "tree");
    session.dir.write("tree/old", "old");
    const auto call = ServedTrees::send("tree", true);
    std::thread server([&] { session.dispatcher.dispatch(call); });
    const Bytes first = tree_top() + tree_directory("d") + tree_file("a", "12", true);
    call->feed(first);
    call->wait_used(first.size());
    CHECK(session.dir.count() == 3);  // the part tree, and the directory of its record
    if (how == "cancel") call->cancel();
    if (how == "lose") call->lose();
    if (how == "end") call->end_input();
    if (how == "nonsense") call->feed("nonsense that is no box");
    if (how == "twice") call->feed(tree_content("") + tree_file("a"));
    server.join();
    const auto outcome = call->outcome();
    REQUIRE_FALSE(outcome);
    CHECK((outcome.failure().code == Errc::cancelled) == (how == "cancel" || how == "lose"));
    CHECK(session.dir.read("tree/old") == "old");
    CHECK(session.dir.count() == 1);
  }
}

TEST_CASE("an existing destination is refused before anything is read, or replaced as a whole") {
  ServedTrees session;
  fs::create_directory(session.dir / "tree");
  session.dir.write("tree/old", "old");
  const auto refused = ServedTrees::send("tree");
  refused->feed(small_tree);
  CHECK(session.serve(refused).failure().os == EEXIST);
  CHECK(refused->used() == 0);

  const auto replacing = ServedTrees::send("tree", true);
  replacing->feed(small_tree);
  replacing->end_input();
  CHECK(session.serve(replacing));
  CHECK(session.dir.read("tree/file") == "content");
  CHECK_FALSE(session.dir.has("tree/old"));
  CHECK(session.dir.count() == 1);
}

TEST_CASE("of two who send the same tree at once exactly one wins") {
  ServedTrees session;
  const auto one = ServedTrees::send("tree");
  const auto two = ServedTrees::send("tree");
  std::thread first([&] { session.dispatcher.dispatch(one); });
  std::thread second([&] { session.dispatcher.dispatch(two); });
  for (const auto& call : {one, two}) {
    call->feed(small_tree);
    call->end_input();
  }
  first.join();
  second.join();
  CHECK(one->outcome().ok() != two->outcome().ok());
  CHECK((one->outcome() ? two : one)->outcome().failure().os == EEXIST);
  CHECK(session.dir.count() == 1);
}

TEST_CASE("a tree that is sent gets no set-user-ID bit or the like") {
  ServedTrees session;
  const auto call = ServedTrees::send("tree");
  call->feed(tree_top(07777) + tree_file("f", "", false, 06755) + tree_up());
  call->end_input();
  REQUIRE(session.serve(call));
  CHECK(mode_of(session.dir / "tree") == 0777);
  CHECK(mode_of(session.dir / "tree/f") == 0755);
}

TEST_CASE("a tree that is fetched comes whole, and waits for room") {
  ServedTrees session;
  fs::create_directory(session.dir / "tree");
  make_sample_tree(session.dir / "tree");
  const auto call = ServedTrees::fetch("tree");
  call->set_room(StreamName::out, 100'000);
  std::thread server([&] { session.dispatcher.dispatch(call); });
  call->wait_sent(StreamName::out, 100'000);
  CHECK_FALSE(call->is_over());
  call->add_room(StreamName::out, 1'000'000);
  server.join();
  const auto reply = from_box<FetchTree::Reply>(*call->outcome());
  REQUIRE(reply);
  const TempDir here;
  TreeSink sink(std::move(*NewTree::create(AT_FDCWD, here / "tree", {})), {});
  REQUIRE(sink.take(call->sent(StreamName::out)));
  REQUIRE(sink.finish());
  REQUIRE(sink.commit(false));
  CHECK(reply->entries == sink.entries());
  CHECK(reply->bytes == sink.result().bytes);
  CHECK(tree_of(here / "tree") == tree_of(session.dir / "tree"));
}

TEST_CASE("a fetch of a tree stops when it is cancelled") {
  ServedTrees session;
  session.dir.write("large", Bytes(500'000, 'x'));
  const auto call = ServedTrees::fetch(".");
  call->set_room(StreamName::out, 100'000);
  std::thread server([&] { session.dispatcher.dispatch(call); });
  call->wait_sent(StreamName::out, 100'000);
  call->cancel();
  server.join();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("a request for a tree that makes no sense is refused, with what to do") {
  ServedTrees session;
  session.dir.write("file", "");
  CHECK(session.serve(ServedTrees::fetch("missing")).failure().os == ENOENT);
  const auto file = session.serve(ServedTrees::fetch("file"));
  CHECK(file.failure().os == ENOTDIR);
  CHECK(file.failure().message.find("send() and fetch()") != std::string::npos);
  CHECK(session.serve(ServedTrees::fetch(".", {"a/"})).failure().code == Errc::invalid_argument);
  CHECK(session.serve(ServedTrees::fetch(".", {""})).failure().code == Errc::invalid_argument);
  CHECK(session.serve(ServedTrees::fetch(".", std::vector<Bytes>(1001, "a"))).failure().code == Errc::invalid_argument);
  CHECK(session.serve(ServedTrees::send(".", true)).failure().os == EINVAL);
  CHECK(session.serve(ServedTrees::send("missing/tree")).failure().os == ENOENT);
  CHECK(session.serve(std::make_shared<FakeServedCall>("send_tree")).failure().code == Errc::invalid_argument);
  CHECK(session.serve(std::make_shared<FakeServedCall>("fetch_tree", Box{{"path", "."}, {"delete", "1"}}))
            .failure()
            .code == Errc::invalid_argument);
}

TEST_CASE("a tree stays below the root of the policy") {
  for (const At::Reach reach : confined) {
    CAPTURE(reach == At::Reach::beneath);
    const TempDir dir;
    fs::create_directories(dir / "outside/d");
    dir.write("outside/secret", "outside");
    const auto workplace = *Workplace::open("base", dir / "root", reach);
    Dispatcher dispatcher;
    add_tree_transfer(dispatcher, workplace);
    fs::create_directory_symlink("../../outside", dir / "root/base/link");
    fs::create_directory(dir / "root/base/tree");
    fs::create_directory_symlink("../../../outside", dir / "root/base/tree/link");
    const auto before = tree_of(dir / "outside");
    const auto forbids = [&](const std::shared_ptr<FakeServedCall>& call) {
      call->feed(small_tree);
      call->end_input();
      dispatcher.dispatch(call);
      const auto outcome = call->outcome();
      return !outcome && outcome.failure().os == EPERM && outcome.failure().message.find("policy") != Bytes::npos;
    };
    for (const std::string& way : {std::string("../../outside"), std::string("link"), dir / "outside",
                                   std::string("link/d"), std::string("tree/link/d")}) {
      CAPTURE(way);
      CHECK(forbids(ServedTrees::fetch(way)));
      CHECK(forbids(ServedTrees::send(way + "/new")));
      CHECK(forbids(ServedTrees::send(way + "/d", true)));
    }
    const auto fetch = ServedTrees::fetch("tree");
    dispatcher.dispatch(fetch);
    REQUIRE(fetch->outcome());
    CHECK(fetch->sent(StreamName::out).find("secret") == Bytes::npos);  // the link came, not where it leads
    const auto send = ServedTrees::send("link", true);
    send->feed(small_tree);
    send->end_input();
    dispatcher.dispatch(send);
    CHECK(send->outcome().failure().os == ENOTDIR);
    CHECK(tree_of(dir / "outside") == before);
  }
}

TEST_CASE("what a killed slave has left of a tree is removed by the next one of its base directory") {
  const TempDir dir;
  fs::create_directory(dir / "elsewhere");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto workplace = Workplace::open(dir / "base");
    const auto place = (*workplace)->place(dir / "elsewhere/tree");
    auto tree = (*workplace)->create_tree(*place, false);
    if (tree && tree->enter("d") && tree->open_file("f") && tree->write("half")) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(fs::is_empty(dir / "elsewhere"));
  const auto workplace = *Workplace::open(dir / "base");
  REQUIRE(workplace->may_have_abandoned_parts());
  workplace->remove_abandoned_parts();
  CHECK(fs::is_empty(dir / "elsewhere"));
  CHECK_FALSE(workplace->may_have_abandoned_parts());
}

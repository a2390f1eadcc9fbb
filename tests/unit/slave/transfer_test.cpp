#include "slave/transfer.hpp"

#include "operations/operations.hpp"
#include "support/child_process.hpp"
#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"
#include "support/watched_calls.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

using namespace remsh;
using namespace remsh::operations;
using remsh::rpc::StreamName;
using remsh::test::FakeServedCall;
using remsh::test::TempDir;

namespace {

/// A slave's transfers in a directory of its own.
struct ServedTransfers {
  TempDir dir;
  std::shared_ptr<Workplace> workplace = *Workplace::open(dir.path());
  Dispatcher dispatcher;

  ServedTransfers() { add_transfer(dispatcher, workplace); }

  static std::shared_ptr<FakeServedCall> send(const Bytes& path, bool overwrite = false, std::uint32_t mode = 0644) {
    return std::make_shared<FakeServedCall>("send", to_box(Send::Request{path, overwrite, mode}));
  }
  static std::shared_ptr<FakeServedCall> fetch(const Bytes& path) {
    return std::make_shared<FakeServedCall>("fetch", to_box(Fetch::Request{path}));
  }

  Result<Box> serve(const std::shared_ptr<FakeServedCall>& call) const {
    dispatcher.dispatch(call);
    return call->outcome();
  }
};

Bytes bytes_of_all_kinds(std::size_t size) {
  Bytes bytes(size, '\0');
  std::uint32_t state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

}  // namespace

TEST_CASE("a file that is sent appears when it is complete") {
  ServedTransfers session;
  const Bytes content = bytes_of_all_kinds(200'000);
  const auto call = ServedTransfers::send("a\n\xff", false, 0751);
  std::thread server([&] { session.dispatcher.dispatch(call); });
  call->feed(content.substr(0, 65535));
  call->feed(content.substr(65535));
  call->wait_used(65535);
  CHECK_FALSE(session.dir.has("a\n\xff"));
  call->end_input();
  server.join();
  CHECK(from_box<Send::Reply>(*call->outcome())->bytes == content.size());
  CHECK(session.dir.read("a\n\xff") == content);
  CHECK(std::filesystem::status(session.dir / "a\n\xff").permissions() == std::filesystem::perms(0751));
  CHECK(session.dir.count() == 1);
}

TEST_CASE("an empty file is sent as one") {
  ServedTransfers session;
  const auto call = ServedTransfers::send("empty");
  call->end_input();
  CHECK(session.serve(call)->get("bytes") == "0");
  CHECK(session.dir.has("empty"));
}

TEST_CASE("a file that is sent is on the disk when that is answered, unless the caller does without") {
  for (const bool durable : {true, false}) {
    CAPTURE(durable);
    ServedTransfers session;
    const auto call = std::make_shared<FakeServedCall>("send", to_box(Send::Request{.path = "a", .durable = durable}));
    call->feed("content");
    call->end_input();
    std::vector<bool> was_there;
    const auto observer = [&](const test::WatchedCall&) {
      CHECK_FALSE(call->is_over());
      was_there.push_back(session.dir.has("a"));
      return 0;
    };
    if (!test::watch_calls(SYS_fsync, observer, [&] { session.dispatcher.dispatch(call); })) return;
    CHECK(call->outcome());
    CHECK(was_there == (durable ? std::vector{false, true} : std::vector<bool>{}));
  }
}

TEST_CASE("a disk that cannot keep a file that is sent fails the call") {
  ServedTransfers session;
  const auto call = ServedTransfers::send("a");
  call->feed("content");
  call->end_input();
  const auto observer = [](const test::WatchedCall&) { return EIO; };
  if (!test::watch_calls(SYS_fsync, observer, [&] { session.dispatcher.dispatch(call); })) return;
  CHECK(call->outcome().failure().os == EIO);
  CHECK(session.dir.count() == 0);
}

TEST_CASE("an existing destination is refused before anything is read") {
  ServedTransfers session;
  session.dir.write("a", "old");
  const auto refused = ServedTransfers::send("a");
  refused->feed("new");
  CHECK(session.serve(refused).failure().os == EEXIST);
  CHECK(refused->used() == 0);
  CHECK(session.dir.read("a") == "old");

  const auto replacing = ServedTransfers::send("a", true);
  replacing->feed("new");
  replacing->end_input();
  CHECK(session.serve(replacing));
  CHECK(session.dir.read("a") == "new");
}

TEST_CASE("a destination that cannot be is refused without waiting for the data") {
  ServedTransfers session;
  REQUIRE(::mkdir((session.dir / "d").c_str(), 0755) == 0);
  CHECK(session.serve(ServedTransfers::send("d", true)).failure().os == EISDIR);
  CHECK(session.serve(ServedTransfers::send("d/", true)).failure().os == EISDIR);
  CHECK(session.serve(ServedTransfers::send("missing/x")).failure().os == ENOENT);
  CHECK(session.serve(ServedTransfers::send(Bytes(300, 'n'))).failure().os == ENAMETOOLONG);
  CHECK(session.serve(std::make_shared<FakeServedCall>("send")).failure().code == Errc::invalid_argument);
}

TEST_CASE("a send that is cancelled leaves nothing, also what it would have replaced stays") {
  ServedTransfers session;
  session.dir.write("a", "old");
  const auto call = ServedTransfers::send("a", true);
  std::thread server([&] { session.dispatcher.dispatch(call); });
  call->feed("some");
  call->feed("more");
  call->wait_used(4);
  call->cancel();
  server.join();
  CHECK(call->outcome().failure().code == Errc::cancelled);
  CHECK(session.dir.read("a") == "old");
  CHECK(session.dir.count() == 1);
}

TEST_CASE("a disk that is full ends a send at once, and nothing remains") {
  ServedTransfers session;
  const auto call = ServedTransfers::send("a");
  call->feed(Bytes(60'000, 'x'));
  call->feed(Bytes(60'000, 'x'));
  call->feed(Bytes(60'000, 'x'));  // and no end: who waits for it stands still
  const int code = test::run_in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    const auto outcome = session.serve(call);
    return !outcome && outcome.failure().os == EFBIG ? 0 : 2;
  });
  CHECK(code == 0);
  CHECK(session.dir.count() == 0);
}

TEST_CASE("a directory that may not be written refuses a send") {
  ServedTransfers session;
  REQUIRE(::chmod(session.dir.path().c_str(), 0555) == 0);
  const int code = test::run_in_child([&] {
    if (!test::drop_privileges()) return test::skipped;
    const auto outcome = session.serve(ServedTransfers::send("a"));
    return !outcome && outcome.failure().os == EACCES ? 0 : 1;
  });
  REQUIRE(::chmod(session.dir.path().c_str(), 0755) == 0);
  CHECK(test::unless_skipped(code) == 0);
}

TEST_CASE("of two who send the same file at once exactly one wins") {
  ServedTransfers session;
  const auto one = ServedTransfers::send("a");
  const auto two = ServedTransfers::send("a");
  std::thread first([&] { session.dispatcher.dispatch(one); });
  std::thread second([&] { session.dispatcher.dispatch(two); });
  one->feed("1");
  two->feed("2");
  one->end_input();
  two->end_input();
  first.join();
  second.join();
  CHECK(one->outcome().ok() != two->outcome().ok());
  CHECK(session.dir.read("a") == (one->outcome() ? "1" : "2"));
  CHECK((one->outcome() ? two : one)->outcome().failure().os == EEXIST);
  CHECK(session.dir.count() == 1);
}

TEST_CASE("a file that is fetched comes whole, in pieces of a block, after its size") {
  ServedTransfers session;
  const Bytes content = bytes_of_all_kinds(3 * Block::max_payload + 17);
  session.dir.write("a", content);
  REQUIRE(::chmod((session.dir / "a").c_str(), 0640) == 0);
  const auto call = ServedTransfers::fetch("a");
  const auto reply = from_box<Fetch::Reply>(*session.serve(call));
  REQUIRE(reply);
  CHECK(reply->bytes == content.size());
  CHECK(reply->mode == 0640);
  CHECK(call->sent(StreamName::out) == content);
  CHECK(call->announced_total() == content.size());
  CHECK(call->pieces() == 4);
}

TEST_CASE("an empty file is fetched without data, and one that tells no size to its end") {
  ServedTransfers session;
  session.dir.write("empty", "");
  const auto empty = ServedTransfers::fetch("empty");
  CHECK(session.serve(empty)->get("bytes") == "0");
  CHECK(empty->pieces() == 0);
  CHECK_FALSE(empty->announced_total());

  const auto unsized = ServedTransfers::fetch("/proc/self/status");
  CHECK(session.serve(unsized));
  CHECK(unsized->sent(StreamName::out).find("Name:") == 0);
  CHECK_FALSE(unsized->announced_total());
}

TEST_CASE("only a regular file is fetched") {
  ServedTransfers session;
  REQUIRE(::mkfifo((session.dir / "fifo").c_str(), 0600) == 0);
  CHECK(session.serve(ServedTransfers::fetch(".")).failure().os == EISDIR);
  CHECK(session.serve(ServedTransfers::fetch("fifo")).failure().os == EINVAL);
  CHECK(session.serve(ServedTransfers::fetch("missing")).failure().os == ENOENT);
  CHECK(session.serve(std::make_shared<FakeServedCall>("fetch")).failure().code == Errc::invalid_argument);
}

TEST_CASE("a read error in the middle of a fetch is a failure, never a short file") {
  // The memory of a process is a regular file that has no size; its first page cannot be read.
  ServedTransfers session;
  const auto call = ServedTransfers::fetch("/proc/self/mem");
  const auto outcome = session.serve(call);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.failure().code == Errc::os_error);
  CHECK(outcome.failure().os == EIO);
}

TEST_CASE("a fetch waits for room, and stops when it is cancelled meanwhile") {
  ServedTransfers session;
  session.dir.write("a", Bytes(500'000, 'x'));
  const auto call = ServedTransfers::fetch("a");
  call->set_room(StreamName::out, 100'000);
  std::thread server([&] { session.dispatcher.dispatch(call); });
  call->wait_sent(StreamName::out, 100'000);
  CHECK_FALSE(call->is_over());
  call->add_room(StreamName::out, 50'000);
  CHECK(call->wait_sent(StreamName::out, 150'000).size() == 150'000);
  call->cancel();
  server.join();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

TEST_CASE("a file that grows while it is fetched is fetched with what came") {
  ServedTransfers session;
  session.dir.write("a", Bytes(100, 'x'));
  const auto call = ServedTransfers::fetch("a");
  call->at_piece(1, [&] { std::ofstream(session.dir / "a", std::ios::app) << "more"; });
  CHECK(session.serve(call)->get("bytes") == "104");
  CHECK(call->sent(StreamName::out) == Bytes(100, 'x') + "more");
}

TEST_CASE("a file that is replaced while it is fetched is the one that it was") {
  ServedTransfers session;
  session.dir.write("a", Bytes(Block::max_payload * 2, 'x'));
  session.dir.write("new", "y");
  const auto call = ServedTransfers::fetch("a");
  call->at_piece(1, [&] { std::filesystem::rename(session.dir / "new", session.dir / "a"); });
  CHECK(session.serve(call));
  CHECK(call->sent(StreamName::out) == Bytes(Block::max_payload * 2, 'x'));
}

TEST_CASE("a file that is sent to a slave whose policy confines it gets no set-user-ID bit or the like") {
  TempDir dir;
  Dispatcher dispatcher;
  add_transfer(dispatcher, *Workplace::open(dir.path()), 0777);
  const auto call = ServedTransfers::send("a", false, 06755);
  call->end_input();
  dispatcher.dispatch(call);
  REQUIRE(call->outcome());
  CHECK(std::filesystem::status(dir / "a").permissions() == std::filesystem::perms(0755));
}

TEST_CASE("what is wrong with a path of a file is said with what to do") {
  ServedTransfers session;
  REQUIRE(::mkdir((session.dir / "d").c_str(), 0755) == 0);
  const auto message = [&session](const std::shared_ptr<FakeServedCall>& call) {
    return session.serve(call).failure().message;
  };
  CHECK(message(ServedTransfers::send("missing/deep/x")) ==
        "create: No such file or directory: make the directory 'missing/deep/' first");
  CHECK(message(ServedTransfers::send("d", true)) == "create: Is a directory: give the path of a file in it");
  CHECK(message(ServedTransfers::fetch("d")).find("fetch_tree()") != std::string::npos);
}

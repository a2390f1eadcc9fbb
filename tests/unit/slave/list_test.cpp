#include "slave/list.hpp"

#include "operations/operations.hpp"
#include "support/fake_served_call.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/box_codec.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::rpc::StreamName;
using remsh::test::FakeServedCall;
using remsh::test::TempDir;

namespace {

/// A slave's lists, of a directory of its own.
struct ServedLists {
  TempDir dir;
  std::shared_ptr<Workplace> workplace = *Workplace::open(dir.path());
  Dispatcher dispatcher;

  ServedLists() { add_list(dispatcher, workplace); }

  [[nodiscard]] std::shared_ptr<FakeServedCall> list(const Bytes& path = ".") const {
    return std::make_shared<FakeServedCall>("list", to_box(List::Request{path}));
  }
};

std::map<Bytes, FileInfo> entries_in(BytesView stream) {
  std::map<Bytes, FileInfo> entries;
  BoxDecoder decoder;
  decoder.feed(stream);
  while (decoder.next()) {
    auto entry = from_box<List::Entry>(decoder.box().copy());
    REQUIRE_MESSAGE(entry.ok(), entry.failure().message);
    REQUIRE(entry->info);
    CHECK(entries.emplace(entry->name, *entry->info).second);
  }
  CHECK(decoder.error() == BoxError::none);
  CHECK_FALSE(decoder.is_inside_box());
  return entries;
}

}  // namespace

TEST_CASE("a list has each entry once, whatever it is and whatever its name") {
  const ServedLists session;
  session.dir.write("file", "12345");
  const Bytes strange = "\x01\n\xff '\"";
  session.dir.write(strange, "");
  session.dir.write(".hidden", "");
  std::filesystem::create_directory(session.dir / "directory");
  REQUIRE(::symlink("/nowhere", (session.dir / "link").c_str()) == 0);
  REQUIRE(::mkfifo((session.dir / "fifo").c_str(), 0600) == 0);
  const auto call = session.list();
  session.dispatcher.dispatch(call);
  const auto outcome = call->outcome();
  REQUIRE(outcome.ok());
  const auto entries = entries_in(call->sent(StreamName::out));
  CHECK(from_box<List::Reply>(*outcome)->entries == entries.size());
  REQUIRE(entries.size() == 6);
  CHECK(entries.at("file").type == FileType::file);
  CHECK(entries.at("file").size == 5);
  CHECK(entries.at("directory").type == FileType::directory);
  CHECK(entries.at("link").type == FileType::symlink);
  CHECK(entries.at("fifo").type == FileType::fifo);
  CHECK(entries.contains(strange));
  CHECK(entries.contains(".hidden"));
}

TEST_CASE("an empty directory has no entries; what is none, or not there, is an error of the system") {
  const ServedLists session;
  const auto empty = session.list();
  session.dispatcher.dispatch(empty);
  CHECK(from_box<List::Reply>(*empty->outcome())->entries == 0);
  CHECK(empty->sent(StreamName::out).empty());
  session.dir.write("file", "");
  for (const auto& [path, error] : {std::pair{"file", ENOTDIR}, std::pair{"missing", ENOENT}}) {
    const auto call = session.list(path);
    session.dispatcher.dispatch(call);
    CHECK(call->outcome().failure().os == error);
  }
}

TEST_CASE("a list goes as far as its caller has room, and holds little more than that") {
  const ServedLists session;
  constexpr int count = 300;
  for (int i = 0; i < count; ++i) session.dir.write("entry-" + std::to_string(i), "");
  const auto call = session.list();
  call->set_room(StreamName::out, 1000);
  session.dispatcher.dispatch(call);
  call->wait_sent(StreamName::out, 1000);
  CHECK_FALSE(call->is_over());
  CHECK(call->sent(StreamName::out).size() == 1000);
  while (!call->is_over()) {
    const std::size_t before = call->sent(StreamName::out).size();
    call->add_room(StreamName::out, 7001);
    if (call->sent(StreamName::out).size() == before) break;
  }
  CHECK(call->outcome().ok());
  CHECK(entries_in(call->sent(StreamName::out)).size() == count);
}

TEST_CASE("a list that is cancelled ends") {
  const ServedLists session;
  for (int i = 0; i < 10; ++i) session.dir.write(std::to_string(i), "");
  const auto call = session.list();
  call->set_room(StreamName::out, 0);
  session.dispatcher.dispatch(call);
  call->cancel();
  CHECK(call->outcome().failure().code == Errc::cancelled);
}

// remsh 1 as a protocol of a listener: its register box, by bytes.
#include "master/remsh1_protocol.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/box_codec.hpp>

#include <memory>
#include <string>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::from_hex;
using WorkerAction = WorkerHandshake::Step::Action;

namespace {

std::unique_ptr<WorkerHandshake> worker_handshake() { return remsh1_protocol()->serve({})({}); }

Bytes register_box(BytesView name, BytesView version = "1") {
  return encode({{"hostname", name}, {"type", "register"}, {"version", version}});
}

}  // namespace

TEST_CASE("an original slave is registered by its one box, has proven nothing, and is told that it is registered") {
  const auto master = worker_handshake();
  const Bytes recorded = from_hex(test::remsh1_golden::session[0].hex);
  CHECK(master->feed(BytesView(recorded).substr(0, 10)).action == WorkerAction::read);
  CHECK(master->feed(BytesView(recorded).substr(10)).action == WorkerAction::registered);
  CHECK(master->registration().name == "worker1");
  CHECK(master->registration().hostname == "worker1");
  CHECK(master->registration().software.empty());
  CHECK(master->proof() == Proof::none);
  CHECK(master->labels().empty());
  CHECK_FALSE(master->enrol());
  SUBCASE("it may be admitted") { CHECK(from_hex(test::remsh1_golden::session[1].hex).starts_with(master->open())); }
  SUBCASE("or refused, and is then cut off inside a box") {
    CHECK(master->refuse({auth::Refusal::name_in_use, "taken", 2s}) == Bytes(1, '\0'));
  }
  SUBCASE("or rejected, in the same way") { CHECK(master->reject() == Bytes(1, '\0')); }
  SUBCASE("it has to wait for that") { CHECK(master->feed("x").failure.code == Errc::protocol_error); }
  SUBCASE("it may go") { CHECK(master->at_end().code == Errc::connection_lost); }
}

TEST_CASE("an original slave that cannot be admitted is cut off inside a box, and the reason says why") {
  const auto refused = [](const Bytes& box, const char* words) {
    const auto step = worker_handshake()->feed(box);
    CHECK(step.action == WorkerAction::fail);
    CHECK(step.bytes == Bytes(1, '\0'));
    CAPTURE(step.failure.message);
    CHECK(step.failure.message.find(words) != std::string::npos);
  };
  refused(register_box("w", "2"), "version 2");
  refused(register_box(""), "no slave can have");
  refused(register_box("two words"), "'two words'");
  refused(register_box(Bytes(65, 'w')), "no slave can have");
}

TEST_CASE("bytes of another protocol are refused, and the connection is closed") {
  const auto step = worker_handshake()->feed("GET / HTTP/1.1\r\n\r\n");
  CHECK(step.action == WorkerAction::close);
  CHECK(step.failure.code == Errc::protocol_error);
}

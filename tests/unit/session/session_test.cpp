// Session: boxes of both directions, counted; when a ping is due; how it ends. All by bytes and a clock that is moved.
#include "session/session.hpp"

#include "support/begin_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::begin_time;
using Pulse = Session::Pulse;
using State = Session::State;

namespace {

Failure lost_by(std::string message) { return {Errc::connection_lost, std::move(message), 0}; }

/// A session with a connection that the test plays.
struct SessionSide {
  SessionSide() { session.attach(now); }

  /// What it wants to write, up to `most` bytes.
  Bytes write(std::size_t most = SIZE_MAX) {
    Bytes bytes;
    while (session.has_output() && bytes.size() < most) {
      std::array<std::string_view, 16> views;
      const std::size_t count = session.gather(views);
      Bytes all;
      for (std::size_t i = 0; i < count; ++i) all += views[i];
      all.resize(std::min(all.size(), most - bytes.size()));
      session.written(all.size(), now);
      bytes += all;
    }
    return bytes;
  }

  /// The boxes that are whole after these bytes.
  std::vector<Box> read(BytesView bytes) {
    std::vector<Box> boxes;
    session.receive(bytes, now);
    while (const BoxView* const next = session.next()) boxes.push_back(next->copy());
    return boxes;
  }

  const Session::Options options;
  Session session{options};
  TimePoint now = begin_time;
};

Bytes small(const char* value) { return encode(Box{{"k", value}}); }

Block framed(std::size_t size) {
  Block result;
  std::memset(result.payload().data(), 'x', size);
  result.frame("", size, "");
  return result;
}

}  // namespace

// --- boxes

TEST_CASE("however the bytes are cut, the boxes come whole and in order, and both sides have counted the same") {
  for (const std::size_t part : {1U, 2U, 7U, 1000U}) {
    CAPTURE(part);
    SessionSide a;
    SessionSide b;
    a.session.send_ordered(small("1"));
    a.session.send_control(small("2"));
    a.session.send_ordered(small("3"));
    std::vector<Box> came;
    while (a.session.has_output()) {
      for (Box& box : b.read(a.write(part))) came.push_back(std::move(box));
      CHECK(b.session.received().boxes <= a.session.sent().boxes);
    }
    CHECK(came.size() == 3);
    CHECK(a.session.sent() == b.session.received());
    CHECK(a.session.sent().boxes == 3);
    CHECK(b.session.sent() == Session::Counts());
  }
}

TEST_CASE("a framed block is a box too, and a control box overtakes it") {
  SessionSide side;
  side.session.send_data(framed(20'000));
  side.session.send_control(small("now"));
  CHECK(side.session.sent().boxes == 2);
  CHECK(side.session.data_bytes() > 0);
  CHECK(side.session.control_bytes() == small("now").size());
  CHECK(side.write(small("now").size()) == small("now"));
}

TEST_CASE("bytes that are no boxes are the fault of the other side") {
  SessionSide side;
  CHECK(side.read(Bytes("\x7f\x7f\x7f\x7f", 4)).empty());
  REQUIRE(side.session.over());
  CHECK(side.session.over()->code == Errc::protocol_error);
  CHECK(side.session.over()->reason == DisconnectReason::misbehaved);
}

TEST_CASE("a box that breaks the rules ends the session at once, and what came behind it does not count") {
  SessionSide side;
  const Bytes bytes = small("1") + small("2");
  side.session.receive(bytes, side.now);
  REQUIRE(side.session.next() != nullptr);
  side.session.breach({Errc::protocol_error, "no such box", 0});
  CHECK(side.session.next() == nullptr);
  CHECK(side.session.received().boxes == 1);
  CHECK(side.session.over()->reason == DisconnectReason::misbehaved);
}

// --- cut, and over

TEST_CASE("a cut is not the end until the session is given up") {
  SessionSide side;
  side.session.send_ordered(small("unsent"));
  side.session.cut();
  CHECK(side.session.state() == State::cut);
  CHECK_FALSE(side.session.is_over());
  CHECK(side.session.over() == nullptr);
  REQUIRE(side.session.closed());
  CHECK(side.session.closed()->code == Errc::connection_lost);
  CHECK(side.session.has_output());
  side.session.give_up();
  REQUIRE(side.session.over());
  CHECK(side.session.over()->code == Errc::connection_lost);
  CHECK(side.session.over()->message.find("without a goodbye") != std::string::npos);
  CHECK_FALSE(side.session.has_output());
}

TEST_CASE("a session that is closed while it is cut is over for the reason of the cut") {
  SessionSide side;
  side.session.cut(lost_by("the cable"));
  CHECK(side.session.close(lost_by("enough"), {}));
  CHECK(side.session.over()->message == "the cable");
  CHECK_FALSE(side.session.has_output());
}

TEST_CASE("a session that says goodbye is over when its connection is gone") {
  SessionSide side;
  CHECK(side.session.close(lost_by("enough"), {}));
  side.session.cut(lost_by("the cable"));
  CHECK(side.session.state() == State::over);
  CHECK(side.session.over()->message == "enough");
}

TEST_CASE("a cut inside a box says so") {
  SessionSide side;
  side.read(small("1").substr(0, 3));
  side.session.cut();
  side.session.give_up();
  CHECK(side.session.over()->message.find("in the middle of a message") != std::string::npos);
}

TEST_CASE("the first cause of a cut counts: what the reader sees is most often the second") {
  SessionSide side;
  side.session.suspect(lost_by("the write failed"));
  side.session.suspect(lost_by("nobody answers"));
  side.session.cut(lost_by("the read failed"));
  side.session.give_up();
  CHECK(side.session.over()->message == "the write failed");
}

TEST_CASE("a session that is over stays as it is") {
  SessionSide side;
  side.session.end(lost_by("first"));
  side.session.end(lost_by("second"));
  side.session.cut();
  CHECK(side.session.over()->message == "first");
  CHECK_FALSE(side.session.close(lost_by("third"), {}));
  side.session.send_control(small("late"));
  side.session.send_ordered(small("late"));
  side.session.send_data(framed(1));
  CHECK_FALSE(side.session.has_output());
  CHECK(side.read(small("late")).empty());
}

TEST_CASE("one that never has a connection can end") {
  const Session::Options options;
  Session session(options);
  CHECK(session.state() == State::waiting);
  CHECK(session.closed() == nullptr);
  session.end(lost_by("refused"));
  CHECK(session.over()->message == "refused");
}

// --- goodbye

TEST_CASE("goodbye says why, in at most 256 bytes, and when to come back") {
  Bytes out;
  encode_goodbye(out, "restart", 2000);
  CHECK(out == encode(Box{{"_command", "goodbye"}, {"reason", "restart"}, {"retry", "2000"}}));
  out.clear();
  encode_goodbye(out, Bytes(300, 'r'), std::nullopt);
  CHECK(out == encode(Box{{"_command", "goodbye"}, {"reason", Bytes(256, 'r')}}));
}

TEST_CASE("closing says goodbye in place of data that waits, and what comes then does not count") {
  SessionSide side;
  side.session.send_ordered(small("data"));
  CHECK(side.session.close(lost_by("restart"), 2000));
  CHECK(side.session.is_closing());
  CHECK(side.session.closed()->message == "restart");
  CHECK_FALSE(side.session.is_over());
  CHECK_FALSE(side.session.close(lost_by("again"), {}));
  side.session.send_ordered(small("late"));
  CHECK(side.write() == encode(Box{{"_command", "goodbye"}, {"reason", "restart"}, {"retry", "2000"}}));
  CHECK(side.read(small("late")).empty());
  CHECK(side.session.over()->message == "restart");
}

TEST_CASE("a session that is closed before it has a connection says goodbye as soon as it has one") {
  const Session::Options options;
  Session session(options);
  CHECK(session.close(lost_by("changed my mind"), {}));
  CHECK_FALSE(session.has_output());
  session.attach(begin_time);
  CHECK(session.has_output());
}

TEST_CASE("the other side's goodbye is the end, and says more than a write that failed meanwhile") {
  SessionSide side;
  side.session.suspect(lost_by("the write failed"));
  const Bytes bytes = encode(Box{{"_command", "goodbye"}, {"reason", "full\nhouse"}, {"retry", "7"}}) + small("late");
  side.session.receive(bytes, side.now);
  const BoxView* const box = side.session.next();
  REQUIRE(box);
  side.session.receive_goodbye(*box);
  CHECK(side.session.next() == nullptr);
  CHECK(side.session.said_goodbye()->reason == "full\nhouse");
  CHECK(side.session.said_goodbye()->retry == 7);
  CHECK(side.session.over()->reason == DisconnectReason::closed_there);
  CHECK(side.session.over()->message.starts_with("goodbye: full"));
  CHECK(side.session.over()->message.find('\n') == std::string::npos);
}

// --- liveness

namespace {

/// As its owner does: looks when the session asks for it, for so long. Returns how many looks that took, and the pings.
struct Looks {
  int all = 0;
  int pings = 0;
};
Looks look_for(SessionSide& side, Duration time, bool is_answered) {
  Looks looks;
  const TimePoint end = side.now + time;
  for (TimePoint next = side.session.next_look(side.now); next <= end; next = side.session.next_look(side.now)) {
    side.now = next;
    ++looks.all;
    const Pulse pulse = side.session.look(side.now);
    if (pulse == Pulse::lost) return looks;
    if (pulse == Pulse::good) continue;
    ++looks.pings;
    side.session.send_control(small("ping"));
    side.write();
    if (is_answered) side.read(small("pong"));
  }
  side.now = end;
  return looks;
}

}  // namespace

TEST_CASE("a ping is due after keepalive without sending") {
  SessionSide side;
  CHECK(side.session.look(begin_time + 9999ms) == Pulse::good);
  CHECK(side.session.look(begin_time + 10s) == Pulse::ping_due);
  side.session.send_control(small("ping"));
  CHECK(side.session.look(begin_time + 11s) == Pulse::good);  // it is sent as soon as anything can be
  side.now = begin_time + 12s;
  side.write();
  CHECK(side.session.look(side.now) == Pulse::good);
  side.read(small("pong"));
  CHECK(side.session.look(begin_time + 21999ms) == Pulse::good);
  CHECK(side.session.look(begin_time + 22s) == Pulse::ping_due);
}

TEST_CASE("a side that leaves it to the other one to ping pings later, and gives up as early") {
  const Session::Options options{.ping_delay = 4s};
  Session session(options);
  session.attach(begin_time);
  CHECK(session.next_look(begin_time) == begin_time + 14s);
  CHECK(session.look(begin_time + 13999ms) == Pulse::good);
  CHECK(session.look(begin_time + 14s) == Pulse::ping_due);
  CHECK(session.look(begin_time + 20s) == Pulse::lost);
}

TEST_CASE("an idle session asks for a look when a ping is due, and for no other") {
  SessionSide side;
  CHECK(side.session.next_look(side.now) == begin_time + 10s);
  const Looks looks = look_for(side, 1min, true);
  CHECK(looks.all == 6);
  CHECK(looks.pings == 6);
}

TEST_CASE("what was sent or received between two looks counts from when it was") {
  SessionSide side;
  side.now += 7s;
  side.session.send_control(small("call"));
  side.write();
  side.now += 1s;
  side.read(small("answer"));
  side.now += 2s;
  CHECK(side.session.look(side.now) == Pulse::good);
  CHECK(side.session.next_look(side.now) == begin_time + 17s);
  CHECK(look_for(side, 1h, false).pings == 2);  // at 17 s and 27 s
  CHECK(side.now == begin_time + 28s);          // 20 s after the answer
  CHECK(side.session.look(side.now) == Pulse::lost);
}

TEST_CASE("a ping that cannot be written yet is due again soon, and the end that is still to be seen") {
  SessionSide side;
  side.session.send_data(framed(100));  // and nobody writes it
  side.now += 10s;
  CHECK(side.session.look(side.now) == Pulse::good);
  CHECK(side.session.next_look(side.now) == side.now + 500ms);
  side.now += 9900ms;
  CHECK(side.session.next_look(side.now) == side.now + 100ms);  // the end
  side.now += 100ms;
  CHECK(side.session.look(side.now) == Pulse::lost);
  CHECK(side.session.next_look(side.now) == side.now + 500ms);
  side.session.cut();
  CHECK(side.session.next_look(side.now) == TimePoint::max());
}

TEST_CASE("a session without a keepalive, a connection or a future asks for no look") {
  const Session::Options options;
  CHECK(Session(options).next_look(begin_time) == TimePoint::max());
  SessionSide side;
  side.session.set_keepalive(0s, 10s, side.now);
  CHECK(side.session.next_look(side.now) == TimePoint::max());
  SessionSide closing;
  closing.session.close(lost_by("enough"), {});
  CHECK(closing.session.next_look(closing.now) == TimePoint::max());
}

TEST_CASE("pings go on while their answers wait behind a long box, or the side that sends it would hear nothing") {
  SessionSide side;
  const Bytes ping = small("ping");
  const Bytes box = encode(Box{{"long", Bytes(60'000, 'x')}});
  for (std::size_t i = 1; i <= 100; ++i) {
    side.read(box.substr(i - 1, 1));
    side.now += 11s;
    CHECK(side.session.look(side.now) == Pulse::ping_due);
    side.session.send_control(ping);
    side.write();
    CHECK(side.session.look(side.now + 1ms) == Pulse::good);
  }
}

TEST_CASE("a side that answers nothing gets a few pings, however short the keepalive is") {
  const Session::Options options{.keepalive = 10ms, .patience = 10s};
  Session session(options);
  session.attach(begin_time);
  int pings = 0;
  for (int i = 1; i <= 1000; ++i) pings += session.look(begin_time + i * 10ms) == Pulse::ping_due ? 1 : 0;
  CHECK(pings == 30);
  CHECK(session.next_look(begin_time + 5s) == begin_time + 5010ms);  // something may have come then, so a ping is due
  CHECK(session.next_look(begin_time + 10s) == begin_time + 10010ms);
  CHECK(session.look(begin_time + 10010ms) == Pulse::lost);
}

TEST_CASE("nothing received for keepalive and patience is the end, and any byte counts") {
  SessionSide side;
  CHECK(side.session.look(begin_time + 19999ms) != Pulse::lost);
  CHECK(side.session.look(begin_time + 20s) == Pulse::lost);
  CHECK(side.session.state() == State::attached);  // the reader is to see it, and say so
  side.session.cut();
  side.session.give_up();
  CHECK(side.session.over()->reason == DisconnectReason::silent);

  SessionSide alive;
  const Bytes box = small("0123456789");
  for (std::size_t i = 1; i < 10; ++i) {
    alive.now += 19s;
    CHECK(alive.session.look(alive.now) != Pulse::lost);
    alive.read(box.substr(i - 1, 1));
  }
}

TEST_CASE("what is idle holds no memory, and half a box is kept") {
  SessionSide side;
  side.read(small("1"));
  side.session.give_back();
  const Bytes box = small("2");
  side.read(box.substr(0, 4));
  side.session.give_back();
  CHECK(side.read(box.substr(4)) == std::vector<Box>{Box{{"k", "2"}}});
}

// --- draining

TEST_CASE("a side announces once that it will end, and not when it is ending") {
  SessionSide side;
  CHECK(side.session.drain("SIGTERM", 5s));
  CHECK_FALSE(side.session.drain("SIGTERM", 1s));
  CHECK(side.write() == encode(Box{{"_command", "draining"}, {"reason", "SIGTERM"}, {"within", "5000"}}));
  CHECK(side.session.closed() == nullptr);
  SessionSide closing;
  CHECK(closing.session.close(lost_by("enough"), {}));
  CHECK_FALSE(closing.session.drain("SIGTERM", 5s));
  SessionSide cut;
  cut.session.cut();
  CHECK_FALSE(cut.session.drain("SIGTERM", 5s));
}

TEST_CASE("a long reason is cut, and a time is from 0 to 10^12 ms") {
  SessionSide side;
  CHECK(side.session.drain(Bytes(300, 'r'), -5s));
  CHECK(side.write() == encode(Box{{"_command", "draining"}, {"reason", Bytes(256, 'r')}, {"within", "0"}}));
  SessionSide other;
  CHECK(other.session.drain("", std::chrono::milliseconds::max()));
  CHECK(other.write() == encode(Box{{"_command", "draining"}, {"reason", ""}, {"within", "1000000000000"}}));
}

TEST_CASE("a goodbye of a side that has announced it is a release, and a cut of it is a cut") {
  const auto announced = [](SessionSide& side) {
    for (const Box& box : side.read(encode(Box{{"_command", "draining"}, {"reason", "SIGTERM"}}))) {
      BoxDecoder decoder;
      const Bytes bytes = encode(box);
      decoder.feed(bytes);
      REQUIRE(decoder.next());
      side.session.receive_draining(decoder.box());
    }
    REQUIRE(side.session.draining());
  };
  const Bytes goodbye = encode(Box{{"_command", "goodbye"}, {"reason", "bye"}});
  BoxDecoder decoder;
  decoder.feed(goodbye);
  REQUIRE(decoder.next());
  SessionSide unannounced;
  unannounced.session.receive_goodbye(decoder.box());
  CHECK(unannounced.session.over()->reason == DisconnectReason::closed_there);
  SessionSide side;
  announced(side);
  side.session.receive_goodbye(decoder.box());
  CHECK(side.session.over()->reason == DisconnectReason::released);
  SessionSide cut;
  announced(cut);
  cut.session.cut();
  cut.session.give_up();
  CHECK(cut.session.over()->reason == DisconnectReason::cut);
}

// --- the keepalive while it runs

TEST_CASE("there is one ping in each interval, none when the keepalive is off, and one after it is on again") {
  SessionSide side;
  CHECK(look_for(side, 99s, true).pings == 9);
  side.session.set_keepalive(0s, 10s, side.now);
  CHECK(look_for(side, 1h, true).all == 0);
  side.session.set_keepalive(2s, 10s, side.now);
  CHECK(look_for(side, 3s, true).pings == 1);
  CHECK_FALSE(side.session.closed());
}

TEST_CASE("a side that is silent is given up after the times that are set, and never without a keepalive") {
  SessionSide side;
  side.session.set_keepalive(0s, 0s, side.now);
  side.now += 24h;
  CHECK(side.session.look(side.now) == Pulse::good);
  side.session.set_keepalive(2s, 3s, side.now);
  CHECK(side.session.look(side.now) == Pulse::good);  // the silence until now does not count
  side.now += 4900ms;
  CHECK(side.session.look(side.now) == Pulse::ping_due);
  side.now += 100ms;
  CHECK(side.session.look(side.now) == Pulse::lost);
}

// Large pieces of a stream are not copied between the transport and their user, on either side.
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "support/each_socket.hpp"
#include "support/peer_pair.hpp"
#include "support/played_calls.hpp"
#include "support/skip.hpp"
#include "support/system_calls.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef REMSH_CAN_COUNT

namespace copies_test {

using namespace remsh;
using namespace remsh::test;
using CallEvent = rpc::Call::Event;
using CallKind = rpc::Call::Kind;
using rpc::StreamName;

constexpr std::size_t large = 60'000;

bool is_within(std::span<const char> whole, std::string_view part) {
  return whole.data() <= part.data() && part.data() + part.size() <= whole.data() + whole.size();
}

/// What this thread has last read into, and last written from, through any transport with Places.
thread_local std::span<const char> read_place;
thread_local std::vector<std::string_view> written_places;

/// Notes these, and whether the transport below has moved the same memory in its system call.
class Places final : public ForwardingTransport {
 public:
  using ForwardingTransport::ForwardingTransport;

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    const IoResult result = inner().read_some(buffer, wait);
    if (result.status == IoResult::Status::ok) read_place = buffer.first(result.bytes);
    return result;
  }
  IoResult write_some(std::span<const std::string_view> buffers) override {
    const IoResult result = inner().write_some(buffers);
    if (result.status == IoResult::Status::ok) written_places.assign(buffers.begin(), buffers.end());
    return result;
  }
};

/// Whether these bytes lie where this thread has read them from the transport.
bool lies_where_read(std::string_view bytes) { return bytes.size() == large && is_within(read_place, bytes); }

/// Whether this thread has given these bytes to the transport from where they lie.
bool was_written_from(std::string_view bytes) {
  return std::any_of(written_places.begin(), written_places.end(),
                     [&](std::string_view place) { return is_within(place, bytes); });
}

/// Whether the system has moved them there or from there, too: not under TLS.
bool was_received_at(std::string_view bytes) { return is_within(last_received(), bytes); }
bool was_sent_from(std::string_view bytes) { return has_just_sent(bytes); }

/// Runs a test over each kind of socket, and says whether it is TLS. The first transport notes its places.
template <class Test>
void with_places(const Test& test) {
  const auto noted = [](TransportPair pair) -> TransportPair {
    return {std::make_unique<Places>(std::move(pair.first)), std::move(pair.second)};
  };
  test(noted(socket_pair()), false);
  test(noted(tcp_sockets()), false);
  test(noted(with_tls(tcp_sockets())), true);
}

Box data_box(const Bytes& op, const Bytes& stream, const Bytes& bytes) {
  return {{"_command", "data"}, {"data", bytes}, {"op", op}, {"stream", stream}};
}

TEST_CASE("a caller is shown a large piece of output where it was read") {
  with_places([](TransportPair transports, bool is_tls) {
    CAPTURE(is_tls);
    StoppedLoop loop;  // so that the peer rests between calls: no other thread reads
    RawEnd slave(std::move(transports.second));
    const auto peer = rpc::Peer::start(std::move(transports.first), loop, {});
    const Bytes output(large, 'o');
    bool is_whole = false;  // TCP may bring it in parts
    CHECK(succeeds_once([&] {
      rpc::Call made(peer, "fetch", {}, CallKind::streaming, {});
      const Box asked = next_call(slave);
      slave.write(data_box(Bytes(asked.get("_ask").value_or("")), "out", output));
      answer(slave, asked);
      REQUIRE(made.next() == CallEvent::chunk);
      const BytesView bytes = made.chunk().bytes();
      REQUIRE((bytes == output));
      is_whole = lies_where_read(bytes) && (is_tls || was_received_at(bytes));
      REQUIRE(made.next() == CallEvent::answered);
      return is_whole;
    }));
    CHECK(is_whole);
    loop.end(peer);
  });
}

TEST_CASE("the input of a call is written from where its caller has put it") {
  with_places([](TransportPair transports, bool is_tls) {
    CAPTURE(is_tls);
    StoppedLoop loop;
    RawEnd slave(std::move(transports.second));
    const auto peer = rpc::Peer::start(std::move(transports.first), loop, {});
    {
      rpc::Call made(peer, "send", {}, CallKind::streaming, {});
      const Box asked = next_call(slave);
      Block block;
      const std::string_view place(block.payload().data(), large);
      std::fill_n(block.payload().data(), large, 'i');
      made.send(std::move(block), large);
      CHECK(was_written_from(place));
      CHECK(was_sent_from(place) != is_tls);
      CHECK(slave.read().get("data").value_or("").size() == large);
      answer(slave, asked);
      REQUIRE(made.next() == CallEvent::answered);
    }
    loop.end(peer);
  });
}

/// A slave's peer whose operation takes input and gives output, one piece each, and says whether they were copied.
struct PlaceSeer {
  explicit PlaceSeer(std::unique_ptr<Transport> transport)
      : peer(rpc::Peer::start(std::move(transport), loop,
                              serving({{"move", [this](const Served& served) { serve(served); }}}))) {}
  PlaceSeer(const PlaceSeer&) = delete;
  PlaceSeer& operator=(const PlaceSeer&) = delete;
  ~PlaceSeer() { loop.end(peer); }

  struct Seen {
    bool was_read_here = false;  // not by another thread
    bool was_received = false;
    bool was_written = false;
    bool was_sent = false;
  };

  void serve(const Served& served) {
    Seen seen;
    if (const auto piece = served->read(); piece && piece->size() == large) {
      seen.was_read_here = lies_where_read(*piece);
      seen.was_received = was_received_at(*piece);
    }
    Block block;
    const std::string_view place(block.payload().data(), large);
    std::fill_n(block.payload().data(), large, 'o');
    served->write(StreamName::out, std::move(block), large);
    seen.was_written = was_written_from(place);
    seen.was_sent = was_sent_from(place);
    result.set_value(seen);
    served->answer({});
  }

  StoppedLoop loop;
  std::promise<Seen> result;
  std::shared_ptr<rpc::Peer> peer;
};

TEST_CASE("an operation of a slave sees its input where it was read, and its output is written from where it lies") {
  with_places([](TransportPair transports, bool is_tls) {
    CAPTURE(is_tls);
    RawEnd master(std::move(transports.second));
    PlaceSeer seer(std::move(transports.first));
    PlaceSeer::Seen seen;
    int calls = 0;
    const Bytes input(large, 'i');
    CHECK(succeeds_once([&] {
      seer.result = {};
      ++calls;
      const std::string op = std::to_string(calls);
      master.write(request(calls, "move", op));
      master.write(data_box(op, "in", input));
      Box box = master.read();
      while (!box.has("_answer")) box = master.read();
      seen = seer.result.get_future().get();
      return seen.was_read_here && (is_tls || seen.was_received) && seen.was_written && seen.was_sent != is_tls;
    }));
    CHECK(seen.was_read_here);
    CHECK(seen.was_received != is_tls);  // the system moves ciphertext there
    CHECK(seen.was_written);
    CHECK(seen.was_sent != is_tls);
  });
}

}  // namespace copies_test

#else
TEST_CASE("large pieces of a stream are not copied") {
  remsh::test::skip("system calls cannot be seen here: a sanitizer replaces the same functions");
}
#endif

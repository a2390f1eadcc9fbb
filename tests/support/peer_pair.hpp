// PeerPair: a master's peer and a slave's, joined by a transport of the test's choice, on a real loop.
#pragma once

#include "connection/long_value.hpp"
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "support/ample.hpp"
#include "support/forwarding_transport.hpp"
#include "support/tls.hpp"
#include "transport/loop.hpp"

#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh::test {

using TransportPair = std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>;

inline TransportPair socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    throw std::system_error(errno, std::generic_category(), "socketpair");
  }
  return {socket_transport(fds[0], "socket 0", true), socket_transport(fds[1], "socket 1", true)};
}

/// Runs a test over each kind of transport.
inline void over_each_transport(const std::function<void(const std::function<TransportPair()>&)>& test) {
  test([] { return memory_pair(); });
  test([] { return memory_pair(1000); });  // most boxes and writes are split
  test(socket_pair);
  test([] { return with_tls(socket_pair()); });
  test([] { return with_tls(memory_pair(1000), {.records_per_key = 3}); });
}

/// Counts the calls of a transport. Thread-safe.
struct TransportCounts {
  std::atomic<int> writes{0};  // those that moved something
  std::atomic<int> arms{0};
  std::atomic<int> loop_reads{0};  // those made by the loop's thread
};

/// Counts the calls of another transport. write_hook runs before each write.
class CountingTransport final : public ForwardingTransport {
 public:
  CountingTransport(std::shared_ptr<Transport> inner, TransportCounts& counts, const Loop* loop = nullptr,
                    std::function<void()> write_hook = {})
      : ForwardingTransport(std::move(inner)), counts_(counts), loop_(loop), write_hook_(std::move(write_hook)) {}

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    if (loop_ != nullptr && loop_->is_this_thread()) ++counts_.loop_reads;
    return inner().read_some(buffer, wait);
  }
  IoResult write_some(std::span<const std::string_view> buffers) override {
    if (write_hook_) write_hook_();
    const IoResult result = inner().write_some(buffers);
    if (result.status == IoResult::Status::ok) ++counts_.writes;
    return result;
  }
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    ++counts_.arms;
    inner().arm(watcher, directions, token);
  }

 private:
  TransportCounts& counts_;
  const Loop* const loop_;
  const std::function<void()> write_hook_;
};

/// A loop that is stopped when its test is over; otherwise its last owner might be its own thread.
class OwnedLoop {
 public:
  OwnedLoop() = default;
  /// With a clock that stands still nothing happens because of the time, however slow the machine is: no tick of a
  /// server sends what an operation holds back, or brings another worker.
  explicit OwnedLoop(const Clock& clock) : loop_(Loop::start(clock)) {}
  OwnedLoop(const OwnedLoop&) = delete;
  OwnedLoop& operator=(const OwnedLoop&) = delete;
  ~OwnedLoop() { loop_->stop(); }
  operator const std::shared_ptr<Loop>&() const noexcept { return loop_; }
  Loop* operator->() const noexcept { return loop_.get(); }

 private:
  const std::shared_ptr<Loop> loop_ = Loop::start();
};

using Served = std::shared_ptr<rpc::ServedCall>;
using Handlers = std::map<std::string, std::function<void(const Served&)>, std::less<>>;

/// An operation that answers with its arguments.
inline void echo(const Served& served) { served->answer(served->arguments()); }

/// The box of a call, as a RawEnd sends it.
inline Box request(int tag, BytesView command, BytesView op = {}) {
  Box box{{"_ask", std::to_string(tag)}, {"_command", command}};
  if (!op.empty()) box.set("op", Bytes(op));
  return box;
}

/// An operation that never ends by itself, and counts its calls in progress.
class Hanging {
 public:
  void operator()(const Served& served) {
    served->on_change([this] {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return served->cancelled(); });
    --inside_;
    changed_.notify_all();
    lock.unlock();
    served->fail({Errc::cancelled, "as you wish", 0});
  }
  /// Counts one more call, for ever.
  void entered() {
    const std::lock_guard lock(mutex_);
    ++inside_;
    changed_.notify_all();
  }
  void wait_for(int inside) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == inside; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
};

/// Options of a peer that serves these handlers. Other operations are unsupported.
inline rpc::Peer::Options serving(Handlers handlers) {
  rpc::Peer::Options options;
  options.engine.serves = true;
  options.serve = [handlers = std::move(handlers)](const Served& call) {
    const auto found = handlers.find(call->command());
    if (found == handlers.end()) {
      call->fail({Errc::unsupported, "no operation '" + call->command() + "'", 0});
    } else {
      found->second(call);
    }
  };
  return options;
}

/// Ends a peer and waits until all callers and workers have left it.
inline void end(const std::shared_ptr<rpc::Peer>& peer) {
  if (!peer) return;
  peer->close("the test is over");
  peer->wait_until_left();
}

/// Two peers and their loop. A loop that is passed in is stopped by its owner. The destructor ends the peers.
struct PeerPair {
  PeerPair(TransportPair transports, Handlers handlers)
      : PeerPair(std::move(transports), serving(std::move(handlers))) {}
  PeerPair(TransportPair transports, rpc::Peer::Options slave_options, rpc::Peer::Options master_options = {})
      : PeerPair(Loop::start(), std::move(transports), std::move(slave_options), std::move(master_options)) {
    owns_loop = true;
  }
  PeerPair(std::shared_ptr<Loop> shared_loop, TransportPair transports, rpc::Peer::Options slave_options,
           rpc::Peer::Options master_options = {})
      : loop(std::move(shared_loop)),
        slave(rpc::Peer::start(std::move(transports.second), loop, std::move(slave_options))),
        master(rpc::Peer::start(std::move(transports.first), loop, std::move(master_options))) {}
  PeerPair(const PeerPair&) = delete;
  PeerPair& operator=(const PeerPair&) = delete;
  ~PeerPair() {
    end(master);
    end(slave);
    master.reset();
    slave.reset();
    if (owns_loop) loop->stop();
  }

  std::shared_ptr<Loop> loop;
  bool owns_loop = false;
  std::shared_ptr<rpc::Peer> slave;
  std::shared_ptr<rpc::Peer> master;
};

/// Tries until an attempt succeeds, for as long as a busy machine may disturb every one.
inline bool succeeds_once(const std::function<bool()>& attempt) {
  const auto until = std::chrono::steady_clock::now() + ample;
  for (int tries = 1; !attempt(); ++tries) {
    if (tries >= 50 && std::chrono::steady_clock::now() >= until) return false;
  }
  return true;
}

/// Makes a call whose output does not matter, and returns its outcome.
inline Result<Box> call(const std::shared_ptr<rpc::Peer>& peer, BytesView command, const Box& arguments = {},
                        const Patience& options = {}, rpc::Call::Kind kind = rpc::Call::Kind::plain) {
  rpc::Call made(peer, command, arguments, kind, options);
  for (;;) {
    switch (made.next()) {
      case rpc::Call::Event::chunk:
      case rpc::Call::Event::room: break;
      case rpc::Call::Event::answered: return std::move(made.answer());
      case rpc::Call::Event::failed: return made.failure();
    }
  }
}

/// A block that begins with these bytes.
inline Block block_of(BytesView bytes) {
  Block result;
  std::memcpy(result.payload().data(), bytes.data(), bytes.size());
  return result;
}

/// Reads and writes whole boxes on the bare other end of a connection. One thread at a time.
class RawEnd {
 public:
  explicit RawEnd(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  void write(BytesView bytes) {
    while (!bytes.empty()) {
      const std::string_view one[] = {bytes};
      const IoResult result = transport_->write_some(one);
      if (result.status == IoResult::Status::failed) throw std::runtime_error("RawEnd: broken");
      bytes.remove_prefix(result.bytes);
      if (result.bytes == 0) transport_->wait(Ready::write, std::chrono::minutes(1));
    }
  }
  void write(const Box& box) { write(encode(box)); }

  /// The next box, or an empty one at the end of the stream.
  Box read() {
    while (!decoder_.next()) {
      if (decoder_.error() != BoxError::none) throw std::runtime_error("RawEnd: no boxes");
      buffer_.resize(64 * 1024);
      const IoResult result = transport_->read_some(buffer_, Transport::slice);
      if (result.status == IoResult::Status::would_block) continue;
      if (result.status != IoResult::Status::ok) return {};
      buffer_.resize(result.bytes);
      decoder_.feed(buffer_);
    }
    return decoder_.box().copy();
  }

  Transport& transport() { return *transport_; }

 private:
  std::unique_ptr<Transport> transport_;
  Bytes buffer_;
  BoxDecoder decoder_{call_limits};
};

}  // namespace remsh::test

// Engine: the calls and streams of one session, without I/O: boxes in, boxes and completions out.
#pragma once

#include "base/operations_end.hpp"
#include "base/result.hpp"
#include "connection/box_data.hpp"
#include "connection/long_value.hpp"
#include "rpc/credit.hpp"
#include "rpc/stream.hpp"
#include "session/session.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace remsh::rpc {

/// One outgoing call, from its box to the last box that belongs to it.
struct OpenCall {
  enum class State : std::uint8_t {
    open,       // waits for its answer
    settled,    // `outcome` is there
    abandoned,  // its caller has left: kept until the answer comes, for its credit and its id
  };

  /// Only for calls with an `op`.
  struct Streams {
    SendCredit in;
    ReceiveStream out;
    ReceiveStream err;
    std::unique_ptr<ReceiveStream> log;  // these two are null until something comes on them: few calls have them
    std::unique_ptr<ReceiveStream> header;
    bool log_is_next = false;  // of `out` and `log`, which take turns

    /// The stream to us of this name.
    ReceiveStream& output(StreamName name) {
      if (name == StreamName::err) return err;
      if (name != StreamName::log && name != StreamName::header) return out;
      auto& rare = name == StreamName::log ? log : header;
      if (!rare) rare = std::make_unique<ReceiveStream>();
      return *rare;
    }

    template <class Visit>
    void for_each_output(Visit visit) {
      visit(StreamName::out, out);
      visit(StreamName::err, err);
      if (log) visit(StreamName::log, *log);
      if (header) visit(StreamName::header, *header);
    }

    [[nodiscard]] bool has_log() const { return log && !log->empty(); }
    [[nodiscard]] bool has_header() const { return header && !header->empty(); }
  };

  std::uint64_t id = 0;
  State state = State::open;
  std::unique_ptr<Streams> streams;
  std::variant<Box, Failure> outcome;
  void* owner = nullptr;     // for the driver, to find its own object again
  Bytes unsent;              // its box, while that waits for room in the queue; empty once it is sent
  bool input_ended = false;  // end_input() was called before the box was sent

  [[nodiscard]] bool is_sent() const noexcept { return unsent.empty(); }
  [[nodiscard]] bool is_own_ping() const noexcept { return state == State::open && owner == nullptr; }
  [[nodiscard]] bool has_chunk() const {
    return streams && (!streams->out.empty() || !streams->err.empty() || streams->has_log() || streams->has_header());
  }
  /// The next chunk: in order of arrival within each stream; the header first and then err, since they are short and
  /// users wait for them.
  Chunk take_chunk() {
    if (streams->has_header()) return streams->header->take();
    if (!streams->err.empty()) return streams->err.take();
    const bool is_log = streams->has_log() && (streams->log_is_next || streams->out.empty());
    streams->log_is_next = !is_log;
    return is_log ? streams->log->take() : streams->out.take();
  }
};

class ServedCall;

/// One incoming call that is not answered yet.
struct OpenService {
  Bytes tag;
  Bytes op;  // empty if the call has no streams and cannot be cancelled
  Bytes command;
  Box arguments;
  std::size_t arguments_size = 0;
  SendCredit out;
  SendCredit err;
  SendCredit log;
  SendCredit header;
  ReceiveStream in;
  void* owner = nullptr;  // for the driver, to find its own object again
  bool cancelled = false;
  bool answered = false;                              // and removed from the engine's tables
  std::vector<std::shared_ptr<ServedCall>> requests;  // later calls that were handed over to this one

  /// The credit of a stream to the caller.
  [[nodiscard]] SendCredit& credit(StreamName stream) {
    switch (stream) {
      case StreamName::err: return err;
      case StreamName::log: return log;
      case StreamName::header: return header;
      case StreamName::in:
      case StreamName::out: break;
    }
    return out;
  }
};

/// Open services, to be found by one of their names. A sorted list of pointers, because most calls are answered before
/// the next one comes, and to add the only one must cost no allocation.
template <Bytes OpenService::*name>
class ServiceIndex {
 public:
  /// The one with this name; null if there is none.
  [[nodiscard]] OpenService* find(BytesView wanted) const {
    const auto at = lower(wanted);
    return is_at(at, wanted) ? at->get() : nullptr;
  }

  /// There must be none with the same name.
  void add(std::shared_ptr<OpenService> service) {
    const auto at = lower((*service).*name);
    services_.insert(at, std::move(service));
  }
  void remove(BytesView wanted) {
    const auto at = lower(wanted);
    if (is_at(at, wanted)) services_.erase(at);
  }

  [[nodiscard]] std::size_t size() const noexcept { return services_.size(); }
  [[nodiscard]] auto begin() const noexcept { return services_.begin(); }
  [[nodiscard]] auto end() const noexcept { return services_.end(); }

 private:
  using Place = std::vector<std::shared_ptr<OpenService>>::const_iterator;
  [[nodiscard]] Place lower(BytesView wanted) const {
    return std::lower_bound(services_.begin(), services_.end(), wanted,
                            [](const auto& service, BytesView other) { return BytesView((*service).*name) < other; });
  }
  [[nodiscard]] bool is_at(Place at, BytesView wanted) const {
    return at != services_.end() && BytesView((**at).*name) == wanted;
  }

  std::vector<std::shared_ptr<OpenService>> services_;
};

/// The calls and streams of one session, in both directions. Pure state: no mutex, no thread, no descriptor, no clock.
/// One thread at a time.
///
/// Boxes to send go to the Session. Events are reported at once, while the box is handled; the handler must not call
/// back.
class Engine {
 public:
  class Events {
   public:
    /// A chunk, credit or the outcome came for a call whose caller has not left.
    virtual void on_call_changed(OpenCall& call) = 0;
    /// A new incoming call.
    virtual void on_service(std::shared_ptr<OpenService> service) = 0;
    /// Input, credit or a cancel came for an incoming call.
    virtual void on_service_changed(OpenService& service) = 0;
    /// A ping was answered.
    virtual void on_ping() {}

   protected:
    ~Events() = default;
  };

  struct Options {
    bool serves = false;  ///< false: the other side may call nothing but ping
    std::size_t max_services = 1024;
    std::size_t max_arguments = 256 * 1024 * 1024;  // bytes of the arguments of all open services
    std::size_t max_abandoned = 1024;
    std::size_t max_unsent = 4 * 1024 * 1024;  // bytes of calls that the other side leaves unread; others wait
    // Beyond max_unsent: the last call that was made, and 1 MiB of credit. An honest peer never leaves more unread.
    std::size_t max_unread_credit = call_limits.bytes + std::size_t{1024} * 1024;
    std::size_t max_unread = 64 * 1024 * 1024;  // (serves) unread bytes of answers; beyond it no calls are accepted
  };

  Engine(Options&& options, Session& session, Events& events) = delete;  // they must outlive it
  Engine(const Options& options, Session& session, Events& events)
      : options_(options), session_(session), events_(events) {
    assert(options.max_abandoned < 0x8000);
    if (options.serves) services_ = std::make_unique<Services>();
  }

  /// Whether the other side may call.
  [[nodiscard]] bool serves() const noexcept { return services_ != nullptr; }

  /// Both sides have agreed to compress data (the feature compression_feature). Call it before the first call.
  void use_compression() noexcept { compresses_ = true; }
  [[nodiscard]] bool compresses() const noexcept { return compresses_; }

  // --- calls that we make

  /// Sends the boxes of calls that waited for room in the queue, the oldest first. Call it after each write.
  void send_waiting();

  /// Makes a call. Fails, before anything is sent, with too_large, invalid_argument or busy. Sends the box at once, or
  /// later in send_waiting() if it has to wait, or the other side leaves too much unread. A call that is left before
  /// its box is sent costs nothing.
  Result<OpenCall*> call(BytesView command, const Box& arguments, bool has_op, void* owner, bool has_to_wait = false);

  /// The caller leaves. A settled call is forgotten. An open one is cancelled, and forgotten when its answer comes.
  void leave(OpenCall& call);

  /// A chunk from take_chunk() was used up.
  void consumed(OpenCall& call, const Chunk& chunk);

  /// Sends the next bytes of `in`, whose size is at most the room that its credit leaves.
  void send_input(OpenCall& call, BoxData data);
  void end_input(OpenCall& call);

  /// Null if the engine does not know that call any more.
  [[nodiscard]] OpenCall* find_call(std::uint64_t id) {
    const auto found = find(id);
    return found == calls_.end() ? nullptr : found->get();
  }
  /// The id of the next call.
  [[nodiscard]] std::uint64_t next_call() const noexcept { return next_id_; }

  /// Whether the other side has yet to answer one of these calls. Our own pings do not count.
  [[nodiscard]] bool has_open_calls(const OperationRange& ids) const noexcept;

  /// The newest call before this one, if this one is the newest of all. Null if it is not, or there is no other.
  [[nodiscard]] const OpenCall* call_before(const OpenCall& newest) const noexcept {
    return calls_.size() < 2 || calls_.back().get() != &newest ? nullptr : calls_[calls_.size() - 2].get();
  }
  [[nodiscard]] std::size_t open_calls() const noexcept { return calls_.size(); }
  [[nodiscard]] std::size_t abandoned_calls() const noexcept { return abandoned_; }
  [[nodiscard]] const CreditPool& pool() const noexcept { return pool_; }

  // --- calls of the other side

  void answer(OpenService& service, const Box& results);
  void fail(OpenService& service, const Failure& failure);
  void send_output(OpenService& service, StreamName stream, BoxData data, std::optional<std::uint64_t> total,
                   const PieceMarks& marks = {});
  void consumed(OpenService& service, const Chunk& chunk);

  /// The incoming call whose operation has this name; null if there is none.
  [[nodiscard]] OpenService* service_of(BytesView op) const;

  [[nodiscard]] std::size_t open_services() const noexcept { return services_ ? services_->by_tag.size() : 0; }

  // --- the session

  /// Handles a box from Session::next(). A failure is a breach of the protocol. Large chunks that lie in `memory` are
  /// not copied, but keep it.
  Result<void> receive(const BoxView& box, const SharedMemory& memory = {});

  /// The session is over: every outgoing call fails with this, every service is cancelled.
  void end(const Failure& failure);

  /// Sends a box that the other side answers, so that each side hears the other. It does so even if the last ping is
  /// not answered yet, since its answer may wait behind a long box; but not if 1024 are unanswered.
  void ping();

  /// Frees memory that is kept for later use, if no call is open.
  void give_back() noexcept {
    if (calls_.empty()) calls_.shrink_to_fit();
  }

 private:
  using Calls = std::vector<std::unique_ptr<OpenCall>>;  // by id, ascending

  Result<void> receive_outcome(const BoxView& box, BytesView tag, bool is_error);
  Result<void> receive_call(const BoxView& box, BytesView command, BytesView tag);
  Result<void> receive_stream_box(const BoxView& box, BytesView command, const SharedMemory& memory);
  Result<void> receive_input(OpenService& service, Chunk chunk, const SharedMemory& memory);
  Result<void> receive_output(BytesView op, Chunk chunk, const SharedMemory& memory);
  Result<void> receive_credit(BytesView op, StreamName stream, std::uint64_t bytes);
  Result<void> pong(BytesView tag);
  void grant_credit(BytesView op, StreamName stream, std::uint64_t bytes);
  void settle(OpenCall& call, std::variant<Box, Failure> outcome);
  void close_service(OpenService& service);
  void push(BytesView box, bool ordered);

  [[nodiscard]] Calls::iterator find(std::optional<std::uint64_t> id);
  void forget(const OpenCall& call);

  // An engine lives as long as its session, and most sessions are idle, so what only some engines need is allocated
  // apart.
  struct Services {
    ServiceIndex<&OpenService::tag> by_tag;
    ServiceIndex<&OpenService::op> by_op;
    std::size_t arguments_size = 0;  // of all open services
  };

  const Options& options_;
  Session& session_;
  Events& events_;

  std::uint64_t next_id_ = 1;
  Calls calls_;
  CreditPool pool_;
  std::unique_ptr<Services> services_;  // null unless options.serves
  std::uint32_t ponged_at_ = 0;         // how many bytes were written when a ping was last answered, modulo 2^32
  std::uint16_t abandoned_ = 0;         // how many calls; at most max_abandoned, and pings
  std::uint8_t pongs_ = 0;              // answers to pings queued since the last write
  bool has_unsent_ : 1 = false;         // there may be calls that wait for room in the queue
  bool compresses_ : 1 = false;
};

}  // namespace remsh::rpc

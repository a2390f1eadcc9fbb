// Engine: the calls and streams of one session, without I/O: boxes in, boxes and completions out.
#pragma once

#include "base/operations_end.hpp"
#include "base/result.hpp"
#include "connection/long_value.hpp"
#include "rpc/credit.hpp"
#include "rpc/stream.hpp"
#include "session/session.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cassert>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace remsh::rpc {

/// One call that we made, from its box to the end of what we have to know of it.
struct OpenCall {
  enum class State : std::uint8_t {
    open,       // waits for its answer
    settled,    // `outcome` is there
    abandoned,  // its caller has left: kept until the answer comes, for its credit and its id
  };

  /// Only of calls with an `op`.
  struct Streams {
    SendCredit in;
    ReceiveStream out;
    ReceiveStream err;
  };

  std::uint64_t id = 0;
  State state = State::open;
  std::unique_ptr<Streams> streams;
  std::variant<Box, Failure> outcome;
  void* owner = nullptr;     // whatever the driver wants to find again
  Bytes unsent;              // its box, while that waits for room in the queue; empty: it was sent
  bool input_ended = false;  // end_input() came before that was sent

  [[nodiscard]] bool is_sent() const noexcept { return unsent.empty(); }
  [[nodiscard]] bool is_own_ping() const noexcept { return state == State::open && owner == nullptr; }
  [[nodiscard]] bool has_chunk() const { return streams && (!streams->out.empty() || !streams->err.empty()); }
  /// In the order of arrival within each stream; err first, as it is short and people wait for it.
  Chunk take_chunk() { return streams->err.empty() ? streams->out.take() : streams->err.take(); }
};

/// One call that the other side made and that is not answered yet.
struct OpenService {
  Bytes tag;
  Bytes op;  // empty: no streams, no cancel
  Bytes command;
  Box arguments;
  std::size_t arguments_size = 0;
  SendCredit out;
  SendCredit err;
  ReceiveStream in;
  void* owner = nullptr;  // whatever the driver wants to find again
  bool cancelled = false;
  bool answered = false;  // and out of the engine's tables
};

/// The calls and streams of one session, in both directions. Pure state: no mutex, no thread, no descriptor, no
/// clock. One thread at a time.
///
/// Boxes to send go to the Session. What comes in is told through Events, at once; the handler must not call back.
class Engine {
 public:
  class Events {
   public:
    /// A chunk, credit or the outcome came for a call that somebody waits for.
    virtual void on_call_changed(OpenCall& call) = 0;
    /// A new call of the other side.
    virtual void on_service(std::shared_ptr<OpenService> service) = 0;
    /// Input, credit or a cancel came for one.
    virtual void on_service_changed(OpenService& service) = 0;

   protected:
    ~Events() = default;
  };

  struct Options {
    bool serves = false;  ///< false: the other side has no verbs here, but ping
    std::size_t max_services = 1024;
    std::size_t max_arguments = 256 * 1024 * 1024;  // bytes of all open services
    std::size_t max_abandoned = 1024;
    std::size_t max_unsent = 4 * 1024 * 1024;  // bytes of calls that the other side does not read: others wait
    // Beyond max_unsent: the last call that was made, and 1 MiB of credit, which no honest side leaves unread.
    std::size_t max_unread_credit = call_limits.bytes + std::size_t{1024} * 1024;
    std::size_t max_unread = 64 * 1024 * 1024;  // (serves) bytes of answers that it does not read: no more are taken
  };

  Engine(Options&& options, Session& session, Events& events) = delete;  // they must outlive it
  Engine(const Options& options, Session& session, Events& events)
      : options_(options), session_(session), events_(events) {
    assert(options.max_abandoned < 0x8000);
    if (options.serves) services_ = std::make_unique<Services>();
  }

  /// Whether the other side may call.
  [[nodiscard]] bool serves() const noexcept { return services_ != nullptr; }

  // --- calls that we make

  /// Sends the boxes of calls that waited for room in the queue, those that came first in front. After each write.
  void send_waiting();

  /// Makes a call. Fails, before anything is sent, with too_large, invalid_argument or busy. Its box is sent at once,
  /// or by send_waiting() if too much is queued that the other side does not read; a call that is left before costs
  /// nothing.
  Result<OpenCall*> call(BytesView command, const Box& arguments, bool has_op, void* owner);

  /// The caller leaves. Settled: it is forgotten. Open: the other side is told, and it is forgotten with the answer.
  void leave(OpenCall& call);

  /// A chunk that take_chunk() gave was used up.
  void consumed(OpenCall& call, const Chunk& chunk);

  /// Sends the next of `in`: `count` <= room of the payload.
  void send_input(OpenCall& call, Block block, std::size_t count);
  void end_input(OpenCall& call);

  /// Null where it is not known any more.
  [[nodiscard]] OpenCall* find_call(std::uint64_t id) {
    const auto found = find(id);
    return found == calls_.end() ? nullptr : found->get();
  }
  /// The id that the next call gets.
  [[nodiscard]] std::uint64_t next_call() const noexcept { return next_id_; }

  /// Whether the other side has still to answer one of these; pings of our own do not count.
  [[nodiscard]] bool has_open_calls(const OperationRange& ids) const noexcept;

  /// The newest of the calls that are older than this one, the newest of all; null if there is none.
  [[nodiscard]] const OpenCall* call_before(const OpenCall& newest) const noexcept {
    return calls_.size() < 2 || calls_.back().get() != &newest ? nullptr : calls_[calls_.size() - 2].get();
  }
  [[nodiscard]] std::size_t open_calls() const noexcept { return calls_.size(); }
  [[nodiscard]] std::size_t abandoned_calls() const noexcept { return abandoned_; }
  [[nodiscard]] const CreditPool& pool() const noexcept { return pool_; }

  // --- calls of the other side

  void answer(OpenService& service, const Box& results);
  void fail(OpenService& service, const Failure& failure);
  void send_output(OpenService& service, StreamName stream, Block block, std::size_t count,
                   std::optional<std::uint64_t> total);
  void consumed(OpenService& service, const Chunk& chunk);

  [[nodiscard]] std::size_t open_services() const noexcept { return services_ ? services_->by_tag.size() : 0; }

  // --- the session

  /// A box came, as Session::next() gives them. A failure is a breach of the protocol. A chunk whose bytes lie in
  /// `lent`, for the call `reader`, is not copied: its reader uses it up before it reads again.
  Result<void> receive(const BoxView& box, const OpenCall* reader, BytesView lent);

  /// The session is over: every call we made fails with this, every service is cancelled.
  void end(const Failure& failure);

  /// Sends something that the other side answers, so that both see each other. Also if the one before is not answered
  /// yet: its answer may wait behind a long box. Not if more than a thousand are unanswered: that is no long box.
  void ping();

  /// Frees what it holds for later use, where no call is open.
  void give_back() noexcept {
    if (calls_.empty()) calls_.shrink_to_fit();
  }

 private:
  using Calls = std::vector<std::unique_ptr<OpenCall>>;  // by id, ascending

  Result<void> receive_outcome(const BoxView& box, BytesView tag, bool is_error);
  Result<void> receive_call(const BoxView& box, BytesView command, BytesView tag);
  Result<void> receive_stream_box(const BoxView& box, BytesView command, const OpenCall* reader, BytesView lent);
  Result<void> receive_input(OpenService& service, Chunk chunk);
  Result<void> receive_output(BytesView op, BytesView bytes, Chunk chunk, const OpenCall* reader, BytesView lent);
  Result<void> receive_credit(BytesView op, StreamName stream, std::uint64_t bytes);
  void grant_credit(BytesView op, StreamName stream, std::uint64_t bytes);
  void settle(OpenCall& call, std::variant<Box, Failure> outcome);
  void close_service(OpenService& service);
  void push(BytesView box, bool ordered);

  [[nodiscard]] Calls::iterator find(std::optional<std::uint64_t> id);
  void forget(const OpenCall& call) { calls_.erase(find(call.id)); }
  [[nodiscard]] OpenService* service_of(BytesView op) const;

  // An engine lives as long as its session, and most sessions are idle: what not all of them need is apart.
  struct Services {
    std::map<Bytes, std::shared_ptr<OpenService>, std::less<>> by_tag;
    std::map<Bytes, OpenService*, std::less<>> by_op;
    std::size_t arguments_size = 0;  // of all of them
  };

  const Options& options_;
  Session& session_;
  Events& events_;

  std::uint64_t next_id_ = 1;
  Calls calls_;
  CreditPool pool_;
  std::unique_ptr<Services> services_;  // where options.serves
  std::uint32_t ponged_at_ = 0;         // the bytes that were written, modulo 2^32, when a ping was answered last
  std::uint16_t abandoned_ = 0;         // calls; at most max_abandoned, and pings
  std::uint8_t pongs_ = 0;              // queued since anything was written
  bool has_unsent_ = false;             // there may be calls that wait for room in the queue
};

}  // namespace remsh::rpc

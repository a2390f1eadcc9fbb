// MasterSession: a master's side of remsh 1: what may be said when, and what a slave's boxes mean. No I/O.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <cstdint>
#include <optional>

namespace remsh::remsh1 {

/// Drives an original slave, after its registration: one call at a time, each to its end. One thread at a time.
///
///     send(session.begin("stat", Box{{"pathname", "/"}}));
///     auto event = session.feed(received());                // until session.is_idle()
///
/// The calls named execute, send and fetch go on after their answer: the first and the last with data from the slave
/// and its end, send with ours. All others are over when they are answered.
class MasterSession {
 public:
  /// What a box of the slave means.
  struct Event {
    enum class Kind : std::uint8_t {
      answered,  ///< it has been done, or has begun: see `results`
      failed,    ///< it could not be done: see `text`; it is over
      data,      ///< a piece of output, or of a file: see `data` and, of an execute, `stream`
      finished,  ///< (execute and fetch) all data has come; it is over
    };
    Kind kind = Kind::answered;
    Box results = {};
    Bytes text = {};
    Stream stream = Stream::out;
    Bytes data = {};
    ReturnCode result = {};         ///< (execute) with `finished`
    std::optional<Box> reply = {};  ///< to be sent, before anything else: the slave waits for it
  };

  /// Begins a call, when idle; gives its box. The arguments must be those that the original knows: it dies of others.
  [[nodiscard]] Box begin(Bytes command, Box arguments);

  /// (send) Gives the box with a piece of the file, of 1 to max_data bytes, when is_sending().
  [[nodiscard]] Box data(BytesView bytes);

  /// (send) Gives the box that ends the file, when is_sending(). The slave answers it.
  [[nodiscard]] Box finish();

  /// The next box of the slave. A failure is a breach of the protocol and the end: nothing after it makes sense.
  Result<Event> feed(Box box);

  /// No call is under way.
  [[nodiscard]] bool is_idle() const noexcept { return state_ == State::idle; }

  /// A send has been answered, and it is for us to go on.
  [[nodiscard]] bool is_sending() const noexcept { return state_ == State::sending; }

  /// (execute) A command may be running, which nothing but the end of the connection can stop.
  [[nodiscard]] bool is_executing() const noexcept { return state_ != State::idle && kind_ == Kind::execute; }

 private:
  enum class Kind : std::uint8_t { plain, execute, send, fetch };
  enum class State : std::uint8_t {
    idle,
    asked,      // our call has not been answered
    receiving,  // an execute or fetch: data comes, or the end
    sending,    // a send: the slave says nothing
    ending,     // a send: its end has not been answered
    broken,
  };

  Box call(Bytes command, Box arguments);
  Result<Event> take(Message message);
  Result<Event> answered(Answer answer);
  Result<Event> failed(ErrorAnswer error);
  Result<Event> called(Call call);

  Tags tags_;
  State state_ = State::idle;
  Kind kind_ = Kind::plain;
  Bytes asked_;  // the tag of the call to be answered
};

}  // namespace remsh::remsh1

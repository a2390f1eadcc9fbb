// MasterSession: a master's side of remsh 1: what may be sent when, and what a slave's boxes mean. No I/O.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <cstdint>
#include <optional>

namespace remsh::remsh1 {

/// Drives an original slave after its registration: one call at a time, each to its end. One thread at a time.
///
///     send(session.begin("stat", Box{{"pathname", "/"}}));
///     auto event = session.feed(received());                // until session.is_idle()
///
/// The calls named execute, send and fetch go on after their answer: execute and fetch with data from the slave and its
/// end, send with our data. All other calls are over when they are answered.
class MasterSession {
 public:
  /// What a box of the slave means.
  struct Event {
    enum class Kind : std::uint8_t {
      answered,  ///< the call is done, or has begun: see `results`
      failed,    ///< the call failed and is over: see `text`
      data,      ///< a piece of output, or of a file: see `data` and, for an execute, `stream`
      finished,  ///< (execute and fetch) all data has arrived; the call is over
    };
    Kind kind = Kind::answered;
    Box results = {};
    Bytes text = {};
    Stream stream = Stream::out;
    Bytes data = {};
    ReturnCode result = {};         ///< (execute) with `finished`
    std::optional<Box> reply = {};  ///< to be sent before anything else: the slave waits for it
  };

  /// Begins a call, when idle; returns its box. Pass only arguments that the original knows: others crash it.
  [[nodiscard]] Box begin(Bytes command, Box arguments);

  /// (send) Returns the box with a piece of the file, of 1 to max_data bytes, when is_sending().
  [[nodiscard]] Box data(BytesView bytes);

  /// (send) Returns the box that ends the file, when is_sending(). The slave answers it.
  [[nodiscard]] Box finish();

  /// Takes the next box of the slave. A failure is a breach of the protocol: the connection must be closed.
  Result<Event> feed(Box box);

  /// True if no call is in progress.
  [[nodiscard]] bool is_idle() const noexcept { return state_ == State::idle; }

  /// True if a send was answered, and its data may be sent.
  [[nodiscard]] bool is_sending() const noexcept { return state_ == State::sending; }

  /// (execute) True if a command may be running. Only the end of the connection can stop it.
  [[nodiscard]] bool is_executing() const noexcept { return state_ != State::idle && kind_ == Kind::execute; }

 private:
  enum class Kind : std::uint8_t { plain, execute, send, fetch };
  enum class State : std::uint8_t {
    idle,
    asked,      // the call is not answered yet
    receiving,  // an execute or fetch: data arrives, or the end
    sending,    // a send: the slave sends nothing
    ending,     // a send: its end is not answered yet
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
  Bytes asked_;  // the tag of the call that awaits its answer
};

}  // namespace remsh::remsh1

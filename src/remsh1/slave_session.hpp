// SlaveSession: the slave's side of remsh 1, for an original master; no I/O. See docs/remsh1.md.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <cstdint>
#include <optional>

namespace remsh::remsh1 {

/// Interprets the boxes of the master, and makes the boxes of our own calls. One thread at a time.
///
/// The master first confirms the registration, and then makes calls, one at a time. During a send its data arrives, and
/// possibly any other call except a second send. Answers to our own calls are dropped: the original sends none, but
/// other masters may.
class SlaveSession {
 public:
  struct Event {
    enum class Kind : std::uint8_t {
      registered,   ///< the master has accepted the registration
      call,         ///< `call` is to be executed: it is one of the ten calls, with all its arguments
      refused,      ///< `call` cannot be executed: answer it with the error `text`
      data,         ///< `text` is the next piece of the file that is being sent; it may be empty
      end_of_data,  ///< the file is complete: answer or fail `call`
      dropped,      ///< nothing to do
    };
    Kind kind = Kind::dropped;
    Call call = {};
    Bytes text = {};
  };

  /// The first box of the slave.
  [[nodiscard]] static Box start(Bytes hostname) { return Register{std::move(hostname), 1}.to_box(); }

  /// Takes the next box of the master. Fails with protocol_error if the connection cannot go on.
  Result<Event> feed(Box box);

  /// Call it when a send was answered, so that its data follows. Not while another send is in progress.
  void expect_data() { receiving_ = true; }

  /// A piece of a command's output, or of a fetched file, as an encoded box. At most max_data bytes.
  [[nodiscard]] Bytes data(std::optional<Stream> stream, BytesView bytes);

  /// The end of a command.
  [[nodiscard]] Box command_finished(const ReturnCode& code);

  /// The end of a fetched file; with the reason if it could not be read to its end.
  [[nodiscard]] Box file_finished(const std::optional<Bytes>& error = {});

 private:
  Result<Event> call(Call call);

  Tags tags_;
  bool registered_ = false;
  bool receiving_ = false;
};

}  // namespace remsh::remsh1

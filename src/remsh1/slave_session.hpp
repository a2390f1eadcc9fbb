// SlaveSession: the slave's side of remsh 1 towards an original master; no I/O. docs/remsh1.md says more.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <cstdint>
#include <optional>

namespace remsh::remsh1 {

/// Says what each box of the master means, and makes the boxes that are calls of our own. One thread at a time.
///
/// The master is registered first, then calls, one at a time. While a send is under way, its data comes, and any other
/// call but a second send. The answers that a more thorough master gives to our own calls are dropped: the original
/// gives none.
class SlaveSession {
 public:
  struct Event {
    enum class Kind : std::uint8_t {
      registered,   ///< the master has taken us
      call,         ///< `call` is to be done: one of the ten that there are, with all its arguments
      refused,      ///< `call` cannot be done, and `text` says why: to be answered with that error
      data,         ///< `text` is the next piece of the file that is being sent; it may be empty
      end_of_data,  ///< the file is complete: `call` is to be answered, or failed
      dropped,      ///< it meant nothing
    };
    Kind kind = Kind::dropped;
    Call call = {};
    Bytes text = {};
  };

  /// What the slave says first.
  [[nodiscard]] static Box start(Bytes hostname) { return Register{std::move(hostname), 1}.to_box(); }

  /// The next box of the master. Fails with protocol_error where the connection cannot go on.
  Result<Event> feed(Box box);

  /// A send was answered, so its data follows. Not while another one is under way.
  void expect_data() { receiving_ = true; }

  /// A piece of a command's output, or of a file that is fetched: the encoded box. At most max_data bytes.
  [[nodiscard]] Bytes data(std::optional<Stream> stream, BytesView bytes);

  /// The end of a command.
  [[nodiscard]] Box command_finished(const ReturnCode& code);

  /// The end of a file that is fetched; with the reason where it could not be read to its end.
  [[nodiscard]] Box file_finished(const std::optional<Bytes>& error = {});

 private:
  Result<Event> call(Call call);

  Tags tags_;
  bool registered_ = false;
  bool receiving_ = false;
};

}  // namespace remsh::remsh1

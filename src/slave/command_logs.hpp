// CommandLogs: the log files of one command, and the thread that reads them while it runs.
#pragma once

#include "base/result.hpp"
#include "operations/operations.hpp"
#include "os/followed_file.hpp"
#include "os/user.hpp"
#include "rpc/served_call.hpp"
#include "slave/workplace.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace remsh {

/// The log files of one command, which are sent on the stream `log` of its call. docs/protocol.md section 7. They are
/// read on a thread of their own, because a file may be on a disk that hangs. Made and started by a server thread; then
/// it belongs to the loop.
class CommandLogs {
 public:
  struct Log {
    Workplace::Place place;
    FollowedFile::From from;
  };

  /// The log files that a request names, in the directory of its command. Fails if one of them is outside of the root.
  static Result<std::vector<Log>> of(const operations::Execute::Request& request, const Workplace& workplace,
                                     const std::shared_ptr<const Directory>& directory);

  /// `user`: as whom the command runs, if not as ourselves. The files are opened with the rights of this account.
  CommandLogs(std::shared_ptr<Loop> loop, std::shared_ptr<rpc::ServedCall> call, std::vector<Log> logs,
              const operations::Execute::Request& request, std::optional<UserAccount> user);
  CommandLogs(const CommandLogs&) = delete;
  CommandLogs& operator=(const CommandLogs&) = delete;

  /// Stops the thread, and waits for it: a second at most, as its disk may hang. It may then outlive this object.
  ~CommandLogs();

  /// Starts the thread, and waits until it has looked at the files. `over` is called once, on that thread, when it is
  /// over. Throws std::system_error if there is no thread or no descriptor for it.
  void start(std::function<void(bool)> over);

  /// There may be room for output.
  void wake();

  /// The command has ended: what is in the files now is sent, and then it is over.
  void finish();

  /// Nothing more is wanted: it is over as soon as the disk lets it.
  void stop();

  /// The disk hangs: nobody waits for the thread any more, which ends when the disk lets it.
  void abandon();

  [[nodiscard]] bool is_over() const;

  /// When something was last read, or waited for room: until then the command was not silent.
  [[nodiscard]] TimePoint heard_at() const;

  /// Adds what became of the files. Call it when it is over.
  void report(operations::Execute::Reply& reply) const;

 private:
  class Reader;
  const std::shared_ptr<Reader> reader_;
  std::thread thread_;
};

}  // namespace remsh

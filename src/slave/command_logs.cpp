#include "slave/command_logs.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "os/file_events.hpp"
#include "os/threads.hpp"
#include "rpc/message.hpp"
#include "slave/output_cap.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// How much of one file is read before the others get their turn.
constexpr std::size_t log_bytes_per_turn = std::size_t{1024} * 1024;

/// How often all files are looked at, whether there were events or not: the system may have no events for us, or not
/// tell of what another host has written, and a directory may appear later.
constexpr std::chrono::milliseconds look_at_logs_every{1000};

/// How long the destructor waits for the thread.
constexpr Duration patience_with_disk = std::chrono::seconds(1);

FollowedFile::From from_of(LogBegin begin) {
  switch (begin) {
    case LogBegin::changed: return FollowedFile::From::changed;
    case LogBegin::start: return FollowedFile::From::start;
    case LogBegin::end: break;
  }
  return FollowedFile::From::end;
}

}  // namespace

/// What the thread works with, and what others tell it. Its thread keeps it alive.
class CommandLogs::Reader {
 public:
  Reader(std::shared_ptr<Loop> loop, std::shared_ptr<rpc::ServedCall> call, std::vector<Log> logs,
         const operations::Execute::Request& request, std::optional<UserAccount> user)
      : loop_(std::move(loop)), call_(std::move(call)), has_times_(request.at), user_(std::move(user)) {
    files_.reserve(logs.size());
    for (Log& log : logs) files_.emplace_back(std::move(log), OutputCap(request.max_bytes, request.max_lines));
  }

  void open_wake() {
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) throw std::system_error(errno, std::generic_category(), "what wakes the reader of log files");
  }

  // For any thread.

  [[nodiscard]] Loop& loop() const { return *loop_; }
  void wake() const {
    const std::uint64_t one = 1;
    static_cast<void>(::write(wake_.get(), &one, sizeof one) == 0);  // if it is full, it is awake
  }
  void finish() {
    finishes_ = true;
    wake();
  }
  void stop() {
    stops_ = true;
    wake();
  }
  [[nodiscard]] bool is_over() const { return is_over_; }
  void wait_until_begun() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return has_begun_; });
  }
  bool wait_until_over(Duration limit) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return is_over_.load(); });
  }
  [[nodiscard]] TimePoint heard_at() const { return waits_ ? loop_->now() : TimePoint(Duration(heard_at_.load())); }

  /// The life of the thread. Returns why it could not read anything, if so.
  std::optional<Failure> run() {
    if (user_ && !take_rights_to_files(*user_)) return os_failure(EPERM, "the rights of the user");
    for (File& file : files_) begin(file);
    note_begin();
    bool ends = false;
    while (!stops_) {
      if (finishes_ && !std::exchange(ends, true)) {
        take_events();
        for (File& file : files_) file.followed->end_here();
      }
      const Turn turn = move_all();
      waits_ = turn == Turn::no_room;
      if (turn == Turn::more) continue;
      if (ends && turn == Turn::nothing) break;
      wait(turn == Turn::no_room);
    }
    return {};
  }

  /// Called by the thread at its end, with the reason if it has failed.
  void end(std::optional<Failure> failure) {
    failure_ = std::move(failure);
    waits_ = false;
    const std::lock_guard lock(mutex_);
    is_over_ = has_begun_ = true;
    changed_.notify_all();
  }

  void report(operations::Execute::Reply& reply) const {
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const File& file = files_[i];
      const Bytes number = std::to_string(i);
      const std::optional<Failure>& problem = failure_ || !file.followed ? failure_ : file.followed->problem();
      if (problem) reply.log_errors[number] = rpc::error_code(*problem) + " " + problem->message;
      if (file.cap.dropped() > 0) reply.log_dropped[number] = std::to_string(file.cap.dropped());
    }
  }

 private:
  void note_begin() {
    const std::lock_guard lock(mutex_);
    has_begun_ = true;
    changed_.notify_all();
  }

  enum class Turn : std::uint8_t {
    nothing,  ///< nothing is there to be sent now
    more,     ///< there may be more
    no_room,  ///< the rest waits for room
  };

  struct File {
    File(Log log, OutputCap limits) : place(std::move(log.place)), from(log.from), cap(std::move(limits)) {}

    Workplace::Place place;
    FollowedFile::From from;
    OutputCap cap;
    std::optional<FollowedFile> followed = {};
    Bytes name = {};  // in its directory
    int directory_watch = -1;
    int watch = -1;
    std::uint64_t watched = 0;  // the file that was opened so often
  };

  /// The directory is watched before the file is looked for, so that none appears unseen in between.
  void begin(File& file) {
    watch_directory(file);
    file.followed.emplace(file.place.at, file.place.path, file.from);
    watch_file(file);
  }

  void watch_directory(File& file) {
    Result<OpenParent> parent = open_parent(file.place.at, file.place.path);
    file.directory_watch = parent.ok() ? events_.watch_directory(parent->directory.get()) : -1;
    if (parent.ok()) file.name = std::move(parent->name);
  }

  /// True if the file is another one than before: what was written before it was watched is to be read.
  bool watch_file(File& file) {
    if (file.watched == file.followed->openings()) return false;
    file.watched = file.followed->openings();
    events_.forget(file.watch);
    file.watch = events_.watch_file(file.followed->descriptor());
    return true;
  }

  Turn move_all() {
    Turn all = Turn::nothing;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      Turn turn = move(i);
      if (turn == Turn::nothing && watch_file(files_[i])) turn = Turn::more;
      all = std::max(all, turn);
    }
    return all;
  }

  /// Sends what is in a file, as far as there is room, and for one turn.
  Turn move(std::size_t number) {
    File& file = files_[number];
    for (std::size_t left = log_bytes_per_turn; left > 0;) {
      if (!send_mark(number)) return Turn::no_room;
      std::size_t wanted = Block::max_payload;
      if (!file.cap.is_closed()) wanted = std::min(wanted, call_->room(rpc::StreamName::log));
      if (wanted == 0) return Turn::no_room;
      if (!spare_) spare_.emplace();
      const std::size_t count = file.followed->read(spare_->payload().first(wanted));
      if (count == 0) return Turn::nothing;
      heard_at_ = loop_->now().time_since_epoch().count();
      left -= std::min(left, count);
      const std::size_t passes = file.cap.admit({spare_->payload().data(), count});
      if (passes == 0) continue;
      send(std::move(*spare_), passes, number);
      spare_.reset();
    }
    return Turn::more;
  }

  /// Sends the line about what is dropped of a file, if there is one. False if there is no room for all of it.
  bool send_mark(std::size_t number) {
    OutputCap& cap = files_[number].cap;
    while (!cap.mark().empty()) {
      const BytesView mark = cap.mark();
      const std::size_t count = std::min(mark.size(), call_->room(rpc::StreamName::log));
      if (count == 0) return false;
      Block line;
      std::copy_n(mark.begin(), count, line.payload().begin());
      send(std::move(line), count, number);
      cap.mark_sent(count);
    }
    return true;
  }

  /// The loop flushes: a flush may start a thread, which would inherit the rights that this one has taken. It does so
  /// after each piece, since the connection counts on it, and the next read may hang.
  void send(Block piece, std::size_t count, std::size_t number) {
    call_->send(rpc::StreamName::log, std::move(piece), count, marks(number));
    loop_->post([call = call_] { call->flush(); });
  }

  [[nodiscard]] rpc::PieceMarks marks(std::size_t number) const {
    using namespace std::chrono;
    rpc::PieceMarks marks{.at = {}, .log = number};
    if (has_times_) {
      const auto now = duration_cast<microseconds>(system_clock::now().time_since_epoch());
      marks.at = static_cast<std::uint64_t>(now.count());
    }
    return marks;
  }

  /// Waits until there may be something to do. Without room, only to be woken.
  void wait(bool without_room) {
    const TimePoint until = loop_->now() + look_at_logs_every;
    for (bool is_over = false; !is_over;) {
      std::array<pollfd, 2> ready{{{wake_.get(), POLLIN, 0}, {events_.descriptor(), POLLIN, 0}}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - loop_->now());
      ::poll(ready.data(), without_room ? 1 : 2, without_room ? -1 : std::max(static_cast<int>(left.count()), 0));
      std::uint64_t ignored = 0;
      is_over = ::read(wake_.get(), &ignored, sizeof ignored) > 0;
      if (without_room) continue;
      if (left.count() <= 0) {  // also beside events that are not of these files
        for (File& file : files_) watch_directory(file);
        return;
      }
      is_over = take_events() || is_over;
    }
  }

  /// Whether there was an event of one of the files.
  bool take_events() {
    bool is_ours = false;
    events_.read([&](int watch, std::string_view name) { is_ours = take(watch, name) || is_ours; });
    return is_ours;
  }

  /// Whether an event is of one of the files.
  bool take(int watch, std::string_view name) {
    bool is_ours = watch < 0;
    for (File& file : files_) {
      if (watch == file.watch) file.followed->note_change();
      is_ours = is_ours || watch == file.watch || (watch == file.directory_watch && name == file.name);
    }
    return is_ours;
  }

  const std::shared_ptr<Loop> loop_;
  const std::shared_ptr<rpc::ServedCall> call_;
  const bool has_times_;
  const std::optional<UserAccount> user_;
  UniqueFd wake_;
  std::atomic<bool> finishes_ = false;
  std::atomic<bool> stops_ = false;
  std::atomic<bool> is_over_ = false;
  std::atomic<bool> waits_ = false;  // for room
  std::atomic<Duration::rep> heard_at_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_begun_ = false;

  // The thread's, until it is over.
  FileEvents events_;
  std::vector<File> files_;
  std::optional<Failure> failure_;  // of all files
  std::optional<Block> spare_;      // an empty block, so that a read of no bytes allocates nothing
};

Result<std::vector<CommandLogs::Log>> CommandLogs::of(const operations::Execute::Request& request,
                                                      const Workplace& workplace,
                                                      const std::shared_ptr<const Directory>& directory) {
  std::vector<Log> logs;
  for (const operations::LogRequest& asked : request.logs) {
    auto place = workplace.place_in(directory, asked.path);
    if (!place) {
      return Failure{place.failure().code,
                     formatted("the log file {}: {}", start_in_quotes(asked.path), place.failure().message),
                     place.failure().os};
    }
    // The command could make its log a link to what the slave itself may open.
    if (!request.user.empty() && !place->at.is_confined()) place->at.reach = At::Reach::without_magic;
    logs.push_back({std::move(*place), from_of(asked.begin)});
  }
  return logs;
}

CommandLogs::CommandLogs(std::shared_ptr<Loop> loop, std::shared_ptr<rpc::ServedCall> call, std::vector<Log> logs,
                         const operations::Execute::Request& request, std::optional<UserAccount> user)
    : reader_(std::make_shared<Reader>(std::move(loop), std::move(call), std::move(logs), request, std::move(user))) {}

CommandLogs::~CommandLogs() {
  if (!thread_.joinable()) return;
  stop();
  if (reader_->wait_until_over(patience_with_disk)) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void CommandLogs::start(std::function<void(bool)> over) {
  reader_->open_wake();
  thread_ = start_thread("remsh-logs", [reader = reader_, over = std::move(over)]() mutable {
    std::optional<Failure> failure;
    try {
      failure = reader->run();
    } catch (const std::exception& error) {
      failure = Failure{Errc::remote_failure, error.what(), 0};
    }
    reader->end(std::move(failure));
    over(true);
    // The last user of the call may flush it: see send().
    Loop& loop = reader->loop();
    loop.post([reader = std::move(reader)] {});
  });
  reader_->wait_until_begun();
}

void CommandLogs::wake() { reader_->wake(); }
void CommandLogs::finish() { reader_->finish(); }
void CommandLogs::stop() { reader_->stop(); }
void CommandLogs::abandon() { thread_.detach(); }
bool CommandLogs::is_over() const { return reader_->is_over(); }
TimePoint CommandLogs::heard_at() const { return reader_->heard_at(); }
void CommandLogs::report(operations::Execute::Reply& reply) const { reader_->report(reply); }

}  // namespace remsh

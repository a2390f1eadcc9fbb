#include "master/buildbot_script.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "operations/file_info.hpp"
#include "os/file.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <system_error>

namespace remsh {

using buildbot::WorkerUpdate;

namespace {

/// How much of what a command says about an error is kept.
constexpr std::size_t max_err = 8192;

/// What the lines of a header say about the end of a program. The lines before its start have its arguments, which may
/// look like anything.
void read_header(BytesView header, BuildbotCommandEnd& end) {
  constexpr BytesView killed = "process killed by signal ";
  constexpr BytesView timed_out = "command timed out: ";
  constexpr BytesView last_before_start = " using PTY: ";
  while (!header.empty()) {
    BytesView line = take_until('\n', header);
    if (line.starts_with(last_before_start)) {
      end.signal.reset();
      end.interrupted = end.timed_out = end.went_silent = false;
    }
    if (line.starts_with("command interrupted")) end.interrupted = true;
    if (line.starts_with(killed)) {
      const auto number = from_decimal(line.substr(killed.size()));
      if (number && *number <= 64) end.signal = static_cast<int>(*number);
    }
    if (line.starts_with(timed_out)) {
      line.remove_prefix(timed_out.size());
      line.remove_prefix(std::min(line.find_first_not_of("0123456789.e-"), line.size()));
      const bool was_silent = line.starts_with(" seconds without output");
      (was_silent ? end.went_silent : end.timed_out) = true;
    }
  }
}

/// From (mode, inode, device, links, user, group, size, atime, mtime, ctime).
std::optional<FileInfo> file_info_from(const Value& stat) {
  const auto* const tuple = stat.get_if<Value::Tuple>();
  const auto* const list = stat.get_if<Value::List>();
  if (tuple == nullptr && list == nullptr) return std::nullopt;
  const std::vector<Value>& items = tuple != nullptr ? tuple->items : list->items;
  const auto number = [&items](std::size_t at) -> std::optional<std::int64_t> {
    const auto* const value = at < items.size() ? items[at].get_if<std::int64_t>() : nullptr;
    return value != nullptr ? std::optional(*value) : std::nullopt;
  };
  const auto mode = number(0);
  const auto size = number(6);
  if (!mode || !size || *mode < 0 || *size < 0) return std::nullopt;
  struct stat status {};
  status.st_mode = static_cast<mode_t>(*mode & 0177777);
  status.st_size = *size;
  status.st_mtim.tv_sec = number(8).value_or(0);
  return file_info_of(status);
}

/// The error of the system with which a message of a program ends, in English; 0 if it ends otherwise.
int error_named_in(BytesView message) {
  message = message.substr(0, message.find_last_not_of('\n') + 1);
  for (const int error : {EACCES, EPERM, ENOENT, ENOTDIR, EISDIR, EEXIST, ENOTEMPTY, ENOSPC, EDQUOT, EROFS, ELOOP,
                          ENAMETOOLONG, EXDEV, EBUSY, EIO, EFBIG, EMLINK}) {
    if (message.ends_with(": " + std::generic_category().message(error))) return error;
  }
  return 0;
}

}  // namespace

// --- for the thread that drives

BuildbotPiece BuildbotScript::take_piece() {
  BuildbotPiece piece = std::move(pieces_.front());
  pieces_.pop_front();
  backlog_ -= piece.weight();
  return piece;
}

void BuildbotScript::took_file(std::uint64_t size) {
  count_output(size);
  if (std::exchange(awaits_piece_, false)) session().took(command_);
}

void BuildbotScript::give_input(BytesView bytes) {
  count_input(bytes.size());
  if (std::exchange(awaits_piece_, false)) session().give(command_, bytes);
}

void BuildbotScript::leave() {
  if (has_left_ || is_finished()) return;
  has_left_ = true;
  pieces_.clear();
  backlog_ = 0;
  wake_ = nullptr;
  interrupt_transfer("its caller has left");
}

void BuildbotScript::wake() {
  worker_.has_news = true;
  if (Waker wake = std::exchange(wake_, nullptr)) worker_.wakers.push_back(std::move(wake));
}

void BuildbotScript::push(BuildbotPiece piece) {
  if (has_left_) return;
  backlog_ += piece.weight();
  pieces_.push_back(std::move(piece));
  wake();
}

// --- for the back end

void BuildbotScript::wants_input(std::size_t size) {
  if (has_left_) return session().give(command_, {});
  awaits_piece_ = true;
  push({.kind = BuildbotPiece::Kind::room, .number = size});
}

void BuildbotScript::sends_file(Bytes data) {
  if (has_left_) return session().took(command_);
  awaits_piece_ = true;
  push({.kind = BuildbotPiece::Kind::file, .data = std::move(data), .is_err = streams_.is_err});
}

void BuildbotScript::update(WorkerUpdate update) {
  switch (update.kind) {
    case WorkerUpdate::Kind::out:
      if (streams_.text) return streams_.text(update.text);
      if (streams_.is_piped) push({.kind = BuildbotPiece::Kind::out, .data = std::move(update.text)});
      return;
    case WorkerUpdate::Kind::err:
      if (streams_.is_piped) return push({.kind = BuildbotPiece::Kind::err, .data = std::move(update.text)});
      so_far_.err += update.text.substr(0, max_err - std::min(max_err, so_far_.err.size()));
      return;
    case WorkerUpdate::Kind::header: return read_header(update.text, so_far_);
    case WorkerUpdate::Kind::log: {
      const auto number = from_decimal(update.log);
      if (number) push({.kind = BuildbotPiece::Kind::log, .data = std::move(update.text), .number = *number});
      return;
    }
    case WorkerUpdate::Kind::rc: so_far_.rc = update.rc; return;
    case WorkerUpdate::Kind::elapsed: so_far_.elapsed = update.seconds; return;
    case WorkerUpdate::Kind::stat: so_far_.stat = std::move(update.value); return;
  }
}

void BuildbotScript::command_ended(std::string failure, bool is_dropped) {
  CommandEnd end = std::exchange(so_far_, {});
  end.is_dropped = is_dropped;
  end.failure = std::move(failure);
  command_.clear();
  awaits_piece_ = false;
  const Next next = std::exchange(next_, nullptr);
  if ((!has_left_ && !forced_) || is_cleaning_) return next(std::move(end));
  is_cleaning_ = true;
  clean_up();
}

void BuildbotScript::end(const Failure& failure) {
  command_.clear();
  awaits_piece_ = false;
  if (!is_finished()) finish(failure);
}

void BuildbotScript::overflow() {
  pieces_.clear();
  backlog_ = 0;
  forced_ = Failure{Errc::too_large, "its callback did not return while other operations of the slave waited", 0};
  interrupt_transfer("its output is not taken");
}

// --- for scripts

void BuildbotScript::run(const buildbot::WorkerCommand& command, Next next, Streams streams) {
  assert(!is_running());
  command_ = worker_.group.new_command_id();
  next_ = std::move(next);
  streams_ = std::move(streams);
  worker_.commands[command_] = this;
  const std::uint64_t request = session().start(command_, command);
  // A failed start ends the command: no `complete` follows. The script may already be over when the start is answered.
  worker_.requests[request] = [&worker = worker_, id = command_](const Result<Value>& answer) {
    if (answer) return;
    const auto failed = worker.commands.extract(id);
    if (failed && failed.mapped() != nullptr) failed.mapped()->command_ended(answer.failure().message);
  };
}

buildbot::WorkerCommand BuildbotScript::shell(const char* program, std::vector<std::string> args) const {
  buildbot::WorkerCommand command{.kind = Kind::shell, .path = info().basedir};
  command.shell.args = {"/bin/sh", "-c", program, "remsh"};
  command.shell.env = {{"LC_ALL", "C"}};  // so that messages of errors are known
  command.shell.args.insert(command.shell.args.end(), args.begin(), args.end());
  return command;
}

void BuildbotScript::look(const std::string& path, std::function<void(Result<std::optional<FileInfo>>)> next) {
  run({.kind = Kind::stat, .path = path}, [path, next = std::move(next)](const CommandEnd& end) {
    if (end.rc == ENOENT || end.rc == ENOTDIR) return next(std::optional<FileInfo>());
    if (!end.is_good()) return next(failure_of(path, end));
    const auto info = file_info_from(end.stat);
    if (!info) return next(breach("its answer to stat makes no sense"));
    next(info);
  });
}

Failure BuildbotScript::failure_of(const std::string& path, const CommandEnd& end) {
  const std::string where = start_in_quotes(path) + ": ";
  if (!end.failure.empty()) return {Errc::remote_failure, where + without_controls(end.failure.substr(0, max_err)), 0};
  if (const int error = error_named_in(end.err)) return os_failure(error, start_in_quotes(path));
  if (!end.err.empty() || end.rc.value_or(0) <= 0 || *end.rc > 255) {
    return {Errc::remote_failure, where + (end.err.empty() ? "the worker gives no reason" : without_controls(end.err)),
            0};
  }
  return os_failure(static_cast<int>(*end.rc), start_in_quotes(path));
}

void BuildbotScript::need_directory(const std::string& path, std::function<void()> next) {
  look(path, [this, path, next = std::move(next)](Result<std::optional<FileInfo>> there) {
    if (!there) return finish(std::move(there).failure());
    if (!*there) return finish(os_failure(ENOENT, in_quotes(path)));
    if (!(*there)->is_directory()) return finish(os_failure(ENOTDIR, in_quotes(path)));
    next();
  });
}

void BuildbotScript::need_file(const std::string& path, std::function<void(const FileInfo&)> next) {
  look(path, [this, path, next = std::move(next)](Result<std::optional<FileInfo>> there) {
    if (!there) return finish(std::move(there).failure());
    if (!*there) return finish(os_failure(ENOENT, in_quotes(path)));
    if ((*there)->is_directory()) return finish(os_failure(EISDIR, in_quotes(path)));
    next(**there);
  });
}

void BuildbotScript::ask(std::uint64_t request, std::function<void(Result<Value>)> next) {
  worker_.requests[request] = [self = shared_from_this(), next = std::move(next)](Result<Value> answer) {
    if (!self->is_finished()) next(std::move(answer));
  };
}

void BuildbotScript::finish(Result<void> result) {
  assert(!is_running() && !is_finished());
  result_ = forced_ ? Result<void>(*forced_) : std::move(result);
  worker_.finished.push_back(shared_from_this());
  worker_.scripts.erase(number());
  wake();
}

BuildbotScript::Next BuildbotScript::finish_with(std::string path) {
  return [this, path = std::move(path)](const CommandEnd& end) {
    finish(end.is_good() ? Result<void>() : failure_of(path, end));
  };
}

Result<std::string> BuildbotScript::absolute(const Bytes& path) const {
  constexpr std::size_t longest = 4096;
  if (path.size() > longest) return os_failure(ENAMETOOLONG, start_in_quotes(path));
  if (!is_utf8(path)) return unsupported_by_buildbot("has only names in UTF-8: " + in_quotes(path) + " is none");
  return path.starts_with('/') ? path : worker_.cwd + (worker_.cwd.ends_with('/') ? "" : "/") + path;
}

void BuildbotScript::interrupt_command(std::string_view why) {
  if (is_running()) session().interrupt(command_, why);
}

void BuildbotScript::interrupt_transfer(std::string_view why) {
  interrupt_command(why);
  if (!std::exchange(awaits_piece_, false)) return;
  std::erase_if(pieces_, [this](const BuildbotPiece& piece) {
    const bool is_awaited = piece.kind == BuildbotPiece::Kind::room || piece.kind == BuildbotPiece::Kind::file;
    if (is_awaited) backlog_ -= piece.weight();
    return is_awaited;
  });
  session().give(command_, {});  // the worker waits for one of these two
  session().took(command_);
}

BuildbotScript* BuildbotScript::script_of(std::uint64_t operation) noexcept {
  const auto found = worker_.scripts.find(operation);
  return found == worker_.scripts.end() ? nullptr : found->second.get();
}

}  // namespace remsh

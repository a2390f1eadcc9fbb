#include "master/remsh1_backend.hpp"

#include "base/connection_words.hpp"
#include "base/misuse.hpp"
#include "base/text.hpp"
#include "master/errand.hpp"
#include "master/remsh1_turn.hpp"
#include "os/random.hpp"
#include "remsh1/error_text.hpp"
#include "remsh1/message.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <initializer_list>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// More output than this for a caller that is slow to take it, and we stop reading.
constexpr std::size_t max_queued = std::size_t{1024} * 1024;

/// What a new file is on the slave without our doing, its umask being the usual one.
constexpr std::uint32_t usual_mode = 0644;

Failure bad_answer(BytesView command, const std::string& why) {
  return {Errc::protocol_error, "the answer to " + Bytes(command) + " makes no sense: " + why, 0};
}

/// Fails where a value is too long to be sent at all.
Result<void> check(std::initializer_list<BytesView> values) {
  const auto fits = [](BytesView value) { return value.size() <= remsh1::max_data; };
  if (std::all_of(values.begin(), values.end(), fits)) return {};
  return remsh1::unsupported("has no values of over " + std::to_string(remsh1::max_data) + " bytes");
}

/// A new name beside a path, of a file that is to get that path once it is complete.
Bytes temporary_beside(const Bytes& path) {
  std::array<char, 8> random{};
  random_bytes(random);
  Bytes name = path.substr(0, path.rfind('/') + 1) + ".remsh-";
  for (const char c : random) {
    name += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
    name += "0123456789abcdef"[static_cast<unsigned char>(c) & 0xfU];
  }
  return name + ".part";
}

Failure exists(const Bytes& path, bool overwrite) {
  const std::string what = "'" + escaped(path) + "' already exists";
  if (!overwrite) return {Errc::os_error, what, EEXIST};
  return remsh1::unsupported("cannot replace anything in one step, and " + what + ": remove it first");
}

bool is_exists(const Failure& failure) { return failure.os == EEXIST; }

}  // namespace

// --- the connection

Remsh1Backend::~Remsh1Backend() {
  // Nobody is inside: they would hold us.
  if (transport_) {
    transport_->disarm_for_good(loop_->watcher());
    loop_->remove(slot_);
  }
  tell_lost(on_lost_);
}

void Remsh1Backend::open(std::unique_ptr<Transport> transport) {
  slot_ = loop_->add(weak_from_this());
  const std::lock_guard lock(mutex_);
  transport_ = std::move(transport);
  if (end_) {  // disconnect() came before
    Failure failure = std::move(*end_);
    end_.reset();
    declare_end(std::move(failure));
  }
  rearm();
}

void Remsh1Backend::fail(Failure failure) {
  {
    const std::lock_guard lock(mutex_);
    assert(!transport_);
    if (!end_) end_ = std::move(failure);
    is_buried_ = true;
  }
  tell_lost(on_lost_);
}

std::optional<Failure> Remsh1Backend::lost() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void Remsh1Backend::on_lost(std::unique_ptr<LostCallback> callback) { on_lost_.add(std::move(callback)); }

void Remsh1Backend::end_connection(Failure why) {
  const std::lock_guard lock(mutex_);
  declare_end(std::move(why));
}

void Remsh1Backend::wait_until_left() {
  std::unique_lock lock(mutex_);
  if (holder_ == Holder::caller && holding_ == Errand::acting_for()) {
    misuse("a listener is destroyed in a callback of a call on one of its slaves, which it would wait for");
  }
  left_.wait(lock, [this] { return is_buried_ && inside_ == 0; });
}

/// What an operation has left for the io thread to do is part of it.
void Remsh1Backend::over(OperationsEnds ends) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (holder_ == Holder::io_thread && !is_buried_) {
      settling_.add(std::move(ends));
      return;
    }
  }
  ends.note();
}

/// On the loop: the turn that was left is at its end, or the slave is gone.
void Remsh1Backend::note_settled() noexcept {
  OperationsEnds ends;
  {
    const std::lock_guard lock(mutex_);
    if (holder_ == Holder::io_thread && !is_buried_) return;  // another one has been left meanwhile
    ends = std::move(settling_);
  }
  ends.note();
}

/// From here on there is no slave any more, for anybody; the io thread lets the transport go.
void Remsh1Backend::declare_end(Failure failure) {
  if (end_) return;
  end_ = std::move(failure);
  turn_changed_.notify_all();
  happened_.notify_all();
  if (!transport_) return;
  // An original slave ends at once where it is cut off inside a box, and spins for ever where it is not.
  if (unwritten() != 1) {
    const std::string_view one_byte =
        unwritten() == 0 ? std::string_view("\0", 1) : std::string_view(out_).substr(written_, 1);
    transport_->write_some({&one_byte, 1});
  }
  transport_->shutdown();
  loop_->post([self = shared_from_this()] { self->bury(); });
}

/// The last thing, on the loop.
void Remsh1Backend::bury() {
  std::unique_ptr<Transport> transport;
  {
    const std::lock_guard lock(mutex_);
    transport_->disarm_for_good(loop_->watcher());
    loop_->remove(slot_);
    transport = std::move(transport_);
    out_ = Bytes();
    written_ = 0;
    is_buried_ = true;
    left_.notify_all();
  }
  transport.reset();
  note_settled();
  owner_.on_end(*this, *end_);  // which does not change any more
  tell_lost(on_lost_);
}

void Remsh1Backend::on_ready(std::uint32_t number, Ready directions) {
  {
    const std::lock_guard lock(mutex_);
    if (number != number_ || end_) return;
    armed_ = Ready::none;  // an event disarms both
  }
  // Nobody else reads, and the transport goes on this thread only.
  constexpr std::size_t size = std::size_t{64} * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);  // the stacks of musl are small
  IoResult result;
  if (has(directions, Ready::read)) result = transport_->read_some({buffer.get(), size}, Duration::zero());
  const std::lock_guard lock(mutex_);
  if (end_) return;
  take_in(result, BytesView(buffer.get(), result.bytes));
  flush();
  rearm();
}

void Remsh1Backend::rearm() {
  if (end_) return;
  const Ready wanted =
      (queued_ < max_queued ? Ready::read : Ready::none) | (unwritten() > 0 ? Ready::write : Ready::none);
  if (wanted == armed_) return;
  armed_ = wanted;
  transport_->arm(loop_->watcher(), wanted, Loop::token(slot_, ++number_));
}

void Remsh1Backend::write(const Box& box) {
  append_box(out_, box);
  flush();
  rearm();
}

/// Writes what fits without waiting.
void Remsh1Backend::flush() {
  if (end_) return;
  while (unwritten() > 0) {
    if (write_failed_) break;
    const std::string_view rest = std::string_view(out_).substr(written_);
    const IoResult result = transport_->write_some({&rest, 1});
    if (result.status == IoResult::Status::would_block) break;
    if (result.status == IoResult::Status::ok) {
      written_ += result.bytes;
    } else {
      // What the slave said before it went may still be read: the end is found there.
      write_failed_ = remsh1::lost_because(connection_broke("write", result.error), result.error);
      transport_->shutdown();
    }
  }
  if (write_failed_ || unwritten() == 0) {
    out_ = Bytes();
    written_ = 0;
  } else if (written_ > remsh1::max_unwritten) {
    out_.erase(0, written_);
    written_ = 0;
  }
  if (unwritten() < remsh1::max_unwritten) happened_.notify_all();
}

void Remsh1Backend::take_in(const IoResult& result, BytesView bytes) {
  switch (result.status) {
    case IoResult::Status::would_block: return;
    case IoResult::Status::failed:
      return declare_end(
          write_failed_.value_or(remsh1::lost_because(connection_broke("read", result.error), result.error)));
    case IoResult::Status::end:
      return declare_end(write_failed_.value_or(
          remsh1::lost_because(decoder_.is_inside_box() ? cut_in_message : closed_without_goodbye)));
    case IoResult::Status::ok: break;
  }
  decoder_.feed(bytes);
  while (!end_ && decoder_.next()) {
    auto event = session_.feed(decoder_.box().copy());
    if (event) {
      take(std::move(*event));
    } else {
      Failure failure = std::move(event).failure();
      failure.reason = DisconnectReason::misbehaved;
      declare_end(std::move(failure));
    }
  }
  if (decoder_.error() != BoxError::none) {
    declare_end({Errc::protocol_error, "the slave sent " + std::string(to_string(decoder_.error())), 0,
                 DisconnectReason::misbehaved});
  }
}

/// One event, for the caller whose turn it is; or nobody's, where that has left.
void Remsh1Backend::take(Event event) {
  if (event.reply) write(*event.reply);
  if (holder_ == Holder::caller) {
    queued_ += remsh1::weight(event);
    events_.push_back(std::move(event));
    happened_.notify_all();
    return;
  }
  if (event.kind == Event::Kind::failed && is_vital_) {
    return declare_end(remsh1::lost_because("it cannot go back to its directory: " + without_controls(event.text)));
  }
  settle();
}

/// Goes one step further with a turn whose caller has left, as far as the slave lets us now.
void Remsh1Backend::settle() {
  assert(holder_ == Holder::io_thread);
  if (end_) return;
  if (session_.is_sending()) return write(session_.finish());
  if (!session_.is_idle()) return;
  if (last_calls_.empty()) {
    holder_ = Holder::nobody;
    turn_changed_.notify_all();
    if (!settling_.empty()) loop_->post([self = shared_from_this()] { self->note_settled(); });
    return;
  }
  LastCall last = std::move(last_calls_.front());
  last_calls_.pop_front();
  is_vital_ = last.is_vital;
  write(session_.begin(std::move(last.command), std::move(last.arguments)));
}

// --- the operations

namespace {
Result<void> done(const Result<Box>& answer) { return answer ? Result<void>() : Result<void>(answer.failure()); }
}  // namespace

Result<Bytes> Remsh1Backend::set_cwd(const std::optional<Bytes>& path, const CallOptions& options) {
  if (auto fits = check({path.value_or(Bytes())}); !fits) return std::move(fits).failure();
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return std::move(taken).failure();
  const auto answer = turn.ask("set_cwd", path ? Box{{"cwd", *path}} : Box());
  if (!answer) return answer.failure();
  const auto cwd = answer->get("cwd");
  if (!cwd || cwd->find('\0') != BytesView::npos) return bad_answer("set_cwd", "it has no path under 'cwd'");
  return Bytes(*cwd);
}

Result<std::map<Bytes, Bytes>> Remsh1Backend::getenv(const CallOptions& options) {
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return std::move(taken).failure();
  const auto answer = turn.ask("getenv", {});
  if (!answer) return answer.failure();
  std::map<Bytes, Bytes> environment;
  for (const auto& [key, value] : *answer) {
    if (key.starts_with(remsh1::env_prefix)) environment.emplace(key.substr(remsh1::env_prefix.size()), value);
  }
  return environment;
}

Result<std::map<Bytes, Bytes>> Remsh1Backend::read_info(const CallOptions& /*options*/) {
  return remsh1::unsupported("knows no directory 'info'");
}

Result<void> Remsh1Backend::mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) {
  if (mode) return remsh1::unsupported("makes directories with the mode that the slave's umask gives them");
  if (auto fits = check({path}); !fits) return fits;
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return taken;
  return done(turn.ask("mkdir", Box{{"dir", path}}));
}

Result<void> Remsh1Backend::remove(const Bytes& path, const CallOptions& options) {
  if (auto fits = check({path}); !fits) return fits;
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return taken;
  return done(turn.ask("remove", Box{{"path", path}}));
}

Result<void> Remsh1Backend::rename(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) {
  if (auto fits = check({from, to}); !fits) return fits;
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return taken;
  auto result = done(turn.ask("rename", Box{{"src", from}, {"dest", to}}));
  if (!result && is_exists(result.failure())) return exists(to, overwrite);
  return result;
}

Result<void> Remsh1Backend::copy(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) {
  const Bytes part = temporary_beside(to);
  if (auto fits = check({from, to, part}); !fits) return fits;
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return taken;
  const auto there = look(turn, to);
  if (!there) return there.failure();
  if (*there) return exists(to, overwrite);
  turn.at_end("remove", Box{{"path", part}}, false);
  if (auto copied = done(turn.ask("copy", Box{{"src", from}, {"dest", part}})); !copied) return copied;
  auto result = done(turn.ask("rename", Box{{"src", part}, {"dest", to}}));
  if (!result) return is_exists(result.failure()) ? exists(to, overwrite) : result;
  turn.forget_last_calls();
  return result;
}

Result<std::optional<FileInfo>> Remsh1Backend::stat(const Bytes& path, bool follow, const CallOptions& options) {
  if (!follow) return remsh1::unsupported("always follows symbolic links");
  if (auto fits = check({path}); !fits) return std::move(fits).failure();
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return std::move(taken).failure();
  return look(turn, path);
}

/// Whether something is at a path, and whether it is a directory: this is all that it tells.
Result<std::optional<FileInfo>> Remsh1Backend::look(Turn& turn, const Bytes& path) {
  const auto answer = turn.ask("stat", Box{{"pathname", path}});
  if (!answer) return answer.failure();
  const auto type = answer->get("result");
  if (type == "") return std::optional<FileInfo>();
  if (type != "d" && type != "f") return bad_answer("stat", "it names no type of a file");
  FileInfo info;
  info.type = type == "d" ? FileType::directory : FileType::file;
  return std::optional(info);
}

Result<ExecuteResult> Remsh1Backend::execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                             const CallOptions& options) {
  const ExecuteOptions& wanted = *request.options;
  if (streams.input) return remsh1::unsupported("gives commands no input: send() a file and let a shell read it");
  if (!wanted.env.empty() || wanted.clear_env) {
    return remsh1::unsupported("cannot change a command's environment: let the program env do it");
  }
  if (wanted.merge_stderr) return remsh1::unsupported("cannot merge outputs: let a shell do it, with 2>&1");
  if (wanted.timeout.count() != 0) {
    return remsh1::unsupported("cannot limit a command's time: use a deadline, which ends the connection");
  }
  const Bytes args = remsh1::join_args(request.args);
  if (auto fits = check({args, wanted.cwd}); !fits) return std::move(fits).failure();

  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return std::move(taken).failure();
  if (!wanted.cwd.empty()) {
    const auto home = turn.ask("set_cwd", Box{{"cwd", ""}});
    if (!home) return home.failure();
    const auto path = home->get("cwd");
    if (!path || !path->starts_with('/')) return bad_answer("set_cwd", "it has no absolute path");
    turn.at_end("set_cwd", Box{{"cwd", *path}}, true);
    if (auto there = turn.ask("set_cwd", Box{{"cwd", wanted.cwd}}); !there) return std::move(there).failure();
  }
  const auto begun = turn.ask("execute", Box{{"args", args},
                                             {"want_stdout", remsh1::to_boolean(streams.out != nullptr)},
                                             {"want_stderr", remsh1::to_boolean(streams.err != nullptr)}});
  if (!begun) return begun.failure();
  for (;;) {
    const auto event = turn.next();
    if (!event) return event.failure();
    if (event->kind == Event::Kind::finished) {
      ExecuteResult result;
      result.exit_code = event->result.exit_code;
      result.signal = event->result.signal;
      return result;
    }
    const OutputCallback& output = event->stream == remsh1::Stream::out ? streams.out : streams.err;
    if (output && !event->data.empty()) output(event->data);
  }
}

Result<void> Remsh1Backend::send(const Bytes& path, const InputCallback& input, bool overwrite, std::uint32_t mode,
                                 const CallOptions& options) {
  const Bytes part = temporary_beside(path);
  if (auto fits = check({path, part}); !fits) return fits;
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return taken;
  const auto there = look(turn, path);
  if (!there) return there.failure();
  if (*there) return exists(path, overwrite);

  turn.at_end("remove", Box{{"path", part}}, false);
  if (auto begun = done(turn.ask("send", Box{{"dest", part}})); !begun) return begun;
  const auto buffer = std::make_unique_for_overwrite<char[]>(remsh1::max_data);
  const std::span<char> room(buffer.get(), remsh1::max_data);
  while (const std::size_t count = std::min(input(room), room.size())) {
    if (auto sent = turn.feed(BytesView(buffer.get(), count)); !sent) return sent;
  }
  if (auto written = done(turn.finish()); !written) return written;

  if (mode != usual_mode) {
    turn.let_it_end();
    if (auto changed = change_mode(turn, part, mode); !changed) return changed;
  }
  auto result = done(turn.ask("rename", Box{{"src", part}, {"dest", path}}));
  if (!result) return is_exists(result.failure()) ? exists(path, overwrite) : result;
  turn.forget_last_calls();
  return result;
}

/// There is no call for it, but a program on every system.
Result<void> Remsh1Backend::change_mode(Turn& turn, const Bytes& path, std::uint32_t mode) {
  std::array<char, 8> octal{};
  const char* const end = std::to_chars(octal.data(), octal.data() + octal.size(), mode, 8).ptr;
  const Bytes args = remsh1::join_args(
      {"chmod", Bytes(BytesView(octal.data(), static_cast<std::size_t>(end - octal.data()))), "--", path});
  const Box arguments{{"args", args}, {"want_stdout", "n"}, {"want_stderr", "n"}};
  if (auto begun = done(turn.ask("execute", arguments)); !begun) return begun;
  for (;;) {
    const auto event = turn.next();
    if (!event) return event.failure();
    if (event->kind != Event::Kind::finished) continue;
    if (event->result.exit_code == 0) return {};
    return Failure{Errc::remote_failure, "the program chmod could not set the mode of the new file", 0};
  }
}

Result<FetchedFile> Remsh1Backend::fetch(const Bytes& path, const SizeCallback& /*size*/, const OutputCallback& output,
                                         const CallOptions& options) {
  if (auto fits = check({path}); !fits) return std::move(fits).failure();
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) return std::move(taken).failure();
  if (auto begun = turn.ask("fetch", Box{{"src", path}}); !begun) return std::move(begun).failure();
  for (;;) {
    const auto event = turn.next();
    if (!event) return event.failure();
    if (event->kind == Event::Kind::finished) return FetchedFile{};
    if (event->kind == Event::Kind::failed) return remsh1::failure_of(event->text);
    if (!event->data.empty()) output(event->data);
  }
}

Result<Box> Remsh1Backend::call(const std::string& /*name*/, const Box& /*arguments*/, const CallOptions& /*options*/) {
  return remsh1::unsupported("has no operations of your own");
}

Result<void> Remsh1Backend::ping(const CallOptions& options) {
  Turn turn(*this, options);
  if (auto taken = turn.take(); !taken) {
    if (!turn.was_outwaited() || taken.failure().code != Errc::timeout) return taken;
    return Failure{Errc::busy, "another operation is under way, and remsh 1 does one at a time", 0};
  }
  return done(turn.ask("set_cwd", Box{{"cwd", ""}}));
}

}  // namespace remsh

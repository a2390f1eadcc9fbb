// Slave: the handle to one slave: checks what is asked, drives its Backend, and throws what went wrong.
#include <remsh/master/slave.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/backend.hpp"
#include "os/file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace remsh {

namespace {

constexpr std::size_t max_request = std::size_t{1024} * 1024;  // a box, docs/protocol.md section 9
constexpr std::size_t max_fields = 1024;
constexpr std::size_t envelope = 512;  // what rpc adds at most: _command, _ask, op, flags, lengths
constexpr std::size_t envelope_fields = 8;
constexpr std::uint32_t permission_bits = 0777;

/// What a slave may say of a file that it gives us: not that others of this host may change it.
constexpr std::uint32_t fetched_permission_bits = 0755;

/// Bytes for a sentence: escaped, and with the middle left out where they are long.
std::string shown(BytesView bytes) {
  constexpr std::size_t head = 48;
  constexpr std::size_t tail = 32;
  if (bytes.size() <= head + tail) return "'" + escaped(bytes) + "'";
  return "'" + escaped(bytes.substr(0, head)) + "..." + escaped(bytes.substr(bytes.size() - tail)) + "'";
}

/// One operation that a caller asks for: knows how to call it in a sentence, checks its arguments before anything is
/// sent, and decides which exception a Failure becomes. Costs nothing until something goes wrong.
class Request {
 public:
  Request(const Backend& slave, std::string_view verb, BytesView first = {}, BytesView second = {})
      : slave_(slave), verb_(verb), first_(first), second_(second) {}

  /// A path, or another argument that must not be empty or contain a zero byte.
  void check(std::string_view key, BytesView value) {
    if (value.empty()) refuse(Errc::invalid_argument, "the " + std::string(key) + " is empty");
    check_text(key, value);
  }

  /// An argument that must not contain a zero byte.
  void check_text(std::string_view key, BytesView value) {
    if (value.find('\0') != BytesView::npos) {
      refuse(Errc::invalid_argument, "the " + std::string(key) + " contains a zero byte");
    }
    count(key.size(), value.size());
  }

  void check_mode(std::optional<std::uint32_t> mode) const {
    if (mode && *mode > 07777) refuse(Errc::invalid_argument, "a mode has at most the bits 07777");
  }

  /// Counts a value of the request, as it will be cut into fields; refuses what cannot be sent.
  void count(std::size_t key, std::size_t value) {
    const std::size_t parts = value / Box::max_value + 1;
    fields_ += parts;
    if (value < max_request) bytes_ += value + parts * (4 + key + sizeof("~0000"));
    if (value >= max_request || bytes_ > max_request || fields_ > max_fields) {
      refuse(Errc::too_large,
             "the arguments do not fit into one call, which takes 1 MiB in 1,024 values of 64 KiB: pass long data in a "
             "file, with send()");
    }
  }

  template <class T>
  T value_of(Result<T> result, const std::stop_token& stop) const {
    if (!result.ok()) fail(result.failure(), stop);
    if constexpr (!std::is_void_v<T>) return std::move(result).value();
  }

  /// Throws what the slave or the connection has said.
  [[noreturn]] void fail(const Failure& failure, const std::stop_token& stop) const {
    switch (failure.code) {
      case Errc::timeout:
      case Errc::connection_lost:
      case Errc::auth_failed:
      case Errc::protocol_error:
      case Errc::local_os_error: throw_failure(failure, slave(), operation());
      case Errc::cancelled:
        // Without our own stop it was the slave that stopped it, for a reason that it gives.
        if (stop.stop_requested()) throw_failure(failure, slave(), operation());
        break;
      case Errc::os_error:
      case Errc::invalid_argument:
      case Errc::too_large:
      case Errc::unsupported:
      case Errc::busy:
      case Errc::remote_failure:
      case Errc::refused:
      case Errc::in_use: break;
    }
    raise<RemoteError>(failure);
  }

  /// Throws what our own system has said of a file of ours.
  [[noreturn]] void fail_locally(const Failure& failure, BytesView file) const {
    Failure local = failure;
    if (local.code == Errc::os_error) local.code = Errc::local_os_error;
    local.message = "the local file " + shown(file) + ": " + failure.message;
    raise<Error>(local);
  }

  /// Throws a reason of our own.
  [[noreturn]] void refuse(Errc code, std::string reason) const { raise<Error>(Failure{code, std::move(reason)}); }

 private:
  template <class Exception>
  [[noreturn]] void raise(const Failure& failure) const {
    const std::error_code os =
        failure.os != 0 ? std::error_code(failure.os, std::generic_category()) : std::error_code();
    throw Exception(failure.code, slave(), operation(), failure.message, os);
  }

  [[nodiscard]] std::string slave() const { return std::string(slave_.name()); }

  [[nodiscard]] std::string operation() const {
    std::string text(verb_);
    if (!first_.empty()) text += " " + shown(first_);
    if (!second_.empty()) text += " to " + shown(second_);
    return text;
  }

  const Backend& slave_;
  std::string_view verb_;
  BytesView first_;
  BytesView second_;
  std::size_t bytes_ = envelope;
  std::size_t fields_ = envelope_fields;
};

template <class Options>
CallOptions patience(const Options& options) {
  return {.deadline = options.deadline, .stop = options.stop};
}

/// Gives bytes that live somewhere else, piece by piece.
InputCallback input_from(BytesView bytes) {
  return [bytes](std::span<char> buffer) mutable {
    const std::size_t size = std::min(buffer.size(), bytes.size());
    if (size > 0) std::memcpy(buffer.data(), bytes.data(), size);
    bytes.remove_prefix(size);
    return size;
  };
}

/// A user's callback, held to what it was asked.
InputCallback input_from(const InputCallback& callback, const Request& request) {
  return [&callback, &request](std::span<char> buffer) {
    const std::size_t size = callback(buffer);
    if (size > buffer.size()) {
      request.refuse(Errc::invalid_argument, "the input callback says that it gave more than there was room for");
    }
    return size;
  };
}

/// Counts a transfer and tells how far it is, now and then.
class Progress {
 public:
  explicit Progress(const ProgressCallback& callback) : callback_(callback) {
    if (callback_) told_ = std::chrono::steady_clock::now();
  }

  void set_total(std::uint64_t total) { total_ = total; }

  void advance(std::size_t bytes) {
    done_ += bytes;
    if (!callback_) return;
    const TimePoint now = std::chrono::steady_clock::now();
    if (now - told_ < std::chrono::milliseconds(100)) return;
    told_ = now;
    // A file may grow while it is sent; then more than it was is done.
    callback_(done_, total_ ? std::optional(std::max(*total_, done_)) : std::nullopt);
  }

  void finish() {
    if (callback_) callback_(done_, done_);
  }

  [[nodiscard]] std::uint64_t done() const noexcept { return done_; }

 private:
  const ProgressCallback& callback_;
  TimePoint told_;
  std::uint64_t done_ = 0;
  std::optional<std::uint64_t> total_;
};

/// What execute() does with one of the outputs: to a callback, into a string, or nothing.
OutputCallback output_to(const OutputCallback& callback, bool discard, std::string_view stream, Bytes& captured,
                         std::size_t limit, const Request& request) {
  if (discard) return {};
  if (callback) return [&callback](BytesView bytes) { callback(bytes); };
  return [&captured, limit, stream, &request](BytesView bytes) {
    if (bytes.size() > limit - captured.size()) {
      request.refuse(Errc::too_large, "more than " + std::to_string(limit) + " bytes of " + std::string(stream) +
                                          ": raise capture_limit, or take it with " + std::string(stream) + "_cb");
    }
    captured.append(bytes);
  };
}

void check_execute(Request& request, const std::vector<Bytes>& args, const ExecuteOptions& options) {
  const auto exclude = [&](bool both, const char* what) {
    if (both) request.refuse(Errc::invalid_argument, std::string(what) + " exclude each other");
  };
  exclude(options.discard_stdout && options.stdout_cb, "discard_stdout and stdout_cb");
  exclude(options.discard_stderr && options.stderr_cb, "discard_stderr and stderr_cb");
  exclude(options.merge_stderr && options.stderr_cb, "merge_stderr and stderr_cb");
  exclude(options.merge_stderr && options.discard_stderr, "merge_stderr and discard_stderr");
  if (options.timeout.count() < 0) request.refuse(Errc::invalid_argument, "the timeout is negative");
  if (options.kill_after.count() < 0) request.refuse(Errc::invalid_argument, "kill_after is negative");

  if (args.empty()) request.refuse(Errc::invalid_argument, "the command has no arguments, not even a program");
  if (args.front().empty()) request.refuse(Errc::invalid_argument, "the name of the program is empty");
  std::size_t list = 0;
  for (const Bytes& arg : args) {
    if (arg.find('\0') != Bytes::npos) request.refuse(Errc::invalid_argument, "an argument contains a zero byte");
    list += arg.size() + 1;
  }
  request.count(sizeof("args"), list);

  list = 0;
  for (const auto& [name, value] : options.env) {
    if (name.empty() || name.find('=') != Bytes::npos || name.find('\0') != Bytes::npos) {
      request.refuse(Errc::invalid_argument,
                     shown(name) + " cannot be the name of an environment variable: empty, or with '=' or a zero byte");
    }
    if (value && value->find('\0') != Bytes::npos) {
      request.refuse(Errc::invalid_argument, "the environment variable " + shown(name) + " contains a zero byte");
    }
    list += name.size() + 2 + (value ? value->size() : 0);
  }
  request.count(sizeof("unset"), list);
  request.check_text("cwd", options.cwd);
}

/// docs/protocol.md section 7, the last row.
void check_call(Request& request, const std::string& name, const Box& arguments) {
  constexpr std::array<std::string_view, 19> ours{"cancel", "copy",    "credit", "data",    "end",   "execute", "fetch",
                                                  "getenv", "goodbye", "hello",  "info",    "mkdir", "ping",    "prove",
                                                  "remove", "rename",  "send",   "set_cwd", "stat"};
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > 64 || !is_word(name.front()) ||
      !std::all_of(name.begin(), name.end(), [&](char c) { return is_word(c) || c == '_' || c == '-'; })) {
    request.refuse(Errc::invalid_argument,
                   shown(name) + " cannot be the name of an operation, which is [a-z0-9][a-z0-9_-]{0,63}");
  }
  if (std::find(ours.begin(), ours.end(), name) != ours.end()) {
    request.refuse(Errc::invalid_argument,
                   "'" + name + "' is a word of the protocol itself, not an operation of yours");
  }
  for (const auto& [key, value] : arguments) {
    if (key.starts_with('_') || key == "op" || key.find('~') != Bytes::npos) {
      request.refuse(Errc::invalid_argument,
                     "the key " + shown(key) + " cannot be an argument: it begins with '_', contains '~' or is 'op'");
    }
    if (value.size() > Box::max_value && key.size() + sizeof("0000") > Box::max_key) {
      request.refuse(Errc::invalid_argument, "the key " + shown(key) + " is too long for a value of over 65535 bytes");
    }
    request.count(key.size(), value.size());
  }
}

/// A callback of on_disconnect(). There is nobody to whom an exception of it could be given, and the others must be
/// called all the same.
class DisconnectCallback final : public LostCallback {
 public:
  explicit DisconnectCallback(std::function<void()> callback) : callback_(std::move(callback)) {}

  void run() noexcept override {
    try {
      callback_();
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
  }

 private:
  const std::function<void()> callback_;
};

}  // namespace

SlaveInit::SlaveInit(const SlaveInfo& info, std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {
  backend_->set_info(info);
}
SlaveInit::SlaveInit(SlaveInit&&) noexcept = default;
SlaveInit::~SlaveInit() = default;

SlaveInfo SlaveInit::info() const { return backend_->info(); }

Slave::Slave(SlaveInit init) : backend_(std::move(init.backend_)) {}

SlaveInfo Slave::info() const { return backend_->info(); }

std::string Slave::name() const { return std::string(backend_->name()); }

Slave::~Slave() { backend_->disconnect("the master has dropped its handle"); }

Bytes Slave::set_cwd(const CallOptions& options) {
  const Request request(*backend_, "set_cwd");
  return request.value_of(backend_->set_cwd(std::nullopt, options), options.stop);
}

Bytes Slave::set_cwd(const Bytes& path, const CallOptions& options) {
  Request request(*backend_, "set_cwd", path);
  request.check_text("path", path);
  return request.value_of(backend_->set_cwd(path, options), options.stop);
}

std::map<Bytes, Bytes> Slave::getenv(const CallOptions& options) {
  const Request request(*backend_, "getenv");
  return request.value_of(backend_->getenv(options), options.stop);
}

std::map<Bytes, Bytes> Slave::read_info(const CallOptions& options) {
  const Request request(*backend_, "read_info");
  return request.value_of(backend_->read_info(options), options.stop);
}

void Slave::mkdir(const Bytes& path, const CallOptions& options) {
  Request request(*backend_, "mkdir", path);
  request.check("path", path);
  request.value_of(backend_->mkdir(path, std::nullopt, options), options.stop);
}

void Slave::remove(const Bytes& path, const CallOptions& options) {
  Request request(*backend_, "remove", path);
  request.check("path", path);
  request.value_of(backend_->remove(path, options), options.stop);
}

void Slave::rename(const Bytes& from, const Bytes& to, const PathOptions& options) {
  Request request(*backend_, "rename", from, to);
  request.check("source path", from);
  request.check("destination path", to);
  request.value_of(backend_->rename(from, to, options.overwrite, patience(options)), options.stop);
}

void Slave::copy(const Bytes& from, const Bytes& to, const PathOptions& options) {
  Request request(*backend_, "copy", from, to);
  request.check("source path", from);
  request.check("destination path", to);
  request.value_of(backend_->copy(from, to, options.overwrite, patience(options)), options.stop);
}

std::optional<FileInfo> Slave::stat(const Bytes& path, const StatOptions& options) {
  Request request(*backend_, "stat", path);
  request.check("path", path);
  return request.value_of(backend_->stat(path, options.follow, patience(options)), options.stop);
}

ExecuteResult Slave::execute(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  Request request(*backend_, "execute", args.empty() ? BytesView() : BytesView(args.front()));
  check_execute(request, args, options);

  Bytes out;
  Bytes err;
  ExecuteStreams streams;
  if (const auto* bytes = std::get_if<Bytes>(&options.in)) {
    streams.input = input_from(*bytes);
  } else if (const auto* callback = std::get_if<InputCallback>(&options.in); callback != nullptr && *callback) {
    streams.input = input_from(*callback, request);
  }
  streams.out = output_to(options.stdout_cb, options.discard_stdout, "stdout", out, options.capture_limit, request);
  streams.err = output_to(options.stderr_cb, options.discard_stderr || options.merge_stderr, "stderr", err,
                          options.capture_limit, request);

  ExecuteResult result =
      request.value_of(backend_->execute({args, &options}, streams, patience(options)), options.stop);
  result.out = std::move(out);
  result.err = std::move(err);
  return result;
}

TransferResult Slave::send(const Source& source, const Bytes& to, const TransferOptions& options) {
  const auto* path = std::get_if<std::string>(&source.what());
  Request request(*backend_, "send", path != nullptr ? BytesView(*path) : BytesView(), to);
  request.check("destination path", to);
  request.check_mode(options.mode);

  Progress progress(options.progress);
  std::uint32_t mode = 0644;
  OpenFile file;
  InputCallback input;
  if (path != nullptr) {
    request.check("source path", *path);
    Result<OpenFile> opened = open_file(AT_FDCWD, *path);
    if (!opened.ok()) request.fail_locally(opened.failure(), *path);
    file = std::move(opened).value();
    progress.set_total(file.size);
    mode = static_cast<std::uint32_t>(file.mode) & permission_bits;
    input = [&file, &request, path](std::span<char> buffer) {
      const Result<std::size_t> size = read_file(file.fd.get(), buffer);
      if (!size.ok()) request.fail_locally(size.failure(), *path);
      return size.value();
    };
  } else if (const auto* bytes = std::get_if<BytesView>(&source.what())) {
    progress.set_total(bytes->size());
    input = input_from(*bytes);
  } else {
    const auto& callback = std::get<InputCallback>(source.what());
    if (!callback) request.refuse(Errc::invalid_argument, "the source is an empty callback");
    input = input_from(callback, request);
  }

  const InputCallback counted = [&](std::span<char> buffer) {
    const std::size_t size = input(buffer);
    progress.advance(size);
    return size;
  };
  request.value_of(backend_->send(to, counted, options.overwrite, options.mode.value_or(mode), patience(options)),
                   options.stop);
  progress.finish();
  return {progress.done()};
}

TransferResult Slave::fetch(const Bytes& from, const Sink& sink, const TransferOptions& options) {
  Request request(*backend_, "fetch", from);
  request.check("path", from);
  request.check_mode(options.mode);

  Bytes memory;
  std::optional<NewFile> file;
  OutputCallback write;
  const auto* path = std::get_if<std::string>(&sink.what());
  if (path != nullptr) {
    request.check("destination path", *path);
    Result<NewFile> created = NewFile::create(AT_FDCWD, *path, options.overwrite);
    if (!created.ok()) request.fail_locally(created.failure(), *path);
    file = std::move(created).value();
    write = [&file, &request, path](BytesView bytes) {
      const Result<void> written = file->write(bytes);
      if (!written.ok()) request.fail_locally(written.failure(), *path);
    };
  } else if (std::holds_alternative<Bytes*>(sink.what())) {
    write = [&memory](BytesView bytes) { memory.append(bytes); };
  } else {
    const auto& callback = std::get<OutputCallback>(sink.what());
    if (!callback) request.refuse(Errc::invalid_argument, "the sink is an empty callback");
    write = [&callback](BytesView bytes) { callback(bytes); };
  }

  Progress progress(options.progress);
  const auto require = [&](bool fits) {
    if (fits) return;
    request.refuse(Errc::too_large,
                   "the file has more than the " + std::to_string(options.max_bytes) + " bytes that max_bytes allows");
  };
  const auto size = [&](std::uint64_t total) {
    require(total <= options.max_bytes);
    progress.set_total(total);
  };
  const OutputCallback counted = [&](BytesView bytes) {
    require(bytes.size() <= options.max_bytes - progress.done());
    write(bytes);
    progress.advance(bytes.size());
  };
  const FetchedFile fetched = request.value_of(backend_->fetch(from, size, counted, patience(options)), options.stop);

  if (file) {
    const std::uint32_t mode = options.mode.value_or(fetched.mode.value_or(0644) & fetched_permission_bits);
    const Result<void> committed = file->commit(static_cast<mode_t>(mode));
    if (!committed.ok()) request.fail_locally(committed.failure(), *path);
  } else if (auto* const* bytes = std::get_if<Bytes*>(&sink.what())) {
    **bytes = std::move(memory);
  }
  progress.finish();
  return {progress.done()};
}

Box Slave::call(const std::string& operation, const Box& arguments, const CallOptions& options) {
  Request request(*backend_, "call", operation);
  check_call(request, operation, arguments);
  return request.value_of(backend_->call(operation, arguments, options), options.stop);
}

std::chrono::nanoseconds Slave::ping(const CallOptions& options) {
  const Request request(*backend_, "ping");
  const TimePoint begin = std::chrono::steady_clock::now();
  request.value_of(backend_->ping(options), options.stop);
  return std::chrono::steady_clock::now() - begin;
}

void Slave::disconnect(const std::string& reason) { backend_->disconnect(reason); }

bool Slave::is_connected() const { return !backend_->lost().has_value(); }

std::string Slave::lost_reason() const {
  const std::optional<Failure> lost = backend_->lost();
  return lost ? lost->message : std::string();
}

void Slave::on_disconnect(std::function<void()> callback) {
  if (!callback) return;
  auto told = std::make_unique<DisconnectCallback>(std::move(callback));
  // Lost is seen a moment before the others are called back: who asks in between gets what it was promised too.
  if (!is_connected()) return told->run();
  backend_->on_lost(std::move(told));
}

}  // namespace remsh

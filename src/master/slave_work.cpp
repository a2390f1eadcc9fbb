#include "master/slave_work.hpp"

#include "operations/advice.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <variant>

namespace remsh {

namespace {

constexpr std::uint32_t permission_bits = 0777;

/// What one entry of a directory may take; names have at most 255 bytes on the usual systems.
constexpr BoxLimits entry_limits{.bytes = 8192, .fields = 32};

/// What a slave may say of a file that it gives us: not that others of this host may change it.
constexpr std::uint32_t fetched_permission_bits = 0755;

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

operations::Execute::Request request_of(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  using operations::OutputMode;
  operations::Execute::Request request;
  request.args = args;
  request.cwd = options.cwd;
  request.clear_env = options.clear_env;
  for (const auto& [name, value] : options.env) {
    if (value) {
      request.set_env.push_back(name + "=" + *value);
    } else {
      request.unset_env.push_back(name);
    }
  }
  request.timeout = options.timeout;
  request.kill_after = options.kill_after;
  const auto* callback = std::get_if<InputCallback>(&options.in);
  request.in = std::holds_alternative<Bytes>(options.in) || (callback != nullptr && *callback);
  request.out = options.discard_stdout ? OutputMode::discard : OutputMode::stream;
  request.err = options.merge_stderr     ? OutputMode::merge
                : options.discard_stderr ? OutputMode::discard
                                         : OutputMode::stream;
  return request;
}

}  // namespace

// --- list

ListWork::ListWork(Backend& slave, const Bytes& path, const ListOptions& options)
    : SlaveWork(slave, {.path = path}, options), options_(options), decoder_(entry_limits) {
  request_.check_fields(asked_.request);
  asked_.ends.out = [this](BytesView bytes) { take_in(bytes); };
  begin(slave);
}

void ListWork::take_in(BytesView bytes) {
  decoder_.feed(bytes);
  while (decoder_.next()) {
    auto entry = operations::from_box<operations::List::Entry>(decoder_.box().copy());
    if (!entry) makes_no_sense(entry.failure().message);
    if (!entry->info) makes_no_sense("'type' is missing");
    ++count_;
    DirectoryEntry ours{std::move(entry->name), *entry->info};
    if (options_.each) {
      options_.each(ours);
      continue;
    }
    if (count_ > options_.max_entries) {
      request_.refuse(Errc::too_large, "more than " + std::to_string(options_.max_entries) +
                                           " entries: raise max_entries, or take them with `each`");
    }
    entries_.push_back(std::move(ours));
  }
  if (decoder_.error() != BoxError::none) makes_no_sense(std::string(to_string(decoder_.error())));
}

void ListWork::makes_no_sense(const std::string& why) const {
  request_.fail({Errc::protocol_error, "an entry that makes no sense: " + why}, patience_.stop);
}

std::vector<DirectoryEntry> ListWork::finish(Result<void> answer) {
  if (answer.ok() && (decoder_.is_inside_box() || asked_.reply.entries != count_)) {
    makes_no_sense(std::to_string(count_) + " came whole, the slave says " + std::to_string(asked_.reply.entries));
  }
  require(std::move(answer));
  std::sort(entries_.begin(), entries_.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return std::move(entries_);
}

// --- execute

ExecuteWork::ExecuteWork(Backend& slave, const std::vector<Bytes>& args, const ExecuteOptions& options)
    : SlaveWork(slave, request_of(args, options), args.empty() ? BytesView() : BytesView(args.front()), {}, options),
      options_(options) {
  request_.check_execute(args, options);
  if (const auto* bytes = std::get_if<Bytes>(&options.in)) {
    asked_.ends.in = input_from(*bytes);
  } else if (const auto* callback = std::get_if<InputCallback>(&options.in); callback != nullptr && *callback) {
    asked_.ends.in = input_from(*callback, request_);
  }
  asked_.ends.out = output_to(options.stdout_cb, options.discard_stdout, "stdout", out_);
  asked_.ends.err = output_to(options.stderr_cb, options.discard_stderr || options.merge_stderr, "stderr", err_);
  if (trail_) trail_->set_command(args, options);
  begin(slave);
}

/// What is done with one of the outputs: to a callback, into a string, or nothing.
OutputCallback ExecuteWork::output_to(const OutputCallback& callback, bool discard, std::string_view stream,
                                      Bytes& captured) {
  if (discard) return {};
  if (callback) return [&callback](BytesView bytes) { callback(bytes); };
  return [this, &captured, stream](BytesView bytes) {
    const std::size_t limit = options_.capture_limit;
    if (bytes.size() > limit - captured.size()) {
      request_.refuse(Errc::too_large, "more than " + std::to_string(limit) + " bytes of " + std::string(stream) +
                                           ": raise capture_limit, or take it with " + std::string(stream) + "_cb");
    }
    captured.append(bytes);
  };
}

ExecuteResult ExecuteWork::finish(Result<void> answer) {
  require(std::move(answer));
  ExecuteResult result;
  result.exit_code = asked_.reply.exit_code;
  result.signal = asked_.reply.signal;
  result.timed_out = asked_.reply.timed_out;
  result.left_background = asked_.reply.background;
  result.out = std::move(out_);
  result.err = std::move(err_);
  return result;
}

// --- send

SendWork::SendWork(Backend& slave, const Source& source, const Bytes& to, const TransferOptions& options)
    : SlaveWork(slave, {.path = to, .overwrite = options.overwrite, .durable = options.durable},
                std::holds_alternative<std::string>(source.what()) ? BytesView(std::get<std::string>(source.what()))
                                                                   : BytesView(),
                to, options),
      progress_(options.progress) {
  request_.check("destination path", to);
  request_.check_mode(options.mode);
  asked_.ends.in = [this, input = input_of(source)](std::span<char> buffer) {
    const std::size_t size = input(buffer);
    progress_.advance(size);
    if (trail_) trail_->set_bytes(progress_.done());
    return size;
  };
  if (options.mode) asked_.request.mode = *options.mode;
  if (trail_) trail_->set_bytes(0);
  begin(slave);
}

InputCallback SendWork::input_of(const Source& source) {
  if (const auto* path = std::get_if<std::string>(&source.what())) {
    request_.check("source path", *path);
    Result<OpenFile> opened = open_file(AT_FDCWD, *path);
    if (!opened.ok()) request_.fail_locally(operations::with_advice(opened.failure()), *path);
    file_ = std::move(opened).value();
    progress_.set_total(file_.size);
    asked_.request.mode = static_cast<std::uint32_t>(file_.mode) & permission_bits;
    return [this, path](std::span<char> buffer) {
      const Result<std::size_t> size = read_file(file_.fd.get(), buffer);
      if (!size.ok()) request_.fail_locally(size.failure(), *path);
      return size.value();
    };
  }
  if (const auto* bytes = std::get_if<BytesView>(&source.what())) {
    progress_.set_total(bytes->size());
    return input_from(*bytes);
  }
  const auto& callback = std::get<InputCallback>(source.what());
  if (!callback) request_.refuse(Errc::invalid_argument, "the source is an empty callback");
  return input_from(callback, request_);
}

TransferResult SendWork::finish(Result<void> answer) {
  require(std::move(answer));
  progress_.finish();
  return {progress_.done()};
}

// --- fetch

FetchWork::FetchWork(Backend& slave, const Bytes& from, const Sink& sink, const TransferOptions& options)
    : SlaveWork(slave, {.path = from}, options), sink_(sink), options_(options), progress_(options.progress) {
  request_.check("path", from);
  request_.check_mode(options.mode);
  asked_.ends.out = [this, write = output_to(sink)](BytesView bytes) {
    require_space(bytes.size() <= options_.max_bytes - progress_.done());
    write(bytes);
    progress_.advance(bytes.size());
    if (trail_) trail_->set_bytes(progress_.done());
  };
  asked_.ends.size = [this](std::uint64_t total) {
    require_space(total <= options_.max_bytes);
    progress_.set_total(total);
  };
  if (trail_) trail_->set_bytes(0);
  if (const auto* path = std::get_if<std::string>(&sink.what()); trail_ && path) trail_->add_argument(*path);
  begin(slave);
}

OutputCallback FetchWork::output_to(const Sink& sink) {
  if (const auto* path = std::get_if<std::string>(&sink.what())) {
    request_.check("destination path", *path);
    file_.emplace(patience_);
    require_local(file_->create(*path, options_.overwrite), *path);
    return [this, path](BytesView bytes) { require_local(file_->write(bytes), *path); };
  }
  if (std::holds_alternative<Bytes*>(sink.what())) return [this](BytesView bytes) { memory_.append(bytes); };
  const auto& callback = std::get<OutputCallback>(sink.what());
  if (!callback) request_.refuse(Errc::invalid_argument, "the sink is an empty callback");
  return [&callback](BytesView bytes) { callback(bytes); };
}

void FetchWork::require_space(bool fits) const {
  if (fits) return;
  request_.refuse(Errc::too_large,
                  "the file has more than the " + std::to_string(options_.max_bytes) + " bytes that max_bytes allows");
}

void FetchWork::require_local(const Result<void>& result, const std::string& path) const {
  if (result.ok()) return;
  const Errc code = result.failure().code;
  if (code == Errc::timeout || code == Errc::cancelled) request_.fail(result.failure(), patience_.stop);
  request_.fail_locally(result.failure(), path);
}

TransferResult FetchWork::finish(Result<void> answer) {
  const operations::Fetch::Reply& reply = asked_.reply;
  if (answer.ok() && reply.bytes != progress_.done()) {
    answer = Failure{Errc::protocol_error, "the answer to fetch makes no sense: " + std::to_string(progress_.done()) +
                                               " bytes came, it says " + std::to_string(reply.bytes)};
  }
  require(std::move(answer));
  if (file_) {
    const std::uint32_t mode = options_.mode.value_or(reply.mode & fetched_permission_bits);
    require_local(file_->commit(static_cast<mode_t>(mode), options_.durable), std::get<std::string>(sink_.what()));
  } else if (auto* const* bytes = std::get_if<Bytes*>(&sink_.what())) {
    **bytes = std::move(memory_);
  }
  progress_.finish();
  return {progress_.done()};
}

}  // namespace remsh

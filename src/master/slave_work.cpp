#include "master/slave_work.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "base/signal_name.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "operations/advice.hpp"
#include "operations/execute_header.hpp"
#include "rpc/message.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <system_error>
#include <variant>

namespace remsh {

namespace {

constexpr std::uint32_t permission_bits = 0777;

/// The size of one entry of a directory; names have at most 255 bytes on the usual systems.
constexpr BoxLimits entry_limits{.bytes = 8192, .fields = 32};

/// The mode bits that a slave may set on a file that we fetch: write permission for other users is not among them.
constexpr std::uint32_t fetched_permission_bits = 0755;

/// Reads bytes that the caller keeps, piece by piece.
InputCallback input_from(BytesView bytes) {
  return [bytes](std::span<char> buffer) mutable {
    const std::size_t size = std::min(buffer.size(), bytes.size());
    if (size > 0) std::memcpy(buffer.data(), bytes.data(), size);
    bytes.remove_prefix(size);
    return size;
  };
}

/// Calls a user's callback, and checks what it returns.
InputCallback input_from(const InputCallback& callback, const Request& request) {
  if (!callback) request.refuse(Errc::invalid_argument, "the source is an empty callback");
  return [&callback, &request](std::span<char> buffer) {
    const std::size_t size = callback(buffer);
    if (size > buffer.size()) {
      request.refuse(Errc::invalid_argument, "the input callback says that it gave more than there was room for");
    }
    return size;
  };
}

/// A local file, opened into `file`.
InputCallback input_from(const Source::File& source, Request& request, OpenFile& file) {
  request.check("source path", source.path);
  Result<OpenFile> opened = open_file(AT_FDCWD, source.path);
  if (!opened.ok()) request.fail_locally(operations::with_advice(opened.failure()), source.path);
  file = std::move(opened).value();
  return [&source, &request, &file](std::span<char> buffer) {
    const Result<std::size_t> size = read_file(file.fd.get(), buffer);
    if (!size.ok()) request.fail_locally(size.failure(), source.path);
    return size.value();
  };
}

/// Reads a source; empty if there is no input. It, the request and the file must outlive the callback.
InputCallback input_from(const Source& source, Request& request, OpenFile& file) {
  struct Maker {
    Request& request;
    OpenFile& file;
    InputCallback operator()(const std::monostate&) const { return {}; }
    InputCallback operator()(const Source::File& source) const { return input_from(source, request, file); }
    InputCallback operator()(const Bytes& bytes) const { return input_from(bytes); }
    InputCallback operator()(BytesView bytes) const { return input_from(bytes); }
    InputCallback operator()(const InputCallback& callback) const { return input_from(callback, request); }
    InputCallback operator()(const Source::Writes&) const {
      request.refuse(Errc::invalid_argument, "Source::writes() is only for start(), whose Command is written to");
    }
  };
  return std::visit(Maker{request, file}, source.what());
}

/// The local file of a source, for messages; empty if it is none.
BytesView path_of(const Source& source) {
  const auto* const file = std::get_if<Source::File>(&source.what());
  return file != nullptr ? BytesView(file->path) : BytesView();
}

/// The size of a source, if it is known. `file`: the file that was opened for it.
std::optional<std::uint64_t> size_of(const Source& source, const OpenFile& file) {
  if (file.fd) return file.size;
  if (const auto* const bytes = std::get_if<Bytes>(&source.what())) return bytes->size();
  if (const auto* const view = std::get_if<BytesView>(&source.what())) return view->size();
  return std::nullopt;
}

template <class Kind>
bool is(const Output& output) {
  return std::holds_alternative<Kind>(output.what());
}

bool is_given(const Source& source) { return !std::holds_alternative<std::monostate>(source.what()); }

/// The lines, without characters that have an effect on terminals.
Bytes harmless_lines(BytesView lines) {
  Bytes text;
  while (!lines.empty()) {
    const bool is_whole = lines.find('\n') != BytesView::npos;
    text += without_controls(take_until('\n', lines));
    if (is_whole) text += '\n';
  }
  return text;
}

/// A limit as it is sent.
Bytes assignment_of(const ResourceLimit& limit) {
  const auto text = [](std::uint64_t value) { return value == unlimited ? "unlimited" : std::to_string(value); };
  return limit.name + "=" + text(limit.soft) + (limit.hard ? ":" + text(*limit.hard) : "");
}

operations::Execute::Request request_of(const Target& target, const std::vector<Bytes>& args,
                                        const ExecuteOptions& options) {
  using operations::OutputMode;
  operations::Execute::Request request;
  request.args = args;
  request.cwd = options.cwd;
  request.clear_env = options.clear_env;
  const auto change = [&request](const Bytes& name, const std::optional<Bytes>& value) {
    if (value) {
      request.set_env.push_back(name + "=" + *value);
    } else {
      request.unset_env.push_back(name);
    }
  };
  for (const auto& [name, value] : options.env) change(name, value);
  if (const WorkspaceOptions* const defaults = target.defaults()) {
    for (const auto& [name, value] : defaults->env) {
      if (!options.env.contains(name)) change(name, value);
    }
  }
  for (const auto& [name, value] : options.prepend_env) request.prepend_env.push_back(name + "=" + value);
  if (options.stop_signal != SIGTERM) request.stop_signal = signal_name(options.stop_signal);
  if (options.nice != 0) request.nice = options.nice;
  request.umask = options.umask;
  request.user = options.user;
  request.secrets = options.secrets;
  request.max_bytes = options.output_limit.bytes;
  request.max_lines = options.output_limit.lines;
  request.header = !is<Output::Discard>(options.header);
  request.at = is<TimedOutputCallback>(options.out) || is<TimedOutputCallback>(options.err);
  for (const LogFile& log : options.log_files) {
    request.logs.push_back({log.path, log.begin});
    request.at = request.at || is<TimedOutputCallback>(log.out);
  }
  const GroupLimits& group = options.group_limits;
  if (group.memory) request.group.push_back(formatted("memory={}", *group.memory));
  if (group.processes) request.group.push_back(formatted("pids={}", *group.processes));
  if (group.cpus) request.group.push_back(formatted("cpu={}", std::llround(*group.cpus * 1000)));
  for (const ResourceLimit& limit : options.limits) request.limits.push_back(assignment_of(limit));
  request.timeout = options.timeout;
  request.silence = options.silence_timeout;
  request.kill_after = options.kill_after;
  request.leaves = options.background == Background::leave;
  request.in = is_given(options.in);
  request.exact = options.exact_output;
  request.out = is<Output::Discard>(options.out) ? OutputMode::discard : OutputMode::stream;
  request.err = is<Output::Merge>(options.err)     ? OutputMode::merge
                : is<Output::Discard>(options.err) ? OutputMode::discard
                                                   : OutputMode::stream;
  if (options.terminal) {
    request.pty = std::to_string(options.terminal->columns) + "x" + std::to_string(options.terminal->rows);
    request.out = OutputMode::stream;  // it must be read, even if it is not wanted
    request.err = OutputMode::discard;
  }
  return request;
}

}  // namespace

// --- list

ListWork::ListWork(const Target& target, const Bytes& path, const ListOptions& options)
    : SlaveWork(target, {.path = path}, options), options_(options), decoder_(entry_limits) {
  request_.check_fields(asked_.request);
  asked_.ends.out = [this](BytesView bytes) { take_in(bytes); };
  begin();
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
      request_.refuse(Errc::too_large, formatted("more than {} entries: raise max_entries, or take them with `each`",
                                                 options_.max_entries));
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
    makes_no_sense(formatted("{} came whole, the slave says {}", count_, asked_.reply.entries));
  }
  require(std::move(answer));
  std::sort(entries_.begin(), entries_.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return std::move(entries_);
}

// --- call

CallWork::CallWork(const Target& target, const std::string& operation, const Box& arguments,
                   const OwnOperationOptions& options)
    : SlaveWork(target,
                {.name = operation,
                 .arguments = arguments,
                 .cwd = options.cwd,
                 .in = is_given(options.in),
                 .out = !is<Output::Discard>(options.out)},
                options, operation),
      out_((request_.check_call(asked_.request), options.out), "the output", asked_, request_) {
  if (!takes_only_bytes(options.out)) {
    request_.refuse(Errc::invalid_argument,
                    "the output of an operation of yours can be neither captured nor merged, and has no times: give it "
                    "to a callback that takes only bytes");
  }
  asked_.ends.in = input_from(options.in, request_, file_);
  asked_.ends.out = out_.callback();
  record_.set_cwd(asked_.request.cwd);
  begin();
}

Box CallWork::finish(Result<void> answer) {
  require(std::move(answer));
  out_.finish();
  return std::move(asked_.reply.results);
}

// --- execute

ExecuteWork::ExecuteWork(const Target& target, const std::vector<Bytes>& args, const ExecuteOptions& options,
                         bool may_write)
    : SlaveWork(target, request_of(target, args, options), options,
                args.empty() ? BytesView() : BytesView(args.front())),
      shown_(shown_arguments(args, options.secrets)),
      out_((request_.check_execute(asked_.request, options), options.out), "stdout", asked_, request_),
      err_(options.err, "stderr", asked_, request_),
      header_(options.header, "the header", asked_, request_),
      header_callback_(header_.callback()),
      options_(options) {
  const bool is_written = may_write && std::holds_alternative<Source::Writes>(options.in.what());
  if (!is_written) asked_.ends.in = input_from(options.in, request_, file_);
  asked_.ends.out = out_.callback();
  asked_.ends.err = err_.callback();
  for (const LogFile& log : options.log_files) {
    logs_.emplace_back(log.out, log.name, asked_, request_);
    log_callbacks_.push_back(logs_.back().callback());
  }
  asked_.ends.log = [this](std::optional<std::uint64_t> number, BytesView bytes) {
    if (!number || *number >= log_callbacks_.size()) {
      request_.fail({Errc::protocol_error, "output of a log file that was not asked for", 0}, patience_.stop);
    }
    log_callbacks_[*number](bytes);
  };
  if (header_callback_) {
    asked_.ends.header = [this](BytesView lines) {
      begin_header();
      header_callback_(harmless_lines(lines));
    };
  }
  record_.set_command(shown_.empty() ? args : shown_);
  record_.set_cwd(asked_.request.cwd);
  begin();
}

/// Gives the caller the lines of the header that need no slave, once, in the thread that drives.
void ExecuteWork::begin_header() {
  if (std::exchange(header_begun_, true)) return;
  const Bytes lines = first_lines_of_header(asked_.request.args, options_);
  header_callback_(lines);
}

ExecuteResult ExecuteWork::finish(Result<void> answer) {
  if (header_callback_) {
    begin_header();
    if (!answer) header_callback_(harmless_lines(formatted("ended: {}\n", answer.failure().message)));
  }
  require(std::move(answer));
  ExecuteResult result;
  result.exit_code = asked_.reply.exit_code;
  result.signal = asked_.reply.signal;
  result.core_dumped = asked_.reply.core;
  result.timed_out = asked_.reply.timed_out;
  result.went_silent = asked_.reply.silent;
  result.interrupted = asked_.reply.interrupted;
  result.left_background = asked_.reply.background;
  result.ended_background = asked_.reply.ended_background;
  result.out_of_memory = asked_.reply.out_of_memory;
  result.out_of_processes = asked_.reply.out_of_processes;
  result.ran = asked_.reply.ran;
  result.used = asked_.reply.used;
  result.pid = asked_.reply.pid;
  result.dir = std::move(asked_.reply.dir);
  out_.finish();
  err_.finish();
  if (header_callback_) {
    const Bytes line = last_line_of_header(result);
    header_callback_(line);
    header_.finish();
  }
  result.out_dropped = asked_.reply.out_dropped.value_or(0);
  result.err_dropped = asked_.reply.err_dropped.value_or(0);
  result.out_omitted = out_.omitted();
  result.err_omitted = err_.omitted();
  result.out = out_.take();
  result.err = err_.take();
  for (std::size_t i = 0; i < logs_.size(); ++i) result.logs.emplace(options_.log_files[i].name, result_of_log(i));
  return result;
}

LogFileResult ExecuteWork::result_of_log(std::size_t index) {
  const auto text_of = [key = std::to_string(index)](const std::map<Bytes, Bytes>& texts) {
    const auto found = texts.find(key);
    return found == texts.end() ? BytesView() : BytesView(found->second);
  };
  LogFileResult result;
  logs_[index].finish();
  result.omitted = logs_[index].omitted();
  result.content = logs_[index].take();
  result.dropped = from_decimal(text_of(asked_.reply.log_dropped)).value_or(0);
  if (const BytesView error = text_of(asked_.reply.log_errors); !error.empty()) {
    const std::size_t space = std::min(error.find(' '), error.size());
    const Failure failure = rpc::failure_of(error.substr(0, space), error.substr(std::min(space + 1, error.size())));
    if (failure.os != 0) result.os = std::error_code(failure.os, std::generic_category());
    const Bytes path = SecretMask(options_.secrets).applied_to(options_.log_files[index].path);
    result.problem = formatted("the log file {}: {}", in_quotes(path), failure.message);
  }
  return result;
}

/// The arguments with `***` in place of each secret, which error messages show from now on. Empty if there are no
/// secrets.
std::vector<Bytes> ExecuteWork::shown_arguments(const std::vector<Bytes>& args, const std::vector<Bytes>& secrets) {
  std::vector<Bytes> shown;
  if (secrets.empty()) return shown;
  const SecretMask mask(secrets);
  for (const Bytes& arg : args) shown.push_back(mask.applied_to(arg));
  if (!shown.empty()) request_.show_first(shown.front());
  return shown;
}

// --- send

SendWork::SendWork(const Target& target, const Source& source, const Bytes& to, const TransferOptions& options)
    : SlaveWork(target, {.path = to, .overwrite = options.overwrite, .durable = options.durable}, options,
                path_of(source), &operations::Send::Request::path),
      progress_(options.progress) {
  request_.check("destination path", asked_.request.path);
  request_.check_mode(options.mode);
  asked_.ends.in = [this, input = input_from(source, request_, file_)](std::span<char> buffer) {
    const std::size_t size = input ? input(buffer) : 0;
    progress_.advance(asked_.moved.in() + size, asked_.moved.total());
    return size;
  };
  if (const auto size = size_of(source, file_)) asked_.moved.set_total(*size);
  if (file_.fd) asked_.request.mode = static_cast<std::uint32_t>(file_.mode) & permission_bits;
  if (options.mode) asked_.request.mode = *options.mode;
  begin();
}

TransferResult SendWork::finish(Result<void> answer) {
  require(std::move(answer));
  progress_.finish(asked_.moved.in());
  return {asked_.moved.in()};
}

// --- fetch

FetchWork::FetchWork(const Target& target, const Bytes& from, const Sink& sink, const TransferOptions& options)
    : SlaveWork(target, {.path = from}, options), sink_(sink), options_(options), progress_(options.progress) {
  request_.check("path", asked_.request.path);
  request_.check_mode(options.mode);
  asked_.ends.out = [this, write = output_to(sink)](BytesView bytes) {
    require_space(bytes.size() <= options_.max_bytes - asked_.moved.out());
    write(bytes);
    progress_.advance(asked_.moved.out() + bytes.size(), asked_.moved.total());
  };
  asked_.ends.size = [this](std::uint64_t total) {
    require_space(total <= options_.max_bytes);
    asked_.moved.set_total(total);
  };
  if (const auto* file = std::get_if<Sink::File>(&sink.what())) record_.set_local_file(file->path);
  begin();
}

OutputCallback FetchWork::output_to(const Sink& sink) {
  if (const auto* file = std::get_if<Sink::File>(&sink.what())) {
    request_.check("destination path", file->path);
    file_.emplace(patience_);
    require_local(file_->create(file->path, options_.overwrite), file->path);
    return [this, file](BytesView bytes) { require_local(file_->write(bytes), file->path); };
  }
  if (std::holds_alternative<Bytes*>(sink.what())) return [this](BytesView bytes) { memory_.append(bytes); };
  const auto& callback = std::get<OutputCallback>(sink.what());
  if (!callback) request_.refuse(Errc::invalid_argument, "the sink is an empty callback");
  return [&callback](BytesView bytes) { callback(bytes); };
}

void FetchWork::require_space(bool fits) const {
  if (fits) return;
  request_.refuse(Errc::too_large,
                  formatted("the file has more than the {} bytes that max_bytes allows", options_.max_bytes));
}

void FetchWork::require_local(const Result<void>& result, const std::string& path) const {
  if (result.ok()) return;
  const Errc code = result.failure().code;
  if (code == Errc::timeout || code == Errc::cancelled) request_.fail(result.failure(), patience_.stop);
  request_.fail_locally(result.failure(), path);
}

TransferResult FetchWork::finish(Result<void> answer) {
  const operations::Fetch::Reply& reply = asked_.reply;
  if (answer.ok() && reply.bytes != asked_.moved.out()) {
    answer = Failure{Errc::protocol_error, formatted("the answer to fetch makes no sense: {} bytes came, it says {}",
                                                     asked_.moved.out(), reply.bytes)};
  }
  require(std::move(answer));
  if (file_) {
    const std::uint32_t mode = options_.mode.value_or(reply.mode & fetched_permission_bits);
    require_local(file_->commit(static_cast<mode_t>(mode), options_.durable), std::get<Sink::File>(sink_.what()).path);
  } else if (auto* const* bytes = std::get_if<Bytes*>(&sink_.what())) {
    **bytes = std::move(memory_);
  }
  progress_.finish(asked_.moved.out());
  return {asked_.moved.out()};
}

}  // namespace remsh

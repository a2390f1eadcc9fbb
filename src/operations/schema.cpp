// Requests and replies of each operation, to and from boxes.
#include "operations/schema.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <limits>
#include <string_view>
#include <system_error>

namespace remsh::operations {
namespace {

// About 31 years: any time limit within it can be added to a clock of nanoseconds.
constexpr std::uint64_t max_milliseconds = 1'000'000'000'000;

constexpr BytesView missing_type = "missing";

constexpr std::array file_types{FileType::file,         FileType::directory, FileType::symlink,
                                FileType::fifo,         FileType::socket,    FileType::character_device,
                                FileType::block_device, FileType::unknown};

bool has_zero(BytesView bytes) { return bytes.find('\0') != BytesView::npos; }

Bytes to_octal(std::uint32_t value) {
  std::array<char, 11> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 8).ptr;
  return Bytes(digits.data(), end);
}

Bytes to_milliseconds(std::chrono::milliseconds value) {
  const auto count = std::max(value.count(), std::chrono::milliseconds::rep{0});
  return to_decimal(std::min(static_cast<std::uint64_t>(count), max_milliseconds));
}

void set_flag(Box& box, BytesView key, bool value) {
  if (value) box.set(Bytes(key), "1");
}

Bytes join_environment(const std::map<Bytes, Bytes>& environment) {
  std::vector<Bytes> list;
  list.reserve(environment.size());
  for (const auto& [name, value] : environment) list.push_back(name + '=' + value);
  return join_list(list);
}

/// Takes values out of a box that a peer sent and keeps the first reason why it cannot be used; from then on the values
/// it gives mean nothing. One thread at a time.
class Reader {
 public:
  explicit Reader(const Box& box) : box_(box) {}

  [[nodiscard]] bool has(BytesView key) const { return box_.has(key); }

  BytesView required(BytesView key) {
    const auto value = box_.get(key);
    if (!value) fail(key, "is missing");
    return value.value_or(BytesView());
  }

  Bytes path(BytesView key) {
    const BytesView value = required(key);
    if (value.empty()) fail(key, "is an empty path");
    if (has_zero(value)) fail(key, "is a path with a zero byte");
    return Bytes(value);
  }

  bool flag(BytesView key) {
    const auto value = box_.get(key);
    if (value && *value != "1") fail(key, "is a flag, which is 1 or absent");
    return value.has_value();
  }

  std::uint64_t number(BytesView key, std::uint64_t min = 0,
                       std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    const auto value = from_decimal(required(key));
    if (!value) {
      fail(key, "is not a decimal number");
    } else if (*value < min || *value > max) {
      fail(key, "is not from " + to_decimal(min) + " to " + to_decimal(max));
    }
    return value.value_or(0);
  }

  std::int64_t signed_number(BytesView key) {
    BytesView text = required(key);
    const bool negative = text.starts_with('-');
    if (negative) text.remove_prefix(1);
    const auto magnitude = from_decimal(text);
    constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!magnitude || *magnitude > max + (negative ? 1 : 0) || (negative && *magnitude == 0)) {
      fail(key, "is not a decimal number of 64 bits");
      return 0;
    }
    return static_cast<std::int64_t>(negative ? 0 - *magnitude : *magnitude);
  }

  /// Permission bits: up to four octal digits, so that both 644 and 0644 are fine.
  std::uint32_t mode(BytesView key) {
    const BytesView text = required(key);
    std::uint32_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, value, 8);
    if (error != std::errc() || at != end || text.size() > 4) fail(key, "is not a mode of one to four octal digits");
    return value;
  }

  std::chrono::milliseconds milliseconds(BytesView key, std::uint64_t min) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(number(key, min, max_milliseconds)));
  }

  std::vector<Bytes> list(BytesView key) {
    auto elements = split_list(required(key));
    if (elements.ok()) return std::move(*elements);
    fail(key, "is not a list of elements that end with a zero byte");
    return {};
  }

  /// A list of NAME=value.
  std::vector<Bytes> assignments(BytesView key) {
    auto elements = list(key);
    for (const Bytes& element : elements) {
      const auto equals = element.find('=');
      if (equals == Bytes::npos || equals == 0) {
        fail(key, "has an element that is not NAME=value");
        return {};
      }
    }
    return elements;
  }

  OutputMode output(BytesView key) {
    const auto value = box_.get(key);
    if (!value) return OutputMode::discard;
    if (*value == "merge" && key == "err") return OutputMode::merge;
    if (*value != "stream") fail(key, key == "err" ? "is not stream or merge" : "is not stream");
    return OutputMode::stream;
  }

  void fail(BytesView key, std::string_view what) {
    if (!failure_) failure_ = Failure{Errc::invalid_argument, "'" + Bytes(key) + "' " + Bytes(what)};
  }

  template <class T>
  Result<T> finish(T value) {
    if (failure_) return std::move(*failure_);
    return value;
  }

 private:
  const Box& box_;
  std::optional<Failure> failure_;
};

}  // namespace

Bytes join_list(const std::vector<Bytes>& elements) {
  std::size_t size = elements.size();
  for (const Bytes& element : elements) size += element.size();
  Bytes text;
  text.reserve(size);
  for (const Bytes& element : elements) {
    assert(!has_zero(element));
    text.append(element).push_back('\0');
  }
  return text;
}

Result<std::vector<Bytes>> split_list(BytesView text) {
  if (!text.empty() && text.back() != '\0') return Failure{Errc::invalid_argument, "a list without its last zero byte"};
  std::vector<Bytes> elements;
  elements.reserve(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\0')));
  while (!text.empty()) {
    const auto end = text.find('\0');
    elements.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return elements;
}

Box SetCwdRequest::to_box() const {
  Box box;
  if (path) box.set("path", *path);
  return box;
}

Result<SetCwdRequest> SetCwdRequest::from_box(const Box& box) {
  Reader reader(box);
  SetCwdRequest request;
  const auto path = box.get("path");
  if (path) request.path = path->empty() ? Bytes() : reader.path("path");
  return reader.finish(std::move(request));
}

Box SetCwdReply::to_box() const { return Box{{"path", path}}; }

Result<SetCwdReply> SetCwdReply::from_box(const Box& box) {
  Reader reader(box);
  SetCwdReply reply{.path = reader.path("path")};
  if (!reply.path.starts_with('/')) reader.fail("path", "is not an absolute path");
  return reader.finish(std::move(reply));
}

Box GetenvReply::to_box() const { return Box{{"env", join_environment(env)}}; }

Result<GetenvReply> GetenvReply::from_box(const Box& box) {
  Reader reader(box);
  GetenvReply reply;
  for (const Bytes& element : reader.assignments("env")) {
    const auto equals = element.find('=');
    const bool is_new = reply.env.emplace(element.substr(0, equals), element.substr(equals + 1)).second;
    if (!is_new) reader.fail("env", "has a name twice");
  }
  return reader.finish(std::move(reply));
}

Box InfoReply::to_box() const {
  std::vector<Bytes> list;
  list.reserve(files.size() * 2);
  for (const auto& [name, value] : files) {
    list.push_back(name);
    list.push_back(value);
  }
  return Box{{"files", join_list(list)}};
}

Result<InfoReply> InfoReply::from_box(const Box& box) {
  Reader reader(box);
  InfoReply reply;
  auto list = reader.list("files");
  if (list.size() % 2 != 0) {
    reader.fail("files", "has a name without a value");
    list.pop_back();
  }
  for (std::size_t i = 0; i < list.size(); i += 2) {
    if (list[i].empty()) reader.fail("files", "has an empty name");
    if (!reply.files.emplace(std::move(list[i]), std::move(list[i + 1])).second)
      reader.fail("files", "has a name twice");
  }
  return reader.finish(std::move(reply));
}

Box MkdirRequest::to_box() const {
  Box box{{"path", path}};
  if (mode) box.set("mode", to_octal(*mode));
  return box;
}

Result<MkdirRequest> MkdirRequest::from_box(const Box& box) {
  Reader reader(box);
  MkdirRequest request{.path = reader.path("path"), .mode = {}};
  if (reader.has("mode")) request.mode = reader.mode("mode");
  return reader.finish(std::move(request));
}

Box RemoveRequest::to_box() const { return Box{{"path", path}}; }

Result<RemoveRequest> RemoveRequest::from_box(const Box& box) {
  Reader reader(box);
  RemoveRequest request{.path = reader.path("path")};
  return reader.finish(std::move(request));
}

Box TwoPathsRequest::to_box() const {
  Box box{{"from", from}, {"to", to}};
  set_flag(box, "overwrite", overwrite);
  set_flag(box, "no_sync", !durable);
  return box;
}

Result<TwoPathsRequest> TwoPathsRequest::from_box(const Box& box) {
  Reader reader(box);
  TwoPathsRequest request{.from = reader.path("from"),
                          .to = reader.path("to"),
                          .overwrite = reader.flag("overwrite"),
                          .durable = !reader.flag("no_sync")};
  return reader.finish(std::move(request));
}

Box StatRequest::to_box() const {
  Box box{{"path", path}};
  set_flag(box, "nofollow", nofollow);
  return box;
}

Result<StatRequest> StatRequest::from_box(const Box& box) {
  Reader reader(box);
  StatRequest request{.path = reader.path("path"), .nofollow = reader.flag("nofollow")};
  return reader.finish(std::move(request));
}

Box StatReply::to_box() const {
  if (!info) return Box{{"type", missing_type}};
  return Box{{"mode", to_octal(info->mode)},
             {"mtime", std::to_string(info->mtime.time_since_epoch().count())},
             {"size", to_decimal(info->size)},
             {"type", to_string(info->type)}};
}

Result<StatReply> StatReply::from_box(const Box& box) {
  Reader reader(box);
  const BytesView type = reader.required("type");
  if (type == missing_type) {
    for (const BytesView key : {"mode", "mtime", "size"}) {
      if (reader.has(key)) reader.fail(key, "is there although the path is missing");
    }
    return reader.finish(StatReply());
  }
  const auto known = std::find_if(file_types.begin(), file_types.end(),
                                  [type](FileType candidate) { return to_string(candidate) == type; });
  if (known == file_types.end()) reader.fail("type", "is not a file type");
  FileInfo info;
  info.type = known == file_types.end() ? FileType::unknown : *known;
  info.size = reader.number("size");
  info.mode = reader.mode("mode");
  info.mtime = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(reader.signed_number("mtime")));
  return reader.finish(StatReply{info});
}

Box ExecuteCommand::to_box() const {
  assert(out != OutputMode::merge);
  Box box{{"args", join_list(args)}, {"kill_after", to_milliseconds(kill_after)}};
  if (!cwd.empty()) box.set("cwd", cwd);
  if (!set_env.empty()) box.set("env", join_list(set_env));
  if (!unset_env.empty()) box.set("unset", join_list(unset_env));
  set_flag(box, "clear_env", clear_env);
  if (timeout.count() > 0) box.set("timeout", to_milliseconds(timeout));
  set_flag(box, "in", in);
  if (out == OutputMode::stream) box.set("out", "stream");
  if (err != OutputMode::discard) box.set("err", err == OutputMode::merge ? "merge" : "stream");
  return box;
}

Result<ExecuteCommand> ExecuteCommand::from_box(const Box& box) {
  Reader reader(box);
  ExecuteCommand command;
  command.args = reader.list("args");
  if (command.args.empty()) reader.fail("args", "is an empty list");
  if (reader.has("cwd")) command.cwd = reader.path("cwd");
  if (reader.has("env")) command.set_env = reader.assignments("env");
  if (reader.has("unset")) command.unset_env = reader.list("unset");
  for (const Bytes& name : command.unset_env) {
    if (name.empty() || name.find('=') != Bytes::npos) reader.fail("unset", "has an element that is not a name");
  }
  command.clear_env = reader.flag("clear_env");
  if (reader.has("timeout")) command.timeout = reader.milliseconds("timeout", 1);
  if (reader.has("kill_after")) command.kill_after = reader.milliseconds("kill_after", 0);
  command.in = reader.flag("in");
  command.out = reader.output("out");
  command.err = reader.output("err");
  return reader.finish(std::move(command));
}

Box ExecuteReply::to_box() const {
  assert(exit_code.has_value() != signal.has_value());
  Box box;
  if (exit_code) box.set("exit", std::to_string(*exit_code));
  if (signal) box.set("signal", std::to_string(*signal));
  set_flag(box, "timed_out", timed_out);
  set_flag(box, "background", background);
  return box;
}

Result<ExecuteReply> ExecuteReply::from_box(const Box& box) {
  Reader reader(box);
  ExecuteReply reply;
  if (reader.has("signal")) {
    if (reader.has("exit")) reader.fail("exit", "is there beside 'signal'");
    reply.signal = static_cast<int>(reader.number("signal", 1, 127));
  } else {
    reply.exit_code = static_cast<int>(reader.number("exit", 0, 255));
  }
  reply.timed_out = reader.flag("timed_out");
  reply.background = reader.flag("background");
  return reader.finish(std::move(reply));
}

Box SendRequest::to_box() const {
  Box box{{"mode", to_octal(mode)}, {"path", path}};
  set_flag(box, "overwrite", overwrite);
  set_flag(box, "no_sync", !durable);
  return box;
}

Result<SendRequest> SendRequest::from_box(const Box& box) {
  Reader reader(box);
  SendRequest request{.path = reader.path("path"),
                      .overwrite = reader.flag("overwrite"),
                      .mode = reader.mode("mode"),
                      .durable = !reader.flag("no_sync")};
  return reader.finish(std::move(request));
}

Box SendReply::to_box() const { return Box{{"bytes", to_decimal(bytes)}}; }

Result<SendReply> SendReply::from_box(const Box& box) {
  Reader reader(box);
  SendReply reply{.bytes = reader.number("bytes")};
  return reader.finish(reply);
}

Box FetchRequest::to_box() const { return Box{{"path", path}}; }

Result<FetchRequest> FetchRequest::from_box(const Box& box) {
  Reader reader(box);
  FetchRequest request{.path = reader.path("path")};
  return reader.finish(std::move(request));
}

Box FetchReply::to_box() const { return Box{{"bytes", to_decimal(bytes)}, {"mode", to_octal(mode)}}; }

Result<FetchReply> FetchReply::from_box(const Box& box) {
  Reader reader(box);
  FetchReply reply{.bytes = reader.number("bytes"), .mode = reader.mode("mode")};
  return reader.finish(reply);
}

}  // namespace remsh::operations

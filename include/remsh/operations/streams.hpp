// Source, Sink, Output: where the bytes of an operation come from, and where they go.
#pragma once

#include <remsh/base/bytes.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace remsh {

/// Called with each piece of output as it arrives, in the thread that made the call. The view is valid until it
/// returns. It may be slow (only its own operation is slowed down), may call the library, and may throw: the operation
/// is then cancelled, and the exception comes out of the call.
using OutputCallback = std::function<void(BytesView)>;

/// The same, with the time at which the slave got the piece from the command, by the clock of the slave's host. If it
/// does not say, the time is 0.
using TimedOutputCallback = std::function<void(BytesView, std::chrono::sys_time<std::chrono::microseconds>)>;

/// Called to get bytes to send: fills the buffer at least partly and returns the number of bytes; 0 is the end. Called
/// in the thread that made the call, only when more bytes can be sent.
using InputCallback = std::function<std::size_t(std::span<char>)>;

namespace detail {
/// A std::filesystem::path; its header is not included because it is slow to compile.
template <class T>
concept Path = requires(const T& path) {
  { path.string() } -> std::same_as<std::string>;
  path.lexically_normal();
};
/// A string that could be a path or content.
template <class T>
concept Ambiguous = std::convertible_to<T, std::string> && !Path<std::remove_cvref_t<T>>;
}  // namespace detail

/// The source of bytes to send: empty, a local file, bytes in memory, or a callback.
///
///     slave->send(Source::file("build.tar"), "build.tar");
///     slave->execute({"cat"}, {.in = Source::bytes("hello")});
class Source {
 public:
  struct File {
    std::string path;
  };
  struct Writes {};
  using What = std::variant<std::monostate, File, Bytes, BytesView, InputCallback, Writes>;

  /// An empty source.
  Source() = default;

  /// A local file.
  template <detail::Path Path>
  Source(const Path& path) : what_(File{path.string()}) {}
  static Source file(std::string path) { return Source(What(File{std::move(path)})); }

  /// These bytes, which the source owns.
  static Source bytes(Bytes bytes) { return Source(What(std::in_place_type<Bytes>, std::move(bytes))); }

  /// Bytes that the source does not own: they must live until the operation is over.
  static Source view(BytesView bytes) { return Source(What(std::in_place_type<BytesView>, bytes)); }

  /// What Command::write() writes, until Command::close_stdin(). For SlaveOperations::start() alone.
  static Source writes() { return Source(What(Writes{})); }

  /// The bytes that a callback returns.
  template <std::convertible_to<InputCallback> Callback>
  Source(Callback callback) : what_(std::in_place_type<InputCallback>, std::move(callback)) {}

  /// Deleted because a string could be a path or content: use Source::file() or Source::bytes().
  template <detail::Ambiguous Text>
  Source(Text) = delete;

  [[nodiscard]] const What& what() const noexcept { return what_; }

 private:
  explicit Source(What what) : what_(std::move(what)) {}
  What what_;
};

/// The destination of fetched bytes: a local file, a string, or a callback.
///
///     slave->fetch("build.tar", Sink::file("build.tar"));
class Sink {
 public:
  struct File {
    std::string path;
  };
  using What = std::variant<File, Bytes*, OutputCallback>;

  /// A local file, which appears under its name only when it is complete.
  template <detail::Path Path>
  Sink(const Path& path) : what_(File{path.string()}) {}
  static Sink file(std::string path) { return Sink(What(File{std::move(path)})); }

  /// A string, which must live until the operation is over. Its content is replaced.
  static Sink bytes(Bytes& bytes) { return Sink(What(&bytes)); }

  /// A callback, called with each piece.
  template <std::convertible_to<OutputCallback> Callback>
  Sink(Callback callback) : what_(std::in_place_type<OutputCallback>, std::move(callback)) {}

  /// Deleted because a string could be a path or the destination itself: use Sink::file() or Sink::bytes().
  template <detail::Ambiguous Text>
  Sink(Text) = delete;

  [[nodiscard]] const What& what() const noexcept { return what_; }

 private:
  explicit Sink(What what) : what_(std::move(what)) {}
  What what_;
};

namespace detail {
struct CaptureOutput {
  std::size_t limit = std::size_t{64} * 1024 * 1024;
};
struct DiscardOutput {};
struct MergeOutput {};
struct FileOutput {
  std::string path;
  bool append = false;
};
struct DescriptorOutput {
  int number = -1;
};
struct LinesOutput {
  OutputCallback callback;
};
}  // namespace detail

/// The destination of one output of a command: captured (the default), passed to a callback, written to a local file or
/// descriptor, discarded, or, for stderr, merged into stdout.
///
///     slave->execute({"make"}, {.out = print, .err = remsh::merge});
class Output {
 public:
  using Capture = detail::CaptureOutput;
  using Discard = detail::DiscardOutput;
  using Merge = detail::MergeOutput;
  using File = detail::FileOutput;
  using Descriptor = detail::DescriptorOutput;
  using Lines = detail::LinesOutput;
  using What = std::variant<Capture, Discard, Merge, File, Descriptor, Lines, OutputCallback, TimedOutputCallback>;

  Output() = default;
  Output(Capture capture) : what_(capture) {}
  Output(Discard discard) : what_(discard) {}
  Output(Merge merge) : what_(merge) {}
  Output(File file) : what_(std::move(file)) {}
  Output(Descriptor descriptor) : what_(descriptor) {}
  Output(Lines lines) : what_(std::move(lines)) {}

  /// A callback.
  template <std::convertible_to<OutputCallback> Callback>
  Output(Callback callback) : what_(std::in_place_type<OutputCallback>, std::move(callback)) {}

  /// (a command's output) A callback that also gets the time of each piece.
  template <std::convertible_to<TimedOutputCallback> Callback>
  requires(!std::convertible_to<Callback, OutputCallback>) Output(Callback callback)
      : what_(std::in_place_type<TimedOutputCallback>, std::move(callback)) {}

  [[nodiscard]] const What& what() const noexcept { return what_; }

 private:
  What what_;
};

/// Captures the output in the result. If it is longer than `limit`, the first and the last bytes are kept, and the
/// result says how many are missing.
inline Output capture(std::size_t limit) { return Output::Capture{limit}; }

/// Discards the output, on the slave.
inline constexpr Output::Discard discard;

/// (stderr) Merges it into stdout, in the order written.
inline constexpr Output::Merge merge;

/// Writes the output to a local file as it arrives. The file is made if it is missing. Its old content is replaced, or
/// kept if `append` is true.
inline Output to_file(std::string path, bool append = false) { return Output::File{std::move(path), append}; }

/// Writes the output to a descriptor, which must stay open until the operation is over: 2, for example, is this
/// program's stderr.
inline Output to_descriptor(int number) { return Output::Descriptor{number}; }

/// Calls back with each line, without the newline, including a last line that has none. A line longer than 1 MiB comes
/// in pieces.
inline Output lines(OutputCallback callback) { return Output::Lines{std::move(callback)}; }

}  // namespace remsh

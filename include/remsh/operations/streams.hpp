// Source, Sink, Output: where the bytes of an operation come from, and where they go.
#pragma once

#include <remsh/base/bytes.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace remsh {

/// Called with each piece of output as it comes, in the thread that made the call. The view lives until it returns. It
/// may be slow (only its own operation is slowed down), may call the library, and may throw (the operation is cancelled
/// and the exception comes out of the call).
using OutputCallback = std::function<void(BytesView)>;

/// Called for bytes to send: fills the buffer, at least in part, and returns how many; 0 is the end. Called in the
/// thread that made the call, only when there is room for more.
using InputCallback = std::function<std::size_t(std::span<char>)>;

namespace detail {
/// A std::filesystem::path, whose header costs every user its time to compile.
template <class T>
concept Path = requires(const T& path) {
  { path.string() } -> std::same_as<std::string>;
  path.lexically_normal();
};
/// A string that could be meant as a path or as content.
template <class T>
concept Ambiguous = std::convertible_to<T, std::string> && !Path<std::remove_cvref_t<T>>;
}  // namespace detail

/// Bytes to send: nothing, those of a local file, some that are given, or what a callback gives.
///
///     slave->send(Source::file("build.tar"), "build.tar");
///     slave->execute({"cat"}, {.in = Source::bytes("hello")});
class Source {
 public:
  struct File {
    std::string path;
  };
  using What = std::variant<std::monostate, File, Bytes, BytesView, InputCallback>;

  /// Nothing.
  Source() = default;

  /// A local file.
  template <detail::Path Path>
  Source(const Path& path) : what_(File{path.string()}) {}
  static Source file(std::string path) { return Source(What(File{std::move(path)})); }

  /// These bytes, which it keeps.
  static Source bytes(Bytes bytes) { return Source(What(std::in_place_type<Bytes>, std::move(bytes))); }

  /// Bytes that it does not keep: they must live until the operation is over.
  static Source view(BytesView bytes) { return Source(What(std::in_place_type<BytesView>, bytes)); }

  /// What a callback gives.
  template <std::convertible_to<InputCallback> Callback>
  Source(Callback callback) : what_(std::in_place_type<InputCallback>, std::move(callback)) {}

  /// Is it a path or the content? Say Source::file() or Source::bytes().
  template <detail::Ambiguous Text>
  Source(Text) = delete;

  [[nodiscard]] const What& what() const noexcept { return what_; }

 private:
  explicit Source(What what) : what_(std::move(what)) {}
  What what_;
};

/// Where to put what is fetched: a local file, a string, or a callback.
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

  /// A string, which must live until the operation is over; what it held is replaced.
  static Sink bytes(Bytes& bytes) { return Sink(What(&bytes)); }

  /// Given to a callback, piece by piece.
  template <std::convertible_to<OutputCallback> Callback>
  Sink(Callback callback) : what_(std::in_place_type<OutputCallback>, std::move(callback)) {}

  /// Is it a path, or should it get the content? Say Sink::file() or Sink::bytes().
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

/// What becomes of one of a command's outputs: captured (the default), given to a callback, written to a local file or
/// descriptor, thrown away, or, of stderr, merged into stdout.
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
  using What = std::variant<Capture, Discard, Merge, File, Descriptor, Lines, OutputCallback>;

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

  [[nodiscard]] const What& what() const noexcept { return what_; }

 private:
  What what_;
};

/// Into the result. Of more than `limit` bytes the first and the last are kept, and the result says how many are
/// missing.
inline Output capture(std::size_t limit) { return Output::Capture{limit}; }

/// Thrown away, by the slave.
inline constexpr Output::Discard discard;

/// (stderr) Where stdout goes, in the order written.
inline constexpr Output::Merge merge;

/// Into a local file, as it comes. The file is made if it is missing; what it held is replaced, or kept before the
/// output.
inline Output to_file(std::string path, bool append = false) { return Output::File{std::move(path), append}; }

/// Into a descriptor, which must stay open until the operation is over: 2, for example, is this program's stderr.
inline Output to_descriptor(int number) { return Output::Descriptor{number}; }

/// Line by line, without the newline; the last line also if it has none. A line of over 1 MiB comes in pieces.
inline Output lines(OutputCallback callback) { return Output::Lines{std::move(callback)}; }

}  // namespace remsh

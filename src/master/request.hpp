// Request: what a caller asks of a slave: checks its arguments, describes it in messages, and throws its errors.
#pragma once

#include "base/result.hpp"
#include "master/backend.hpp"
#include "operations/telling_fields.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/operations/execute.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh {

/// One operation that a caller asks for. Describes it in messages, checks its arguments before anything is sent, and
/// decides which exception a Failure becomes. Costs nothing until something fails. One thread at a time.
class Request {
 public:
  /// `first` and `second` are the arguments that messages show; they and the back end must outlive this object.
  Request(const Backend& slave, const operations::Description& what, BytesView first = {}, BytesView second = {})
      : slave_(slave), verb_(what.method), first_(first), second_(second) {}

  /// Makes the Request for a message, whose paths or command are the arguments that messages show.
  template <class Message>
  static Request of(const Backend& slave, const operations::Description& what, const Message& message) {
    BytesView first;
    BytesView second;
    operations::TellingFields fields([&](BytesView value) { (first.empty() ? first : second) = value; });
    Message::describe(fields, message);
    return Request(slave, what, first, second);
  }

  /// Checks each field of a message that can be invalid.
  template <class Message>
  void check_fields(const Message& message) {
    Checks checks{*this};
    Message::describe(checks, message);
  }

  /// Replaces the first argument that messages show. It must outlive this object.
  void show_first(BytesView first) noexcept { first_ = first; }

  /// Checks a path, or another argument that must not be empty or contain a zero byte.
  void check(std::string_view key, BytesView value);

  /// Checks an argument that must not contain a zero byte.
  void check_text(std::string_view key, BytesView value);

  /// Checks the length of a text for people.
  void check_length(std::string_view key, BytesView text) const;
  void check_number(std::string_view key, std::uint64_t value, std::uint64_t min, std::uint64_t max) const;

  /// Checks the patterns of entries that a tree leaves out.
  void check_patterns(const std::vector<Bytes>& patterns);

  void check_mode(std::optional<std::uint32_t> mode) const;
  /// `request` is made from the options and the arguments.
  void check_execute(const operations::Execute::Request& request, const ExecuteOptions& options);
  void check_settings(const ExecuteOptions& options) const;
  void check_logs(const std::vector<LogFile>& logs);
  void check_environment(const std::map<Bytes, std::optional<Bytes>>& env) const;
  void check_call(const operations::Call::Request& request);

  template <class T>
  T value_of(Result<T> result, const std::stop_token& stop) const {
    if (!result.ok()) fail(result.failure(), stop);
    if constexpr (!std::is_void_v<T>) return std::move(result).value();
  }

  /// Throws a failure of the slave or of the connection.
  [[noreturn]] void fail(const Failure& failure, const std::stop_token& stop) const;

  /// Throws Cancelled: the caller has cancelled the operation.
  [[noreturn]] void fail_cancelled() const;

  /// Throws an error of our own system about a local file.
  [[noreturn]] void fail_locally(const Failure& failure, BytesView file) const;

  /// Throws an Error with invalid_argument and this reason if the condition is false.
  void require(bool is_so, const std::string& reason) const {
    if (!is_so) refuse(Errc::invalid_argument, reason);
  }

  /// Throws an error that the library itself has found.
  [[noreturn]] void refuse(Errc code, std::string reason) const;

  [[nodiscard]] const Backend& backend() const noexcept { return slave_; }
  [[nodiscard]] std::string_view verb() const noexcept { return verb_; }
  [[nodiscard]] BytesView first() const noexcept { return first_; }
  [[nodiscard]] BytesView second() const noexcept { return second_; }

 private:
  struct Checks {
    Request& request;
    void path(BytesView key, const Bytes& value) {
      request.check(key == "from" ? "source path" : key == "to" ? "destination path" : "path", value);
    }
    void any_path(BytesView key, const std::optional<Bytes>& value) {
      if (value) request.check_text(key, *value);
    }
    void paths(BytesView /*key*/, const std::vector<Bytes>& value) {
      for (const Bytes& path : value) request.check("path", path);
    }
    void op(BytesView /*key*/, const Bytes& /*value*/) {}
    void optional_text(BytesView key, const Bytes& value) { request.check_length(key, value); }
    void number(BytesView key, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
      request.check_number(key, value, min, max);
    }
    void text(BytesView key, const Bytes& value) { request.count(key.size(), value.size()); }
    void duration(BytesView key, std::chrono::milliseconds value) {
      if (value.count() < 0) request.refuse(Errc::invalid_argument, "'" + std::string(key) + "' is negative");
    }
    void flag(BytesView /*key*/, bool /*value*/) {}
    void off_flag(BytesView /*key*/, bool /*value*/) {}
    void optional_mode(BytesView /*key*/, std::optional<std::uint32_t> value) { request.check_mode(value); }
  };

  void count(std::size_t key, std::size_t value, std::string_view what = "the arguments do");
  [[nodiscard]] std::string slave() const { return std::string(slave_.name()); }
  [[nodiscard]] std::string operation() const;

  const Backend& slave_;
  std::string_view verb_;
  BytesView first_;
  BytesView second_;
  std::size_t bytes_ = 0;   // of the arguments, as they will be sent
  std::size_t fields_ = 0;  // their number
};

/// Whether an output goes to a callback that takes only bytes, to a file, or nowhere: it is neither captured nor
/// merged, and needs no times.
bool takes_only_bytes(const Output& output);

}  // namespace remsh

// AskedOperation: an operation as its back end receives it.
#pragma once

#include "base/result.hpp"
#include "base/stream_counts.hpp"
#include "operations/operations.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/operations/execute.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace remsh {

/// Called with the length of what will be fetched.
using SizeCallback = std::function<void(std::uint64_t)>;

/// Called with each piece of a log file, and the number that its worker gives the file.
using LogCallback = std::function<void(std::optional<std::uint64_t>, BytesView)>;

/// When a worker got a piece of output, by its clock.
using PieceTime = std::chrono::sys_time<std::chrono::microseconds>;

/// Where the streams of an operation end on our side. A back end calls these in the thread that drives the operation,
/// with no lock held; they may throw. An empty function means that there is no such stream, or that it is not wanted.
struct StreamEnds {
  InputCallback in = {};
  OutputCallback out = {};
  OutputCallback err = {};
  LogCallback log = {};
  OutputCallback header = {};
  SizeCallback size = {};  ///< for `out`: called before its first bytes, if the length is known
};

/// An operation as its back end receives it: its request, its streams, and the place of its reply. A back end that
/// speaks boxes takes them from here; any other back end visits the Asked<Operation>. One thread at a time, except for
/// the atomic members.
class AskedOperation {
 public:
  AskedOperation(const AskedOperation&) = delete;
  AskedOperation& operator=(const AskedOperation&) = delete;

  [[nodiscard]] const operations::Description& what() const noexcept { return what_; }

  /// The request as boxes: the command, and the arguments, which can be taken once.
  [[nodiscard]] virtual BytesView command() const noexcept { return what_.name; }
  [[nodiscard]] virtual Box take_arguments() = 0;

  /// Stores the reply. Fails if the reply is malformed.
  virtual Result<void> answered(Box results) = 0;

  StreamEnds ends;
  /// When the worker got the piece of output for which `ends.out` or `ends.err` is called; nullopt if it does not say.
  /// Set by the back end before that call.
  std::optional<PieceTime> piece_at = {};
  StreamCounts moved;                     ///< counted by the back end, after a stream end has given or taken the bytes
  std::atomic<std::uint64_t> number = 0;  ///< set by the back end before anything is sent; 0 until it begins
  TimePoint answered_at{};                ///< when the reply came, not when it was read

 protected:
  explicit AskedOperation(const operations::Description& what) : what_(what) {}
  ~AskedOperation() = default;

 private:
  const operations::Description& what_;
};

template <class Operation>
class Asked final : public AskedOperation {
 public:
  explicit Asked(typename Operation::Request asked) : AskedOperation(Operation::what), request(std::move(asked)) {}

  [[nodiscard]] Box take_arguments() override { return operations::to_box(request); }
  Result<void> answered(Box results) override {
    auto read = operations::from_box<typename Operation::Reply>(results);
    if (!read) return std::move(read).failure();
    reply = std::move(*read);
    return {};
  }

  typename Operation::Request request;
  typename Operation::Reply reply{};
};

/// An operation of the user's own, whose arguments and results are boxes.
template <>
class Asked<operations::Call> final : public AskedOperation {
 public:
  explicit Asked(operations::Call::Request asked) : AskedOperation(operations::Call::what), request(std::move(asked)) {}

  [[nodiscard]] BytesView command() const noexcept override { return request.name; }
  [[nodiscard]] Box take_arguments() override {
    Box box = std::move(request.arguments);
    for (const auto& [key, value] : operations::to_box(request)) box.set(key, value);
    return box;
  }
  Result<void> answered(Box results) override {
    reply.results = std::move(results);
    return {};
  }

  operations::Call::Request request;
  operations::Call::Reply reply{};
};

/// All operations that a back end may be asked for.
using AskedOperations = decltype(std::tuple_cat(operations::All(), std::tuple<operations::Ping, operations::Call>()));

/// Calls `visit` with `operation` as the Asked<Operation> that it is.
template <class Visit>
Result<void> visit(AskedOperation& operation, Visit visit) {
  Result<void> result;
  operations::for_each<AskedOperations>([&]<class Operation>(std::type_identity<Operation>) {
    if (operation.what().name == Operation::what.name) result = visit(static_cast<Asked<Operation>&>(operation));
  });
  return result;
}

}  // namespace remsh

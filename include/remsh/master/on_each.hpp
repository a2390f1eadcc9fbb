// on_each: the same operation on many slaves, a few at a time.
#pragma once

#include <remsh/base/completion_queue.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/master/slave.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace remsh {

/// What became of one slave's part of on_each().
template <class T>
struct EachResult {
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  std::shared_ptr<Slave> slave = {};
  bool begun = false;               ///< false: it was not its turn when the rest was called off
  std::optional<Value> value = {};  ///< set if the operation returned
  std::exception_ptr error = {};    ///< set if it threw

  /// True if the operation returned, and, if the value has an ok() itself, as that of a command, that is true.
  [[nodiscard]] bool ok() const {
    if constexpr (requires(const Value& some) { some.ok(); }) {
      return value && value->ok();
    } else {
      return value.has_value();
    }
  }
};

/// Called with the result of one slave.
template <class T>
using EachCallback = std::function<void(const EachResult<T>&)>;

template <class T>
struct OnEachOptions {
  std::size_t at_once = 64;  ///< how many slaves work at one time, at most

  /// When this number of slaves have failed (EachResult::ok()), no further slave begins. Those at work go on.
  std::size_t max_failures = std::numeric_limits<std::size_t>::max();

  /// If it is stopped, no further slave begins. To end those at work too, give it to their operation as well.
  std::stop_token stop = {};

  /// Called with each result when it comes, in the thread of the caller.
  EachCallback<T> each = {};
};

namespace detail {
template <class Start>
using OutcomeOfStart = decltype(std::declval<std::invoke_result_t<Start&, Slave&>&>().wait());
}  // namespace detail

/// Starts an operation on each slave, and waits until all are over. A slave that is slow, or gone, delays no other one,
/// beyond the place that it takes. The results are in the order of the slaves.
///
///     remsh::on_each(slaves.get_all_slaves(), [](remsh::Slave& slave) { return slave.start_execute({"make"}); },
///                    {.at_once = 10, .max_failures = 3, .each = [](const auto& one) { report(one); }});
///
/// `start` is called in the thread of the caller, and so are the callbacks of the operations. What `start` throws
/// counts as the result of its slave. What `each` throws comes out of on_each(), and cancels what is still at work.
template <class Start>
std::vector<EachResult<detail::OutcomeOfStart<Start>>> on_each(
    const std::vector<std::shared_ptr<Slave>>& slaves, Start start,
    const OnEachOptions<detail::OutcomeOfStart<Start>>& options = {}) {
  using T = detail::OutcomeOfStart<Start>;
  std::vector<EachResult<T>> results(slaves.size());
  CompletionQueue queue;
  std::size_t next = 0;
  std::size_t at_work = 0;
  std::size_t failures = 0;

  const auto finish = [&](EachResult<T>& result) {
    if (!result.ok()) ++failures;
    if (options.each) options.each(result);
  };
  const auto begin = [&](EachResult<T>& result, const auto& go_on) {
    result.begun = true;
    try {
      start(*result.slave).then(queue, [&, go_on](auto done) {
        --at_work;
        try {
          if constexpr (std::is_void_v<T>) {
            done.wait();
            result.value.emplace();
          } else {
            result.value.emplace(done.wait());
          }
        } catch (...) {
          result.error = std::current_exception();
        }
        finish(result);
        go_on(go_on);
      });
      ++at_work;
    } catch (...) {
      result.error = std::current_exception();
      finish(result);
    }
  };
  const auto begin_more = [&](const auto& go_on) -> void {
    while (next < results.size() && at_work < std::max<std::size_t>(options.at_once, 1) &&
           failures < options.max_failures && !options.stop.stop_requested()) {
      begin(results[next++], go_on);
    }
  };

  for (std::size_t i = 0; i < slaves.size(); ++i) results[i].slave = slaves[i];
  begin_more(begin_more);
  queue.run();
  return results;
}

}  // namespace remsh

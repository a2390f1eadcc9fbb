// SlaveFilter: which slaves qualify, and which of two is the better choice.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/master/slave.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

namespace remsh {

/// Decides whether a slave qualifies. Made from any function of a `const Slave&`, or by label(). An empty filter
/// accepts every slave. Filters are combined with `&&`, `||` and `!`; one operand must be a SlaveFilter, the other may
/// be a lambda:
///
///     slaves.get_slave(remsh::block, remsh::label("os", "linux") && !remsh::label("busy"));
///
/// A filter is called without a lock, and may be called by several threads at once. It should be quick, because other
/// callers may wait for it, and must not wait in the collection itself. Its exceptions come out of the call that it was
/// given to.
class SlaveFilter {
 public:
  SlaveFilter() = default;

  template <class Function>
  requires(!std::same_as<Function, SlaveFilter> && std::constructible_from<std::function<bool(const Slave&)>, Function>)
      SlaveFilter(Function function)
      : function_(std::move(function)) {}

  /// Whether the slave qualifies.
  bool operator()(const Slave& slave) const { return !function_ || function_(slave); }

  /// Both must accept the slave. The second is not called if the first does not.
  friend SlaveFilter operator&&(SlaveFilter a, SlaveFilter b) {
    return [a = std::move(a), b = std::move(b)](const Slave& slave) { return a(slave) && b(slave); };
  }

  /// One must accept the slave. The second is not called if the first does.
  friend SlaveFilter operator||(SlaveFilter a, SlaveFilter b) {
    return [a = std::move(a), b = std::move(b)](const Slave& slave) { return a(slave) || b(slave); };
  }

  friend SlaveFilter operator!(SlaveFilter a) {
    return [a = std::move(a)](const Slave& slave) { return !a(slave); };
  }

 private:
  std::function<bool(const Slave&)> function_;
};

/// A filter: the slave has this label, with any value.
[[nodiscard]] REMSH_API SlaveFilter label(std::string key);

/// A filter: the slave has this label with this value.
[[nodiscard]] REMSH_API SlaveFilter label(std::string key, std::string value);

/// The same for the labels that a slave claims (SlaveInfo::claimed_labels): for choosing, not for deciding who may see
/// what, as a slave can claim any.
[[nodiscard]] REMSH_API SlaveFilter claimed_label(std::string key);
[[nodiscard]] REMSH_API SlaveFilter claimed_label(std::string key, std::string value);

/// True if the first slave is the better choice. Empty: a random one of those that qualify. Called in the same way as a
/// SlaveFilter.
using SlaveCompare = std::function<bool(const Slave&, const Slave&)>;

}  // namespace remsh

// Jelly: the values in the expressions of Twisted's Perspective Broker; no I/O.
#pragma once

#include "base/result.hpp"
#include "buildbot/banana.hpp"

#include <remsh/base/value.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::buildbot {

/// Replaces each `(reference i x)` by x and each later `(dereference i)` by a copy of it, so that what is left can be
/// read piece by piece. The expression is one that Twisted jellied as a whole: the arguments and the keyword arguments
/// of a message are two, and both may have the same numbers. Fails with protocol_error if x contains itself, an i is
/// unknown or comes twice, or the result has more than `max_elements` elements in its lists, more than `max_bytes`
/// bytes in its strings, or lists that are nested more deeply than BananaLimits::depth.
Result<Expression> without_references(Expression expression, std::size_t max_elements = 655'360,
                                      std::size_t max_bytes = 8'000'000);

/// The value of an expression without references: None, booleans, numbers, bytes, texts, lists, tuples and
/// dictionaries. Everything else is refused with protocol_error, names of classes above all; so are texts that are not
/// UTF-8, keys that Python cannot hash, and lists that are nested more deeply than BananaLimits::depth.
Result<Value> from_jelly(const Expression& expression);

/// The expression of a value. Fails with invalid_argument for sets, ints of more than 64 bits, texts that are not
/// UTF-8, keys that Python cannot hash and lists that are nested more deeply than BananaLimits::depth; with too_large
/// for a string or a list that Twisted does not accept: see BananaLimits.
Result<Expression> to_jelly(const Value& value);

inline Expression jelly_text(std::string_view utf8) { return Expression::list("unicode", Bytes(utf8)); }

template <class... Items>
Expression jelly_tuple(Items&&... items) {
  return Expression::list("tuple", std::forward<Items>(items)...);
}

/// The number of `(remote n)`: an object of the side that sends it. nullopt for any other expression.
std::optional<std::int64_t> remote_of(const Expression& expression);
Expression remote(std::int64_t number);

/// The items of `(tuple ...)`, without its first word; nullopt for any other expression.
std::optional<std::span<const Expression>> items_of_tuple(const Expression& expression);

/// A key and a value of an expression that must live as long.
using JellyPair = std::pair<const Expression&, const Expression&>;

/// The pairs of `(dictionary (key value) ...)`; nullopt for any other expression.
std::optional<std::vector<JellyPair>> pairs_of_dictionary(const Expression& expression);

/// A failure as a worker accepts it: twisted.spread.pb.CopyableFailure. Any other class of failure makes a worker exit.
/// `type`: the dotted name of an exception, such as "twisted.cred.error.UnauthorizedLogin".
Expression failure(std::string_view type, std::string_view text);

/// What a failure of the worker says, for people and logs: its value, or its type if that is empty. It is without
/// control characters, and cut if it is long. nullopt if it is no failure.
std::optional<std::string> failure_text(const Expression& expression);

}  // namespace remsh::buildbot

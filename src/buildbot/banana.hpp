// Banana: the lists, numbers and strings of Twisted's Perspective Broker, from bytes and back; no I/O.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::buildbot {

/// An expression of Banana. A word of the vocabulary is a string as well. To copy, compare or destroy one takes as many
/// nested calls as it has lists in lists; of those that were read, BananaLimits::depth is the bound.
class Expression {
 public:
  using List = std::vector<Expression>;
  using What = std::variant<std::int64_t, double, Bytes, List>;

  Expression() = default;  ///< 0
  Expression(std::int64_t number) : what_(number) {}
  Expression(int number) : what_(std::int64_t{number}) {}
  Expression(double number) : what_(number) {}
  Expression(Bytes string) : what_(std::move(string)) {}
  Expression(const char* string) : what_(Bytes(string)) {}
  explicit Expression(List list) : what_(std::move(list)) {}

  /// A list of these items. A single list is an item as any other one: `List{list}` would be a copy for some compilers,
  /// and a list in a list for others.
  template <class... Items>
  [[nodiscard]] static Expression list(Items&&... items) {
    List all;
    all.reserve(sizeof...(items));
    (all.emplace_back(std::forward<Items>(items)), ...);
    return Expression(std::move(all));
  }

  [[nodiscard]] const What& what() const noexcept { return what_; }
  [[nodiscard]] What& what() noexcept { return what_; }

  /// The expression as one of these types; null if it is another one.
  template <class Type>
  [[nodiscard]] const Type* get_if() const noexcept {
    return std::get_if<Type>(&what_);
  }

  friend bool operator==(const Expression&, const Expression&) = default;

 private:
  What what_ = std::int64_t{0};
};

struct BananaLimits {
  std::size_t string = 655'360;    ///< bytes of one string; Twisted's own limit
  std::size_t elements = 655'360;  ///< of all lists of one whole expression; Twisted's own limit is for each list
  std::size_t bytes = 8'000'000;   ///< of one whole expression on the wire
  std::size_t depth = 32;          ///< of lists in lists
};

/// Reads expressions from bytes as they come. One thread at a time.
class BananaReader {
 public:
  explicit BananaReader(const BananaLimits& limits) : limits_(limits) {}

  /// From the next expression on. An expression that has begun must keep to them as well.
  void set_limits(const BananaLimits& limits) noexcept { limits_ = limits; }

  /// Takes bytes over, until next() has failed. Call next() until it returns nullopt before the next bytes are fed: the
  /// limits are checked there.
  void feed(BytesView bytes) {
    if (!failed_) bytes_.append(bytes);
  }

  /// The next whole expression; nullopt if more bytes are needed. Each byte is read once, however they come. No memory
  /// is used for what a length only announces. Fails with protocol_error, and then again.
  Result<std::optional<Expression>> next();

 private:
  struct Open {  // a list that is not complete
    Expression::List items;
    std::size_t count;
  };

  Result<std::optional<Expression>> read();
  Result<void> read_digit(std::uint8_t byte);
  Result<void> read_type(std::uint8_t byte);
  [[nodiscard]] Result<void> check_limits() const;
  [[nodiscard]] Result<std::int64_t> integer(bool is_negative) const;
  Result<std::optional<Expression>> finish_element();
  std::optional<Expression> put(Expression item);
  void drop_read_bytes();

  BananaLimits limits_;
  Bytes bytes_;
  std::size_t at_ = 0;  // of the first byte in bytes_ that is not read
  // The element in progress:
  std::uint64_t number_ = 0;
  unsigned digits_ = 0;               // those of the number that have come
  std::optional<std::uint8_t> type_;  // once it has come; then a body may be missing
  std::size_t body_ = 0;              // the size of the body
  // The expression in progress:
  std::vector<Open> open_;
  std::size_t elements_ = 0;  // that its lists announce
  std::size_t size_ = 0;      // its bytes that have come, and those of a body that are announced
  std::optional<Failure> failed_;
};

/// Whether words of the vocabulary are written as such. They are not before both sides have agreed on the dialect.
enum class Vocabulary : std::uint8_t { none, pb };

/// Appends an expression, however deep it is.
void append_banana(Bytes& to, const Expression& expression, Vocabulary vocabulary = Vocabulary::pb);

}  // namespace remsh::buildbot

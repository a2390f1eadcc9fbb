#include "buildbot/pb_message.hpp"

#include "buildbot/jelly.hpp"

#include <span>
#include <utility>

namespace remsh::buildbot {

namespace {

struct Size {
  std::size_t elements = 0;
  std::size_t bytes = 0;
};

void measure(const Expression& expression, Size& size) {  // as deep as its reader has allowed
  ++size.elements;
  if (const auto* const text = expression.get_if<Bytes>()) size.bytes += text->size();
  if (const auto* const list = expression.get_if<Expression::List>()) {
    for (const Expression& item : *list) measure(item, size);
  }
}

/// The list of Python that an expression is, with its type; null for any other one.
const Expression::List* list_in(const Expression& expression) {
  const auto* const list = expression.get_if<Expression::List>();
  return list != nullptr && word_in(*list, 0) == "list" ? list : nullptr;
}

}  // namespace

std::int64_t number_in(const Expression::List& list, std::size_t at) {
  const auto* const number = at < list.size() ? list[at].get_if<std::int64_t>() : nullptr;
  return number != nullptr ? *number : -1;
}

BytesView word_in(const Expression::List& list, std::size_t at) {
  const auto* const word = at < list.size() ? list[at].get_if<Bytes>() : nullptr;
  return word != nullptr ? BytesView(*word) : BytesView();
}

Result<Expression> as_written(Expression expression) {
  Size size;
  measure(expression, size);
  return without_references(std::move(expression), 2 * size.elements + 64, 2 * size.bytes + 4096);
}

Result<void> read_updates(const Expression& argument, const std::function<void(WorkerUpdate)>& take) {
  const auto* const updates = list_in(argument);
  if (updates == nullptr) return breach("it has sent an update without a list");
  for (const Expression& update : std::span(*updates).subspan(1)) {
    const auto* const both = list_in(update);
    const auto pairs = both != nullptr && both->size() > 1 ? pairs_of_dictionary((*both)[1]) : std::nullopt;
    if (!pairs) return breach("it has sent a strange update");
    for (const auto& [key, expression] : *pairs) {
      const auto name = from_jelly(key);
      auto value = from_jelly(expression);
      if (!name) return name.failure();
      if (!value) return std::move(value).failure();
      const auto* const text = name->get_if<Value::Text>();
      if (text == nullptr) return breach("it has sent an update without its name");
      auto read = read_update(Dialect::pb, text->text, std::move(*value));
      if (!read) return std::move(read).failure();
      if (*read) take(std::move(**read));
    }
  }
  return {};
}

}  // namespace remsh::buildbot

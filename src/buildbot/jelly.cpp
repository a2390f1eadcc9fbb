#include "buildbot/jelly.hpp"

#include "base/format.hpp"
#include "base/hashable.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::buildbot {

namespace {

using List = Expression::List;

constexpr std::size_t most_depth = BananaLimits().depth;
constexpr std::string_view failure_class = "twisted.spread.pb.CopyableFailure";

/// The string with which a list begins, which is the type of what follows; null if it does not begin with one.
const Bytes* type_of(const List& list) { return list.empty() ? nullptr : list.front().get_if<Bytes>(); }

bool is_of_type(const List& list, std::string_view type) {
  const Bytes* const found = type_of(list);
  return found != nullptr && *found == type;
}

/// The items of a list of this type; nullopt for any other expression.
std::optional<std::span<const Expression>> items_of(const Expression& expression, std::string_view type) {
  const auto* const list = expression.get_if<List>();
  if (list == nullptr || !is_of_type(*list, type)) return std::nullopt;
  return std::span(*list).subspan(1);
}

// --- references

class References {
 public:
  References(std::size_t max_elements, std::size_t max_bytes) : max_elements_(max_elements), max_bytes_(max_bytes) {}

  Result<Expression> replace(Expression expression) {
    replace_value(expression, 0);
    if (!problem_.empty()) return breach(formatted("the references of a value cannot be followed: {}", problem_));
    return expression;
  }

 private:
  /// What an expression has, without its own place in a list.
  struct Size {
    std::size_t elements = 0;
    std::size_t bytes = 0;
  };

  /// What a number stands for. The expression stays where it is: a list that has been begun is not moved any more.
  struct Known {
    const Expression* expression = nullptr;  // null until all of it is read
    Size size;
    std::size_t height = 0;
  };

  void refuse(std::string_view why) {
    if (problem_.empty()) problem_ = why;
  }

  void count(std::size_t elements, std::size_t bytes) {
    size_.elements += elements;
    size_.bytes += bytes;
    if (size_.elements > max_elements_) refuse(formatted("it has more than {} elements", max_elements_));
    if (size_.bytes > max_bytes_) refuse(formatted("its strings have more than {} bytes", max_bytes_));
  }

  /// Makes an expression at this depth free of references. Returns its height: the number of lists in each other.
  std::size_t replace_value(Expression& at, std::size_t depth) {
    const Size before = size_;
    std::vector<Known*> names;  // by which it is referred to
    for (Known* name = take_reference(at); name != nullptr; name = take_reference(at)) names.push_back(name);
    std::size_t height = 0;
    if (auto* const list = std::get_if<List>(&at.what())) {
      if (is_of_type(*list, "dereference")) {
        height = copy(at, *list, depth);
      } else {
        height = replace_items(*list, is_of_type(*list, "dictionary"), depth);
      }
    } else if (const auto* const string = at.get_if<Bytes>()) {
      count(0, string->size());
    }
    for (Known* const name : names) {
      *name = {&at, {size_.elements - before.elements, size_.bytes - before.bytes}, height};
    }
    return height;
  }

  /// If the expression is `(reference i x)`, makes it x and returns the place for what i stands for. Else null.
  Known* take_reference(Expression& at) {
    auto* const list = std::get_if<List>(&at.what());
    if (list == nullptr || !is_of_type(*list, "reference")) return nullptr;
    const auto* const number = list->size() == 3 ? (*list)[1].get_if<std::int64_t>() : nullptr;
    if (number == nullptr) {
      refuse("a reference has not a number and a value");
      return nullptr;
    }
    const auto [place, is_new] = known_.try_emplace(*number);
    if (!is_new) {
      refuse("the number of a reference comes twice");
      return nullptr;
    }
    Expression value = std::move((*list)[2]);
    at = std::move(value);
    return &place->second;
  }

  /// `list` is that of `at`, and `(dereference i)`.
  std::size_t copy(Expression& at, const List& list, std::size_t depth) {
    const auto* const number = list.size() == 2 ? list[1].get_if<std::int64_t>() : nullptr;
    const auto found = number != nullptr ? known_.find(*number) : known_.end();
    if (found == known_.end()) {
      refuse("it refers to something that is not there");
      return 0;
    }
    const Known& known = found->second;
    if (known.expression == nullptr) {
      refuse("it contains itself");
      return 0;
    }
    // A few bytes can ask for very large copies, of which each contains several of the one before. So they are counted
    // before they are made.
    if (depth + known.height > most_depth) refuse(formatted("its lists are deeper than {}", most_depth));
    count(known.size.elements, known.size.bytes);
    if (problem_.empty()) at = Expression(*known.expression);
    return known.height;
  }

  /// In a dictionary the lists in the list are pairs. A pair is no value: its key may be the string "dereference".
  std::size_t replace_items(List& list, bool is_dictionary, std::size_t depth) {
    if (depth >= most_depth) {
      refuse(formatted("its lists are deeper than {}", most_depth));
      return 0;
    }
    count(list.size(), 0);
    std::size_t height = 0;
    for (Expression& item : list) {
      if (!problem_.empty()) break;
      auto* const pair = is_dictionary ? std::get_if<List>(&item.what()) : nullptr;
      height =
          std::max(height, pair != nullptr ? replace_items(*pair, false, depth + 1) : replace_value(item, depth + 1));
    }
    return height + 1;
  }

  std::size_t max_elements_;
  std::size_t max_bytes_;
  std::map<std::int64_t, Known> known_;  // the numbers are the sender's
  Size size_;                            // of the result so far
  std::string problem_;                  // the first
};

// --- reading

class Reader {
 public:
  Result<Value> read(const Expression& expression) {
    Value value = value_of(expression, 0);
    if (!problem_.empty()) return breach(formatted("the value cannot be read: {}", problem_));
    return value;
  }

 private:
  Value refuse(std::string_view why) {
    if (problem_.empty()) problem_ = why;
    return {};
  }

  Value value_of(const Expression& expression, std::size_t depth) {
    if (const auto* const number = expression.get_if<std::int64_t>()) return *number;
    if (const auto* const real = expression.get_if<double>()) return *real;
    if (const auto* const bytes = expression.get_if<Bytes>()) return Value::bytes(*bytes);
    if (depth >= most_depth) return refuse(formatted("its lists are deeper than {}", most_depth));
    return value_of_list(*expression.get_if<List>(), depth + 1);
  }

  Value value_of_list(const List& list, std::size_t depth) {
    const Bytes* const type = type_of(list);
    if (type == nullptr) return refuse("a list does not begin with a type");
    const auto items = std::span(list).subspan(1);
    if (*type == "list") return Value::list(values_of(items, depth));
    if (*type == "tuple") return Value::tuple(values_of(items, depth));
    if (*type == "dictionary") return dict_of(items, depth);
    if (*type == "None") return items.empty() ? Value() : refuse("there is something in a None");
    const Bytes* const string = items.size() == 1 ? items[0].get_if<Bytes>() : nullptr;
    if (*type == "unicode") {
      if (string == nullptr || !is_utf8(*string)) return refuse("a text is not UTF-8");
      return Value::text(*string);
    }
    if (*type == "boolean") {
      if (string == nullptr || (*string != "true" && *string != "false"))
        return refuse("a boolean is not true or false");
      return *string == "true";
    }
    return refuse(formatted("it has something of the type {}, which is not plain data", start_in_quotes(*type)));
  }

  std::vector<Value> values_of(std::span<const Expression> items, std::size_t depth) {
    std::vector<Value> values;
    for (const Expression& item : items) {
      if (!problem_.empty()) break;
      values.push_back(value_of(item, depth));
    }
    return values;
  }

  Value dict_of(std::span<const Expression> pairs, std::size_t depth) {
    Value::Dict dict;
    for (const Expression& expression : pairs) {
      const auto* const pair = expression.get_if<List>();
      if (pair == nullptr || pair->size() != 2) return refuse("a dictionary has something else than pairs");
      if (depth >= most_depth) return refuse(formatted("its lists are deeper than {}", most_depth));
      dict.keys.push_back(value_of((*pair)[0], depth + 1));
      dict.values.push_back(value_of((*pair)[1], depth + 1));
      if (!is_hashable(dict.keys.back())) return refuse("a key of a dictionary cannot be hashed");
      if (!problem_.empty()) return {};
    }
    return Value::What(std::move(dict));
  }

  std::string problem_;  // the first
};

// --- writing

class Writer {
 public:
  Result<Expression> write(const Value& value) {
    Expression expression = expression_of(value, 0);
    if (!problem_.empty()) return Failure{code_, std::move(problem_)};
    return expression;
  }

 private:
  Expression refuse(std::string_view why, Errc code = Errc::invalid_argument) {
    if (problem_.empty()) {
      problem_ = why;
      code_ = code;
    }
    return {};
  }

  Expression expression_of(const Value& value, std::size_t depth) {
    return std::visit([&](const auto& what) { return expression_of_what(what, depth); }, value.what());
  }

  Expression expression_of_what(Value::None, std::size_t depth) { return Expression(list_of("None", 0, depth)); }
  Expression expression_of_what(bool value, std::size_t depth) {
    List list = list_of("boolean", 1, depth);
    list.emplace_back(value ? "true" : "false");
    return Expression(std::move(list));
  }
  Expression expression_of_what(std::int64_t value, std::size_t) { return value; }
  Expression expression_of_what(const Value::LargeInt&, std::size_t) { return refuse("an int has more than 64 bits"); }
  Expression expression_of_what(double value, std::size_t) { return value; }
  Expression expression_of_what(const Value::Text& value, std::size_t depth) {
    if (!is_utf8(value.text)) return refuse("a text is not UTF-8: if it is bytes, pass Value::bytes()");
    List list = list_of("unicode", 1, depth);
    list.push_back(string_of(value.text));
    return Expression(std::move(list));
  }
  Expression expression_of_what(const Bytes& value, std::size_t) { return string_of(value); }
  Expression expression_of_what(const Value::List& value, std::size_t depth) {
    return list_with("list", value.items, depth);
  }
  Expression expression_of_what(const Value::Tuple& value, std::size_t depth) {
    return list_with("tuple", value.items, depth);
  }
  Expression expression_of_what(const Value::Set&, std::size_t) { return refuse("it has a set"); }
  Expression expression_of_what(const Value::Dict& value, std::size_t depth) {
    if (value.keys.size() != value.values.size()) return refuse("a dict has not as many keys as values");
    List list = list_of("dictionary", value.keys.size(), depth);
    if (!value.keys.empty() && depth + 1 >= most_depth) refuse_depth();
    for (std::size_t i = 0; i < value.keys.size() && problem_.empty(); ++i) {
      List pair;
      pair.reserve(2);
      pair.push_back(expression_of(value.keys[i], depth + 2));
      pair.push_back(expression_of(value.values[i], depth + 2));
      list.emplace_back(std::move(pair));
      if (problem_.empty() && !is_hashable(value.keys[i])) refuse("a key of a dict cannot be hashed");
    }
    return Expression(std::move(list));
  }

  Expression list_with(const char* type, const std::vector<Value>& items, std::size_t depth) {
    List list = list_of(type, items.size(), depth);
    for (const Value& item : items) {
      if (!problem_.empty()) break;
      list.push_back(expression_of(item, depth + 1));
    }
    return Expression(std::move(list));
  }

  /// A list at this depth which has its type and room for the items.
  List list_of(const char* type, std::size_t items, std::size_t depth) {
    if (depth >= most_depth) refuse_depth();
    if (items >= BananaLimits().elements) {
      refuse(formatted("a container has {} items or more", BananaLimits().elements), Errc::too_large);
    }
    List list;
    if (!problem_.empty()) return list;
    list.reserve(items + 1);
    list.emplace_back(type);
    return list;
  }

  Expression string_of(const Bytes& bytes) {
    if (bytes.size() <= BananaLimits().string) return bytes;
    return refuse(formatted("a string has more than {} bytes", BananaLimits().string), Errc::too_large);
  }

  void refuse_depth() { refuse("the value is nested too deeply"); }

  std::string problem_;  // the first
  Errc code_ = Errc::invalid_argument;
};

// --- failures

Expression field(const char* name, Expression value) { return Expression::list(jelly_text(name), std::move(value)); }

/// The string or text that a dictionary has for this key; empty if it has none.
BytesView string_at(const std::vector<JellyPair>& pairs, std::string_view wanted) {
  const auto string_of = [](const Expression& expression) -> BytesView {
    if (const auto* const bytes = expression.get_if<Bytes>()) return *bytes;
    const auto utf8 = items_of(expression, "unicode");
    const Bytes* const bytes = utf8 && utf8->size() == 1 ? utf8->front().get_if<Bytes>() : nullptr;
    return bytes != nullptr ? BytesView(*bytes) : BytesView();
  };
  for (const auto& [key, value] : pairs) {
    if (string_of(key) == wanted) return string_of(value);
  }
  return {};
}

}  // namespace

Result<Expression> without_references(Expression expression, std::size_t max_elements, std::size_t max_bytes) {
  return References(max_elements, max_bytes).replace(std::move(expression));
}

Result<Value> from_jelly(const Expression& expression) { return Reader().read(expression); }

Result<Expression> to_jelly(const Value& value) { return Writer().write(value); }

std::optional<std::int64_t> remote_of(const Expression& expression) {
  const auto items = items_of(expression, "remote");
  if (!items || items->size() != 1) return std::nullopt;
  const auto* const number = items->front().get_if<std::int64_t>();
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

Expression remote(std::int64_t number) { return Expression::list("remote", number); }

std::optional<std::span<const Expression>> items_of_tuple(const Expression& expression) {
  return items_of(expression, "tuple");
}

std::optional<std::vector<JellyPair>> pairs_of_dictionary(const Expression& expression) {
  const auto items = items_of(expression, "dictionary");
  if (!items) return std::nullopt;
  std::vector<JellyPair> pairs;
  for (const Expression& item : *items) {
    const auto* const both = item.get_if<List>();
    if (both == nullptr || both->size() != 2) return std::nullopt;
    pairs.emplace_back(both->front(), both->back());
  }
  return pairs;
}

Expression failure(std::string_view type, std::string_view why) {
  const std::string shown = is_utf8(why) ? std::string(why) : escaped(why);
  // A worker cannot use it if one of these is missing: it looks for the classes that it handles in "parents".
  return Expression::list(
      Bytes(failure_class),
      Expression::list("dictionary", field("type", Bytes(type)), field("value", jelly_text(shown)),
                       field("parents", Expression::list("list", jelly_text(type))), field("traceback", jelly_text("")),
                       field("frames", Expression::list("list")), field("stack", Expression::list("list"))));
}

std::optional<std::string> failure_text(const Expression& expression) {
  const auto items = items_of(expression, failure_class);
  const auto pairs = items && items->size() == 1 ? pairs_of_dictionary(items->front()) : std::nullopt;
  if (!pairs) return std::nullopt;
  BytesView said = string_at(*pairs, "value");
  if (said.empty()) said = string_at(*pairs, "type");
  if (said.empty()) return "a failure of which nothing is known";
  constexpr std::size_t enough = 1000;
  return without_controls(said.substr(0, enough)) + (said.size() > enough ? "..." : "");
}

}  // namespace remsh::buildbot

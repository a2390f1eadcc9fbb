// Jelly: values as Twisted writes them and reads them, and that a few bytes cannot ask for much.
#include "buildbot/jelly.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jelly_test {

using namespace remsh;
using namespace remsh::buildbot;

namespace {

using List = Expression::List;

Bytes banana_of(const Expression& expression) {
  Bytes bytes;
  append_banana(bytes, expression);
  return bytes;
}

Expression expression_of(BytesView hex) {
  BananaReader reader({});
  reader.feed(test::from_hex(hex));
  auto next = reader.next();
  REQUIRE_MESSAGE(next.ok(), next.failure().message);
  REQUIRE(next->has_value());
  return **next;
}

Value read(const Expression& expression) {
  const auto plain = without_references(expression);
  REQUIRE_MESSAGE(plain.ok(), plain.failure().message);
  const auto value = from_jelly(*plain);
  REQUIRE_MESSAGE(value.ok(), value.failure().message);
  return *value;
}

Value read_hex(BytesView hex) { return read(expression_of(hex)); }

std::string why_not(const Expression& expression) {
  const auto value = from_jelly(expression);
  REQUIRE_FALSE(value.ok());
  CHECK(value.failure().code == Errc::protocol_error);
  return value.failure().message;
}

std::string why_no_references(const Expression& expression, std::size_t elements = 655'360,
                              std::size_t bytes = 8'000'000) {
  const auto plain = without_references(expression, elements, bytes);
  REQUIRE_FALSE(plain.ok());
  CHECK(plain.failure().code == Errc::protocol_error);
  return plain.failure().message;
}

bool jelly_says(const std::string& message, const std::string& words) {
  return message.find(words) != std::string::npos;
}

Value t(std::string text) { return Value::text(std::move(text)); }
Value b(std::string_view bytes) { return Value::bytes(Bytes(bytes)); }

struct JellyExample {
  Value value;
  std::string by_twisted;  // of Twisted's jelly and then its banana, in the dialect "pb"
};

const std::vector<JellyExample>& jelly_examples() {
  static const std::vector<JellyExample> all{
      {Value(), "01800187"},
      {true, "02800782626f6f6c65616e048274727565"},
      {false, "02800782626f6f6c65616e058266616c7365"},
      {0, "0081"},
      {std::int64_t{2147483647}, "7f7f7f7f0781"},
      {std::int64_t{2147483648}, "000000000885"},
      {std::int64_t{4294967295}, "7f7f7f7f0f85"},
      {std::int64_t{4294967296}, "000000001085"},
      {INT64_MAX, "7f7f7f7f7f7f7f7f7f85"},
      {-1, "0183"},
      {std::int64_t{-2147483648}, "000000000883"},
      {std::int64_t{-2147483649}, "010000000886"},
      {INT64_MIN, "0000000000000000000186"},
      {1.5, "843ff8000000000000"},
      {-0.0, "848000000000000000"},
      {0.1, "843fb999999999999a"},
      {b(""), "0082"},
      {b({"\0\xff", 2}), "028200ff"},
      {b("list"), "0887"},
      {b("unicode"), "0782756e69636f6465"},
      {t(""), "02800782756e69636f64650082"},
      {t("a"), "02800782756e69636f6465018261"},
      {t("\xc3\xa9"), "02800782756e69636f64650282c3a9"},
      {t("\xe2\x82\xac\xf0\x9f\x98\x80"), "02800782756e69636f64650782e282acf09f9880"},
      {t("None"), "02800782756e69636f64650187"},
      {t("message"), "02800782756e69636f64651a87"},
      {Value::list({}), "01800887"},
      {Value::list({1}), "028008870181"},
      {Value::list({1, Value::list({2, Value::list({3, Value::list({})})})}),
       "03800887018103800887028103800887038101800887"},
      {Value::tuple({}), "01800b87"},
      {Value::tuple({1}), "02800b870181"},
      {Value::tuple({Value::tuple({}), Value::tuple({1, Value::tuple({2})})}),
       "03800b8701800b8703800b87018102800b870281"},
      {Value::dict({}), "01800587"},
      {Value::dict({{t("a"), 1}}), "02800587028002800782756e69636f64650182610181"},
      {Value::dict({{1, 2}, {Value::tuple({1, t("b")}), Value::list({Value()})}}),
       "03800587028001810281028003800b87018102800782756e69636f64650182620280088701800187"},
      {Value::dict({{b("dereference"), 1}}), "02800587028003870181"},
      {Value::dict({{b("reference"), 7}, {b("list"), Value::list({b("dictionary")})}}),
       "0380058702800487078102800887028008870587"},
      {Value::list({2.25, Value(), t("junk"), b("x"), true, Value::dict({{t("k"), Value::tuple({1, 2})}})}),
       "078008878440020000000000000180018702800782756e69636f646504826a756e6b01827802800782626f6f6c65616e04827472756502"
       "800587028002800782756e69636f646501826b03800b8701810281"},
  };
  return all;
}

/// n lists in each other, of which the last is empty.
Value nested_value(std::size_t n) {
  Value value = Value::list({});
  for (std::size_t i = 1; i < n; ++i) value = Value::list({value});
  return value;
}

/// Lists of this many lists each, n times: (list (reference 1 (list "0123456789" ...)) (reference 2 (list (dereference
/// 1)
/// ...))). The size of the value is width to the n.
Expression laughs(std::int64_t n, std::size_t width) {
  List all{"list"};
  for (std::int64_t i = 1; i <= n; ++i) {
    List list{"list"};
    for (std::size_t j = 0; j < width; ++j) {
      list.push_back(i == 1 ? Expression("0123456789") : Expression(Expression::list("dereference", i - 1)));
    }
    all.emplace_back(Expression::list("reference", i, std::move(list)));
  }
  return Expression(std::move(all));
}

}  // namespace

TEST_CASE("values are read as Twisted writes them, and written as Twisted writes them") {
  for (const JellyExample& example : jelly_examples()) {
    CAPTURE(example.by_twisted);
    CHECK(read_hex(example.by_twisted) == example.value);
    const auto written = to_jelly(example.value);
    REQUIRE(written.ok());
    CHECK(test::to_hex(banana_of(*written)) == example.by_twisted);
  }
}

TEST_CASE("a list that comes twice in a value of Twisted's is read twice") {
  const Value x = Value::list({t("junk")});
  CHECK(read_hex("048008870380048701810280088702800782756e69636f646504826a756e6b028003870181"
                 "02800782756e69636f646504826a756e6b") == Value::list({x, x, t("junk")}));
  CHECK(read_hex("03800587028002800782756e69636f64650182610380048701810280088702800782756e69636f646504826a756e6b"
                 "028002800782756e69636f646501826202800587028002800782756e69636f6465018263028003870181") ==
        Value::dict({{t("a"), x}, {t("b"), Value::dict({{t("c"), x}})}}));
  const Value y = Value::tuple({t("t")});
  CHECK(read_hex("0480088703800487018102800b8702800782756e69636f6465018274028003870181028003870181") ==
        Value::list({y, y, y}));
  const Value z = Value::list({x, x});  // in which it comes twice, and which comes twice itself
  CHECK(read_hex("03800887038004870281038008870380048701810280088702800782756e69636f646504826a756e6b"
                 "028003870181028003870281") == Value::list({z, z}));
  const Value d = Value::dict({{t("k"), 1}});
  CHECK(read_hex("04800b8703800487018102800587028002800782756e69636f646501826b0181"
                 "02800387018102800887028003870181") == Value::tuple({d, d, Value::list({d})}));
  const Value q = Value::list({1});
  const Value r = Value::list({q});
  CHECK(read_hex("0480088703800487028102800887038004870181028008870181028003870181028003870281") ==
        Value::list({r, q, r}));
}

TEST_CASE("a value that contains itself is refused") {
  CHECK(jelly_says(why_no_references(expression_of("03800487018102800887028003870181")), "it contains itself"));
  CHECK(jelly_says(why_no_references(expression_of("03800487018102800b8702800887028003870181")), "it contains itself"));
  CHECK(jelly_says(why_no_references(Expression::list("reference", 1, Expression::list("dereference", 1))),
                   "it contains itself"));
}

TEST_CASE("references without a meaning are refused") {
  const Expression x = Expression::list("list");
  const Expression one = Expression::list("reference", 1, x);
  CHECK(without_references(one).value() == x);
  CHECK(without_references(Expression::list("reference", 1, Expression::list("reference", 2, x))).value() == x);
  CHECK(without_references(Expression::list("reference", 1, 5)).value() == Expression(5));
  CHECK(jelly_says(why_no_references(Expression::list("dereference", 1)), "it refers to something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", Expression::list("dereference", 1), one)),
                   "something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", one, Expression::list("dereference", 2))),
                   "something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", one, Expression::list("dereference"))),
                   "something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", one, Expression::list("dereference", 1, 1))),
                   "something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", one, Expression::list("dereference", "1"))),
                   "something that is not there"));
  CHECK(jelly_says(why_no_references(Expression::list("list", one, one)), "the number of a reference comes twice"));
  CHECK(jelly_says(why_no_references(Expression::list("reference", 1, one)), "the number of a reference comes twice"));
  for (const Expression& bad :
       {Expression::list("reference"), Expression::list("reference", 1), Expression::list("reference", "1", x),
        Expression::list("reference", 1, x, x), Expression::list("reference", 1.0, x)}) {
    CHECK(jelly_says(why_no_references(bad), "a reference has not a number and a value"));
  }
}

TEST_CASE("what is not a reference stays as it is") {
  const std::vector<Expression> all{
      5, 1.5, "reference", Expression::list(), Expression::list(Expression(Expression::list("x"))),
      Expression::list(5, "reference"), Expression::list("list", "reference", 1, Expression::list()),
      Expression::list("twisted.spread.pb.CopyableFailure",
                       Expression::list("dictionary", Expression::list("value", "x"))),
      // The pairs of a dictionary are no values, whatever their keys are.
      Expression::list("dictionary", Expression::list("reference", 1), Expression::list("dereference", 1),
                       Expression::list("dictionary", Expression::list()), "x")};
  for (const Expression& expression : all) CHECK(without_references(expression).value() == expression);
  const Expression in_pair = Expression::list(
      "dictionary", Expression::list("dereference", Expression::list("reference", 1, Expression::list("list", 3))),
      Expression::list(Expression::list("dereference", 1), Expression::list("dereference", 1)));
  const Expression three = Expression::list("list", 3);
  CHECK(without_references(in_pair).value() ==
        Expression(
            Expression::list("dictionary", Expression::list("dereference", three), Expression::list(three, three))));
}

TEST_CASE("a small expression that asks for a large value is refused before that is made") {
  CHECK(read(laughs(3, 10)) == read(without_references(laughs(3, 10)).value()));
  CHECK(jelly_says(why_no_references(laughs(20, 10)), "it has more than 655360 elements"));
  CHECK(jelly_says(why_no_references(laughs(20, 10), 100'000'000), "its strings have more than 8000000 bytes"));
  // With one long string the elements stay few.
  List all{"list", Expression::list("reference", 1, Bytes(600'000, 's'))};
  for (int i = 0; i < 12; ++i) all.emplace_back(Expression::list("dereference", 1));
  CHECK(without_references(Expression(all)).ok());
  all.emplace_back(Expression::list("dereference", 1));
  CHECK(jelly_says(why_no_references(Expression(all)), "its strings have more than 8000000 bytes"));
}

TEST_CASE("the limits of a value without references hold at their edges") {
  // 4 elements of the outer list, and 3 of each of the inner ones; 4 bytes of "list" in each, and 3 of "abc"
  const Expression twice =
      Expression::list("list", Expression::list("reference", 1, Expression::list("list", "abc", 1)),
                       Expression::list("dereference", 1), Expression::list("dereference", 1));
  CHECK(without_references(twice, 13, 25).ok());
  CHECK(jelly_says(why_no_references(twice, 12, 25), "it has more than 12 elements"));
  CHECK(jelly_says(why_no_references(twice, 13, 24), "its strings have more than 24 bytes"));
}

TEST_CASE("lists that references put into each other have the limit of depth too") {
  const auto chain = [](std::int64_t n, std::size_t levels) {  // each value contains the one before, deep inside
    List all{"list", Expression::list("reference", 0, Expression::list("list"))};
    for (std::int64_t i = 1; i <= n; ++i) {
      Expression inner = Expression::list("dereference", i - 1);
      for (std::size_t j = 0; j < levels; ++j) inner = Expression::list("list", inner);
      all.emplace_back(Expression::list("reference", i, inner));
    }
    return Expression(all);
  };
  CHECK(without_references(chain(30, 1)).ok());  // 1 + 30 + 1 lists
  CHECK(jelly_says(why_no_references(chain(31, 1)), "its lists are deeper than 32"));
  CHECK(without_references(chain(3, 10)).ok());
  CHECK(jelly_says(why_no_references(chain(4, 10)), "its lists are deeper than 32"));
  CHECK(jelly_says(why_no_references(chain(1000, 20)), "its lists are deeper than 32"));
}

TEST_CASE("values are read and written to the same depth, and no deeper") {
  const auto deepest = to_jelly(nested_value(32));
  REQUIRE(deepest.ok());
  CHECK(without_references(*deepest).value() == *deepest);
  CHECK(from_jelly(*deepest).value() == nested_value(32));
  CHECK(to_jelly(nested_value(33)).failure().code == Errc::invalid_argument);
  const Expression deeper = Expression::list("list", *deepest);
  CHECK(jelly_says(why_not(deeper), "its lists are deeper than 32"));
  CHECK(jelly_says(why_no_references(deeper), "its lists are deeper than 32"));
  // A dict and its pair are two; a text, None and a bool are lists as well.
  for (const Value& leaf : {t("x"), Value(), Value(true)}) {
    Value value = leaf;
    for (int i = 0; i < 15; ++i) value = Value::dict({{1, value}});
    CHECK(from_jelly(to_jelly(Value::list({value})).value()).value() == Value::list({value}));
    CHECK_FALSE(to_jelly(Value::dict({{1, Value::list({value})}})).ok());
    CHECK_FALSE(to_jelly(Value::list({Value::list({value})})).ok());
  }
  Value dicts = 1;
  for (int i = 0; i < 16; ++i) dicts = Value::dict({{1, dicts}});
  const auto written = to_jelly(dicts);
  REQUIRE(written.ok());
  CHECK(from_jelly(*written).value() == dicts);
  CHECK_FALSE(to_jelly(Value::list({dicts})).ok());
  CHECK(jelly_says(why_not(Expression::list("list", *written)), "its lists are deeper than 32"));
}

TEST_CASE("very deep expressions and values are refused without nested calls to their end") {
  constexpr std::size_t depth = 2'000;  // their destructors nest theirs
  Expression expression = Expression::list("list");
  for (std::size_t i = 0; i < depth; ++i) {
    expression = Expression::list("list", std::move(expression));
  }
  CHECK(jelly_says(why_not(expression), "its lists are deeper than 32"));
  CHECK(jelly_says(why_no_references(expression), "its lists are deeper than 32"));
  CHECK_FALSE(to_jelly(nested_value(depth / 10)).ok());
  Value key = Value::tuple({});
  for (std::size_t i = 0; i < depth / 10; ++i) key = Value::tuple({key});
  CHECK_FALSE(to_jelly(Value::dict({{key, 1}})).ok());
}

TEST_CASE("everything that is not plain data is refused") {
  const auto refused_type = [](const char* type, List rest = {}) {
    List list{type};
    list.insert(list.end(), rest.begin(), rest.end());
    const std::string message = why_not(Expression(std::move(list)));
    return jelly_says(message, std::string("something of the type '") + type + "', which is not plain data");
  };
  for (const char* type : {"class",
                           "module",
                           "function",
                           "instance",
                           "method",
                           "persistent",
                           "unpersistable",
                           "set",
                           "frozenset",
                           "decimal",
                           "datetime",
                           "remote",
                           "local",
                           "copy",
                           "cache",
                           "reference",
                           "dereference",
                           "os.system",
                           "twisted.spread.pb.CopyableFailure",
                           "Dictionary",
                           "none",
                           ""}) {
    CAPTURE(type);
    CHECK(refused_type(type, {"os.system"}));
  }
  CHECK(jelly_says(why_not(Expression::list("list", Expression::list("tuple", Expression::list("class", "x")))),
                   "'class'"));
  CHECK(jelly_says(why_not(Expression::list()), "a list does not begin with a type"));
  CHECK(jelly_says(why_not(Expression::list(1)), "a list does not begin with a type"));
  CHECK(
      jelly_says(why_not(Expression::list(Expression(Expression::list("list")))), "a list does not begin with a type"));
}

TEST_CASE("a refusal shows only the start of what was sent, and no control characters") {
  const std::string message = why_not(Expression::list(Bytes("\x1b[31m\n") + Bytes(10'000, 'x')));
  CHECK(message.size() < 300);
  CHECK(jelly_says(message, "'\\x1B[31m\\x0A"));
}

TEST_CASE("values of the wrong form are refused") {
  CHECK(jelly_says(why_not(Expression::list("None", 1)), "there is something in a None"));
  for (const Expression& bad : {Expression::list("boolean"), Expression::list("boolean", "True"),
                                Expression::list("boolean", 1), Expression::list("boolean", "true", 1)}) {
    CHECK(jelly_says(why_not(bad), "a boolean is not true or false"));
  }
  for (const Expression& bad :
       {Expression::list("unicode"), Expression::list("unicode", 1), Expression::list("unicode", "a", "b"),
        Expression::list("unicode", "\xff"), Expression::list("unicode", "\xed\xa0\x80"),
        Expression::list("unicode", "\xc0\x80"), Expression::list("unicode", "a\xe2\x82")}) {
    CHECK(jelly_says(why_not(bad), "a text is not UTF-8"));
  }
  for (const Expression& bad : std::initializer_list<Expression>{1, "x", Expression::list(), Expression::list(1),
                                                                 Expression::list(1, 2, 3), Expression::list("list")}) {
    CHECK(jelly_says(why_not(Expression::list("dictionary", bad)), "a dictionary has something else than pairs"));
  }
  for (const Expression& key :
       {Expression(Expression::list("list")), Expression(Expression::list("dictionary")),
        Expression(Expression::list("tuple", 1, Expression::list("tuple", Expression::list("list"))))}) {
    CHECK(jelly_says(why_not(Expression::list("dictionary", Expression::list(key, 1))),
                     "a key of a dictionary cannot be hashed"));
  }
}

TEST_CASE("a value that a worker cannot have or read is not written") {
  const auto code = [](const Value& value) { return to_jelly(value).failure().code; };
  CHECK(code(Value::set({1})) == Errc::invalid_argument);
  CHECK(code(Value::list({1, Value::set({})})) == Errc::invalid_argument);
  CHECK(code(Value(UINT64_MAX)) == Errc::invalid_argument);
  CHECK(code(t("\xff")) == Errc::invalid_argument);
  CHECK(code(Value::dict({{Value::list({}), 1}})) == Errc::invalid_argument);
  CHECK(code(Value::dict({{Value::tuple({Value::dict({})}), 1}})) == Errc::invalid_argument);
  Value::Dict uneven;
  uneven.keys.emplace_back(1);
  CHECK(code(Value::What(uneven)) == Errc::invalid_argument);
}

TEST_CASE("strings and lists are written up to what Twisted accepts") {
  CHECK(to_jelly(b(Bytes(655'360, 'x'))).ok());
  CHECK(to_jelly(b(Bytes(655'361, 'x'))).failure().code == Errc::too_large);
  CHECK(to_jelly(t(std::string(655'360, 'x'))).ok());
  CHECK(to_jelly(t(std::string(655'361, 'x'))).failure().code == Errc::too_large);
  CHECK(to_jelly(Value::list(std::vector<Value>(655'359))).ok());
  CHECK(to_jelly(Value::list(std::vector<Value>(655'360))).failure().code == Errc::too_large);
  CHECK(to_jelly(Value::tuple(std::vector<Value>(655'360))).failure().code == Errc::too_large);
  Value::Dict dict;
  dict.keys = dict.values = std::vector<Value>(655'360);
  CHECK(to_jelly(Value::What(dict)).failure().code == Errc::too_large);
}

TEST_CASE("objects, tuples and dictionaries are taken apart, and nothing else is taken for one") {
  CHECK(banana_of(remote(5)) == test::from_hex("028010870581"));
  CHECK(remote_of(remote(5)) == 5);
  for (const Expression& other : std::initializer_list<Expression>{
           5, "remote", Expression::list(), Expression::list("remote"), Expression::list("remote", "5"),
           Expression::list("remote", 5, 5), Expression::list("local", 5), Expression::list(5, 5),
           Expression::list("remote", Expression::list(5))}) {
    CHECK_FALSE(remote_of(other).has_value());
  }

  const Expression tuple = Expression::list("tuple", 1, "x");
  const auto items = items_of_tuple(tuple);
  REQUIRE(items.has_value());
  REQUIRE(items->size() == 2);
  CHECK((*items)[1] == Expression("x"));
  CHECK(items_of_tuple(Expression::list("tuple"))->empty());
  for (const Expression& other : std::initializer_list<Expression>{5, "tuple", Expression::list(),
                                                                   Expression::list("list", 1), Expression::list(1)}) {
    CHECK_FALSE(items_of_tuple(other).has_value());
  }

  const Expression dictionary = Expression::list("dictionary", Expression::list("k", 1));
  const auto pairs = pairs_of_dictionary(dictionary);
  REQUIRE(pairs.has_value());
  REQUIRE(pairs->size() == 1);
  CHECK(pairs->front().first == Expression("k"));
  CHECK(pairs->front().second == Expression(1));
  CHECK(pairs_of_dictionary(Expression::list("dictionary"))->empty());
  for (const Expression& other : std::initializer_list<Expression>{
           5, "dictionary", Expression::list(), Expression::list("tuple"), Expression::list("dictionary", 1),
           Expression::list("dictionary", Expression::list(1)),
           Expression::list("dictionary", Expression::list(1, 2), Expression::list(1, 2, 3))}) {
    CHECK_FALSE(pairs_of_dictionary(other).has_value());
  }
}

TEST_CASE("a failure has all that a worker needs of one") {
  const Expression made = failure("twisted.cred.error.UnauthorizedLogin", "no\nsuch");
  CHECK(test::to_hex(banana_of(made)) ==
        "02802182747769737465642e7370726561642e70622e436f707961626c654661696c757265"
        "07800587"
        "028002800782756e69636f646504827479706524"
        "82747769737465642e637265642e6572726f722e556e617574686f72697a65644c6f67696e"
        "028002800782756e69636f6465058276616c756502800782756e69636f646507826e6f0a73756368"
        "028002800782756e69636f64650782706172656e747302800887"
        "02800782756e69636f64652482747769737465642e637265642e6572726f722e556e617574686f72697a65644c6f67696e"
        "028002800782756e69636f6465098274726163656261636b02800782756e69636f64650082"
        "028002800782756e69636f646506826672616d657301800887"
        "028002800782756e69636f64650582737461636b01800887");
  CHECK(failure_text(made) == "no\\x0Asuch");
  CHECK(failure_text(failure("a.B", "")) == "a.B");
  CHECK(failure_text(failure("a.B", "\xff")) == "\\xFF");
}

TEST_CASE("a failure that Twisted wrote says its value, or its type") {
  // As recorded, shortened: the value is empty.
  const Expression login = expression_of(
      "02802182747769737465642e7370726561642e70622e436f707961626c654661696c757265"
      "04800587028002800782756e69636f64650582636f756e740681"
      "028002800782756e69636f646504827479706524"
      "82747769737465642e637265642e6572726f722e556e617574686f72697a65644c6f67696e"
      "028002800782756e69636f6465058276616c756502800782756e69636f64650082");
  CHECK(failure_text(login) == "twisted.cred.error.UnauthorizedLogin");
  const auto with = [](List pairs) {
    pairs.insert(pairs.begin(), "dictionary");
    return Expression(Expression::list("twisted.spread.pb.CopyableFailure", std::move(pairs)));
  };
  CHECK(failure_text(with({Expression(Expression::list(Expression(Expression::list("unicode", "value")), "bytes"))})) ==
        "bytes");
  CHECK(failure_text(with({Expression(Expression::list("value", Expression::list("unicode", "\xc3\xa9\x1b\xff")))})) ==
        "\xc3\xa9\\x1B\\xFF");
  CHECK(failure_text(with({Expression::list("value", 5), Expression::list(5, 5), Expression::list("type", "a.B")})) ==
        "a.B");
  CHECK(failure_text(with({})) == "a failure of which nothing is known");
  CHECK(failure_text(with({Expression(Expression::list("value", Bytes(1'000, 'x')))})) == std::string(1'000, 'x'));
  CHECK(failure_text(with({Expression(Expression::list("value", Bytes(1'001, 'x')))})) ==
        std::string(1'000, 'x') + "...");
  for (const Expression& other : std::initializer_list<Expression>{
           5, "twisted.spread.pb.CopyableFailure", Expression::list(), Expression::list("None"),
           Expression::list("twisted.spread.pb.CopyableFailure"),
           Expression::list("twisted.spread.pb.CopyableFailure", 5),
           Expression::list("os.system", Expression::list("dictionary")),
           Expression::list("twisted.spread.pb.CopyableFailure", Expression::list("dictionary"), 1),
           Expression::list("twisted.spread.pb.CopyableFailure", Expression::list("dictionary", 5))}) {
    CHECK_FALSE(failure_text(other).has_value());
  }
}

}  // namespace jelly_test

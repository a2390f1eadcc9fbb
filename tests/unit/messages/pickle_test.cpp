// Pickles: what Python writes of plain data and reads of ours, and that nothing else of a pickle is done.
#include "messages/pickle.hpp"

#include "messages/pickle_opcode.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::messages;

namespace {

Value read(const Bytes& pickle) {
  const auto value = from_pickle(pickle);
  REQUIRE_MESSAGE(value.ok(), value.failure().message);
  return *value;
}

std::string why_not(const Bytes& pickle, const PickleLimits& limits = {}) {
  const auto value = from_pickle(pickle, limits);
  REQUIRE_FALSE(value.ok());
  CHECK(value.failure().code == Errc::protocol_error);
  return value.failure().message;
}

bool says(const std::string& message, const std::string& words) { return message.find(words) != std::string::npos; }

Value large(const std::string& hex) { return Value::What(Value::LargeInt{test::from_hex(hex)}); }

struct Example {
  Value value;
  std::string by_python_4;  // what Python's pickle.dumps(value, 4) gives
  std::string by_python_3;  // the same with protocol 3, that of Python 3.6; empty: it has no form in plain steps
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all{
      {Value(), "80044e2e", "80034e2e"},
      {true, "8004882e", "8003882e"},
      {false, "8004892e", "8003892e"},
      {0, "80044b002e", "80034b002e"},
      {255, "80044bff2e", "80034bff2e"},
      {256, "80049504000000000000004d00012e", "80034d00012e"},
      {65535, "80049504000000000000004dffff2e", "80034dffff2e"},
      {65536, "80049506000000000000004a000001002e", "80034a000001002e"},
      {-1, "80049506000000000000004affffffff2e", "80034affffffff2e"},
      {std::int64_t{-2147483648}, "80049506000000000000004a000000802e", "80034a000000802e"},
      {std::int64_t{2147483647}, "80049506000000000000004affffff7f2e", "80034affffff7f2e"},
      {std::int64_t{2147483648}, "80049508000000000000008a0500000080002e", "80038a0500000080002e"},
      {INT64_MAX, "8004950b000000000000008a08ffffffffffffff7f2e", "80038a08ffffffffffffff7f2e"},
      {INT64_MIN, "8004950b000000000000008a0800000000000000802e", "80038a0800000000000000802e"},
      {large("000000000000008000"), "8004950c000000000000008a090000000000000080002e", "80038a090000000000000080002e"},
      {1.5, "8004950a00000000000000473ff80000000000002e", "8003473ff80000000000002e"},
      {Value::text(""), "80049504000000000000008c00942e",
       "80035800000000"
       "71002e"},
      {Value::text("a"), "80049505000000000000008c0161942e", "800358010000006171002e"},
      {Value::text("\xc3\xa9"), "80049506000000000000008c02c3a9942e", "80035802000000c3a971002e"},
      {Value::bytes(""), "80049504000000000000004300942e", "8003430071002e"},
      {Value::bytes("xx"), "800495060000000000000043027878942e", "80034302787871002e"},
      {Value::list({}), "80045d942e", "80035d71002e"},
      {Value::list({1}), "80049506000000000000005d944b01612e", "80035d71004b01612e"},
      {Value::list({1, 2}), "80049509000000000000005d94284b014b02652e", "80035d7100284b014b02652e"},
      {Value::tuple({}), "8004292e", "8003292e"},
      {Value::tuple({1}), "80049505000000000000004b0185942e", "80034b018571002e"},
      {Value::tuple({1, 2}), "80049507000000000000004b014b0286942e", "80034b014b028671002e"},
      {Value::tuple({1, 2, 3}), "80049509000000000000004b014b024b0387942e", "80034b014b024b038771002e"},
      {Value::tuple({1, 2, 3, 4}), "8004950c00000000000000284b014b024b034b0474942e", "8003284b014b024b034b047471002e"},
      {Value::dict({}), "80047d942e", "80037d71002e"},
      {Value::dict({{Value::text("a"), 1}}), "8004950a000000000000007d948c0161944b01732e",
       "80037d710058010000006171014b01732e"},
      {Value::dict({{1, 2}, {3, 4}}), "8004950d000000000000007d94284b014b024b034b04752e",
       "80037d7100284b014b024b034b04752e"},
      {Value::set({}), "80048f942e", ""},
      {Value::set({5}), "80049507000000000000008f94284b05902e", ""},
      {Value::list({2.25, Value(), Value::text("junk")}),
       "80049516000000000000005d94284740020000000000004e8c046a756e6b94652e",
       "80035d7100284740020000000000004e58040000006a756e6b7101652e"},
      {Value::list({Value::list({}), Value::list({})}), "80049509000000000000005d94285d945d94652e",
       "80035d7100285d71015d7102652e"},
      // As CPython 3.13 sent it to another in a recorded session.
      {Value::dict({{Value::text("a"),
                     Value::list({1, 2.5, Value(), Value::text("t\xc3\xa9xt"), Value::bytes({"\0\xff", 2})})}}),
       "80049525000000000000007d948c0161945d94284b014740040000000000004e8c0574c3a9787494430200ff9465732e", ""},
  };
  return all;
}

}  // namespace

TEST_CASE("plain data is read as Python writes it, and what we write is read the same") {
  for (const Example& example : examples()) {
    CAPTURE(example.by_python_4);
    CHECK(read(test::from_hex(example.by_python_4)) == example.value);
    if (!example.by_python_3.empty()) CHECK(read(test::from_hex(example.by_python_3)) == example.value);
    const auto ours = to_pickle(example.value);
    REQUIRE(ours.ok());
    CHECK(read(*ours) == example.value);
  }
}

TEST_CASE("what is written are the steps of protocol 4, without frames and numbers for objects") {
  const auto hex = [](const Value& value) { return test::to_hex(to_pickle(value).value()); };
  CHECK(hex(Value()) == "80044e2e");
  CHECK(hex(Value::list({1, Value::text("a")})) == "80045d284b018c0161652e");
  CHECK(hex(Value::dict({{1, 2.25}})) == "80047d284b01474002000000000000752e");
  CHECK(hex(Value::set({5})) == "80048f284b05902e");
  CHECK(hex(Value::tuple({true, false})) == "8004288889742e");
  CHECK(hex(large("0100000000000000000000")) == "80048a01012e");  // bytes that only repeat the sign are left out
  CHECK(hex(large("ffffffffffffffffffff")) == "80048a01ff2e");
  CHECK(hex(Value::text(std::string(256, 'x'))).starts_with("80045800010000"));
  CHECK(hex(Value::bytes(Bytes(256, 'x'))).starts_with("80044200010000"));
}

TEST_CASE("floats keep every bit") {
  for (const double value :
       {0.0, -0.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::denorm_min(), -1e308, 0.1}) {
    const Value back = read(to_pickle(value).value());
    REQUIRE(back.get_if<double>() != nullptr);
    CHECK(*back.get_if<double>() == value);
    CHECK(std::signbit(*back.get_if<double>()) == std::signbit(value));
  }
  CHECK(std::isnan(*read(to_pickle(std::nan("")).value()).get_if<double>()));
}

TEST_CASE("an object that is referred to twice comes twice") {
  // x = ['junk']; [x, x, 'junk']
  const Value value = read(test::from_hex("80045d94285d948c046a756e6b946168016802652e"));
  const Value inner = Value::list({Value::text("junk")});
  CHECK(value == Value::list({inner, inner, Value::text("junk")}));
}

TEST_CASE("every step that plain data does not need is refused by its name, and nothing is done") {
  // os.system('touch harmed'), as Python would run it
  const std::string evil = "8004636f730a73797374656d0a8c0c746f756368206861726d656485522e";
  CHECK(says(why_not(test::from_hex(evil)),
             "the step GLOBAL, which plain data does not need; nothing is imported or called"));
  std::set<std::string_view> names;
  for (int code = 0; code < 256; ++code) {
    const std::string_view name = refused_opcode(static_cast<std::uint8_t>(code));
    const std::string message = why_not(Bytes("\x80\x04") + static_cast<char>(code) + Bytes(64, '\0'));
    if (name.empty()) continue;
    CHECK(names.insert(name).second);
    CHECK(says(message, "the step " + std::string(name)));
  }
  CHECK(names.size() == 32);  // of the 68 that Python 3.13 has
  CHECK(says(why_not(Bytes("\x80\x04\x05.")), "the byte 5 is no step of a pickle"));
}

TEST_CASE("a set of Python 3.6 and 3.7 is refused: it is written as a call") {
  CHECK(says(why_not(test::from_hex("8003636275696c74696e730a7365740a71005d71018571025271032e")), "GLOBAL"));
}

TEST_CASE("a malformed pickle is refused with the reason") {
  struct Case {
    std::string hex;
    std::string words;
  };
  for (const Case& each : std::vector<Case>{
           {"", "ends in the middle"},
           {"8004", "ends in the middle"},
           {"80044e", "ends in the middle"},
           {"80042e", "does not end with one value"},
           {"80044e4e2e", "does not end with one value"},
           {"8004282e", "does not end with one value"},
           {"80044e2e4e", "bytes after its end"},
           {"80014e2e", "its protocol"},
           {"80064e2e", "its protocol"},
           {"80048c05612e", "ends in the middle"},
           {"80048dffffffffffffffff2e", "ends in the middle"},
           {"80048c01ff2e", "not UTF-8"},
           {"8004612e", "a value is missing"},
           {"80044e612e", "the container for some values is missing"},
           {"80045d284e612e", "the container for some values is missing"},
           {"80045d284e732e", "a value is missing"},
           {"80045d4e652e", "a mark is missing"},
           {"80047d284e752e", "a key of a dict has no value"},
           {"80047d284e4e652e", "the container for some values is missing"},
           {"80044e85862e", "a value is missing"},
           {"8004942e", "nothing to remember"},
           {"800468012e", "not there"},
           {"80045d946800612e", "contains itself"},
           {"80048f285d902e", "an item of a set cannot be hashed"},
           {"80047d284b015d85902e", "the container for some values is missing"},
           {"80047d285d4e752e", "a key of a dict cannot be hashed"},
           {"80047d285d854e752e", "a key of a dict cannot be hashed"},
       }) {
    CAPTURE(each.hex);
    const std::string message = why_not(test::from_hex(each.hex));
    CAPTURE(message);
    CHECK(says(message, each.words));
  }
}

TEST_CASE("a short pickle cannot become a large value") {
  // Each list has the one before it ten times.
  Bytes bomb = test::from_hex("80048c016194");
  for (int level = 0; level < 20; ++level) {
    bomb += test::from_hex("5d9428");
    for (int i = 0; i < 10; ++i) bomb += Bytes("h") + static_cast<char>(level);
    bomb += "e";
  }
  bomb += test::from_hex("742e");
  bomb.insert(2, "(");
  CHECK(says(why_not(bomb), "too many values"));

  Bytes texts = test::from_hex("800428580004000094");
  texts.insert(8, Bytes(1024, 'x'));
  for (int i = 0; i < 100; ++i) texts += test::from_hex("6800");
  texts += test::from_hex("742e");
  CHECK(from_pickle(texts).ok());
  CHECK(says(why_not(texts, {.bytes = 100 * 1024}), "too long together"));

  Bytes deep = test::from_hex("8004");
  for (int i = 0; i < 100'000; ++i) deep += "]";
  for (int i = 1; i < 100'000; ++i) deep += "a";
  deep += ".";
  CHECK(says(why_not(deep), "it is nested too deeply"));
  CHECK(says(why_not(test::from_hex("8004284e4e4e742e"), {.values = 3}), "too many values"));
  CHECK(from_pickle(test::from_hex("8004284e4e4e742e"), {.values = 4}).ok());
}

TEST_CASE("a value that Python could not read is refused before it is sent") {
  const auto refused = [](const Value& value) {
    const auto pickle = to_pickle(value);
    REQUIRE_FALSE(pickle.ok());
    CHECK(pickle.failure().code == Errc::invalid_argument);
    return pickle.failure().message;
  };
  CHECK(says(refused(Value::text("\xff")), "not UTF-8"));
  CHECK(says(refused(Value::list({Value::text("\xff")})), "not UTF-8"));
  CHECK(says(refused(Value::What(Value::LargeInt{Bytes(256, '\x7f')})), "more than 255 bytes"));
  CHECK(to_pickle(Value::What(Value::LargeInt{Bytes(255, '\x7f')})).ok());
  CHECK(says(refused(Value::set({Value::list({})})), "cannot be hashed"));
  CHECK(says(refused(Value::What(Value::Dict{{1}, {}})), "not as many keys"));
  CHECK(says(refused(Value::dict({{Value::tuple({Value::dict({})}), 1}})), "cannot be hashed"));
  Value deep;
  for (int i = 0; i < 102; ++i) deep = Value::list({std::move(deep)});
  CHECK(says(refused(deep), "is nested too deeply"));
}

TEST_CASE("marks and what is remembered cost memory, and are bounded") {
  const PickleLimits limits{.values = 1000};
  CHECK(says(why_not("\x80\x04N" + Bytes(1001, '\x94') + ".", limits), "remembers too many values"));
  CHECK(says(why_not("\x80\x04" + Bytes(1001, '(') + "N.", limits), "too many values"));
}

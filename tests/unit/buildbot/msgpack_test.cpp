// msgpack: what Python's msgpack writes and what a worker sent is read, and what is written are the same bytes.
#include "buildbot/msgpack.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace msgpack_test {

using namespace remsh;
using namespace remsh::buildbot;

namespace {

Value read(const Bytes& message, const MsgpackLimits& limits = {}) {
  const auto value = from_msgpack(message, limits);
  REQUIRE_MESSAGE(value.ok(), value.failure().message);
  return *value;
}

std::string why_not(const Bytes& message, const MsgpackLimits& limits = {}) {
  const auto value = from_msgpack(message, limits);
  REQUIRE_FALSE(value.ok());
  CHECK(value.failure().code == Errc::protocol_error);
  return value.failure().message;
}

Bytes write(const Value& value) {
  const auto message = to_msgpack(value);
  REQUIRE_MESSAGE(message.ok(), message.failure().message);
  return *message;
}

std::string why_not_written(const Value& value) {
  const auto message = to_msgpack(value);
  REQUIRE_FALSE(message.ok());
  CHECK(message.failure().code == Errc::invalid_argument);
  return message.failure().message;
}

bool says(const std::string& message, const std::string& words) { return message.find(words) != std::string::npos; }

Value text(const char* words) { return Value::text(words); }
Value large(const std::string& hex) { return Value::What(Value::LargeInt{test::from_hex(hex)}); }

/// A value in so many lists.
Value nested(std::size_t lists, Value value) {
  for (; lists > 0; --lists) value = Value::list({std::move(value)});
  return value;
}

struct Example {
  Value value;
  std::string hex;  // what Python's msgpack.packb(value) gives, version 1.0.3
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all{
      {Value(), "c0"},
      {true, "c3"},
      {false, "c2"},
      {0, "00"},
      {1, "01"},
      {127, "7f"},
      {128, "cc80"},
      {255, "ccff"},
      {256, "cd0100"},
      {65535, "cdffff"},
      {65536, "ce00010000"},
      {4294967295U, "ceffffffff"},
      {std::int64_t{4294967296}, "cf0000000100000000"},
      {INT64_MAX, "cf7fffffffffffffff"},
      {std::uint64_t{1} << 63U, "cf8000000000000000"},
      {UINT64_MAX, "cfffffffffffffffff"},
      {-1, "ff"},
      {-32, "e0"},
      {-33, "d0df"},
      {-128, "d080"},
      {-129, "d1ff7f"},
      {-32768, "d18000"},
      {-32769, "d2ffff7fff"},
      {std::int64_t{-2147483648}, "d280000000"},
      {std::int64_t{-2147483649}, "d3ffffffff7fffffff"},
      {INT64_MIN, "d38000000000000000"},
      {0.0, "cb0000000000000000"},
      {1.5, "cb3ff8000000000000"},
      {0.1, "cb3fb999999999999a"},
      {std::numeric_limits<double>::infinity(), "cb7ff0000000000000"},
      {text(""), "a0"},
      {text("a"), "a161"},
      {text("\xc3\xa9"), "a2c3a9"},
      {Value::bytes(""), "c400"},
      {Value::bytes("a"), "c40161"},
      {Value::list({}), "90"},
      {Value::list({1}), "9101"},
      {Value::dict({}), "80"},
      {Value::dict({{text("a"), 1}}), "81a16101"},
      {Value::dict({{Value::bytes("a"), Value()}}), "81c40161c0"},
      {Value::list(
           {Value::list({Value::bytes(Bytes("\0\xff", 2))}), Value::dict({{text("k"), Value::list({Value()})}})}),
       "9291c40200ff81a16b91c0"},
  };
  return all;
}

/// What a worker sent, without the frames.
const std::vector<Example>& recorded() {
  static const std::vector<Example> all{
      {Value::dict({{text("op"), text("response")}, {text("seq_number"), 0}, {text("result"), Value()}}),
       "83a26f70a8726573706f6e7365aa7365715f6e756d62657200a6726573756c74c0"},
      {Value::dict({{text("op"), text("update")},
                    {text("args"),
                     Value::list({Value::list({text("files"), Value::list({text("buildbot.tac"),
                                                                           text("twistd.hostname"), text("info")})}),
                                  Value::list({text("rc"), 0}), Value::list({text("elapsed"), 0x1.11p-14})})},
                    {text("command_id"), text("0")},
                    {text("seq_number"), 0}}),
       "84a26f70a6757064617465a4617267739392a566696c657393ac6275696c64626f742e746163af7477697374642e686f73746e616d65a46"
       "96e"
       "666f92a272630092a7656c6170736564cb3f11100000000000aa636f6d6d616e645f6964a130aa7365715f6e756d62657200"},
      {Value::dict({{text("op"), text("complete")},
                    {text("args"), Value()},
                    {text("command_id"), text("0")},
                    {text("seq_number"), 1}}),
       "84a26f70a8636f6d706c657465a461726773c0aa636f6d6d616e645f6964a130aa7365715f6e756d62657201"},
  };
  return all;
}

}  // namespace

TEST_CASE("values are read and written as Python has them") {
  for (const Example& example : examples()) {
    CAPTURE(example.hex);
    CHECK(read(test::from_hex(example.hex)) == example.value);
    CHECK(test::to_hex(write(example.value)) == example.hex);
  }
}

TEST_CASE("the messages of a worker are read, and written the same") {
  for (const Example& example : recorded()) {
    CAPTURE(example.hex);
    CHECK(read(test::from_hex(example.hex)) == example.value);
    CHECK(test::to_hex(write(example.value)) == example.hex);
  }
}

TEST_CASE("lengths are written in the shortest form, at each edge") {
  struct Case {
    std::size_t size;
    std::string of_text;
    std::string of_bytes;
    std::string of_list;
    std::string of_dict;
  };
  for (const Case& each : std::vector<Case>{
           {15, "af", "c40f", "9f", "8f"},
           {16, "b0", "c410", "dc0010", "de0010"},
           {31, "bf", "c41f", "dc001f", "de001f"},
           {32, "d920", "c420", "dc0020", "de0020"},
           {255, "d9ff", "c4ff", "dc00ff", "de00ff"},
           {256, "da0100", "c50100", "dc0100", "de0100"},
           {65535, "daffff", "c5ffff", "dcffff", "deffff"},
           {65536, "db00010000", "c600010000", "dd00010000", "df00010000"},
       }) {
    CAPTURE(each.size);
    Value::Dict dict;
    dict.keys.assign(each.size, text("k"));
    dict.values.assign(each.size, Value(7));
    const auto check = [&](const Value& value, const std::string& head, std::size_t size) {
      const Bytes written = write(value);
      CHECK(test::to_hex(written.substr(0, head.size() / 2)) == head);
      CHECK(written.size() == head.size() / 2 + size);
      CHECK(read(written) == value);
    };
    check(Value::text(std::string(each.size, 'x')), each.of_text, each.size);
    check(Value::bytes(Bytes(each.size, 'x')), each.of_bytes, each.size);
    check(Value::list(std::vector<Value>(each.size, Value(7))), each.of_list, each.size);
    check(Value::What(std::move(dict)), each.of_dict, 3 * each.size);
  }
}

TEST_CASE("forms that are not the shortest are read") {
  struct Case {
    std::string hex;
    Value value;
  };
  const std::vector<Case> longer{
      {"cc00", 0},
      {"cd0001", 1},
      {"ce00000001", 1},
      {"cf0000000000000001", 1},
      {"d000", 0},
      {"d07f", 127},
      {"d17fff", 32767},
      {"d27fffffff", 2147483647},
      {"d37fffffffffffffff", INT64_MAX},
      {"d3ffffffffffffffff", -1},
      {"ca3fc00000", 1.5},
      {"d90161", text("a")},
      {"da000161", text("a")},
      {"db0000000161", text("a")},
      {"c5000161", Value::bytes("a")},
      {"c60000000161", Value::bytes("a")},
      {"dc000101", Value::list({1})},
      {"dd0000000101", Value::list({1})},
      {"de0001a16101", Value::dict({{text("a"), 1}})},
      {"df00000001a16101", Value::dict({{text("a"), 1}})},
  };
  for (const Case& each : longer) {
    CAPTURE(each.hex);
    CHECK(read(test::from_hex(each.hex)) == each.value);
  }
}

TEST_CASE("floats keep every bit") {
  for (const char* const hex :
       {"cb8000000000000000", "cb0000000000000001", "cb7ff8000000000000", "cbffefffffffffffff"}) {
    CAPTURE(hex);
    CHECK(test::to_hex(write(read(test::from_hex(hex)))) == hex);
  }
  CHECK(std::isnan(*read(test::from_hex("ca7fc00000")).get_if<double>()));
  CHECK(std::signbit(*read(test::from_hex("ca80000000")).get_if<double>()));
}

TEST_CASE("ints of 64 bits are written whatever the form of the value, and larger ones refused") {
  CHECK(read(test::from_hex("cf8000000000000000")) == large("000000000000008000"));
  CHECK(test::to_hex(write(large(""))) == "00");
  CHECK(test::to_hex(write(large("05"))) == "05");
  CHECK(test::to_hex(write(large("ff"))) == "ff");
  CHECK(test::to_hex(write(large("8000"))) == "cc80");
  CHECK(test::to_hex(write(large("ffffffffffffffffffffffff"))) == "ff");
  CHECK(test::to_hex(write(large("000000000000000000000000"))) == "00");
  CHECK(test::to_hex(write(large("0000000000000080"))) == "d38000000000000000");
  CHECK(test::to_hex(write(large("0000000000000080ff"))) == "d38000000000000000");
  CHECK(test::to_hex(write(large("ffffffffffffffff00"))) == "cfffffffffffffffff");
  for (const char* const hex :
       {"000000000000000001", "00000000000000000100", "ffffffffffffff7fff", "000000000000000080"}) {
    CAPTURE(hex);
    CHECK(says(why_not_written(large(hex)), "more than 64 bits"));
  }
}

TEST_CASE("tuples become lists") {
  CHECK(test::to_hex(write(Value::tuple({}))) == "90");
  CHECK(test::to_hex(write(Value::tuple({1, Value::tuple({2})}))) == "92019102");
}

TEST_CASE("a message that is cut anywhere is refused") {
  std::vector<Bytes> messages;
  for (const auto& all : {examples(), recorded()}) {
    for (const Example& example : all) messages.push_back(test::from_hex(example.hex));
  }
  for (const char* const hex :
       {"da0002c3a9", "db00000002c3a9", "c500020001", "c6000000020001", "dc00020102", "dd000000020102", "de0001a16101",
        "df00000001a16101", "ca3fc00000", "d07f", "d3ffffffffffffffff"}) {
    messages.push_back(test::from_hex(hex));
  }
  for (const Bytes& message : messages) {
    CHECK(from_msgpack(message).ok());
    for (std::size_t size = 0; size < message.size(); ++size) {
      CAPTURE(test::to_hex(message.substr(0, size)));
      CHECK(says(why_not(message.substr(0, size)), "it ends in the middle of a value"));
    }
    CHECK(says(why_not(message + '\xc0'), "there are bytes after its end"));
  }
}

TEST_CASE("what is no value of ours is refused with the reason") {
  struct Case {
    std::string hex;
    std::string words;
  };
  for (const Case& each : std::vector<Case>{
           {"c1", "the byte 193 begins no value"},
           {"91c1", "the byte 193 begins no value"},
           {"c70101ff", "an extension type"},
           {"c8000101ff", "an extension type"},
           {"c90000000101ff", "an extension type"},
           {"d40100", "an extension type"},
           {"d5010000", "an extension type"},
           {"d6ff00000000", "an extension type"},  // a time
           {"d7ff0000000000000000", "an extension type"},
           {"d80100000000000000000000000000000000", "an extension type"},
           {"a1ff", "a text is not UTF-8"},
           {"a1c3", "a text is not UTF-8"},
           {"a3eda080", "a text is not UTF-8"},  // half of a surrogate pair
           {"d901ff", "a text is not UTF-8"},
           {"81a1ffc0", "a text is not UTF-8"},
           {"810102", "a key of a map is neither text nor bytes"},
           {"81c0c0", "a key of a map is neither text nor bytes"},
           {"8190c0", "a key of a map is neither text nor bytes"},
           {"8180c0", "a key of a map is neither text nor bytes"},
           {"82a16101c2c0", "a key of a map is neither text nor bytes"},
       }) {
    CAPTURE(each.hex);
    const std::string message = why_not(test::from_hex(each.hex));
    CAPTURE(message);
    CHECK(message.starts_with("the msgpack message cannot be read: "));
    CHECK(says(message, each.words));
  }
}

TEST_CASE("of a key that comes twice, both are kept and the last counts") {
  const Value value = read(test::from_hex("82a16101a16102"));
  CHECK(*value.find(text("a")) == Value(2));
}

TEST_CASE("a length is refused as soon as the message cannot hold it") {
  for (const char* const hex : {"ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "dcffff0102", "deffffa161",
                                "daffff61", "c5ffff61", "dfffffffffa16101", "9f0102", "8fa16101"}) {
    CAPTURE(hex);
    CHECK(says(why_not(test::from_hex(hex)), "it ends in the middle of a value"));
  }
}

TEST_CASE("the values of a message are counted, with its containers and keys") {
  const Bytes list = test::from_hex("93c0c0c0");
  CHECK(from_msgpack(list, {.values = 4}).ok());
  CHECK(says(why_not(list, {.values = 3}), "it has too many values"));
  const Bytes map = test::from_hex("82a16101a16202");
  CHECK(from_msgpack(map, {.values = 5}).ok());
  CHECK(says(why_not(map, {.values = 4}), "it has too many values"));
  const Bytes lists = test::from_hex("9291c091c0");
  CHECK(from_msgpack(lists, {.values = 5}).ok());
  CHECK(says(why_not(lists, {.values = 4}), "it has too many values"));
  CHECK(says(why_not(test::from_hex("c0"), {.values = 0}), "it has too many values"));
  const MsgpackLimits standard;
  const auto of = [](std::size_t items) {  // an array of so many nils
    Bytes message = "\xdd";
    for (const unsigned shift : {24U, 16U, 8U, 0U}) message += static_cast<char>(items >> shift & 0xffU);
    return message + Bytes(items, '\xc0');
  };
  CHECK(from_msgpack(of(standard.values - 1)).ok());
  CHECK(says(why_not(of(standard.values)), "it has too many values"));
}

TEST_CASE("containers are in each other up to the depth, for reading and for writing") {
  const MsgpackLimits limits;
  const Bytes deepest = Bytes(limits.depth, '\x91') + '\xc0';
  CHECK(read(deepest) == nested(limits.depth, Value()));
  CHECK(write(nested(limits.depth, Value())) == deepest);
  CHECK(says(why_not('\x91' + deepest), "it is nested too deeply"));
  CHECK(says(why_not_written(nested(limits.depth + 1, Value())), "nested too deeply"));

  Bytes maps;
  for (std::size_t i = 0; i < limits.depth; ++i) maps += "\x81\xa1k";
  CHECK(from_msgpack(maps + '\x01').ok());
  CHECK(says(why_not(maps + '\x80'), "it is nested too deeply"));
  CHECK(says(why_not_written(nested(limits.depth, Value::dict({}))), "nested too deeply"));
  CHECK(says(why_not_written(nested(limits.depth, Value::tuple({}))), "nested too deeply"));

  CHECK(from_msgpack(test::from_hex("9190"), {.depth = 2}).ok());
  CHECK(says(why_not(test::from_hex("9190"), {.depth = 1}), "it is nested too deeply"));
  CHECK(from_msgpack("\x01", {.depth = 0}).ok());
  CHECK(says(why_not(test::from_hex("90"), {.depth = 0}), "it is nested too deeply"));
  CHECK(says(why_not(Bytes(1'000'000, '\x91')), "it is nested too deeply"));
}

TEST_CASE("what the other side could not read is refused before it is sent") {
  CHECK(says(why_not_written(Value::set({1})), "msgpack has no sets"));
  CHECK(says(why_not_written(Value::list({Value::set({})})), "msgpack has no sets"));
  CHECK(says(why_not_written(text("\xff")), "not UTF-8"));
  CHECK(says(why_not_written(Value::dict({{text("\xff"), 1}})), "not UTF-8"));
  CHECK(says(why_not_written(Value::What(Value::Dict{{text("a")}, {}})), "not as many keys"));
  for (const Value& key :
       std::vector<Value>{1, Value(), true, 1.5, Value::list({}), Value::tuple({}), Value::dict({})}) {
    CHECK(says(why_not_written(Value::dict({{key, 1}})), "a key of a dict is neither text nor bytes"));
  }
}

}  // namespace msgpack_test

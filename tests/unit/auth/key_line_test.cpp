// Tests of the text of key files.
#include "auth/key_line.hpp"

#include "auth/derive.hpp"
#include "base/utc_time.hpp"
#include "support/has.hpp"
#include "support/keys.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::has;
using remsh::test::key_of;

namespace {

std::string base64(char fill) { return key_of(fill).to_base64(); }

KeyLine parsed(const std::string& text) {
  auto line = parse_key_line(text);
  REQUIRE_MESSAGE(line.ok(), line.failure().message);
  REQUIRE(line->has_value());
  return **std::move(line);
}

/// Why a line is refused; empty where it is not.
std::string refusal(const std::string& text) {
  const auto line = parse_key_line(text);
  return line ? "" : line.failure().message;
}

std::string file_refusal(const std::string& text) {
  const auto rows = parse_key_file(text, "slaves.keys");
  return rows ? "" : rows.failure().message;
}

std::string written(const KeyLine& line) {
  SecretText text;
  write_key_line(text, line);
  return std::string(text.view());
}

}  // namespace

TEST_CASE("a key line is a name and a key") {
  const KeyLine line = parsed("w1 " + base64('k'));
  CHECK(line.name == "w1");
  CHECK(line.key == key_of('k'));
  CHECK(line.terms == KeyTerms());
  CHECK_FALSE(line.used);
  CHECK(line.kid == kid(key_of('k')));
}

TEST_CASE("a key line may have options, in any order, with spaces and tabs between them") {
  const KeyLine line = parsed("\t w1  " + base64('k') +
                              "\tlabel.rack=b7 expires=2027-01-31T00:00:00Z networks=10.0.0.0/8,fd00::/8 "
                              "used=2026-12-01T10:00:00Z invite label.owner=J\xC3\xB6rg=x \r");
  CHECK(line.terms.networks == std::vector<std::string>{"10.0.0.0/8", "fd00::/8"});
  CHECK(line.terms.expires == parse_utc_time("2027-01-31T00:00:00Z"));
  CHECK(line.terms.is_invitation);
  CHECK(line.used == parse_utc_time("2026-12-01T10:00:00Z"));
  CHECK(line.terms.labels == std::map<std::string, std::string>{{"rack", "b7"}, {"owner", "J\xC3\xB6rg=x"}});
  CHECK(parsed(written(line).substr(0, written(line).size() - 1)) == line);
}

TEST_CASE("a key line without options is written as it is read") {
  CHECK(written(parsed("w1 " + base64('k'))) == "w1 " + base64('k') + "\n");
}

TEST_CASE("comments and empty lines are no keys") {
  for (const char* text : {"", " ", "\t\r", "# a comment", "  # w1 key", "#"}) {
    CAPTURE(text);
    const auto line = parse_key_line(text);
    REQUIRE(line.ok());
    CHECK_FALSE(line->has_value());
  }
}

TEST_CASE("a line that is wrong is refused with a sentence, which never has its key") {
  const std::string key = base64('k');
  struct Wrong {
    std::string text;
    const char* why;
  };
  const std::vector<Wrong> lines{
      {"w1", "second word is no key"},
      {"w1 " + key.substr(0, 43), "second word is no key"},
      {"w1 " + key + "=", "second word is no key"},
      {"w1 " + std::string(40, 'A'), "second word is no key"},
      {"w1 correct-horse-battery-staple", "second word is no key"},
      {"w1 " + key.substr(0, 20) + " " + key.substr(20), "second word is no key"},
      {key + " w1", "first word is no name"},
      {"-w1 " + key, "first word is no name"},
      {"w/1 " + key, "first word is no name"},
      {std::string(65, 'w') + " " + key, "first word is no name"},
      {"w1 " + key + " " + key, "unknown option (not shown"},
      {"w1 " + key + " K" + key, "unknown option (not shown"},
      {"w1 " + key + " nets=10.0.0.0/8", "unknown option 'nets'"},
      {"w1 " + key + " # the first", "unknown option (not shown"},
      {"w1 " + key + " invite=yes", "unknown option 'invite'"},
      {"w1 " + key + " label.rack", "unknown option 'label.rack'"},
      {"w1 " + key + " expires", "'expires' wants a time in UTC"},
      {"w1 " + key + " expires=" + key, "'expires' wants a time in UTC"},
      {"w1 " + key + " expires=2027-02-30T00:00:00Z", "'expires' wants a time in UTC"},
      {"w1 " + key + " expires=2027-01-31T00:00:00Z expires=2027-01-31T00:00:00Z", "'expires' is given twice"},
      {"w1 " + key + " invite expires=2027-01-31T00:00:00Z invite", "'invite' is given twice"},
      {"w1 " + key + " networks=10.0.0.0/8 networks=::1", "'networks' is given twice"},
      {"w1 " + key + " networks=", "the network"},
      {"w1 " + key + " networks=10.0.0.0/8,", "the network"},
      {"w1 " + key + " networks=10.0.0.1/8", "the network '10.0.0.1/8' is none"},
      {"w1 " + key + " networks=" + key, "the network (not shown"},
      {"w1 " + key + " label.=x", "the name of a label"},
      {"w1 " + key + " label.-a=x", "the name of a label"},
      {"w1 " + key + " label.a=", "the value of a label"},
      {"w1 " + key + " label.a=" + std::string(257, 'x'), "the value of a label"},
      {"w1 " + key + " label.a=\x1b[2J", "the value of a label"},
      {"w1 " + key + " label.a=\xff", "the value of a label"},
      {"w1 " + key + " label.a=x label.a=x", "a label is given twice"},
      {"w1 " + key + " invite", "needs a time when it expires"},
      {"w1 " + key + " used=2026-12-01T10:00:00Z", "'used' is for invitations"},
      {"w1 " + key + " " + std::string(max_key_line, ' '), "too long"},
  };
  for (const Wrong& line : lines) {
    CAPTURE(line.text);
    const std::string why = refusal(line.text);
    CHECK(has(why, line.why));
    for (std::size_t at = 0; at + 12 <= key.size(); ++at) CHECK_FALSE(has(why, key.substr(at, 12)));
  }
}

TEST_CASE("a key has as many networks and labels as are allowed, and its line fits") {
  KeyTerms terms;
  for (std::size_t i = 0; i < max_key_networks; ++i) {
    terms.networks.emplace_back("1111:2222:3333:4444:5555:6666:7777:8888/128");
  }
  for (std::size_t i = 0; i < max_key_labels; ++i) {
    terms.labels[std::string(62, 'k') + std::to_string(10 + i)] = std::string(256, 'v');
  }
  terms.expires = parse_utc_time("2027-01-31T00:00:00Z");
  terms.is_invitation = true;
  auto line = make_key_line(std::string(64, 'w'), key_of('k'), terms);
  REQUIRE(line.ok());
  line->used = terms.expires;
  std::string text = written(*line);
  text.pop_back();
  CHECK(parsed(text) == *line);

  KeyTerms more = terms;
  more.networks.emplace_back("::1");
  CHECK_FALSE(make_key_line("w1", key_of('k'), more).ok());
  more = terms;
  more.labels["x"] = "y";
  CHECK_FALSE(make_key_line("w1", key_of('k'), more).ok());
}

TEST_CASE("a key file keeps its comments, order and every byte") {
  const std::string text = "# ours\n\nw2 " + base64('2') + "  label.a=b\nw1 " + base64('1') + "\r\n# end\n";
  const auto rows = parse_key_file(text, "slaves.keys");
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 5);
  std::string again;
  for (const KeyRow& row : *rows) again += row.text;
  CHECK(again == text);
  CHECK_FALSE((*rows)[0].key);
  CHECK((*rows)[2].key->name == "w2");
  CHECK((*rows)[3].key->name == "w1");
}

TEST_CASE("a key file names the line that is wrong") {
  CHECK(file_refusal("# ours\nw1 " + base64('1') + "\nw2 " + base64('2') + " nets=x\n")
            .starts_with("slaves.keys:3: unknown option 'nets'"));
}

TEST_CASE("a file of names that end a terminal's line shows them escaped") {
  const auto rows = parse_key_file("", "slaves\x1b.keys");
  REQUIRE_FALSE(rows.ok());
  CHECK(has(rows.failure().message, "slaves\\x1B.keys"));
}

TEST_CASE("a file that is empty or breaks off may still be being written, and is refused") {
  CHECK(has(file_refusal(""), "the file is empty"));
  CHECK(has(file_refusal("w1 " + base64('1')), "slaves.keys:1: the last line has no end"));
  CHECK(has(file_refusal("w1 " + base64('1') + "\nw2 " + base64('2') + " expires=2027-01-31T00:00:00Z"),
            "slaves.keys:2: the last line has no end"));
  CHECK(file_refusal("# nobody\n").empty());
}

TEST_CASE("the same key twice is refused, in any names and with any terms") {
  const std::string first = "w1 " + base64('1') + "\n";
  const std::string id = kid(key_of('1'));
  CHECK(has(file_refusal(first + "# x\n" + first), "slaves.keys:3: the key " + id + " is in line 1 already"));
  CHECK(has(file_refusal(first + "w2 " + base64('1') + "\n"), "slaves.keys:2: the key " + id));
  CHECK(has(file_refusal(first + "w1 " + base64('1') + " label.a=b\n"), "slaves.keys:2: the key " + id));
}

TEST_CASE("a name has up to four keys") {
  std::string text;
  for (const char fill : {'1', '2', '3', '4'}) text += "w1 " + base64(fill) + "\n";
  CHECK(file_refusal(text).empty());
  CHECK(file_refusal(text + "w2 " + base64('5') + "\n").empty());
  CHECK(has(file_refusal(text + "w1 " + base64('5') + "\n"), "slaves.keys:5: 'w1' has more than four keys"));
}

TEST_CASE("two keys of one name with one key id are refused, of two names they are not") {
  // Found by search: 32 bits meet soon.
  const Secret a = *Secret::from_bytes("remsh-kid-collision-000000087325");
  const Secret b = *Secret::from_bytes("remsh-kid-collision-000000119254");
  REQUIRE(a != b);
  REQUIRE(kid(a) == kid(b));
  CHECK(has(file_refusal("w1 " + a.to_base64() + "\nw1 " + b.to_base64() + "\n"),
            "slaves.keys:2: two keys of 'w1' have the same key id " + kid(a)));
  CHECK(file_refusal("w1 " + a.to_base64() + "\nw2 " + b.to_base64() + "\n").empty());
}

TEST_CASE("a slave's own key file has one key, without options") {
  const auto own = [](const std::string& text) { return parse_own_key(text, "w1.key"); };
  const std::string line = "w1 " + base64('1');
  for (const std::string& text : {line, line + "\n", "# mine\n\n" + line + "\n\n"}) {
    CAPTURE(text);
    const auto key = own(text);
    REQUIRE(key.ok());
    CHECK(key->name == "w1");
    CHECK(key->key == key_of('1'));
  }
  CHECK(has(own("").failure().message, "w1.key: no key is in it"));
  CHECK(has(own("# x\n").failure().message, "w1.key: no key is in it"));
  CHECK(has(own(line + "\nw1 " + base64('2') + "\n").failure().message, "w1.key:2: a slave has one key"));
  CHECK(has(own(line + " label.a=b\n").failure().message, "w1.key:1: options are for the master's"));
  CHECK(has(own(line + " nets=x\n").failure().message, "w1.key:1: unknown option"));
}

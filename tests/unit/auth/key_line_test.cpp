// Tests of the text of key files.
#include "auth/key_line.hpp"

#include "auth/derive.hpp"
#include "auth/hmac.hpp"
#include "auth/key_password.hpp"
#include "base/utc_time.hpp"
#include "support/has.hpp"
#include "support/keys.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
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

TEST_CASE("a password line is a name and a password, and has options like a key") {
  const KeyLine line =
      parsed("\tb1 password=correct-horse  networks=10.0.0.0/8 expires=2027-01-31T00:00:00Z label.a=b\r");
  CHECK(line.name == "b1");
  REQUIRE(line.password);
  CHECK(line.password->bytes() == "correct-horse");
  CHECK(line.terms.networks == std::vector<std::string>{"10.0.0.0/8"});
  CHECK(line.terms.expires == parse_utc_time("2027-01-31T00:00:00Z"));
  CHECK(line.terms.labels == std::map<std::string, std::string>{{"a", "b"}});
  CHECK_FALSE(line.terms.is_invitation);
  CHECK_FALSE(line.used);
  CHECK(written(line) == "b1 password=correct-horse networks=10.0.0.0/8 expires=2027-01-31T00:00:00Z label.a=b\n");
  const auto made = make_password_line("b1", "correct-horse", line.terms);
  REQUIRE(made.ok());
  CHECK(*made == line);
  CHECK_FALSE(parsed("b1 " + base64('k')).password);
}

TEST_CASE("a password is written with % for what is no visible ASCII, and every byte is read again") {
  const auto password_of = [](const std::string& text) {
    const KeyLine line = parsed(text);
    return line.password ? std::string(line.password->bytes()) : "none";
  };
  CHECK(password_of("b1 password=100%25%20%e2%82%Ac") == "100% \xE2\x82\xAC");
  CHECK(password_of("b1 password==a=#") == "=a=#");
  CHECK(password_of("b1 password=+%2B") == "++");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const auto line = make_password_line("b1", all);
  REQUIRE(line.ok());
  std::string text = written(*line);
  CHECK(text.starts_with("b1 password=%00%01"));
  CHECK(has(text, "%1F%20!\"#$%25&'()"));
  CHECK(has(text, "|}~%7F%80"));
  CHECK(text.ends_with("%FE%FF\n"));
  text.pop_back();
  CHECK(password_of(text) == all);
  CHECK(parsed(text) == *line);
}

TEST_CASE("a password has 1 to 256 bytes, however they are written") {
  const std::string most(256, 'p');
  CHECK(make_password_line("b1", "p").ok());
  CHECK(make_password_line("b1", most).ok());
  for (const std::string& password : {std::string(), most + "p"}) {
    const auto line = make_password_line("b1", password);
    REQUIRE_FALSE(line.ok());
    CHECK(line.failure().code == Errc::invalid_argument);
    CHECK(line.failure().message == "a password has 1 to 256 bytes");
  }
  std::string encoded = "b1 password=";
  for (int i = 0; i < 256; ++i) encoded += "%ff";
  CHECK(refusal("b1 password=" + most).empty());
  CHECK(refusal(encoded).empty());
  CHECK(refusal("b1 password=") == "a password has 1 to 256 bytes");
  CHECK(refusal("b1 password=" + most + "p") == "a password has 1 to 256 bytes");
  CHECK(refusal(encoded + "p") == "a password has 1 to 256 bytes");
}

TEST_CASE("a password line that is wrong is refused with a sentence that shows no word behind the name") {
  const std::string key = base64('k');
  struct Wrong {
    std::string text;
    const char* why;
  };
  // Words of all kinds that a password with a space in it may leave behind, each with "secret" or "dead" in it.
  const std::vector<Wrong> lines{
      {"w1 password=secret secret", "unknown option (not shown, as it may be a part of the password"},
      {"w1 password=secret secret=x", "unknown option (not shown"},
      {"w1 password=secret nets=secret", "unknown option (not shown"},
      {"w1 password=secret label.secret", "unknown option (not shown"},
      {"w1 password=secret label.secret=x label.secret=x", "a label is given twice"},
      {"w1 password=secret label.-secret=x", "the name of a label"},
      {"w1 password=secret label.a=\xffsecret", "the value of a label"},
      {"w1 password=secret networks=secret", "the network (not shown"},
      {"w1 password=secret networks=dead", "the network (not shown"},
      {"w1 password=secret networks=", "the network (not shown"},
      {"w1 password=secret networks=::1 networks=dead", "'networks' is given twice"},
      {"w1 password=secret expires=secret", "'expires' wants a time in UTC"},
      {"w1 password=secret password=secret", "a line has one key or one password"},
      {"w1 password=secret " + key, "unknown option (not shown"},
      {"w1 password=secret #secret", "unknown option (not shown"},
      {"w1 password=secret invite", "a password cannot be an invitation"},
      {"w1 password=secret invite expires=2027-01-31T00:00:00Z", "a password cannot be an invitation"},
      {"w1 password=secret used=2026-12-01T10:00:00Z", "'used' is for invitations"},
      {"w1 password=secret invite expires=2027-01-31T00:00:00Z used=2026-12-01T10:00:00Z", "cannot be an invitation"},
      {"w1 password=secret%", "the password is not as it is written here"},
      {"w1 password=secret%2", "the password is not as it is written here"},
      {"w1 password=secret%2g", "the password is not as it is written here"},
      {"w1 password=secret%-2", "the password is not as it is written here"},
      {"w1 password=%%20secret", "the password is not as it is written here"},
      {"w1 password=secret\x01", "the password is not as it is written here"},
      {"w1 password=secret\x7f", "the password is not as it is written here"},
      {"w1 password=J\xC3\xB6rgsecret", "the password is not as it is written here"},
      {"w1 password= secret", "a password has 1 to 256 bytes"},
      {"w1 password secret", "second word is no key"},
      {"w1 password =secret", "second word is no key"},
      {"w1 Password=secret", "second word is no key"},
      {"w1 passwort=secret", "second word is no key"},
      {"w1 secret", "second word is no key"},
      {"w1 label.a=b password=secret", "second word is no key"},
      {"w1 " + key + " password=secret", "a line has one key or one password"},
      {"w1 " + key + " password secret", "a line has one key or one password"},
      {"w1 " + key + " passwort=secret", "unknown option 'passwort'"},
      {"password=secret w1", "first word is no name"},
      {"-w1 password=secret", "first word is no name"},
      {"w1 password=secret" + std::string(max_key_line, ' '), "too long"},
  };
  for (const Wrong& line : lines) {
    CAPTURE(line.text);
    const std::string why = refusal(line.text);
    CHECK(has(why, line.why));
    CHECK_FALSE(has(why, "secret"));
    CHECK_FALSE(has(why, "dead"));
    const std::string of_file = file_refusal("# ours\n" + line.text + "\n");
    CHECK(of_file == "slaves.keys:2: " + why);
  }
}

TEST_CASE("what stands for a password as a key is the same for the same name and password, and tells neither") {
  const KeyLine line = *make_password_line("w1", "secret");
  CHECK(line.kid == kid(line.key));
  CHECK(make_password_line("w1", "secret", {{"::1"}, {}, {}, false})->kid == line.kid);
  CHECK(make_password_line("w1", "secret2")->key != line.key);
  CHECK(make_password_line("w2", "secret")->key != line.key);
  CHECK(make_password_line("w", "1secret")->key != make_password_line("w1", "secret")->key);
  // Whoever knows the password can compute these.
  for (const char* key : {"", "w1", "secret"}) {
    for (const char* data : {"secret", "w1 secret", "w1"}) CHECK(hmac(key, data) != line.key);
  }
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

  KeyTerms of_password = terms;
  of_password.is_invitation = false;
  const auto with_password = make_password_line(std::string(64, 'w'), std::string(256, '%'), of_password);
  REQUIRE(with_password.ok());
  text = written(*with_password);
  text.pop_back();
  CHECK(parsed(text) == *with_password);

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

TEST_CASE("a name may have keys and passwords, four together") {
  const std::string three = "w1 " + base64('1') + "\nw1 password=a\nw1 " + base64('2') + "\n";
  CHECK(file_refusal(three + "w1 password=b\n").empty());
  CHECK(file_refusal(three + "w1 " + base64('3') + "\n").empty());
  const std::string four = three + "w1 password=b\n";
  CHECK(has(file_refusal(four + "w1 password=c\n"), "slaves.keys:5: 'w1' has more than four keys and passwords"));
  CHECK(has(file_refusal(four + "w1 " + base64('3') + "\n"), "slaves.keys:5: 'w1' has more than four keys"));
  CHECK(file_refusal(four + "w2 password=c\n").empty());
}

TEST_CASE("a name has a password once, in any spelling, and other names may have the same") {
  const std::string first = "w1 password=secret\n";
  CHECK(file_refusal(first + "w2 password=secret\n").empty());
  for (const char* second : {"w1 password=secret\n", "w1 password=%73ecret\n", "w1 password=secret label.a=b\n"}) {
    CAPTURE(second);
    CHECK(file_refusal(first + "# x\n" + second) ==
          "slaves.keys:3: 'w1' has this password in line 1 already: remove one of the lines");
  }
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

TEST_CASE("a slave's own key file has no password, and the refusal says what to do") {
  for (const char* text : {"w1 password=secret", "# mine\nw1 password=secret\n", "w1 password=secret label.a=b\n"}) {
    CAPTURE(text);
    const auto own = parse_own_key(text, "w1.key");
    REQUIRE_FALSE(own.ok());
    CHECK(has(own.failure().message, "a password is for the master's key file"));
    CHECK(has(own.failure().message, "leave `NAME KEY` here, which 'remsh-slave keygen add NAME' prints"));
    CHECK_FALSE(has(own.failure().message, "secret"));
  }
}

TEST_CASE("a password is compared whole, copied and moved") {
  const Password password = *Password::from_bytes("secret");
  CHECK(password.matches("secret"));
  for (const char* other : {"", "s", "secre", "secres", "Secret", "secret ", "secretsecret", "secretsecretsecret"}) {
    CAPTURE(other);
    CHECK_FALSE(password.matches(other));
  }
  CHECK_FALSE(Password::from_bytes("aa")->matches("a"));
  CHECK_FALSE(Password::from_bytes(std::string(2, '\0'))->matches(std::string(1, '\0')));
  Password copy = password;
  CHECK(copy == password);
  CHECK(copy.bytes().data() != password.bytes().data());
  Password moved = std::move(copy);
  CHECK(moved == password);
  moved = *Password::from_bytes("another");
  CHECK(moved != password);
  moved = password;
  CHECK(moved == password);
  const Password& itself = moved;
  moved = itself;
  CHECK(moved == password);
  CHECK_FALSE(Password::from_bytes(""));
  CHECK_FALSE(Password::from_bytes(std::string(257, 'x')));
}

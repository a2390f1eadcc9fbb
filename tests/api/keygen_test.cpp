// `remsh-slave keygen`, as an operator meets it.
#include "support/has.hpp"
#include "support/mode_of.hpp"
#include "support/program.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/secret.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

/// A directory of a master's, with no key file yet. One thread at a time.
class KeygenDirectory : public TempDir {
 public:
  /// With --keys, unless told otherwise.
  Run keygen(std::vector<std::string> args, const std::string& out = {}) const {
    args.insert(args.begin(), "keygen");
    args.push_back("--keys=" + file());
    return Program(args, out).finish();
  }

  /// Adds a key and gives the slave's line.
  std::string added(const std::vector<std::string>& args) const {
    const Run run = keygen(args);
    CHECK(run.code == 0);
    return run.out;
  }

  [[nodiscard]] std::string file() const { return *this / "slaves.keys"; }
  [[nodiscard]] std::string text() const { return read("slaves.keys"); }
};

/// The key in a line `NAME KEY...`.
std::string key_in(const std::string& line) {
  std::istringstream words(line);
  std::string name;
  std::string key;
  words >> name >> key;
  return key;
}

/// The key id that is said in a sentence, behind a word.
std::string kid_behind(const std::string& text, const std::string& word) {
  const auto at = text.find(word);
  return at == std::string::npos ? "" : text.substr(at + word.size(), 8);
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("keygen add makes a key file for its owner alone, and prints the slave's line and nothing else") {
  const KeygenDirectory master;
  const Run run = master.keygen({"add", "w1"});
  CHECK(run.code == 0);
  CHECK(run.out.starts_with("w1 "));
  CHECK(lines_in(run.out) == 1);
  const std::string key = key_in(run.out);
  CHECK(run.out == "w1 " + key + "\n");
  CHECK(Secret::from_base64(key).has_value());
  CHECK(has(master.text(), "\n" + run.out));
  CHECK(mode_of(master.file()) == 0600);
  CHECK(has(run.err, "for 'w1' to '" + master.file() + "'"));
  CHECK_FALSE(has(run.err, key));
  CHECK_NOTHROW(KeyFile{master.file()});
}

TEST_CASE("keygen adds what goes with a key to the master's file, and not to the slave's line") {
  const KeygenDirectory master;
  const std::string line = master.added({"add", "w1", "--network", "10.0.0.0/8", "--network=fd00::/8", "--label",
                                         "rack=b7", "--label=owner=x=y", "--expires=2100-01-31T00:00:00Z"});
  CHECK(line == "w1 " + key_in(line) + "\n");
  CHECK(has(master.text(), key_in(line) + " networks=10.0.0.0/8,fd00::/8 expires=2100-01-31T00:00:00Z " +
                               "label.owner=x=y label.rack=b7\n"));
}

TEST_CASE("keygen adds up to four keys of a name, and shows each but for the secret") {
  const KeygenDirectory master;
  std::vector<std::string> lines;
  for (int i = 0; i < 4; ++i) lines.push_back(master.added({"add", "w1"}));
  const std::string four = master.text();
  const Run fifth = master.keygen({"add", "w1", "--slave-file=" + (master / "w1.key")});
  CHECK(fifth.code == 70);
  CHECK(fifth.out.empty());
  CHECK(has(fifth.err, "'w1' has more than four keys: remove one"));
  CHECK(master.text() == four);
  CHECK_FALSE(master.has("w1.key"));

  const Run list = master.keygen({"list"});
  CHECK(list.code == 0);
  CHECK(lines_in(list.out) == 4);
  for (const std::string& line : lines) CHECK_FALSE(has(list.out, key_in(line).substr(0, 12)));
}

TEST_CASE("keygen writes the slave's own key to a file of its own, and never over another") {
  const KeygenDirectory master;
  const std::string own = master / "w1.key";
  const Run run = master.keygen({"add", "w1", "--slave-file", own});
  CHECK(run.code == 0);
  CHECK(run.out.empty());
  CHECK(mode_of(own) == 0600);
  const std::string line = master.read("w1.key");
  CHECK(line == "w1 " + key_in(line) + "\n");
  CHECK(has(master.text(), line));

  const std::string before = master.text();
  const Run again = master.keygen({"add", "w1", "--slave-file", own});
  CHECK(again.code == 70);
  CHECK(has(again.err, "is there already: give a new file"));
  CHECK(master.read("w1.key") == line);
  CHECK(master.text() == before);
}

TEST_CASE("keygen invite makes a token that expires") {
  const KeygenDirectory master;
  const std::string token = master.added({"invite", "w1", "--expires", "1h"});
  CHECK(token == "w1 " + key_in(token) + "\n");
  CHECK(has(master.text(), key_in(token) + " expires=20"));
  CHECK(has(master.text(), "Z invite\n"));
  const Run list = master.keygen({"list"});
  CHECK(has(list.out, " invite"));
  CHECK_FALSE(has(list.out, "(expired)"));
  CHECK_NOTHROW(KeyFile{master.file()});

  CHECK(master.keygen({"invite", "w1"}).code == 64);
  for (const char* when :
       {"", "1", "h", "0h", "1w", "-1h", "1.5h", "9999999999h", "2027-01-31", "2020-01-01T00:00:00Z"}) {
    CAPTURE(when);
    const Run run = master.keygen({"invite", "w2", "--expires", when});
    CHECK(run.code == 64);
    CHECK(has(run.err, "--expires"));
  }
  CHECK_FALSE(has(master.text(), "w2"));
}

TEST_CASE("keygen keeps the lines of passwords as they are, and shows no password") {
  const KeygenDirectory master;
  const std::string passwords = "# workers\nw1   password=%73ecret%20horse label.a=b\nw2 password=secret\n";
  master.write("slaves.keys", passwords);
  ::chmod(master.file().c_str(), 0600);
  const Run list = master.keygen({"list"});
  CHECK(list.code == 0);
  const std::string w1 = kid_behind(list.out, "w1 ");
  CHECK(list.out == "w1 " + w1 + " password label.a=b\nw2 " + kid_behind(list.out, "w2 ") + " password\n");
  CHECK_FALSE(has(master.keygen({"list"}).out, w1));  // of each process its own, so that it tells nothing

  const std::string key = master.added({"add", "w1"});
  const std::string token = master.added({"invite", "w1", "--expires", "1h"});
  CHECK(master.text().starts_with(passwords + key + "w1 " + key_in(token) + " expires="));
  Run run = master.keygen({"remove", "w1"});
  CHECK(run.code == 0);
  CHECK(has(run.err, "'w1' still has a password"));
  CHECK(master.text() == passwords);
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"remove", "w1"}, {"remove", "w1", w1}}) {
    run = master.keygen(args);
    CHECK(run.code == 70);
    CHECK(has(run.err, "remove its line with an editor"));
    CHECK(master.text() == passwords);
  }
  master.added({"add", "w1"});
  master.added({"add", "w1"});
  master.added({"add", "w1"});
  CHECK(has(master.keygen({"add", "w1"}).err, "'w1' has more than four keys"));
  CHECK(master.text().starts_with(passwords));

  master.write("slaves.keys", "w1 password=secret horse\n");
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"add", "w2"}, {"list"}, {"remove", "w1"}}) {
    run = master.keygen(args);
    CHECK(run.code == 70);
    CHECK(has(run.err, "slaves.keys:1: "));
    for (const char* word : {"secret", "horse"}) CHECK_FALSE(has(run.err + run.out, word));
  }
}

TEST_CASE("keygen list says what has expired") {
  const KeygenDirectory master;
  master.write("slaves.keys", "w1 " + make_key().to_base64() + " expires=2020-01-01T00:00:00Z label.a=b\n");
  ::chmod(master.file().c_str(), 0600);
  const Run list = master.keygen({"list"});
  CHECK(list.out.starts_with("w1 "));
  CHECK(list.out.ends_with(" expires=2020-01-01T00:00:00Z label.a=b (expired)\n"));
}

TEST_CASE("keygen removes a key by its id, or all of a name, and keeps the comments") {
  const KeygenDirectory master;
  const std::string first = kid_behind(master.keygen({"add", "w1"}).err, "the key ");
  const std::string second = kid_behind(master.keygen({"add", "w1"}).err, "the key ");
  master.added({"add", "w2"});
  CHECK(has(master.keygen({"list"}).out, "w1 " + first));

  Run run = master.keygen({"remove", "w1", first});
  CHECK(run.code == 0);
  CHECK(has(run.err, "removed of 'w1': " + first));
  CHECK_FALSE(has(master.keygen({"list"}).out, first));
  CHECK(has(master.keygen({"list"}).out, "w1 " + second));
  run = master.keygen({"remove", "w1", first});
  CHECK(run.code == 70);
  CHECK(has(run.err, "has no key " + first + " of 'w1'"));

  CHECK(master.keygen({"remove", "w1"}).code == 0);
  CHECK(master.keygen({"remove", "w1"}).code == 70);
  CHECK(lines_in(master.keygen({"list"}).out) == 1);
  CHECK(master.keygen({"remove", "w2"}).code == 0);
  CHECK(master.text().starts_with("# "));
  CHECK_NOTHROW(KeyFile{master.file()});  // of nobody
}

TEST_CASE("keygen changes no file that is not safe, and says how to mend it") {
  const KeygenDirectory master;
  master.added({"add", "w1"});
  const std::string before = master.text();
  ::chmod(master.file().c_str(), 0640);
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"add", "w2"}, {"list"}, {"remove", "w1"}}) {
    const Run run = master.keygen(args);
    CHECK(run.code == 70);
    CHECK(run.out.empty());
    CHECK(has(run.err, "chmod 600 '" + master.file() + "'"));
  }
  CHECK(master.text() == before);

  const KeygenDirectory none;
  CHECK(has(none.keygen({"list"}).err, "No such file"));
  CHECK(has(none.keygen({"remove", "w1"}).err, "No such file"));
  CHECK(none.count() == 0);
}

TEST_CASE("a key that cannot be handed out is in no file") {
  if (!std::filesystem::exists("/dev/full")) return skip("this system has no /dev/full");
  const KeygenDirectory master;
  const Run run = master.keygen({"add", "w1"}, "/dev/full");
  CHECK(run.code == 70);
  CHECK(has(run.err, "the key is not in the file either"));
  CHECK(master.keygen({"list"}).out.empty());
}

TEST_CASE("keygen helps on one screen, and says what is wrong with its arguments") {
  const KeygenDirectory master;
  const Run help = master.keygen({"--help"});
  CHECK(help.code == 0);
  CHECK(help.err.empty());
  CHECK(lines_in(help.out) <= 24);
  for (const char* word : {"add NAME", "invite NAME", "list", "remove NAME", "--keys FILE", "--slave-file FILE",
                           "--expires WHEN", "--network NET", "--label KEY=VALUE"}) {
    CHECK(has(help.out, word));
  }
  const std::string key = make_key().to_base64();
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {},
           {"make"},
           {key},
           {"add"},
           {"add", "w 1"},
           {"add", key},
           {"add", "w1", key},
           {"add", "w1", "--passphrase=x"},
           {"add", "w1", "--slave-file="},
           {"add", "w1", "--network=10.0.0.1/8"},
           {"add", "w1", "--label=rack"},
           {"add", "w1", "--label=ra ck=b7"},
           {"list", "w1"},
           {"list", "--label=a=b"},
           {"remove"},
           {"remove", "w1", key},
           {"remove", "w1", "0123"},
           {"remove", "w1", "01234567", "x"},
       }) {
    CAPTURE(args.size() > 1 ? args[1] : "");
    const Run run = master.keygen(args);
    CHECK(run.code == 64);
    CHECK(run.out.empty());
    CHECK(has(run.err, "Try 'remsh-slave keygen --help'."));
    CHECK_FALSE(has(run.err, key.substr(0, 12)));
  }
  CHECK(master.count() == 0);
}

TEST_CASE("remsh-slave tells of keygen") {
  Program program({"--help"});
  CHECK(program.wait() == 0);
  CHECK(has(program.out(), "remsh-slave keygen"));
}

}  // namespace remsh::test

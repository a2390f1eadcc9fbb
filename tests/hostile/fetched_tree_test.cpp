// What a slave can make its master write when a tree is fetched from it: that tree, and nothing else.
#include "hostile/prey.hpp"
#include "support/mode_of.hpp"
#include "support/tree_boxes.hpp"
#include "support/tree_of.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

namespace fs = std::filesystem;

/// A slave that answers fetch_tree with any stream.
class EvilTrees {
 public:
  explicit EvilTrees(Prey& prey) : evil_(prey.port()) {
    if (!evil_.register_as("evil")) throw std::runtime_error("it is not let in");
    slave_ = prey.find("evil");
  }

  /// Fetches a tree that is this stream. Returns the code of the error; nullopt if there was none.
  std::optional<Errc> fetch(const Bytes& stream, const std::string& to, TreeOptions options = {},
                            const std::optional<Box>& results = std::nullopt) {
    options.durable = false;
    auto pending = slave_->start_fetch_tree("tree", to, std::move(options));
    const Box call = evil_.read_call("fetch_tree");
    for (std::size_t at = 0; at < stream.size(); at += 60'000) {
      evil_.send(Box{{"_command", "data"},
                     {"data", stream.substr(at, 60'000)},
                     {"op", call.get("op").value_or("")},
                     {"stream", "out"}});
    }
    Box answer = results.value_or(Box{{"bytes", std::to_string(bytes)}, {"entries", std::to_string(entries)}});
    answer.set("_answer", Bytes(call.get("_ask").value_or("")));
    evil_.send(answer);
    try {
      result = pending.wait();
      return std::nullopt;
    } catch (const Error& error) {
      message = error.what();
      return error.code();
    }
  }

  [[nodiscard]] bool is_heard() { return evil_.is_heard(); }

  std::uint64_t entries = 0;  // as its answer says
  std::uint64_t bytes = 0;
  TreeResult result;
  std::string message;

 private:
  EvilSlave evil_;
  std::shared_ptr<Slave> slave_;
};

/// An entry, by hand.
Bytes hostile_entry(const Bytes& name, const Bytes& type, const Box& more = {}) {
  Box box{{"mode", "777"}, {"mtime", "0"}, {"name", name}, {"size", "0"}, {"type", type}};
  for (const auto& [key, value] : more) box.set(key, value);
  return encode(box);
}

}  // namespace

TEST_CASE("M6: a name in a fetched tree is one name in a directory of that tree, or nothing is made") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  const std::string absolute = prey.honeypot("key");
  const Bytes climbing = "../" + fs::relative(absolute, here.path()).string();
  for (const Bytes& name : {Bytes("."), Bytes(".."), Bytes("../escaped"), Bytes("a/b"), Bytes("/tmp"), Bytes("a/"),
                            Bytes("a\0b", 3), Bytes(), Bytes(absolute), climbing, Bytes(300, 'n')}) {
    CAPTURE(name);
    for (const Bytes& box : {hostile_entry(name, "file", {{"data", "owned"}}),
                             hostile_entry(name, "directory") + tree_file("owned") + tree_up(),
                             hostile_entry(name, "symlink", {{"target", "/"}})}) {
      CHECK(evil.fetch(tree_top() + box + tree_up(), here / "tree") == Errc::protocol_error);
      CHECK(eventually([&] { return here.count() == 0; }));
    }
  }
  CHECK(evil.is_heard());  // it is the call that has ended
  CHECK(prey.is_unharmed());
}

TEST_CASE("M6: nothing is ever written through a link, and no name comes twice") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  fs::create_directory(here / "outside");
  const Bytes to_outside = tree_link("n", here / "outside");
  const Bytes to_new = tree_link("n", here / "outside/new");
  const Bytes to_key = tree_link("n", prey.honeypot("key"));
  for (const Bytes& first : {to_outside, to_new, to_key, tree_file("n"), tree_directory("n") + tree_up()}) {
    for (const Bytes& second : {tree_file("n", "owned"), tree_directory("n") + tree_file("new", "owned") + tree_up(),
                                tree_link("n", "elsewhere"), to_outside}) {
      CHECK(evil.fetch(tree_top() + first + second + tree_up(), here / "tree") == Errc::protocol_error);
      CHECK(eventually([&] { return here.count() == 1; }));
    }
  }
  CHECK(fs::is_empty(here / "outside"));

  // Links themselves are what was asked for, or left out.
  evil.entries = 1;
  CHECK_FALSE(evil.fetch(tree_top() + to_key + tree_up(), here / "tree"));
  CHECK(fs::read_symlink(here / "tree/n") == prey.honeypot("key"));
  CHECK_FALSE(evil.fetch(tree_top() + to_key + tree_up(), here / "none", {.links = false}));
  CHECK(fs::is_empty(here / "none"));
  CHECK(evil.result.skipped == 1);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M6: an existing destination is not touched by a tree that is refused, and a link there is not followed") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  fs::create_directory(here / "tree");
  here.write("tree/mine", "mine");
  const auto before = tree_of(here / "tree");
  for (const Bytes& stream : {Bytes(), tree_top(), tree_top() + tree_file("mine", "owned"),
                              tree_top() + tree_file("mine", "owned") + tree_up() + tree_up(), Bytes("nonsense"),
                              tree_top() + tree_file("mine", "owned", true) + tree_up()}) {
    CHECK(evil.fetch(stream, here / "tree", {.overwrite = true}) == Errc::protocol_error);
    CHECK(tree_of(here / "tree") == before);
    CHECK(eventually([&] { return here.count() == 1; }));
  }
  CHECK(prey.is_unharmed());
}

TEST_CASE("M5: a fetched tree has no set-user-ID bits, and nothing that others may write") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  evil.entries = 3;
  CHECK_FALSE(evil.fetch(tree_top(07777) + tree_directory("d", 07777) + tree_up() + tree_file("f", "", false, 07777) +
                             tree_link("l", "f") + tree_up(),
                         here / "tree"));
  for (const char* path : {"tree", "tree/d", "tree/f"}) CHECK(mode_of(here / path) == 0755);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M5: what is counted is what came, and no more is taken than the caller allows") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  Bytes many = tree_top();
  for (int i = 0; i < 100; ++i) many += tree_file(std::to_string(i), "0123456789");
  evil.entries = 100;
  evil.bytes = 1000;
  const Box lies{{"mode", "777"}, {"mtime", "0"}, {"name", "n"}, {"size", "1"}, {"type", "file"}};
  CHECK(evil.fetch(many + tree_up(), here / "tree", {.max_entries = 99}) == Errc::too_large);
  CHECK(evil.fetch(many + tree_up(), here / "tree", {.max_bytes = 999}) == Errc::too_large);
  CHECK(evil.fetch(many + encode(lies) + tree_up(), here / "tree") == Errc::protocol_error);  // 101 entries came
  CHECK(evil.fetch(many + tree_up(), here / "tree", {}, Box{{"bytes", "999"}, {"entries", "100"}}) ==
        Errc::protocol_error);
  CHECK(evil.fetch(many + tree_up(), here / "tree", {}, Box{{"bytes", "1000"}}) == Errc::protocol_error);
  Bytes deep = tree_top();
  for (int i = 0; i < 300; ++i) deep += tree_directory("d");
  CHECK(evil.fetch(deep, here / "tree") == Errc::protocol_error);
  CHECK(eventually([&] { return here.count() == 0; }));
  CHECK_FALSE(evil.fetch(many + tree_up(), here / "tree"));
  CHECK(prey.is_unharmed());
}

TEST_CASE("M13: what a slave says of entries that it could not read does nothing to a terminal") {
  Prey prey;
  EvilTrees evil(prey);
  const TempDir here;
  const Bytes nasty = "\x1b]0;owned\x07\r\n\xff" + Bytes(200, 'x');
  evil.entries = 1;
  CHECK_FALSE(evil.fetch(
      tree_top() + hostile_entry(nasty, "unknown", {{"error", "E\x1b"}, {"text", Bytes(60'000, '\x1b')}}) + tree_up(),
      here / "tree"));
  REQUIRE(evil.result.problems.size() == 1);
  CHECK(evil.result.problems[0].path == nasty);  // which is data
  CHECK(evil.result.problems[0].message.find('\x1b') == std::string::npos);
  CHECK(evil.result.problems[0].message.size() < 10'000);
  CHECK(evil.fetch(tree_top() + hostile_entry(nasty, "unknown", {{"error", "EIO"}, {"text", nasty}}) + tree_up(),
                   here / "strict", {.require_all = true}) == Errc::os_error);
  CHECK(evil.message.find('\x1b') == std::string::npos);
  CHECK(prey.is_unharmed());
}

}  // namespace remsh::test

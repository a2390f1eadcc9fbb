// The descriptions of the operations, compared with docs/protocol.md section 7.
#include "operations/operations.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace remsh;
using namespace remsh::operations;

namespace {

using Words = std::set<std::string>;

/// Collects the keys of a message.
struct MessageKeys {
  Words words;
  void add(BytesView key) { words.emplace(key); }
  void path(BytesView key, const auto&) { add(key); }
  void absolute_path(BytesView key, const auto&) { add(key); }
  void any_path(BytesView key, const auto&) { add(key); }
  void optional_path(BytesView key, const auto&) { add(key); }
  void paths(BytesView key, const auto&) { add(key); }
  void op(BytesView key, const auto&) { add(key); }
  void optional_text(BytesView key, const auto&) { add(key); }
  void optional_list(BytesView key, const auto&) { add(key); }
  void optional_name(BytesView key, const auto&) { add(key); }
  void optional_integer(BytesView key, const auto&, std::int32_t, std::int32_t) { add(key); }
  void text(BytesView key, const auto&) { add(key); }
  void moment(BytesView key, const auto&) { add(key); }
  void flag(BytesView key, const auto&) { add(key); }
  void off_flag(BytesView key, const auto&) { add(key); }
  void number(BytesView key, const auto&, std::uint64_t = 0, std::uint64_t = 0) { add(key); }
  void mode(BytesView key, const auto&) { add(key); }
  void optional_mode(BytesView key, const auto&) { add(key); }
  void optional_number(BytesView key, const auto&) { add(key); }
  void optional_time(BytesView key, const auto&) { add(key); }
  void time_limit(BytesView key, const auto&) { add(key); }
  void duration(BytesView key, const auto&) { add(key); }
  void list(BytesView key, const auto&) { add(key); }
  void assignments(BytesView key, const auto&) { add(key); }
  void names(BytesView key, const auto&) { add(key); }
  void patterns(BytesView key, const auto&) { add(key); }
  void environment(BytesView key, const auto&) { add(key); }
  void pairs(BytesView key, const auto&) { add(key); }
  void optional_pairs(BytesView key, const auto&) { add(key); }
  void log_files(BytesView key, const auto&) { add(key); }
  void output(BytesView key, const auto&, bool = false) { add(key); }
  void exit_status(const auto&, const auto&) { words.insert({"exit", "signal"}); }
  void file_info(const auto&) { words.insert({"type", "size", "mode", "mtime"}); }
};

template <class Message>
Words keys_of() {
  MessageKeys keys;
  const Message message{};
  Message::describe(keys, message);
  return keys.words;
}

/// What stands between backquotes.
Words quoted_in(std::string_view text) {
  Words words;
  for (;;) {
    const auto begin = text.find('`');
    const auto end = begin == std::string_view::npos ? begin : text.find('`', begin + 1);
    if (end == std::string_view::npos) return words;
    words.emplace(text.substr(begin + 1, end - begin - 1));
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  std::string cell;
  std::getline(in, cell, '|');
  while (std::getline(in, cell, '|')) cells.push_back(cell);
  return cells;
}

/// docs/protocol.md.
std::string the_document() {
  const char* const documents = std::getenv("REMSH_DOCUMENTS");
  REQUIRE_MESSAGE(documents != nullptr, "run this by meson test, which says where the documents are");
  std::ifstream file(std::string(documents) + "/protocol.md");
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE_FALSE(text.str().empty());
  return text.str();
}

/// The cells of the row of an operation; none: there is no such row.
std::vector<std::string> row_of(const std::string& document, std::string_view operation) {
  const std::string begin = "| `" + std::string(operation) + "` |";
  std::istringstream lines(document.substr(document.find("\n## 7. ")));
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with(begin)) return cells_of(line);
  }
  return {};
}

/// The paragraph that begins so.
std::string paragraph_of(const std::string& document, const std::string& begin) {
  const auto at = document.find("\n" + begin);
  REQUIRE(at != std::string::npos);
  return document.substr(at, document.find("\n\n", at) - at);
}

bool contains(const Words& all, const Words& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

}  // namespace

TEST_CASE("docs/protocol.md has a row for each operation, with its arguments, streams and results") {
  const std::string document = the_document();
  for_each([&]<class Operation>(std::type_identity<Operation>) {
    const Description& what = Operation::what;
    CAPTURE(what.name);
    const auto cells = row_of(document, what.name);
    REQUIRE(cells.size() >= 3);

    Words arguments = keys_of<typename Operation::Request>();
    if (what.may_last) arguments.insert("op");
    std::istringstream streams{std::string(what.streams)};
    for (std::string stream; streams >> stream;) arguments.insert(stream);
    const Words results = keys_of<typename Operation::Reply>();
    if (cells[1] == " below ") {
      CHECK(contains(quoted_in(paragraph_of(document, "**" + std::string(what.name) + "** arguments:")), arguments));
      CHECK(contains(quoted_in(paragraph_of(document, "Results:")), results));
    } else {
      CHECK(quoted_in(cells[1]) == arguments);
      CHECK(contains(quoted_in(cells[2]), results));
    }
  });
}

TEST_CASE("an operation is found by the name that a policy has for it") {
  REQUIRE(find("info") != nullptr);
  CHECK(find("info")->method == "read_info");
  CHECK(find("execute")->runs_commands);
  CHECK(find("read_info") == nullptr);
  CHECK(find("") == nullptr);
}

TEST_CASE("an operation of a user's own has a name of its own") {
  for (const char* name : {"build", "7", "my-build_1", "call"}) CHECK(why_not_own_name(name).empty());
  CHECK(why_not_own_name(std::string(64, 'a')).empty());
  CHECK_FALSE(why_not_own_name(std::string(65, 'a')).empty());
  for (const char* name : {"", "_a", "-a", "Build", "a b", "a\n", "execute", "info", "ping", "hello", "data"}) {
    CAPTURE(name);
    CHECK_FALSE(why_not_own_name(name).empty());
  }
}

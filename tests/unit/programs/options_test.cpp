// The table of options, and what is made from it: the help, and the tables of docs/remsh-slave.md.
#include "programs/option.hpp"

#include "programs/help.hpp"
#include "slave/start_words.hpp"
#include "support/has.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/compression.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::program {

using remsh::test::has;

namespace {

std::string flag_of(const Option& option) {
  return "--" + std::string(option.name) + (option.metavariable.empty() ? "" : " " + std::string(option.metavariable));
}

/// Whether all options of a command are rows of the first command's: docs/remsh-slave.md has one table for both then.
bool shares_table(const Command& command) {
  const auto& all = options();
  return !command.word.empty() && std::all_of(all.begin(), all.end(), [&command](const Option& option) {
    return (option.uses & command.uses) == 0 || (option.uses & for_serve) != 0;
  });
}

/// The table of a command's options as docs/remsh-slave.md has it.
std::string options_table(const Command& command) {
  std::string table = "| option | variable | |\n|---|---|---|\n";
  const auto cell = [](std::string_view text) {
    std::string quoted;
    for (const char c : text) quoted += c == '|' ? "\\|" : std::string(1, c);
    return quoted;
  };
  for (const Option& option : options()) {
    if ((option.uses & command.uses) == 0) continue;
    table += "| `" + cell(flag_of(option)) + "` | " +
             (option.variable.empty() ? "" : "`" + std::string(option.variable) + "` ") + "| " + cell(option.help) +
             " |\n";
  }
  return table;
}

std::string exit_codes_table() {
  std::string table = "| code | meaning |\n|---|---|\n";
  for (const ExitMeaning& one : exit_meanings) {
    table += "| " + std::to_string(one.code) + " | " + std::string(one.meaning) + " |\n";
  }
  return table;
}

/// docs/remsh-slave.md.
std::string page() {
  const char* const documents = std::getenv("REMSH_DOCUMENTS");
  REQUIRE(documents != nullptr);
  std::ifstream file(std::string(documents) + "/remsh-slave.md");
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a command has no two options of one name") {
  for (const Command& command : commands()) {
    std::set<std::string_view> names;
    for (const Option& option : options()) {
      CAPTURE(option.name);
      if ((option.uses & command.uses) != 0) CHECK(names.insert(option.name).second);
    }
  }
}

TEST_CASE("every option of a slave that has a value, and no other, has a variable named after it") {
  for (const Option& option : options()) {
    CAPTURE(option.name);
    std::string variable = "REMSH_";
    for (const char c : option.name) variable += c == '-' ? '_' : static_cast<char>(std::toupper(c));
    const bool has_one = !option.metavariable.empty() && (option.uses & (for_serve | for_enrol)) != 0;
    CHECK(option.variable == (has_one ? variable : ""));
  }
}

TEST_CASE("every switch can be turned on and off by name") {
  for (const Option& option : options()) {
    if (!option.metavariable.empty()) continue;
    CAPTURE(option.name);
    Settings settings{};
    const bool is_possible = option.name != "compression" || has_compression();
    CHECK(option.set(settings, "yes").has_value() == !is_possible);
    CHECK_FALSE(option.set(settings, "no"));
  }
}

TEST_CASE("remsh-slave has an option for every word with which a listener starts a slave") {
  std::vector<std::string_view> words{encoded_mark};
  for (const StartWord& one : start_words()) words.push_back(one.word);
  for (const std::string_view word : words) {
    CAPTURE(word);
    REQUIRE(word.starts_with("--"));
    const std::size_t equals = word.find('=');
    const Option* const option = find_option(for_serve, word.substr(2, equals == word.npos ? equals : equals - 2));
    REQUIRE(option != nullptr);
    CHECK(option->metavariable.empty() == (equals == word.npos));
  }
}

TEST_CASE("the help of a command has every option of it on one line, no other, and fits a terminal") {
  constexpr std::size_t widest = 100;
  for (const Command& command : commands()) {
    const std::string help = help_text(command);
    std::set<std::string> shown_options;
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) {
      CAPTURE(line);
      CHECK(line.size() <= widest);
      if (line.starts_with("  --") || line.starts_with("* --")) {
        shown_options.insert(line.substr(4, line.find(' ', 4) - 4));
      }
    }
    std::set<std::string> expected;
    for (const Option& option : options()) {
      CAPTURE(option.name);
      if ((option.uses & command.uses) == 0) continue;
      expected.emplace(option.name);
      CHECK(has(help, (option.variable.empty() ? "\n  " : "\n* ") + flag_of(option) + "  "));
      CHECK(has(help, "  " + std::string(option.help) + "\n"));
    }
    CHECK(shown_options == expected);
  }
}

TEST_CASE("the help of a command has its exit codes, in the words of the one list of them") {
  for (const Command& command : commands()) {
    const std::string help = help_text(command);
    for (const ExitMeaning& one : exit_meanings) {
      const auto& codes = command.exit_codes;
      const bool is_of_command = std::find(codes.begin(), codes.end(), one.code) != codes.end();
      CHECK(has(help, std::to_string(one.code) + "  " + std::string(one.meaning) + "\n") == is_of_command);
    }
  }
  CHECK(has(help_text(serve_command()), "SIGHUP makes it read its key file again and connect now"));
}

TEST_CASE("docs/remsh-slave.md has the options of every command, and the exit codes") {
  const std::string text = page();
  for (const Command& command : commands()) {
    const std::string heading = "\n## `" + full_name(command) + "`\n";
    const std::size_t begin = text.find(heading);
    REQUIRE_MESSAGE(begin != std::string::npos, heading);
    const std::string section = text.substr(begin, text.find("\n## ", begin + 1) + 1 - begin);
    if (shares_table(command)) {
      CHECK(has(section, "options of `remsh-slave`"));
      continue;
    }
    CHECK_MESSAGE(has(section, "\n" + options_table(command) + "\n"),
                  "this table belongs into the section of docs/remsh-slave.md:\n"
                      << options_table(command));
  }
  CHECK_MESSAGE(has(text, "\n" + exit_codes_table()), "this table belongs into docs/remsh-slave.md:\n"
                                                          << exit_codes_table());
}

}  // namespace remsh::program

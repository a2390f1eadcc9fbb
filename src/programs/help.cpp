#include "programs/help.hpp"

#include "base/format.hpp"
#include "programs/option.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

constexpr std::array titles{
    std::pair{Section::master, std::string_view("The master")},
    std::pair{Section::proof, std::string_view("Keys and certificates")},
    std::pair{Section::work, std::string_view("What the slave does")},
    std::pair{Section::log, std::string_view("The log, on standard error or in a file")},
    std::pair{Section::keys, std::string_view("Keys")},
    std::pair{Section::other, std::string_view("Other")},
};

std::string flag_of(const Option& option) {
  if (option.metavariable.empty()) return formatted("--{}", option.name);
  return formatted("--{} {}", option.name, option.metavariable);
}

std::string exit_codes_text(const Command& command) {
  std::string text = "exit codes:\n";
  for (const ExitMeaning& one : exit_meanings) {
    const auto& codes = command.exit_codes;
    if (std::find(codes.begin(), codes.end(), one.code) == codes.end()) continue;
    text += formatted("  {:>2}  {}\n", static_cast<int>(one.code), one.meaning);
  }
  return text;
}

}  // namespace

std::string help_text(const Command& command) {
  std::vector<const Option*> rows;
  std::set<Section> sections;
  std::size_t width = 0;
  bool has_variables = false;
  for (const Option& option : options()) {
    if ((option.uses & command.uses) == 0) continue;
    rows.push_back(&option);
    sections.insert(option.section);
    width = std::max(width, flag_of(option).size());
    has_variables = has_variables || !option.variable.empty();
  }
  constexpr std::size_t few = 8;  // rows, which need no titles
  std::string text(command.usage);
  for (const auto& [section, title] : titles) {
    if (!sections.contains(section)) continue;
    if (rows.size() > few) text += formatted("\n{}:\n", title);
    for (const Option* const option : rows) {
      if (option->section != section) continue;
      const char mark = option->variable.empty() ? ' ' : '*';
      text += formatted("{} {:<{}}  {}\n", mark, flag_of(*option), width, option->help);
    }
  }
  if (has_variables) {
    text += "\n*: the environment may give it as well, as REMSH_KEY for --key; the command line counts before it.\n";
  }
  return formatted("{}{}{}", text, command.notes, exit_codes_text(command));
}

}  // namespace remsh::program

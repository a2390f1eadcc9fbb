#include "programs/help.hpp"

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
    std::pair{Section::log, std::string_view("The log, on standard error")},
    std::pair{Section::keys, std::string_view("Keys")},
    std::pair{Section::other, std::string_view("Other")},
};

std::string flag_of(const Option& option) {
  return "--" + std::string(option.name) + (option.metavariable.empty() ? "" : " " + std::string(option.metavariable));
}

std::string exit_codes_text(const Command& command) {
  std::string text = "exit codes:\n";
  for (const ExitMeaning& one : exit_meanings) {
    const auto& codes = command.exit_codes;
    if (std::find(codes.begin(), codes.end(), one.code) == codes.end()) continue;
    const std::string number = std::to_string(one.code);
    text += "  " + std::string(2 - number.size(), ' ') + number + "  " + std::string(one.meaning) + "\n";
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
    if (rows.size() > few) text.append("\n").append(title).append(":\n");
    for (const Option* const option : rows) {
      if (option->section != section) continue;
      std::string flag = flag_of(*option);
      flag.resize(width + 2, ' ');
      text.append(option->variable.empty() ? "  " : "* ").append(flag).append(option->help).append("\n");
    }
  }
  if (has_variables) {
    text += "\n*: the environment may give it as well, as REMSH_KEY for --key; the command line counts before it.\n";
  }
  return text + std::string(command.notes) + exit_codes_text(command);
}

}  // namespace remsh::program

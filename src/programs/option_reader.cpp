#include "programs/option_reader.hpp"

#include "base/format.hpp"
#include "base/percent_encoding.hpp"
#include "programs/config_file.hpp"
#include "programs/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <utility>

namespace remsh::program {

namespace {

constexpr std::string_view flag_mark = "--";

Failure wrong(std::string what) { return {Errc::invalid_argument, std::move(what), 0}; }

}  // namespace

Result<void> OptionReader::read_arguments(std::span<const std::string_view> arguments) {
  while (!arguments.empty() && settings_.shows == Shows::nothing) {
    const std::string_view word = arguments.front();
    arguments = arguments.subspan(1);
    if (!word.starts_with('-')) {
      settings_.words.emplace_back(word);
    } else if (auto read = read_option(word == "-h" ? "--help" : word, arguments); !read) {
      return read;
    }
  }
  return {};
}

/// Reads one option. If its value is the next word, removes that word from `rest`.
Result<void> OptionReader::read_option(std::string_view word, std::span<const std::string_view>& rest) {
  const std::size_t equals = word.find('=');
  const std::string_view flag = word.substr(0, equals);
  const std::string_view name = flag.starts_with(flag_mark) ? flag.substr(flag_mark.size()) : flag;
  const Option* const option = flag.starts_with(flag_mark) ? find_option(command_.uses, name) : nullptr;
  const std::string said(flag);
  if (option == nullptr) return unknown(name, said);
  if (option->metavariable.empty()) {
    if (equals != std::string_view::npos) return wrong(said + " takes no value");
    return set(option->name, "yes", Source::command_line, said);
  }
  std::string_view value;
  if (equals != std::string_view::npos) {
    value = word.substr(equals + 1);
  } else if (!rest.empty()) {
    value = rest.front();
    rest = rest.subspan(1);
  }
  if (value.empty()) return wrong(formatted("{} needs a value: {}", said, option->metavariable));
  return set(option->name, settings_.is_percent_encoded ? percent_decoded(value) : std::string(value),
             Source::command_line, said);
}

Result<void> OptionReader::read_environment(const std::function<const char*(const char*)>& get) {
  for (const Option& option : options()) {
    if ((option.uses & command_.uses) == 0 || option.variable.empty()) continue;
    const std::string variable(option.variable);
    const char* const value = get(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    if (auto done = set(option.name, value, Source::environment, variable); !done) return done;
  }
  return {};
}

Result<void> OptionReader::read_config(const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  auto text = read_config_file(path);
  if (!text) return std::move(text).failure();
  const auto lines = parse_config(*text, file);
  if (!lines) return lines.failure();
  std::map<std::string_view, std::size_t> seen;  // the line of each name
  for (const ConfigLine& line : *lines) {
    const std::string said = formatted("{}:{}: {}", file, line.number, line.name);
    const Option* const option = find_option(command_.uses, line.name);
    if (option != nullptr && !is_for_files(*option)) return wrong(said + " belongs on the command line");
    const auto [before, is_first] = seen.emplace(line.name, line.number);
    if (!is_first && option != nullptr && option->clear == nullptr) {
      return wrong(formatted("{} is in line {} already", said, before->second));
    }
    if (auto done = set(line.name, line.value, Source::file, said); !done) return done;
  }
  return {};
}

Result<void> OptionReader::set(std::string_view name, const std::string& value, Source source,
                               const std::string& said) {
  const Option* const option = find_option(command_.uses, name);
  if (option == nullptr) return unknown(name, said);
  const bool is_of_master = option->section == Section::master || option->section == Section::proof;
  if (settings_.stdio && is_of_master && source != Source::command_line) return {};
  const auto before = values_.find(option->name);
  if (before != values_.end() && before->second.source < source) return {};
  if (option->metavariable.empty() && value != "yes" && value != "no") {
    return wrong(formatted("{} takes yes or no, not {}", said, shown(value)));
  }
  if (value.empty()) return wrong(formatted("{} needs a value: {}", said, option->metavariable));
  const bool adds = option->clear != nullptr && before != values_.end() && before->second.source == source;
  if (option->clear != nullptr && !adds) option->clear(settings_);
  if (const Fault fault = option->set(settings_, value)) return wrong(said + *fault);
  Values& values = values_[option->name];
  if (!adds) values.texts.clear();
  values.source = source;
  values.texts.push_back(value);
  return {};
}

std::vector<const Option*> OptionReader::on_command_line() const {
  std::vector<const Option*> given;
  for (const Option& option : options()) {
    const auto values = values_.find(option.name);
    const bool is_given = values != values_.end() && values->second.source == Source::command_line;
    if (is_given && (option.uses & command_.uses) != 0) given.push_back(&option);
  }
  return given;
}

std::vector<OptionReader::Given> OptionReader::given() const {
  std::vector<Given> all;
  for (const Option& option : options()) {
    const auto values = values_.find(option.name);
    if (values == values_.end() || (option.uses & command_.uses) == 0) continue;
    all.push_back({&option, values->second.texts});
  }
  return all;
}

Failure OptionReader::unknown(std::string_view name, const std::string& said) const {
  const std::string what = "unknown option " + shown(said);
  std::vector<std::string_view> known;
  for (const Option& option : options()) {
    if ((option.uses & command_.uses) != 0) known.push_back(option.name);
  }
  for (const Command& other : commands()) {
    if (find_option(other.uses, name) != nullptr) {
      return wrong(formatted("{}, which is one of '{}'", what, full_name(other)));
    }
  }
  const auto meant = nearest(name, known);
  return wrong(what + (meant ? formatted("; did you mean --{}?", *meant) : ""));
}

}  // namespace remsh::program

#include <remsh/slave/embedded.hpp>

#include "base/decimal.hpp"
#include "base/embedded_mark.hpp"
#include "base/exit_code.hpp"
#include "base/format.hpp"
#include "base/percent_encoding.hpp"
#include "base/text.hpp"
#include "slave/start_words.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

static_assert(std::string_view(embedded_slave_argument) == embedded_mark);

/// NAME=COUNT. A count that is none is refused where the slave is made.
void add_resource(SlaveProgramOptions& options, const std::string& word) {
  const std::size_t equals = std::min(word.find('='), word.size());
  options.slave.resources[word.substr(0, equals)] =
      parse_number(word.substr(std::min(equals + 1, word.size()))).value_or(0);
}

constexpr StartWord words[] = {
    {"--master=", [](SlaveProgramOptions& o, const std::string& v) { o.master = v; }},
    {"--stdio", [](SlaveProgramOptions& o, const std::string&) { o.master.clear(); }},
    {"--name=", [](SlaveProgramOptions& o, const std::string& v) { o.slave.name = v; }},
    {"--basedir=", [](SlaveProgramOptions& o, const std::string& v) { o.slave.basedir = v; }},
    {"--key=-", [](SlaveProgramOptions& o, const std::string&) { o.key_from_input = true; }},
    {"--until-eof", [](SlaveProgramOptions& o, const std::string&) { o.until_eof = true; }},
    {"--slots=", [](SlaveProgramOptions& o, const std::string& v) { o.slave.slots = parse_number(v).value_or(0); }},
    {"--resource=", [](SlaveProgramOptions& o, const std::string& v) { add_resource(o, v); }},
    {"--quiet", [](SlaveProgramOptions& o, const std::string&) { o.log_level = LogLevel::error; }},
};

/// False if the word is not one of start_words().
bool take(std::string_view word, bool is_encoded, SlaveProgramOptions& options) {
  for (const StartWord& one : words) {
    const bool has_value = one.word.ends_with('=');
    if (has_value ? !word.starts_with(one.word) : word != one.word) continue;
    const std::string_view value = word.substr(one.word.size());
    one.set(options, is_encoded ? percent_decoded(value) : std::string(value));
    return true;
  }
  return false;
}

int complain(const std::string& what) {
  std::fputs(formatted("{} {}\n", embedded_slave_argument, what).c_str(), stderr);
  return exit_usage;
}

}  // namespace

std::span<const StartWord> start_words() noexcept { return words; }

std::optional<int> run_embedded_slave(int argc, char** argv, const PrepareSlave& prepare) {
  if (argc < 2 || std::string_view(argv[1]) != embedded_slave_argument) return std::nullopt;
  ::unsetenv(embedded_variable);
  SlaveProgramOptions options;
  bool is_encoded = false;  // applies to the words that follow
  for (const char* const word : std::span(argv + 2, static_cast<std::size_t>(argc - 2))) {
    if (word == encoded_mark) {
      is_encoded = true;
    } else if (!take(word, is_encoded, options)) {
      return complain("is for listeners of remsh, which start slaves, and none of them gives " + in_quotes(word));
    }
  }
  try {
    return run_slave_program(std::move(options), prepare);
  } catch (const Error& error) {
    return complain(error.what());
  }
}

}  // namespace remsh

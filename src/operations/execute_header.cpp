#include "operations/execute_header.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/secret_mask.hpp"
#include "base/text.hpp"

#include <remsh/operations/execute.hpp>

namespace remsh {

namespace {

/// A list of words with commas between them, and what was done to them: "A, B set"; empty if there are none.
std::string with_verb(const std::vector<Bytes>& words, std::string_view verb) {
  std::string text;
  for (const Bytes& word : words) text += (text.empty() ? "" : ", ") + without_controls(word);
  return text.empty() ? text : text + " " + std::string(verb);
}

std::string environment_line(const ExecuteOptions& options, const SecretMask& mask) {
  std::vector<Bytes> set;
  std::vector<Bytes> unset;
  std::vector<Bytes> prepended;
  for (const auto& [name, value] : options.env) (value ? set : unset).push_back(mask.applied_to(name));
  for (const auto& [name, value] : options.prepend_env) prepended.push_back(mask.applied_to(name));
  std::string text = options.clear_env ? "empty" : "of the slave";
  for (const std::string& change :
       {with_verb(set, "set"), with_verb(unset, "unset"), with_verb(prepended, "prepended")}) {
    if (!change.empty()) text += "; " + change;
  }
  return text;
}

std::string limits_line(const ExecuteOptions& options) {
  std::string text;
  if (options.timeout.count() > 0) text = in_seconds(options.timeout);
  if (options.silence_timeout.count() > 0) {
    text += (text.empty() ? "" : ", ") + in_seconds(options.silence_timeout) + " of silence";
  }
  return text;
}

void add_line(std::string& text, std::string_view name, const std::string& value) {
  if (!value.empty()) text += formatted("{}: {}\n", name, value);
}

}  // namespace

std::string first_lines_of_header(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  const SecretMask mask(options.secrets);
  std::string command;
  for (const Bytes& arg : args) command += (command.empty() ? "" : " ") + in_quotes(mask.applied_to(arg));
  std::string text;
  add_line(text, "command", command);
  add_line(text, "environment", environment_line(options, mask));
  add_line(text, "limits", limits_line(options));
  return text;
}

std::string process_lines_of_header(BytesView directory, std::optional<std::uint64_t> pid, BytesView user,
                                    const SecretMask& mask) {
  std::string process = pid ? std::to_string(*pid) : "";
  if (!user.empty()) process += (process.empty() ? "as user " : ", as user ") + without_controls(mask.applied_to(user));
  std::string text;
  add_line(text, "directory", without_controls(mask.applied_to(Bytes(directory))));
  add_line(text, "process", process);
  return text;
}

std::string ending_line_of_header(std::string_view why, std::string_view signal, const SecretMask& mask) {
  std::string text;
  add_line(text, "ending", without_controls(mask.applied_to(formatted("{}, {}", why, signal))));
  return text;
}

std::string last_line_of_header(const ExecuteResult& result) {
  std::string ended = to_string(result);
  if (result.ran) ended += ", after " + in_seconds(*result.ran);
  std::string text;
  add_line(text, "ended", ended);
  return text;
}

std::string header(const std::vector<Bytes>& args, const ExecuteOptions& options, const ExecuteResult& result) {
  const Bytes& directory = result.dir.empty() ? options.cwd : result.dir;
  return first_lines_of_header(args, options) +
         process_lines_of_header(directory, result.pid, options.user, SecretMask(options.secrets)) +
         last_line_of_header(result);
}

}  // namespace remsh

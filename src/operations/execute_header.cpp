// header(): what a build master shows above the output of a command.
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

std::string environment_line(const ExecuteOptions& options) {
  std::vector<Bytes> set;
  std::vector<Bytes> unset;
  std::vector<Bytes> prepended;
  for (const auto& [name, value] : options.env) (value ? set : unset).push_back(name);
  for (const auto& [name, value] : options.prepend_env) prepended.push_back(name);
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

}  // namespace

std::string header(const std::vector<Bytes>& args, const ExecuteOptions& options, const ExecuteResult& result) {
  const SecretMask mask(options.secrets);
  std::string command;
  for (const Bytes& arg : args) command += (command.empty() ? "" : " ") + in_quotes(mask.applied_to(arg));
  const Bytes& directory = result.dir.empty() ? options.cwd : result.dir;
  std::string process = result.pid ? std::to_string(*result.pid) : "";
  if (!options.user.empty()) process += (process.empty() ? "as user " : ", as user ") + without_controls(options.user);
  std::string ended = to_string(result);
  if (result.ran) ended += ", after " + in_seconds(*result.ran);

  std::string text;
  const auto line = [&text](std::string_view what, const std::string& value) {
    if (!value.empty()) text += formatted("{}: {}\n", what, value);
  };
  line("command", command);
  line("directory", without_controls(mask.applied_to(directory)));
  line("environment", environment_line(options));
  line("limits", limits_line(options));
  line("process", process);
  line("ended", ended);
  return text;
}

}  // namespace remsh

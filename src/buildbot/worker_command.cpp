#include "buildbot/worker_command.hpp"

#include <string>

namespace remsh::buildbot {

namespace {

using Kind = WorkerCommand::Kind;
using Arguments = std::vector<std::pair<std::string_view, Value>>;

Value text(const std::string& value) { return Value::text(value); }

Value seconds(std::chrono::milliseconds time) {
  return time.count() == 0 ? Value() : Value(std::chrono::duration<double>(time).count());
}

/// A worker replaces ${NAME} in a value by what its own environment has, and ${} by nothing: so a `${` that is meant as
/// it is becomes `$${}{`.
std::string literal(std::string_view value) {
  std::string result;
  for (std::size_t at = 0; at < value.size(); ++at) {
    result += value[at];
    if (value[at] == '$' && value.substr(at + 1, 1) == "{") result += "${}";
  }
  return result;
}

Value environment(const ShellOptions& shell) {
  Value::Dict dict;
  for (const auto& [name, value] : shell.env) {
    dict.keys.push_back(text(name));
    dict.values.push_back(value ? Value::text(literal(*value)) : Value());
  }
  return Value::What(std::move(dict));
}

/// Without its directory.
Arguments shell_arguments(const ShellOptions& shell) {
  std::vector<Value> args;
  for (const std::string& argument : shell.args) args.push_back(text(argument));
  Value::Dict logs;
  for (const auto& [name, path] : shell.logs) {
    logs.keys.push_back(text(name));
    logs.values.push_back(Value::dict({{Value::text("filename"), text(path)}, {Value::text("follow"), false}}));
  }
  Value term_time;
  if (shell.kill_after) term_time = std::chrono::duration<double>(*shell.kill_after).count();
  return {{"command", Value::list(std::move(args))},
          {"env", environment(shell)},
          {"want_stdout", true},
          {"want_stderr", true},
          {"logfiles", Value::What(std::move(logs))},
          {"timeout", seconds(shell.silence)},
          {"maxTime", seconds(shell.timeout)},
          {"sigtermTime", std::move(term_time)},
          {"interruptSignal", Value::text("KILL")},
          {"initial_stdin", Value()},
          {"usePTY", false},
          {"logEnviron", false}};
}

/// What a command and its path are called in one dialect.
struct Words {
  std::string_view name;
  std::string_view path;
  std::string_view file = {};  // the argument for our object that takes or gives the bytes of a file
  bool has_directory = false;  // to which the path would be relative
};

struct CommandWords {
  Words msgpack;
  Words pb;
};

CommandWords words_of(Kind kind) {
  switch (kind) {
    case Kind::shell: return {{"shell", "workdir"}, {"shell", "workdir"}};
    case Kind::upload_file: return {{"upload_file", "path"}, {"uploadFile", "workersrc", "writer", true}};
    case Kind::download_file: return {{"download_file", "path"}, {"downloadFile", "workerdest", "reader", true}};
    case Kind::mkdir: return {{"mkdir", "paths"}, {"mkdir", "dir"}};
    case Kind::rmdir: return {{"rmdir", "paths"}, {"rmdir", "dir"}};
    case Kind::rmfile: return {{"rmfile", "path"}, {"rmfile", "path"}};
    case Kind::stat: return {{"stat", "path"}, {"stat", "file"}};
  }
  return {};
}

/// The arguments behind the path, which are the same in both dialects.
Arguments options_of(const WorkerCommand& command) {
  switch (command.kind) {
    case Kind::shell: return shell_arguments(command.shell);
    case Kind::upload_file: return {{"maxsize", Value()}, {"blocksize", block_size}, {"keepstamp", false}};
    case Kind::download_file:
      return {{"maxsize", Value()}, {"blocksize", block_size}, {"mode", command.mode ? Value(*command.mode) : Value()}};
    case Kind::rmdir: return {{"timeout", Value()}, {"logEnviron", false}};
    case Kind::mkdir:
    case Kind::rmfile:
    case Kind::stat: return {};
  }
  return {};
}

}  // namespace

NamedArguments named_arguments(Dialect dialect, const WorkerCommand& command) {
  const CommandWords both = words_of(command.kind);
  const Words& words = dialect == Dialect::pb ? both.pb : both.msgpack;
  NamedArguments named{.name = words.name, .arguments = {}, .file_argument = words.file};
  if (words.has_directory) named.arguments.emplace_back("workdir", Value::text("."));
  const Value path = text(command.path);
  named.arguments.emplace_back(words.path, words.path == "paths" ? Value::list({path}) : path);
  for (auto& option : options_of(command)) named.arguments.push_back(std::move(option));
  return named;
}

}  // namespace remsh::buildbot

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

/// Of a shell, which has the same arguments in both protocols.
Arguments shell_arguments(const WorkerCommand& command) {
  const ShellOptions& shell = command.shell;
  std::vector<Value> args;
  for (const std::string& argument : shell.args) args.push_back(text(argument));
  Value::Dict logs;
  for (const auto& [name, path] : shell.logs) {
    logs.keys.push_back(text(name));
    logs.values.push_back(Value::dict({{Value::text("filename"), text(path)}, {Value::text("follow"), false}}));
  }
  Value term_time;
  if (shell.kill_after) term_time = std::chrono::duration<double>(*shell.kill_after).count();
  return {{"workdir", text(command.path)},
          {"command", Value::list(std::move(args))},
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

Value mode_of(const WorkerCommand& command) { return command.mode ? Value(*command.mode) : Value(); }

}  // namespace

NamedArguments msgpack_arguments(const WorkerCommand& command) {
  const Value path = text(command.path);
  switch (command.kind) {
    case Kind::shell: return {"shell", shell_arguments(command)};
    case Kind::upload_file:
      return {"upload_file", {{"path", path}, {"maxsize", Value()}, {"blocksize", block_size}, {"keepstamp", false}}};
    case Kind::download_file:
      return {"download_file",
              {{"path", path}, {"maxsize", Value()}, {"blocksize", block_size}, {"mode", mode_of(command)}}};
    case Kind::mkdir: return {"mkdir", {{"paths", Value::list({path})}}};
    case Kind::rmdir: return {"rmdir", {{"paths", Value::list({path})}, {"timeout", Value()}, {"logEnviron", false}}};
    case Kind::rmfile: return {"rmfile", {{"path", path}}};
    case Kind::stat: return {"stat", {{"path", path}}};
  }
  return {};
}

NamedArguments pb_arguments(const WorkerCommand& command) {
  const Value path = text(command.path);
  switch (command.kind) {
    case Kind::shell: return {"shell", shell_arguments(command)};
    case Kind::upload_file:
      return {"uploadFile",
              {{"workdir", Value::text(".")},
               {"workersrc", path},
               {"maxsize", Value()},
               {"blocksize", block_size},
               {"keepstamp", false}},
              "writer"};
    case Kind::download_file:
      return {"downloadFile",
              {{"workdir", Value::text(".")},
               {"workerdest", path},
               {"maxsize", Value()},
               {"blocksize", block_size},
               {"mode", mode_of(command)}},
              "reader"};
    case Kind::mkdir: return {"mkdir", {{"dir", path}}};
    case Kind::rmdir: return {"rmdir", {{"dir", path}, {"timeout", Value()}, {"logEnviron", false}}};
    case Kind::rmfile: return {"rmfile", {{"path", path}}};
    case Kind::stat: return {"stat", {{"file", path}}};
  }
  return {};
}

}  // namespace remsh::buildbot

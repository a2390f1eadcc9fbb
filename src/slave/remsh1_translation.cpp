// Translates between the calls of remsh 1 and our operations.
#include "slave/remsh1_translation.hpp"

#include "base/format.hpp"
#include "operations/operations.hpp"

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using namespace operations;

Bytes argument(const remsh1::Call& call, BytesView key) { return Bytes(call.arguments.get(key).value_or(BytesView())); }

bool flag(const remsh1::Call& call, BytesView key) {
  return remsh1::from_boolean(call.arguments.get(key).value_or(BytesView())).value_or(false);
}

OutputMode output(const remsh1::Call& call, BytesView key) {
  return flag(call, key) ? OutputMode::stream : OutputMode::discard;
}

/// As the original writes paths: nothing in them is escaped, unlike by in_quotes().
Bytes between_quotes(const Bytes& path) { return "'" + path + "'"; }

}  // namespace

Box arguments_of(const remsh1::Call& call) {
  if (call.command == "set_cwd") {
    SetCwd::Request request;
    if (call.arguments.has("cwd")) request.path = argument(call, "cwd");
    return to_box(request);
  }
  if (call.command == "mkdir") return to_box(Mkdir::Request{argument(call, "dir"), {}});
  if (call.command == "remove") return to_box(Remove::Request{argument(call, "path")});
  if (call.command == "rename" || call.command == "copy") {
    return to_box(TwoPaths{argument(call, "src"), argument(call, "dest")});
  }
  if (call.command == "stat") return to_box(Stat::Request{argument(call, "pathname")});
  if (call.command == "send") return to_box(Send::Request{argument(call, "dest")});
  if (call.command == "fetch") return to_box(Fetch::Request{argument(call, "src")});
  if (call.command == "execute") {
    Execute::Request request;
    request.args = remsh1::split_args(argument(call, "args"));
    request.out = output(call, "want_stdout");
    request.err = output(call, "want_stderr");
    request.leaves = true;  // as the original does
    return to_box(request);
  }
  return {};
}

Result<Box> results_of(const remsh1::Call& call, const Box& reply) {
  Box results;
  if (call.command == "set_cwd") {
    const auto parsed = from_box<SetCwd::Reply>(reply);
    if (!parsed) return parsed.failure();
    results.set("cwd", parsed->path);
  } else if (call.command == "getenv") {
    const auto parsed = from_box<Getenv::Reply>(reply);
    if (!parsed) return parsed.failure();
    for (const auto& [name, value] : parsed->env) {
      if (name.size() > remsh1::max_env_name) continue;  // a key cannot hold it
      results.set(Bytes(remsh1::env_prefix) + name, value.substr(0, Box::max_value));
    }
  } else if (call.command == "stat") {
    const auto parsed = from_box<Stat::Reply>(reply);
    if (!parsed) return parsed.failure();
    const bool is_directory = parsed->info && parsed->info->type == FileType::directory;
    results.set("result", !parsed->info ? "" : is_directory ? "d" : "f");
  }
  return results;
}

Result<remsh1::ReturnCode> return_code_of(const Box& reply) {
  const auto parsed = from_box<Execute::Reply>(reply);
  if (!parsed) return parsed.failure();
  return remsh1::ReturnCode{parsed->exit_code, parsed->signal};
}

bool is_success(const remsh1::Call& call, const Failure& failure) {
  return call.command == "mkdir" && failure.os == EEXIST;
}

Bytes error_text(const remsh1::Call& call, const Failure& failure, const std::function<bool(const Bytes&)>& exists) {
  Bytes plain = failure.os == 0 ? failure.message : std::generic_category().message(failure.os);
  const bool is_taken = failure.os == EEXIST || failure.os == EISDIR;
  if (call.command == "execute" && failure.os != 0) {
    return formatted("OSError({}, {})", failure.os, between_quotes(plain));
  }
  if (call.command == "send" && is_taken)
    return formatted("File {} already exists", between_quotes(argument(call, "dest")));
  if (call.command == "fetch" && failure.os == ENOENT) {
    return formatted("File {} does not exist", between_quotes(argument(call, "src")));
  }
  if (call.command == "remove") return "tree not removed";
  if ((call.command == "rename" || call.command == "copy") && failure.os != 0) {
    const Bytes from = argument(call, "src");
    const Bytes to = argument(call, "dest");
    if (failure.os == ENOENT && !exists(from)) return between_quotes(from) + " does not exist";
    if (is_taken && exists(to)) return between_quotes(to) + " already exists";
    if (call.command == "copy") {
      // Names the path that the error must be about: EISDIR is about the source; a missing name is about the target.
      return formatted("[Errno {}] {}: {}", failure.os, plain, between_quotes(failure.os == EISDIR ? from : to));
    }
  }
  return plain;
}

}  // namespace remsh

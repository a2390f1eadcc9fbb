#include "master/remsh1_operations.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/part_files.hpp"
#include "remsh1/error_text.hpp"
#include "remsh1/message.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace remsh {

namespace {

using namespace operations;

/// The mode of a new file on a slave with the usual umask.
constexpr std::uint32_t usual_mode = 0644;

Failure bad_answer(BytesView command, const std::string& why) {
  return {Errc::protocol_error, formatted("the answer to {} makes no sense: {}", command, why), 0};
}

/// Fails if a value is too long for remsh 1.
Result<void> require_short(std::initializer_list<BytesView> values) {
  const auto fits = [](BytesView value) { return value.size() <= remsh1::max_data; };
  if (std::all_of(values.begin(), values.end(), fits)) return {};
  return remsh1::unsupported(formatted("has no values of over {} bytes", remsh1::max_data));
}

/// A new name in the directory of a path, for a file that is renamed to that path when it is complete.
Bytes temporary_beside(const Bytes& path) { return path.substr(0, path.rfind('/') + 1) + new_part_name(); }

Failure exists(const Bytes& path, bool overwrite) {
  const std::string what = in_quotes(path) + " already exists";
  if (!overwrite) return {Errc::os_error, what, EEXIST};
  return remsh1::unsupported(formatted("cannot replace anything in one step, and {}: remove it first", what));
}

}  // namespace

Result<void> Remsh1Backend::run(AskedOperation& operation, const StreamEnds& ends, const Patience& options) {
  Operations operations(*this, operation.number, ends, options);
  return visit(operation, [&operations](auto& asked) { return operations(asked); });
}

// --- checks of requests

Result<void> Remsh1Backend::Operations::check(const SetCwd::Request& request) {
  return require_short({request.path.value_or(Bytes())});
}

Result<void> Remsh1Backend::Operations::check(const Mkdir::Request& request) {
  if (request.mode) return remsh1::unsupported("makes directories with the mode that the slave's umask gives them");
  return require_short({request.path});
}

Result<void> Remsh1Backend::Operations::check(const Remove::Request& request) { return require_short({request.path}); }

Result<void> Remsh1Backend::Operations::check(const TwoPaths& request) {
  return require_short({request.from, request.to});
}

Result<void> Remsh1Backend::Operations::check(const Stat::Request& request) {
  if (request.nofollow) return remsh1::unsupported("always follows symbolic links");
  return require_short({request.path});
}

Result<void> Remsh1Backend::Operations::check(const Execute::Request& request) {
  if (request.in) return remsh1::unsupported("gives commands no input: send() a file and let a shell read it");
  if (!request.set_env.empty() || !request.unset_env.empty() || !request.prepend_env.empty() || request.clear_env) {
    return remsh1::unsupported("cannot change a command's environment: let the program env do it");
  }
  if (request.err == OutputMode::merge) {
    return remsh1::unsupported("cannot merge outputs: let a shell do it, with 2>&1");
  }
  if (request.timeout.count() != 0 || request.silence.count() != 0) {
    return remsh1::unsupported("cannot limit a command's time: use a deadline, which ends the connection");
  }
  if (!request.stop_signal.empty()) return remsh1::unsupported("always stops commands in its own way");
  if (!request.secrets.empty()) return remsh1::unsupported("cannot keep arguments secret");
  if (request.max_bytes || request.max_lines || request.at) {
    return remsh1::unsupported("neither limits output nor says when it came");
  }
  if (!request.logs.empty()) return remsh1::unsupported("does not read log files while a command runs");
  if (!request.pty.empty()) return remsh1::unsupported("has no terminals for commands");
  if (!request.user.empty()) return remsh1::unsupported("runs all commands as its own user");
  if (!request.group.empty()) return remsh1::unsupported("has no control groups for commands");
  if (request.nice || request.umask || !request.limits.empty()) {
    return remsh1::unsupported("cannot set nice, umask or limits of a command: let a shell do it");
  }
  return require_short({remsh1::join_args(request.args), request.cwd});
}

Result<void> Remsh1Backend::Operations::check(const Send::Request& request) { return require_short({request.path}); }

Result<void> Remsh1Backend::Operations::check(const Fetch::Request& request) { return require_short({request.path}); }

// --- operations

Result<void> Remsh1Backend::Operations::ask(const Bytes& command, const Box& arguments) {
  auto answer = turn_.ask(command, arguments);
  return answer ? Result<void>() : Result<void>(std::move(answer).failure());
}

Result<void> Remsh1Backend::Operations::perform(Asked<SetCwd>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  const auto& path = asked.request.path;
  const auto answer = turn_.ask("set_cwd", path ? Box{{"cwd", *path}} : Box());
  if (!answer) return answer.failure();
  const auto cwd = answer->get("cwd");
  if (!cwd || cwd->find('\0') != BytesView::npos) return bad_answer("set_cwd", "it has no path under 'cwd'");
  asked.reply.path = *cwd;
  return {};
}

Result<void> Remsh1Backend::Operations::perform(Asked<Getenv>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  const auto answer = turn_.ask("getenv", {});
  if (!answer) return answer.failure();
  for (const auto& [key, value] : *answer) {
    if (key.starts_with(remsh1::env_prefix)) asked.reply.env.emplace(key.substr(remsh1::env_prefix.size()), value);
  }
  return {};
}

Result<void> Remsh1Backend::Operations::perform(Asked<Mkdir>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  return ask("mkdir", Box{{"dir", asked.request.path}});
}

Result<void> Remsh1Backend::Operations::perform(Asked<Remove>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  return ask("remove", Box{{"path", asked.request.path}});
}

Result<void> Remsh1Backend::Operations::perform(Asked<Rename>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  return give_name(asked.request.from, asked.request.to, asked.request.overwrite);
}

Result<void> Remsh1Backend::Operations::perform(Asked<Copy>& asked) {
  const TwoPaths& request = asked.request;
  const Bytes part = temporary_beside(request.to);
  if (auto fits = require_short({part}); !fits) return fits;
  if (auto taken = turn_.take(); !taken) return taken;
  if (auto absent = require_absent(request.to, request.overwrite); !absent) return absent;
  turn_.at_end("remove", Box{{"path", part}}, false);
  if (auto copied = ask("copy", Box{{"src", request.from}, {"dest", part}}); !copied) return copied;
  auto named = give_name(part, request.to, request.overwrite);
  if (named) turn_.forget_last_calls();
  return named;
}

Result<void> Remsh1Backend::Operations::perform(Asked<Stat>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  const auto there = look(asked.request.path);
  if (!there) return there.failure();
  asked.reply.info = *there;
  return {};
}

/// Whether a path exists, and whether it is a directory: an original slave reports no more.
Result<std::optional<FileInfo>> Remsh1Backend::Operations::look(const Bytes& path) {
  const auto answer = turn_.ask("stat", Box{{"pathname", path}});
  if (!answer) return answer.failure();
  const auto type = answer->get("result");
  if (type == "") return std::optional<FileInfo>();
  if (type != "d" && type != "f") return bad_answer("stat", "it names no type of a file");
  FileInfo info;
  info.type = type == "d" ? FileType::directory : FileType::file;
  return std::optional(info);
}

Result<void> Remsh1Backend::Operations::require_absent(const Bytes& path, bool overwrite) {
  const auto there = look(path);
  if (!there) return there.failure();
  if (*there) return exists(path, overwrite);
  return {};
}

Result<void> Remsh1Backend::Operations::give_name(const Bytes& part, const Bytes& path, bool overwrite) {
  auto result = ask("rename", Box{{"src", part}, {"dest", path}});
  if (!result && result.failure().os == EEXIST) return exists(path, overwrite);
  return result;
}

/// Changes the directory until the end of the turn.
Result<void> Remsh1Backend::Operations::enter(const Bytes& directory) {
  const auto home = turn_.ask("set_cwd", Box{{"cwd", ""}});
  if (!home) return home.failure();
  const auto path = home->get("cwd");
  if (!path || !path->starts_with('/')) return bad_answer("set_cwd", "it has no absolute path");
  turn_.at_end("set_cwd", Box{{"cwd", *path}}, true);
  return ask("set_cwd", Box{{"cwd", directory}});
}

Result<void> Remsh1Backend::Operations::perform(Asked<Execute>& asked) {
  const Execute::Request& request = asked.request;
  if (auto taken = turn_.take(); !taken) return taken;
  if (!request.cwd.empty()) {
    if (auto there = enter(request.cwd); !there) return there;
  }
  auto begun = ask("execute", Box{{"args", remsh1::join_args(request.args)},
                                  {"want_stdout", remsh1::to_boolean(ends_.out != nullptr)},
                                  {"want_stderr", remsh1::to_boolean(ends_.err != nullptr)}});
  if (!begun) return begun;
  for (;;) {
    const auto event = turn_.next();
    if (!event) return event.failure();
    if (event->kind == Event::Kind::finished) {
      asked.reply.exit_code = event->result.exit_code;
      asked.reply.signal = event->result.signal;
      return {};
    }
    const OutputCallback& output = event->stream == remsh1::Stream::out ? ends_.out : ends_.err;
    if (output && !event->data.empty()) output(event->data);
  }
}

Result<void> Remsh1Backend::Operations::perform(Asked<Send>& asked) {
  const Send::Request& request = asked.request;
  const Bytes part = temporary_beside(request.path);
  if (auto fits = require_short({part}); !fits) return fits;
  if (auto taken = turn_.take(); !taken) return taken;
  if (auto absent = require_absent(request.path, request.overwrite); !absent) return absent;

  turn_.at_end("remove", Box{{"path", part}}, false);
  if (auto begun = ask("send", Box{{"dest", part}}); !begun) return begun;
  const auto buffer = std::make_unique_for_overwrite<char[]>(remsh1::max_data);
  const std::span<char> room(buffer.get(), remsh1::max_data);
  while (const std::size_t count = std::min(ends_.in(room), room.size())) {
    if (auto sent = turn_.feed(BytesView(buffer.get(), count)); !sent) return sent;
    asked.reply.bytes += count;
  }
  if (auto written = turn_.finish(); !written) return std::move(written).failure();

  if (request.mode != usual_mode) {
    turn_.let_it_end();
    if (auto changed = change_mode(part, request.mode); !changed) return changed;
  }
  auto named = give_name(part, request.path, request.overwrite);
  if (named) turn_.forget_last_calls();
  return named;
}

/// Runs the program chmod, since remsh 1 has no call for it.
Result<void> Remsh1Backend::Operations::change_mode(const Bytes& path, std::uint32_t mode) {
  std::array<char, 8> octal{};
  const char* const end = std::to_chars(octal.data(), octal.data() + octal.size(), mode, 8).ptr;
  const Bytes args = remsh1::join_args(
      {"chmod", Bytes(BytesView(octal.data(), static_cast<std::size_t>(end - octal.data()))), "--", path});
  const Box arguments{{"args", args}, {"want_stdout", "n"}, {"want_stderr", "n"}};
  if (auto begun = ask("execute", arguments); !begun) return begun;
  for (;;) {
    const auto event = turn_.next();
    if (!event) return event.failure();
    if (event->kind != Event::Kind::finished) continue;
    if (event->result.exit_code == 0) return {};
    return Failure{Errc::remote_failure, "the program chmod could not set the mode of the new file", 0};
  }
}

Result<void> Remsh1Backend::Operations::perform(Asked<Fetch>& asked) {
  if (auto taken = turn_.take(); !taken) return taken;
  if (auto begun = ask("fetch", Box{{"src", asked.request.path}}); !begun) return begun;
  for (;;) {
    const auto event = turn_.next();
    if (!event) return event.failure();
    if (event->kind == Event::Kind::finished) return {};
    if (event->kind == Event::Kind::failed) return remsh1::failure_of(event->text);
    asked.reply.bytes += event->data.size();
    if (!event->data.empty()) ends_.out(event->data);
  }
}

Result<void> Remsh1Backend::Operations::perform(Asked<Ping>& /*asked*/) {
  if (auto taken = turn_.take(); !taken) {
    if (!turn_.was_outwaited() || taken.failure().code != Errc::timeout) return taken;
    return Failure{Errc::busy, "another operation is under way, and remsh 1 does one at a time", 0};
  }
  return ask("set_cwd", Box{{"cwd", ""}});
}

}  // namespace remsh

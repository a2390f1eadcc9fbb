// execute() on a Buildbot worker.
//
// The program is started by /bin/sh, which makes of a missing one the exit codes 127 and 126, and has its arguments as
// they are. Its input, and its output if the exact bytes are wanted, go through files: the worker has only text for
// them.
#include "base/format.hpp"
#include "base/shell_quote.hpp"
#include "base/text.hpp"
#include "master/buildbot_script.hpp"
#include "os/part_files.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using operations::Execute;
using operations::OutputMode;

/// A worker gives this variable a value of its own in addition: it is set by the shell instead.
constexpr BytesView python_path = "PYTHONPATH";

/// The system of a worker takes no longer argument or variable.
constexpr std::size_t max_text = std::size_t{128} * 1024 - 1;

/// Of all arguments together: the worker sends them back in one text, and PB has texts of at most 640 KiB.
constexpr std::size_t max_arguments = std::size_t{512} * 1024;

Result<void> check_text(const std::vector<Bytes>& texts, const char* what) {
  std::size_t total = 0;
  for (const Bytes& text : texts) {
    total += text.size() + 1;
    if (text.size() > max_text || total > max_arguments) {
      return unsupported_by_buildbot(formatted("accepts {} of at most 128 KiB each and 512 KiB together", what));
    }
    if (!is_utf8(text)) {
      return unsupported_by_buildbot(formatted("has only {} in UTF-8: {} is none", what, start_in_quotes(text)));
    }
  }
  return {};
}

Result<void> check(const Execute::Request& request, bool has_input) {
  const auto refuse = [](const char* what) -> Result<void> { return unsupported_by_buildbot(what); };
  if (request.in && !has_input) return refuse("has no input that is written piece by piece");
  if (!request.stop_signal.empty() && request.stop_signal != "SIGKILL" && request.stop_signal != "SIGTERM") {
    return refuse("stops commands by SIGTERM or SIGKILL alone");
  }
  if (!request.secrets.empty()) return refuse("writes all arguments into its log, also secret ones");
  if (request.max_bytes || request.max_lines || request.at)
    return refuse("can neither limit output nor report when it came");
  if (!request.pty.empty()) return refuse("has no terminals of a size");
  if (!request.user.empty()) return refuse("runs all commands as its own user");
  if (!request.group.empty()) return refuse("has no control groups for commands");
  if (request.nice || request.umask || !request.limits.empty()) {
    return refuse("cannot set nice, umask or limits of a command: let a shell do it");
  }
  if (request.exact && request.silence.count() != 0) {
    return refuse("does not see output that goes through a file: leave out silence_timeout or exact_output");
  }
  for (const auto& log : request.logs) {
    if (auto checked = check_text({log.path}, "paths"); !checked) return checked;
    if (log.begin != LogBegin::changed) {
      return refuse("sends a log file when it is written to, and then all of it: use LogBegin::changed");
    }
  }
  for (const auto& [texts, what] :
       {std::pair(&request.args, "arguments"), std::pair(&request.set_env, "variables"),
        std::pair(&request.prepend_env, "variables"), std::pair(&request.unset_env, "names of variables")}) {
    if (auto checked = check_text(*texts, what); !checked) return checked;
  }
  return {};
}

class ExecuteScript final : public BuildbotScriptOf<Execute> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;

  void begin() override {
    auto directory = absolute(request.cwd);
    if (!directory) return finish(std::move(directory).failure());
    environment_ = environment();
    const bool is_too_long = std::any_of(environment_.begin(), environment_.end(), [](const auto& one) {
      return one.second && one.first.size() + one.second->size() >= max_text;
    });
    if (is_too_long || python_path_.size() > max_text / 2) {
      return finish(unsupported_by_buildbot("has no variables of over 128 KiB, and no PYTHONPATH of over 64 KiB"));
    }
    directory_ = request.cwd.empty() ? worker().cwd : *directory;
    // The worker would make it.
    need_directory(directory_, [this] {
      reply.dir = directory_;
      const bool needs_files = request.in || request.exact;
      needs_files ? make_files() : run_program();
    });
  }

  bool interrupt(std::string_view why) override {
    if (has_run_ || is_finished()) return false;
    is_interrupted_ = true;
    if (runs_program_) interrupt_command(why);
    if (takes_input_) interrupt_transfer(why);
    return true;
  }

 private:
  void make_files() {
    files_ = info().basedir + "/" + new_part_name();
    buildbot::WorkerCommand command{.kind = Kind::shell, .path = info().basedir};
    command.shell.args = {"mkdir", "-m", "700", files_};
    run(command, [this](const CommandEnd& end) {
      if (!end.is_good()) return remove_files(failure_of(files_, end));
      if (!request.in || is_interrupted_) return run_program();
      takes_input_ = true;
      run({.kind = Kind::download_file, .path = files_ + "/in", .mode = 0600}, [this](const CommandEnd& written) {
        takes_input_ = false;
        if (!is_interrupted_ && !written.is_good()) return remove_files(failure_of(files_ + "/in", written));
        run_program();
      });
    });
  }

  void run_program() {
    if (is_interrupted_) {  // before it has begun
      reply.signal = SIGTERM;
      reply.interrupted = true;
      return remove_files({});
    }
    buildbot::WorkerCommand command{.kind = Kind::shell, .path = directory_};
    buildbot::ShellOptions& shell = command.shell;
    shell.env = environment_;
    shell.args = {"/bin/sh", "-c", program()};
    shell.args.insert(shell.args.end(), request.args.begin(), request.args.end());
    shell.timeout = request.timeout;
    shell.silence = request.silence;
    if (request.stop_signal != "SIGKILL") shell.kill_after = request.kill_after;
    for (std::size_t i = 0; i < request.logs.size(); ++i) {
      shell.logs.emplace(std::to_string(i), request.logs[i].path);
    }
    runs_program_ = true;
    run(command, [this](const CommandEnd& end) { program_ended(end); }, {.is_piped = true});
  }

  /// The variables to be changed, for the worker.
  std::map<std::string, std::optional<std::string>> environment() {
    std::map<std::string, std::optional<std::string>> changes;
    const auto split = [](const Bytes& assignment) {
      const std::size_t equals = assignment.find('=');
      return std::pair(assignment.substr(0, equals), assignment.substr(equals + 1));
    };
    if (request.clear_env) {
      for (const auto& [name, value] : info().environ) changes.emplace(name, std::nullopt);
    }
    for (const Bytes& name : request.unset_env) changes[name].reset();
    for (const Bytes& assignment : request.set_env) {
      auto [name, value] = split(assignment);
      changes[name] = std::move(value);
    }
    for (const Bytes& assignment : request.prepend_env) {
      auto [name, value] = split(assignment);
      const auto old = info().environ.find(name);
      std::optional<std::string> present;
      if (old != info().environ.end()) present = old->second;
      if (const auto changed = changes.find(name); changed != changes.end()) present = changed->second;
      changes[name] = present ? value + ":" + *present : value;
    }
    const auto path = changes.find(std::string(python_path));
    if (path != changes.end()) {
      python_path_ = path->second ? formatted("export {}={}; ", python_path, quoted_for_shell(*path->second))
                                  : formatted("unset {}; ", python_path);
      changes.erase(path);
    }
    return changes;
  }

  [[nodiscard]] std::string program() const {
    const auto output = [this](OutputMode mode, const char* name) -> std::string {
      if (mode == OutputMode::merge) return "&1";
      if (mode == OutputMode::discard) return "/dev/null";
      return request.exact ? quoted_for_shell(files_ + "/" + name) : std::string();
    };
    std::string text = python_path_;
    text += "exec \"$0\" \"$@\" <" + (request.in ? quoted_for_shell(files_ + "/in") : std::string("/dev/null"));
    if (const std::string out = output(request.out, "out"); !out.empty()) text += " >" + out;
    if (const std::string err = output(request.err, "err"); !err.empty()) text += " 2>" + err;
    return text;
  }

  void program_ended(const CommandEnd& end) {
    runs_program_ = false;
    if (end.is_dropped) return run_program();  // which says that it was interrupted before it began
    has_run_ = true;
    if (!end.failure.empty() || !end.rc) return remove_files(failure_of(request.args.front(), end));
    const bool was_ended = end.interrupted || end.timed_out || end.went_silent;
    if (*end.rc >= 0) {
      reply.exit_code = static_cast<int>(std::min<std::int64_t>(*end.rc, 255));
    } else if (end.signal) {
      reply.signal = end.signal;
    } else if (was_ended) {
      reply.exit_code = 0;  // in spite of the signal
    } else {
      return remove_files(Failure{Errc::remote_failure, "the worker does not say how the program ended", 0});
    }
    reply.timed_out = end.timed_out;
    reply.silent = end.went_silent;
    reply.interrupted = is_interrupted_ && end.interrupted;
    if (end.elapsed && *end.elapsed >= 0 && *end.elapsed < 1e9) {
      reply.ran = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::duration<double>(*end.elapsed));
    }
    if (!request.exact) return remove_files({});
    send_output(request.out, "out", false,
                [this] { send_output(request.err, "err", true, [this] { remove_files({}); }); });
  }

  void send_output(OutputMode mode, const char* name, bool is_err, std::function<void()> next) {
    if (mode != OutputMode::stream) return next();
    const std::string path = files_ + "/" + name;
    run({.kind = Kind::upload_file, .path = path},
        [this, path, next = std::move(next)](const CommandEnd& end) {
          if (!end.is_good()) return remove_files(failure_of(path, end));
          next();
        },
        {.is_err = is_err});
  }

  void remove_files(Result<void> result) {
    if (files_.empty()) return finish(std::move(result));
    run({.kind = Kind::rmdir, .path = std::exchange(files_, {})},
        [this, result = std::move(result)](const CommandEnd&) { finish(result); });
  }

  void clean_up() override { remove_files({}); }

  std::string directory_;
  std::string files_;  // a directory for the input and the output; empty: none
  std::map<std::string, std::optional<std::string>> environment_;
  std::string python_path_;  // a command for the shell; empty: the variable stays
  bool takes_input_ = false;
  bool runs_program_ = false;
  bool has_run_ = false;
  bool is_interrupted_ = false;
};

}  // namespace

Result<std::shared_ptr<BuildbotScript>> make_buildbot_execute(BuildbotWorker& worker, const Execute::Request& request,
                                                              bool has_input) {
  if (auto can = check(request, has_input); !can) return std::move(can).failure();
  return std::shared_ptr<BuildbotScript>(std::make_shared<ExecuteScript>(worker, request));
}

}  // namespace remsh

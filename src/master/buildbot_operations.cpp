// The operations of a Buildbot worker, except execute: each as a chain of the worker's own commands.
//
// What has no command of its own is a small program for /bin/sh, whose arguments are never part of its text.
#include "base/base64.hpp"
#include "base/format.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "master/buildbot_script.hpp"
#include "master/worker_protocol.hpp"
#include "operations/file_info.hpp"
#include "os/file.hpp"
#include "os/part_files.hpp"
#include "rpc/message.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <tuple>
#include <type_traits>
#include <vector>

namespace remsh {

namespace {

using namespace operations;

using Kind = buildbot::WorkerCommand::Kind;

/// The path without `.`, `..` and repeated slashes. It must be absolute.
std::string normalised(BytesView path) {
  std::vector<BytesView> parts;
  while (!path.empty()) {
    const BytesView part = take_until('/', path);
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  }
  std::string result;
  for (const BytesView part : parts) (result += '/') += part;
  return result.empty() ? "/" : result;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

Failure exists(const std::string& path) { return {Errc::os_error, in_quotes(path) + " already exists", EEXIST}; }

/// Gives $1 the name $2 in one step, and forces both the content and the name to the disk if $3 is set. Without $4 it
/// replaces nothing: then it exits with 3 if $2 is there. It exits with 4 if $1 is missing.
constexpr const char* give_name_program = R"(is_there() { [ -e "$1" ] || [ -L "$1" ]; }
is_there "$1" || exit 4
if [ -n "$3" ] && [ -f "$1" ] && ! [ -L "$1" ]; then sync -- "$1" || exit; fi
if [ -n "$4" ]; then
  mv -T -f -- "$1" "$2" || exit
else
  mv -T -n -- "$1" "$2"
  code=$?
  if is_there "$1" && is_there "$2"; then exit 3; fi
  [ $code = 0 ] || exit $code
fi
if [ -n "$3" ]; then sync -- "${2%/*}/"; fi
)";

/// The entries of the directory $1, or with a second argument $1 itself, in base64, as text would not keep their names.
constexpr const char* list_program = R"(if [ -n "$2" ]; then
  find "$1" -maxdepth 0 -printf '%y %s %m %T@ \0'
else
  find "$1" -mindepth 1 -maxdepth 1 -printf '%y %s %m %T@ %f\0'
fi | base64
)";

/// How many directories set_builders() counts in a worker.
constexpr std::size_t max_directories = 100'000;

buildbot::WorkerCommand shell(const std::string& directory, const char* program, std::vector<std::string> args) {
  buildbot::WorkerCommand command{.kind = Kind::shell, .path = directory};
  command.shell.args = {"/bin/sh", "-c", program, "remsh"};
  command.shell.env = {{"LC_ALL", "C"}};  // so that messages of errors are known
  command.shell.args.insert(command.shell.args.end(), args.begin(), args.end());
  return command;
}

/// Why list_program has failed.
Failure listing_failure(const std::string& path, const BuildbotCommandEnd& end) {
  if (!end.is_good() || !end.err.empty()) return BuildbotScript::failure_of(path, end);
  return breach("its listing of " + start_in_quotes(path) + " makes no sense");
}

/// Reads what list_program writes.
class EntryReader {
 public:
  void feed(std::string_view text) {
    if (!is_good_) return;
    bytes_.erase(0, std::exchange(at_, 0));
    for (const char c : text) {
      if (c != '\n' && c != '\r') digits_ += c;
    }
    const std::size_t whole = digits_.size() - digits_.size() % 4;
    const auto bytes = from_base64(std::string_view(digits_).substr(0, whole));
    is_good_ = is_good_ && bytes.has_value();
    if (!is_good_) return;
    bytes_ += *bytes;
    digits_.erase(0, whole);
  }

  /// The next entry; nullopt if there is none yet, or what came makes no sense.
  std::optional<List::Entry> next() {
    const std::size_t end = is_good_ ? bytes_.find('\0', at_) : Bytes::npos;
    if (end == Bytes::npos) {
      is_good_ = is_good_ && bytes_.size() - at_ <= longest_entry;
      return std::nullopt;
    }
    auto entry = parse(BytesView(bytes_).substr(at_, end - at_));
    at_ = end + 1;
    is_good_ = entry.has_value();
    return entry;
  }

  /// Whether all that came was entries.
  [[nodiscard]] bool is_complete() const { return is_good_ && at_ == bytes_.size() && digits_.empty(); }

 private:
  template <class Number>
  static std::optional<Number> number(BytesView text, int base = 10) {
    Number value = 0;
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, value, base);
    return error == std::errc() && at == end ? std::optional(value) : std::nullopt;
  }

  static mode_t type_of(BytesView letter) {
    if (letter == "f") return S_IFREG;
    if (letter == "d") return S_IFDIR;
    if (letter == "l") return S_IFLNK;
    if (letter == "p") return S_IFIFO;
    if (letter == "s") return S_IFSOCK;
    if (letter == "c") return S_IFCHR;
    if (letter == "b") return S_IFBLK;
    return 0;
  }

  /// TYPE SIZE MODE SECONDS.FRACTION NAME
  static std::optional<List::Entry> parse(BytesView line) {
    struct stat status {};
    status.st_mode = type_of(take_until(' ', line));
    const auto size = number<std::int64_t>(take_until(' ', line));
    const auto mode = number<mode_t>(take_until(' ', line), 8);
    BytesView time = take_until(' ', line);
    const auto seconds = number<std::int64_t>(take_until('.', time));
    if (!size || *size < 0 || !mode || !seconds) return std::nullopt;
    status.st_size = *size;
    status.st_mode |= *mode & 07777U;
    status.st_mtim.tv_sec = *seconds;
    std::string nanoseconds(time.substr(0, 9));
    nanoseconds.resize(9, '0');
    status.st_mtim.tv_nsec = number<std::uint32_t>(nanoseconds).value_or(0);
    if (line.find('/') != BytesView::npos) return std::nullopt;  // names are never paths
    return List::Entry{Bytes(line), file_info_of(status)};
  }

  static constexpr std::size_t longest_entry = 8192;

  std::string digits_;
  Bytes bytes_;
  std::size_t at_ = 0;  // of the next entry
  bool is_good_ = true;
};

// --- directories and names

class SetCwdScript final : public BuildbotScriptOf<SetCwd> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto path = request.path ? absolute(*request.path) : Result<std::string>(info().basedir);
    if (!path) return finish(std::move(path).failure());
    const std::string target = normalised(*path);
    need_directory(target, [this, target] {
      reply.path = worker().cwd = target;
      finish();
    });
  }
};

class MkdirScript final : public BuildbotScriptOf<Mkdir> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    if (request.mode)
      return finish(unsupported_by_buildbot("makes directories with the mode that its umask gives them"));
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    run({.kind = Kind::mkdir, .path = *path}, finish_with(*path));
  }
};

class RemoveScript final : public BuildbotScriptOf<Remove> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    run({.kind = Kind::rmdir, .path = *path}, finish_with(*path));
  }
};

class SetBuildersScript final : public BuildbotScriptOf<SetBuilders> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    for (const Bytes& directory : request.directories) {
      if (auto path = absolute(directory); !path) return finish(std::move(path).failure());
    }
    make_next(0);
  }

 private:
  void make_next(std::size_t at) {
    if (at == request.directories.size()) return list_others();
    const std::string path = info().basedir + "/" + request.directories[at];
    run({.kind = Kind::mkdir, .path = path}, [this, path, at](const CommandEnd& end) {
      if (!end.is_good()) return finish(failure_of(path, end));
      make_next(at + 1);
    });
  }

  void list_others() {
    run(shell(info().basedir, list_program, {info().basedir}),
        [this](const CommandEnd& end) {
          const bool is_good = end.is_good() && end.err.empty() && reader_.is_complete();
          if (!is_good) return finish(listing_failure(info().basedir, end));
          if (reply.others.size() > max_directories) {
            return finish(Failure{Errc::too_large,
                                  formatted("its base directory has more than {} directories", max_directories), 0});
          }
          std::sort(reply.others.begin(), reply.others.end());
          finish();
        },
        {.text = [this](std::string_view text) {
          reader_.feed(text);
          while (auto entry = reader_.next()) {
            const auto first = [](const Bytes& path) { return path.substr(0, path.find('/')); };
            const bool is_ours = std::any_of(request.directories.begin(), request.directories.end(),
                                             [&](const Bytes& one) { return first(one) == entry->name; });
            const bool is_counted = entry->info->is_directory() && !is_ours && reply.others.size() <= max_directories;
            if (is_counted) reply.others.push_back(std::move(entry->name));
          }
        }});
  }

  EntryReader reader_;
};

// --- files

/// Operations that write a file beside its place, and then give it its name.
template <class Operation>
class FileScript : public BuildbotScriptOf<Operation> {
 public:
  using CommandEnd = BuildbotCommandEnd;
  using BuildbotScriptOf<Operation>::BuildbotScriptOf;

 protected:
  /// Checks that the file may have this path, and calls `next`.
  void prepare(const std::string& path, bool overwrite, std::function<void()> next) {
    path_ = path;
    overwrite_ = overwrite;
    const std::string directory = directory_of(path);
    this->need_directory(directory, [this, directory, next = std::move(next)] {
      this->look(path_, [this, directory, next](Result<std::optional<FileInfo>> old) {
        if (!old) return this->finish(std::move(old).failure());
        if (*old && !overwrite_) return this->finish(exists(path_));
        if (*old && (*old)->is_directory()) return this->finish(os_failure(EISDIR, in_quotes(path_)));
        part_ = (directory == "/" ? "" : directory) + "/" + new_part_name();
        next();
      });
    });
  }

  void give_name(bool durable) {
    std::vector<std::string> args{part_, path_, durable ? "1" : "", overwrite_ ? "1" : ""};
    this->run(shell(this->info().basedir, give_name_program, std::move(args)), [this](const CommandEnd& end) {
      if (end.is_good()) return this->finish();
      fail(end.rc == 3 && !overwrite_ ? exists(path_) : this->failure_of(path_, end));
    });
  }

  /// Removes the part, and ends with this failure.
  void fail(Failure why) {
    this->run({.kind = Kind::rmfile, .path = part_},
              [this, why = std::move(why)](const CommandEnd&) { this->finish(why); });
  }

  void clean_up() override {
    if (part_.empty()) return this->finish();
    fail({Errc::cancelled, "its caller has left", 0});
  }

  [[nodiscard]] const std::string& part() const noexcept { return part_; }

 private:
  std::string path_;
  std::string part_;  // empty: not begun
  bool overwrite_ = false;
};

class SendScript final : public FileScript<Send> {
 public:
  using FileScript::FileScript;
  void begin() override {
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    prepare(*path, request.overwrite, [this] {
      run({.kind = Kind::download_file, .path = part(), .mode = request.mode}, [this](const CommandEnd& end) {
        if (!end.is_good()) return fail(failure_of(part(), end));
        give_name(request.durable);
      });
    });
  }
  void count_input(std::uint64_t bytes) override { reply.bytes += bytes; }
};

class CopyScript final : public FileScript<Copy> {
 public:
  using FileScript::FileScript;
  void begin() override {
    auto from = absolute(request.from);
    auto to = absolute(request.to);
    if (!from) return finish(std::move(from).failure());
    if (!to) return finish(std::move(to).failure());
    need_file(*from, [this, from = *from, to = *to](const FileInfo&) {
      prepare(to, request.overwrite, [this, from] {
        // Not the worker's own command for copies: it would copy a symbolic link, not the file.
        run(shell(info().basedir, "cp -- \"$1\" \"$2\"", {from, part()}), [this](const CommandEnd& end) {
          if (!end.is_good()) return fail(failure_of(part(), end));
          give_name(request.durable);
        });
      });
    });
  }
};

class RenameScript final : public BuildbotScriptOf<Rename> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto from = absolute(request.from);
    auto to = absolute(request.to);
    if (!from) return finish(std::move(from).failure());
    if (!to) return finish(std::move(to).failure());
    std::vector<std::string> args{*from, *to, request.durable ? "1" : "", request.overwrite ? "1" : ""};
    run(shell(info().basedir, give_name_program, std::move(args)),
        [this, from = *from, to = *to](const CommandEnd& end) {
          if (end.is_good()) return finish();
          if (end.rc == 4) return finish(os_failure(ENOENT, in_quotes(from)));
          finish(end.rc == 3 && !request.overwrite ? exists(to) : failure_of(from, end));
        });
  }
};

class StatScript final : public BuildbotScriptOf<Stat> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    if (request.nofollow) return look_at_link(*path);
    look(*path, [this](Result<std::optional<FileInfo>> there) {
      if (!there) return finish(std::move(there).failure());
      reply.info = *there;
      finish();
    });
  }

 private:
  void look_at_link(const std::string& path) {
    run(shell(info().basedir, list_program, {path, "1"}),
        [this, path](const CommandEnd& end) {
          if (!end.is_good() || !reader_.is_complete()) return finish(failure_of(path, end));
          const BytesView err = BytesView(end.err).substr(0, end.err.find_last_not_of('\n') + 1);
          const bool is_missing = err.ends_with(": No such file or directory") || err.ends_with(": Not a directory");
          if (!reply.info && !is_missing && !end.err.empty()) return finish(failure_of(path, end));
          finish();
        },
        {.text = [this](std::string_view text) {
          reader_.feed(text);
          if (auto entry = reader_.next()) reply.info = entry->info;
        }});
  }

  EntryReader reader_;
};

class ListScript final : public BuildbotScriptOf<List> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    need_directory(*path, [this, path = *path] { list(path); });
  }

 private:
  void list(const std::string& path) {
    const std::string directory = path.ends_with('/') ? path : path + "/";  // of a symbolic link, what it points to
    run(shell(info().basedir, list_program, {directory}),
        [this, path](const CommandEnd& end) {
          const bool is_good = end.is_good() && end.err.empty() && reader_.is_complete();
          finish(is_good ? Result<void>() : listing_failure(path, end));
        },
        {.text = [this](std::string_view text) {
          reader_.feed(text);
          Bytes boxes;
          while (auto entry = reader_.next()) {
            append_box(boxes, to_box(*entry));
            ++reply.entries;
          }
          if (!boxes.empty()) push({.kind = BuildbotPiece::Kind::out, .data = std::move(boxes)});
        }});
  }

  EntryReader reader_;
};

class FetchScript final : public BuildbotScriptOf<Fetch> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto path = absolute(request.path);
    if (!path) return finish(std::move(path).failure());
    need_file(*path, [this, path = *path](const FileInfo& info) {
      reply.mode = info.mode & 0777U;
      if (info.is_file()) push({.kind = BuildbotPiece::Kind::size, .number = info.size});
      run({.kind = Kind::upload_file, .path = path}, finish_with(path));
    });
  }
  void count_output(std::uint64_t bytes) override { reply.bytes += bytes; }
};

// --- the worker itself

class GetenvScript final : public BuildbotScriptOf<Getenv> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    reply.env = info().environ;
    finish();
  }
};

class ReadInfoScript final : public BuildbotScriptOf<ReadInfo> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    reply.files = info().files;
    finish();
  }
};

class PrintScript final : public BuildbotScriptOf<Print> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    constexpr std::size_t longest = 16 * 1024;
    ask(session().print(without_controls(BytesView(request.message).substr(0, longest))),
        [this](Result<Value> answer) { finish(answer ? Result<void>() : std::move(answer).failure()); });
  }
};

class PingScript final : public BuildbotScriptOf<Ping> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    ask(session().ping(),
        [this](Result<Value> answer) { finish(answer ? Result<void>() : std::move(answer).failure()); });
  }
};

class InterruptScript final : public BuildbotScriptOf<Interrupt> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    const auto number = rpc::parse_tag(request.target);
    BuildbotScript* const target = number ? script_of(*number) : nullptr;
    reply.running = target != nullptr &&
                    target->interrupt(request.why.empty() ? "interrupted"
                                                          : without_controls(BytesView(request.why).substr(0, 1024)));
    finish();
  }
};

class ShutdownScript final : public BuildbotScriptOf<Shutdown> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    if (request.restart)
      return finish(unsupported_by_buildbot("cannot start again by itself: shut it down, and start it"));
    worker().begin_draining(request.reason, request.within);
    finish();
  }
};

/// The names of the operations that a worker can do.
class ListOperationsScript final : public BuildbotScriptOf<ListOperations> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override;
};

/// All but Execute.
using Scripts = std::tuple<SetCwdScript, GetenvScript, ReadInfoScript, MkdirScript, SetBuildersScript, RemoveScript,
                           RenameScript, CopyScript, StatScript, ListScript, InterruptScript, SendScript, FetchScript,
                           PrintScript, PingScript, ListOperationsScript, ShutdownScript>;

void ListOperationsScript::begin() {
  reply.names.emplace_back(Execute::what.name);
  for_each<Scripts>([this]<class Script>(std::type_identity<Script>) {
    if (Script::Described::what.name != Ping::what.name) reply.names.emplace_back(Script::Described::what.name);
  });
  std::sort(reply.names.begin(), reply.names.end());
  finish();
}

}  // namespace

Result<std::shared_ptr<BuildbotScript>> make_buildbot_script(BuildbotWorker& worker, AskedOperation& operation) {
  if (operation.what().name == Execute::what.name) {
    const auto& execute = static_cast<Asked<Execute>&>(operation);
    return make_buildbot_execute(worker, execute.request, execute.ends.in != nullptr);
  }
  std::shared_ptr<BuildbotScript> script;
  for_each<Scripts>([&]<class Script>(std::type_identity<Script>) {
    using Operation = typename Script::Described;
    if (operation.what().name != Operation::what.name) return;
    script = std::make_shared<Script>(worker, static_cast<Asked<Operation>&>(operation).request);
  });
  if (!script) return no_such_operation("the protocol of Buildbot's workers", operation.what().method);
  return script;
}

}  // namespace remsh

// The operations of a Buildbot worker that move files or give them names.
#pragma once

#include "base/text.hpp"
#include "master/buildbot_script.hpp"
#include "operations/operations.hpp"
#include "os/file.hpp"
#include "os/part_files.hpp"

#include <cerrno>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// Gives $1 the name $2 in one step, and forces both the content and the name to the disk if $3 is set. Without $4 it
/// replaces nothing: then it exits with 3 if $2 is there. It exits with 4 if $1 is missing.
inline constexpr const char* buildbot_give_name_program = R"(is_there() { [ -e "$1" ] || [ -L "$1" ]; }
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

/// The failure to write a file that is there.
inline Failure buildbot_file_exists(const std::string& path) {
  return {Errc::os_error, in_quotes(path) + " already exists", EEXIST};
}

/// Operations that write a file beside its place, and then give it its name.
template <class Operation>
class BuildbotFileScript : public BuildbotScriptOf<Operation> {
 public:
  using CommandEnd = BuildbotCommandEnd;
  using Kind = buildbot::WorkerCommand::Kind;
  using BuildbotScriptOf<Operation>::BuildbotScriptOf;

 protected:
  /// Checks that the file may have this path, and calls `next`.
  void prepare(const std::string& path, bool overwrite, std::function<void()> next) {
    path_ = path;
    overwrite_ = overwrite;
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == 0 ? "/" : path.substr(0, slash);
    this->need_directory(directory, [this, directory, next = std::move(next)] {
      this->look(path_, [this, directory, next](Result<std::optional<FileInfo>> old) {
        if (!old) return this->finish(std::move(old).failure());
        if (*old && !overwrite_) return this->finish(buildbot_file_exists(path_));
        if (*old && (*old)->is_directory()) return this->finish(os_failure(EISDIR, in_quotes(path_)));
        part_ = (directory == "/" ? "" : directory) + "/" + new_part_name();
        next();
      });
    });
  }

  void give_name(bool durable) {
    std::vector<std::string> args{part_, path_, durable ? "1" : "", overwrite_ ? "1" : ""};
    this->run(this->shell(buildbot_give_name_program, std::move(args)), [this](const CommandEnd& end) {
      if (end.is_good()) return this->finish();
      fail(end.rc == 3 && !overwrite_ ? buildbot_file_exists(path_) : this->failure_of(path_, end));
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

class BuildbotSendScript final : public BuildbotFileScript<operations::Send> {
 public:
  using BuildbotFileScript::BuildbotFileScript;
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

class BuildbotCopyScript final : public BuildbotFileScript<operations::Copy> {
 public:
  using BuildbotFileScript::BuildbotFileScript;
  void begin() override {
    auto from = absolute(request.from);
    auto to = absolute(request.to);
    if (!from) return finish(std::move(from).failure());
    if (!to) return finish(std::move(to).failure());
    need_file(*from, [this, from = *from, to = *to](const FileInfo&) {
      prepare(to, request.overwrite, [this, from] {
        // Not the worker's own command for copies: it would copy a symbolic link, not the file.
        run(shell("cp -- \"$1\" \"$2\"", {from, part()}), [this](const CommandEnd& end) {
          if (!end.is_good()) return fail(failure_of(part(), end));
          give_name(request.durable);
        });
      });
    });
  }
};

class BuildbotRenameScript final : public BuildbotScriptOf<operations::Rename> {
 public:
  using BuildbotScriptOf::BuildbotScriptOf;
  void begin() override {
    auto from = absolute(request.from);
    auto to = absolute(request.to);
    if (!from) return finish(std::move(from).failure());
    if (!to) return finish(std::move(to).failure());
    std::vector<std::string> args{*from, *to, request.durable ? "1" : "", request.overwrite ? "1" : ""};
    run(shell(buildbot_give_name_program, std::move(args)), [this, from = *from, to = *to](const CommandEnd& end) {
      if (end.is_good()) return finish();
      if (end.rc == 4) return finish(os_failure(ENOENT, in_quotes(from)));
      finish(end.rc == 3 && !request.overwrite ? buildbot_file_exists(to) : failure_of(from, end));
    });
  }
};

class BuildbotFetchScript final : public BuildbotScriptOf<operations::Fetch> {
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

}  // namespace remsh

// The operations of a Buildbot worker, except execute: each as a chain of the worker's own commands.
#include "base/format.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "master/buildbot_file_scripts.hpp"
#include "master/buildbot_listing.hpp"
#include "master/buildbot_script.hpp"
#include "master/worker_protocol.hpp"
#include "rpc/message.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using namespace operations;

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

/// How many directories set_builders() counts in a worker.
constexpr std::size_t max_directories = 100'000;

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
    run(shell(buildbot_list_program, {info().basedir}),
        [this](const CommandEnd& end) {
          const bool is_good = end.is_good() && end.err.empty() && reader_.is_complete();
          if (!is_good) return finish(buildbot_listing_failure(info().basedir, end));
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

  BuildbotEntryReader reader_;
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
    run(shell(buildbot_list_program, {path, "1"}),
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

  BuildbotEntryReader reader_;
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
    run(shell(buildbot_list_program, {directory}),
        [this, path](const CommandEnd& end) {
          const bool is_good = end.is_good() && end.err.empty() && reader_.is_complete();
          finish(is_good ? Result<void>() : buildbot_listing_failure(path, end));
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

  BuildbotEntryReader reader_;
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
using Scripts =
    std::tuple<SetCwdScript, GetenvScript, ReadInfoScript, MkdirScript, SetBuildersScript, RemoveScript,
               BuildbotRenameScript, BuildbotCopyScript, StatScript, ListScript, InterruptScript, BuildbotSendScript,
               BuildbotFetchScript, PrintScript, PingScript, ListOperationsScript, ShutdownScript>;

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

// The operations on directories and names: set_cwd, getenv, info, mkdir, remove, rename, copy, stat.
#include "slave/filesystem.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "operations/file_info.hpp"
#include "operations/operations.hpp"
#include "os/directory_reader.hpp"
#include "os/file.hpp"
#include "os/new_file.hpp"
#include "os/rename.hpp"
#include "os/tree.hpp"
#include "slave/add_operation.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

extern char** environ;

namespace remsh {

namespace {

using namespace operations;
using Place = Workplace::Place;
using rpc::ServedCall;

constexpr std::size_t max_info_file = 64 * 1024;
constexpr std::size_t max_info = 1024 * 1024;       // more is an error, since a call could not carry it
constexpr std::size_t copy_step = 4 * 1024 * 1024;  // between two checks for a cancel

Result<Nothing> reply_of(Result<void> result) {
  if (!result) return std::move(result).failure();
  return Nothing();
}

std::map<Bytes, Bytes> environment() {
  std::map<Bytes, Bytes> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == std::string_view::npos) continue;  // not a variable
    result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

// Reads a file of the information directory. False if it is not such a file.
Result<bool> read_info_file(At at, const Bytes& path, Bytes& content) {
  struct stat status {};
  if (stat_at(at, path, status, true) != 0 || !S_ISREG(status.st_mode)) return false;
  auto file = open_file(at, path);
  if (!file) {
    if (file.failure().os == ENOENT) return false;  // removed meanwhile
    return std::move(file).failure();
  }
  content.resize(max_info_file + 1);
  std::size_t size = 0;
  while (size < content.size()) {
    const auto count = read_file(file->fd.get(), std::span(content).subspan(size));
    if (!count) return count.failure();
    if (*count == 0) break;
    size += *count;
  }
  content.resize(size);
  return size <= max_info_file && content.find('\0') == Bytes::npos;
}

Result<ReadInfo::Reply> read_info(const Workplace& workplace) {
  ReadInfo::Reply reply;
  const auto where = workplace.place_in_base("info");
  if (!where) return where.failure();
  auto directory = DirectoryReader::open(where->at, where->path);
  if (!directory && directory.failure().os == ENOENT) return reply;
  if (!directory) return std::move(directory).failure();

  std::size_t total = 0;
  for (;;) {
    auto entry = directory->next();
    if (!entry) return std::move(entry).failure();
    if (!*entry) return reply;
    Bytes name = std::move(**entry);
    Bytes content;
    const auto read = read_info_file(where->at, where->path + "/" + name, content);
    if (!read) {
      Failure failure = read.failure();
      failure.message = formatted("info/{}: {}", escaped(name), failure.message);
      return failure;
    }
    if (!*read) continue;
    total += name.size() + content.size() + 2;
    if (total > max_info) return Failure{Errc::too_large, "info/ holds more than a call can carry (1 MiB)", 0};
    reply.files.emplace(std::move(name), std::move(content));
  }
}

// Copies as much as the system can copy by itself; the loop in copy() does the rest, and reports errors. False if
// cancelled.
bool copy_in_kernel(int from, int to, const ServedCall& call) {
  while (::copy_file_range(from, nullptr, to, nullptr, copy_step, 0) > 0) {
    if (call.cancelled()) return false;
  }
  return true;
}

Result<Nothing> copy(const Workplace& workplace, const TwoPaths& request, const ServedCall& call) {
  const auto from_place = workplace.place(request.from);
  if (!from_place) return from_place.failure();
  const auto to_place = workplace.place(request.to);
  if (!to_place) return to_place.failure();
  const Place& source_place = *from_place;
  const Place& target_place = *to_place;
  auto source = open_file(source_place.at, source_place.path);
  if (!source) return std::move(source).failure();
  auto target = workplace.create_file(target_place, request.overwrite);
  if (!target) return std::move(target).failure();

  struct stat from {};
  struct stat to {};
  if (::fstat(source->fd.get(), &from) == 0 && stat_at(target_place.at, target_place.path, to, false) == 0 &&
      from.st_dev == to.st_dev && from.st_ino == to.st_ino) {
    return Failure{Errc::os_error, "copy: Both are the same file", EINVAL};
  }

  if (!copy_in_kernel(source->fd.get(), target->descriptor(), call)) return stopped();
  Bytes buffer(64 * 1024, '\0');
  for (;;) {
    if (call.cancelled()) return stopped();
    const auto count = read_file(source->fd.get(), buffer);
    if (!count) return count.failure();
    if (*count == 0) break;
    if (auto written = target->write(BytesView(buffer).substr(0, *count)); !written) return written.failure();
  }
  // A copy, which may have another owner, gets no set-user-ID bit or the like.
  return reply_of(target->commit(source->mode & 0777, request.durable));
}

Result<Stat::Reply> stat(const Place& place, bool follow) {
  if (auto checked = check_path(place.path, "stat"); !checked) return std::move(checked).failure();
  struct stat status {};
  if (const int error = stat_at(place.at, place.path, status, follow)) {
    if (error == ENOENT) return Stat::Reply();
    return path_failure(place.at, error, "stat");
  }
  return Stat::Reply{file_info_of(status)};
}

}  // namespace

void add_filesystem(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask) {
  add_operation<SetCwd>(dispatcher, [workplace](const SetCwd::Request& request, ServedCall&) -> Result<SetCwd::Reply> {
    auto path = workplace->set_current(request.path);
    if (!path) return std::move(path).failure();
    return SetCwd::Reply{std::move(*path)};
  });
  add_operation<Getenv>(dispatcher, [reply = Getenv::Reply{environment()}](const Nothing&, ServedCall&) {
    return Result<Getenv::Reply>(reply);
  });
  add_operation<ReadInfo>(dispatcher, [workplace](const Nothing&, ServedCall&) { return read_info(*workplace); });
  add_operation<Mkdir>(
      dispatcher, [workplace, mode_mask](const Mkdir::Request& request, ServedCall&) -> Result<Nothing> {
        const auto place = workplace->place(request.path);
        if (!place) return place.failure();
        const auto mode = request.mode ? std::optional<mode_t>(*request.mode & mode_mask) : std::nullopt;
        return reply_of(make_directories(place->at, place->path, mode, true));
      });
  add_operation<Remove>(dispatcher, [workplace](const Remove::Request& request, ServedCall& call) -> Result<Nothing> {
    const auto place = workplace->place(request.path);
    if (!place) return place.failure();
    return reply_of(remove_tree(place->at, place->path, [&call] { return call.cancelled(); }));
  });
  add_operation<Rename>(dispatcher, [workplace](const TwoPaths& request, ServedCall&) -> Result<Nothing> {
    const auto from = workplace->place(request.from);
    if (!from) return from.failure();
    const auto to = workplace->place(request.to);
    if (!to) return to.failure();
    return reply_of(rename_path(from->at, from->path, to->at, to->path, request.overwrite, request.durable));
  });
  add_operation<Copy>(
      dispatcher, [workplace](const TwoPaths& request, ServedCall& call) { return copy(*workplace, request, call); });
  add_operation<Stat>(dispatcher, [workplace](const Stat::Request& request, ServedCall&) -> Result<Stat::Reply> {
    const auto place = workplace->place(request.path);
    if (!place) return place.failure();
    return stat(*place, !request.nofollow);
  });
}

}  // namespace remsh

// The names of part files and part trees, and the records by which those of a killed process are found and removed.
#include "os/part_files.hpp"

#include "base/hex.hpp"
#include "os/at.hpp"
#include "os/directory.hpp"
#include "os/random.hpp"
#include "os/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

namespace remsh {

namespace {

constexpr const char* records_name = ".remsh-parts";
constexpr BytesView prefix = ".remsh-";
constexpr BytesView suffix = ".part";
constexpr std::size_t random_size = 8;

// More collisions than this are not chance: another process removes each record, or holds each lock.
constexpr int attempts = 100;

bool is_name(BytesView name) {
  if (name.size() != prefix.size() + 2 * random_size + suffix.size()) return false;
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  return is_hex(name.substr(prefix.size(), 2 * random_size));
}

bool is_ours(const struct stat& status, mode_t type) {
  return (status.st_mode & S_IFMT) == type && status.st_uid == ::geteuid();
}

/// Opens the directory of the records, if it belongs to us.
UniqueFd open_records(int home, int flags) {
  UniqueFd records(::openat(home, records_name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (records && (::fstat(records.get(), &status) != 0 || !is_ours(status, S_IFDIR))) records.reset();
  return records;
}

bool lock(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

/// False if the record was removed before it was locked.
bool is_linked(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && status.st_nlink > 0;
}

/// The path in a record. Empty if its process was killed before it wrote the path, which it does before it makes a part
/// file.
Bytes read_path(int record) {
  Bytes text(PATH_MAX + 1, '\0');
  const ssize_t size = ::read(record, text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  if (!text.ends_with('\n')) return {};
  text.pop_back();
  return text.find('\0') == Bytes::npos ? text : Bytes();
}

/// Removes a part file. True if it does not exist any more.
bool remove_part(const UniqueFd& directory, const char* name) {
  if (!directory) return errno == ENOENT || errno == ENOTDIR;
  struct stat status {};
  if (::fstatat(directory.get(), name, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  if (is_ours(status, S_IFDIR)) return remove_tree(directory.get(), name).ok();
  if (!is_ours(status, S_IFREG)) return true;  // another file has its name now
  return ::unlinkat(directory.get(), name, 0) == 0 || errno == ENOENT;
}

}  // namespace

Bytes new_part_name() { return Bytes(prefix) + random_hex(random_size) + Bytes(suffix); }

bool is_part_name(BytesView name) noexcept { return is_name(name) || name == records_name; }

PartRecord::PartRecord(PartRecord&& other) noexcept
    : name_(std::exchange(other.name_, {})),
      home_(std::move(other.home_)),
      records_(std::move(other.records_)),
      file_(std::move(other.file_)) {}

PartRecord& PartRecord::operator=(PartRecord&& other) noexcept {
  if (this != &other) {
    drop();
    name_ = std::exchange(other.name_, {});
    home_ = std::move(other.home_);
    records_ = std::move(other.records_);
    file_ = std::move(other.file_);
  }
  return *this;
}

PartRecord PartRecord::make(int home, const Bytes& directory) {
  PartRecord record;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    record.name_ = new_part_name();
    errno = 0;
    if (record.make_file(home, directory)) break;
    record.file_.reset();
    // It was removed, or locked, by a process that looks for records of ended processes.
    if (errno != ENOENT && errno != EWOULDBLOCK && errno != EEXIST) break;
  }
  return record;
}

/// If it is false, errno says why.
PartRecord PartRecord::make_for(int directory, int home) {
  return home < 0 ? make(directory, ".") : make(home, path_of_directory(directory));
}

bool PartRecord::make_file(int home, const Bytes& directory) {
  if (directory.empty() || directory.size() >= PATH_MAX) return errno = ENAMETOOLONG, false;
  if (::mkdirat(home, records_name, 0700) != 0 && errno != EEXIST) return false;
  home_ = UniqueFd(::openat(home, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  records_ = open_records(home, O_PATH);
  if (!home_ || !records_) return false;
  file_.reset(::openat(records_.get(), name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file_) return false;
  const Bytes text = directory + '\n';
  const bool is_locked = lock(file_.get());
  if (is_locked && !is_linked(file_.get())) return errno = ENOENT, false;
  if (is_locked && ::write(file_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return true;
  const int error = errno;
  ::unlinkat(records_.get(), name_.c_str(), 0);
  return errno = error, false;
}

void PartRecord::drop() noexcept {
  if (file_) {
    ::unlinkat(records_.get(), name_.c_str(), 0);
    ::unlinkat(home_.get(), records_name, AT_REMOVEDIR);  // if it is empty now
  }
  leave();
}

void PartRecord::leave() noexcept {
  name_.clear();
  file_.reset();
  records_.reset();
  home_.reset();
}

bool has_part_records(int home) noexcept { return ::faccessat(home, records_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

void remove_abandoned_parts(int home, const std::function<UniqueFd(const Bytes&)>& open_directory) {
  UniqueFd records = open_records(home, O_RDONLY);
  if (!records) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(records.get()), ::closedir);
  if (!listing) return;
  static_cast<void>(records.release());
  const int at = ::dirfd(listing.get());
  while (const dirent* entry = ::readdir(listing.get())) {
    const char* const name = entry->d_name;
    if (!is_name(name)) continue;
    const UniqueFd record(::openat(at, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat status {};
    if (!record || ::fstat(record.get(), &status) != 0 || !is_ours(status, S_IFREG)) continue;
    if (!lock(record.get()) || !is_linked(record.get())) continue;
    const Bytes path = read_path(record.get());
    if (path.empty() || remove_part(open_directory(path), name)) ::unlinkat(at, name, 0);
  }
  ::unlinkat(home, records_name, AT_REMOVEDIR);
}

void remove_abandoned_parts_in(int directory) {
  remove_abandoned_parts(directory, [directory](const Bytes& recorded) {
    return recorded == "." ? UniqueFd(::openat(directory, ".", open_to_resolve)) : (errno = EACCES, UniqueFd());
  });
}

}  // namespace remsh

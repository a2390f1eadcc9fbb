// LocalFile: a new file on this host that a caller can leave while the disk hangs.
#include "master/local_file.hpp"

#include <fcntl.h>

#include <utility>

namespace remsh {

namespace {

using OptionalFile = std::optional<NewFile>;

void destroy_file(void* file) { delete static_cast<OptionalFile*>(file); }

}  // namespace

LocalFile::LocalFile(const Patience& patience) : file_(new OptionalFile), disk_(patience, {file_, destroy_file}) {}

Result<void> LocalFile::create(const Bytes& path, bool overwrite) {
  if (auto can = LocalDisk::check(); !can) return can;
  return disk_.run([file = file_, path, overwrite]() -> Result<void> {
    auto created = NewFile::create(AT_FDCWD, path, overwrite);
    if (!created) return std::move(created).failure();
    file->emplace(std::move(*created));
    return {};
  });
}

Result<void> LocalFile::write(BytesView bytes) {
  if (!disk_.has_thread()) return (*file_)->write(bytes);
  return disk_.queue([file = file_, copy = Bytes(bytes)] { return (*file)->write(copy); }, bytes.size());
}

Result<void> LocalFile::commit(mode_t mode, bool durable) {
  return disk_.run([file = file_, mode, durable] { return (*file)->commit(mode, durable); });
}

}  // namespace remsh

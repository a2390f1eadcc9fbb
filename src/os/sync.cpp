// Forcing files and directories to the disk, so that they survive a loss of power.
#include "os/sync.hpp"

#include "os/file.hpp"
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace remsh {

namespace {

Result<void> sync(int descriptor, BytesView what) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL || errno == ENOTSUP) return {};
    if (errno != EINTR) return os_failure(errno, what);
  }
  return {};
}

}  // namespace

Result<void> sync_file(int descriptor) { return sync(descriptor, "force the file to the disk"); }

Result<void> sync_directory(int directory) {
  constexpr BytesView what = "force the directory to the disk";
  const UniqueFd readable(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (readable) return sync(readable.get(), what);
  if (errno != EACCES) return os_failure(errno, what);
  ::sync();  // without a readable descriptor its file system cannot be synced alone
  return {};
}

Result<void> sync_file_system(int descriptor) {
  if (::syncfs(descriptor) == 0) return {};
  if (errno == ENOSYS) return ::sync(), Result<void>();
  return os_failure(errno, "force the file system to the disk");
}

}  // namespace remsh

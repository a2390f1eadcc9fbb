#include "slave/builder_directories.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/directory_reader.hpp"
#include "os/tree.hpp"
#include "slave/add_operation.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace remsh {

namespace {

using operations::SetBuilders;

/// The first component of a relative path, without "." components.
BytesView first_component(BytesView path) {
  for (;;) {
    const BytesView name = path.substr(0, path.find('/'));
    if (name.size() == path.size() || (!name.empty() && name != ".")) return name;
    path.remove_prefix(name.size() + 1);
  }
}

/// The names of the directories in the base directory that are none of builders.
Result<std::vector<Bytes>> other_directories(At base, const std::vector<Bytes>& directories) {
  std::set<BytesView> used{"info"};
  for (const Bytes& directory : directories) used.insert(first_component(directory));
  auto reader = DirectoryReader::open(base, ".");
  if (!reader) return std::move(reader).failure();
  std::vector<Bytes> others;
  for (;;) {
    auto name = reader->next();
    if (!name) return std::move(name).failure();
    if (!*name) break;
    struct stat status {};
    const bool is_directory =
        ::fstatat(base.descriptor, (*name)->c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
    if (is_directory && !used.contains(**name)) others.push_back(std::move(**name));
  }
  std::sort(others.begin(), others.end());
  return others;
}

Result<SetBuilders::Reply> set_builders(const Workplace& workplace, const SetBuilders::Request& request) {
  const At base(workplace.base().descriptor(), At::Reach::beneath);
  for (const Bytes& directory : request.directories) {
    if (Result<void> made = make_directories(base, directory); !made) {
      Failure failure = std::move(made).failure();
      struct stat status {};
      const bool leads_out = failure.os == EPERM && stat_at(base, directory, status, true) == EXDEV;
      failure.message = formatted(
          "builder directory {}: {}", in_quotes(directory),
          leads_out ? "it leads out of the slave's base directory: give a path that stays in it" : failure.message);
      return failure;
    }
  }
  auto others = other_directories(base, request.directories);
  if (!others) return std::move(others).failure();
  return SetBuilders::Reply{std::move(*others)};
}

}  // namespace

void add_builders(Dispatcher& dispatcher, std::shared_ptr<const Workplace> workplace) {
  add_operation<SetBuilders>(dispatcher, [workplace = std::move(workplace)](const SetBuilders::Request& request,
                                                                            const rpc::ServedCall& /*call*/) {
    return set_builders(*workplace, request);
  });
}

}  // namespace remsh

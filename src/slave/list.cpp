#include "slave/list.hpp"

#include "connection/block.hpp"
#include "operations/file_info.hpp"
#include "os/directory_reader.hpp"
#include "slave/add_operation.hpp"
#include "slave/stepped_operation.hpp"

#include <remsh/connection/box_codec.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <utility>

namespace remsh {

namespace {

using operations::List;

/// Sends the entries of a directory, each as a box. Holds no more of them than fit into one block.
class Listing final : public SteppedOperation {
 public:
  Listing(std::shared_ptr<rpc::ServedCall> call, DirectoryReader directory)
      : SteppedOperation(std::move(call)), directory_(std::move(directory)) {}

 private:
  void step() override {
    for (;;) {
      if (call().cancelled()) return call().fail(stopped());
      const std::size_t room = std::min(call().room(rpc::StreamName::out), Block::max_payload);
      if (room == 0) break;
      if (auto filled = fill(room); !filled) return call().fail(std::move(filled).failure());
      if (boxes_.empty()) return call().answer(operations::to_box(reply_));
      send(std::min(room, boxes_.size()));
    }
    call().flush();
  }

  /// Reads entries until there is enough to send, or no further entry.
  Result<void> fill(std::size_t enough) {
    while (!is_at_end_ && boxes_.size() < enough) {
      auto name = directory_.next();
      if (!name) return std::move(name).failure();
      if (*name) {
        add(std::move(**name));
      } else {
        is_at_end_ = true;
      }
    }
    return {};
  }

  void add(Bytes name) {
    struct stat status {};
    const int error = ::fstatat(directory_.descriptor(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
    if (error == ENOENT) return;  // removed meanwhile
    const FileInfo info = error == 0 ? file_info_of(status) : FileInfo();
    append_box(boxes_, operations::to_box(List::Entry{std::move(name), info}));
    ++reply_.entries;
  }

  void send(std::size_t count) {
    Block block;
    std::copy_n(boxes_.begin(), count, block.payload().begin());
    boxes_.erase(0, count);
    call().send(rpc::StreamName::out, std::move(block), count);
  }

  DirectoryReader directory_;
  Bytes boxes_;  // to be sent
  bool is_at_end_ = false;
  List::Reply reply_;
};

}  // namespace

void add_list(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace) {
  add_lasting_operation<List>(
      dispatcher,
      [workplace = std::move(workplace)](const List::Request& request, const std::shared_ptr<rpc::ServedCall>& call) {
        const auto place = workplace->place(request.path);
        if (!place) return call->fail(place.failure());
        auto directory = DirectoryReader::open(place->at, place->path);
        if (!directory) return call->fail(std::move(directory).failure());
        std::make_shared<Listing>(call, std::move(*directory))->start();
      });
}

}  // namespace remsh

// The operations that move a file's content: send and fetch.
#include "slave/transfer.hpp"

#include "operations/advice.hpp"
#include "operations/operations.hpp"
#include "os/file.hpp"
#include "os/new_file.hpp"
#include "slave/add_operation.hpp"
#include "slave/stepped_operation.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace remsh {

namespace {

using operations::Fetch;
using operations::Send;

/// Writes the data that the caller sends into a file.
class Receive final : public SteppedOperation {
 public:
  Receive(std::shared_ptr<rpc::ServedCall> call, const Send::Request& request,
          std::shared_ptr<const Workplace> workplace, NewFile file)
      : SteppedOperation(std::move(call)),
        mode_(request.mode),
        is_durable_(request.durable),
        workplace_(std::move(workplace)),
        file_(std::move(file)) {}

 private:
  void step() override {
    take_all([this](BytesView bytes) { return file_->write(bytes); }, [this] { commit(); });
  }

  void commit() {
    if (auto done = file_->commit(mode_, is_durable_); !done) return end(std::move(done).failure());
    call().answer(operations::to_box(Send::Reply{file_->size()}));
  }

  /// The unfinished file is removed before the caller gets the failure.
  void end(Failure failure) override {
    file_.reset();
    call().fail(std::move(failure));
  }

  const std::uint32_t mode_;
  const bool is_durable_;
  const std::shared_ptr<const Workplace> workplace_;  // which the file uses
  std::optional<NewFile> file_;
};

/// Sends the content of a file. Reads to its end, not to its size: some files have no size, and others grow.
class Deliver final : public SteppedOperation {
 public:
  Deliver(std::shared_ptr<rpc::ServedCall> call, OpenFile file)
      : SteppedOperation(std::move(call)), file_(std::move(file)) {
    reply_.mode = file_.mode;
    if (file_.size > 0) this->call().announce_total(file_.size);
  }

 private:
  void step() override {
    send_all(
        [this](std::span<char> buffer) {
          Result<std::size_t> count = read_file(file_.fd.get(), buffer);
          if (count.ok()) reply_.bytes += *count;
          return count;
        },
        [this] { call().answer(operations::to_box(reply_)); });
  }

  OpenFile file_;
  Fetch::Reply reply_;
};

void receive(const Send::Request& request, const std::shared_ptr<Workplace>& workplace,
             const std::shared_ptr<rpc::ServedCall>& call) {
  const auto place = workplace->place(request.path);
  if (!place) return call->fail(place.failure());
  auto file = workplace->create_file(*place, request.overwrite);
  if (!file) return call->fail(std::move(file).failure());
  std::make_shared<Receive>(call, request, workplace, std::move(*file))->start();
}

void deliver(const Fetch::Request& request, const std::shared_ptr<Workplace>& workplace,
             const std::shared_ptr<rpc::ServedCall>& call) {
  const auto place = workplace->place(request.path);
  if (!place) return call->fail(place.failure());
  auto file = open_file(place->at, place->path);
  if (!file) return call->fail(operations::with_advice(std::move(file).failure()));
  std::make_shared<Deliver>(call, std::move(*file))->start();
}

}  // namespace

void add_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask) {
  add_lasting_operation<Send>(dispatcher, [workplace, mode_mask](Send::Request request, const auto& call) {
    request.mode &= mode_mask;
    receive(request, workplace, call);
  });
  add_lasting_operation<Fetch>(dispatcher,
                               [workplace = std::move(workplace)](const Fetch::Request& request, const auto& call) {
                                 deliver(request, workplace, call);
                               });
}

}  // namespace remsh

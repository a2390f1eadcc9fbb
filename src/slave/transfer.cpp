// The operations that move a file's content: send and fetch.
#include "slave/transfer.hpp"

#include "connection/block.hpp"
#include "operations/advice.hpp"
#include "operations/schema.hpp"
#include "os/file.hpp"
#include "os/new_file.hpp"
#include "slave/typed_handler.hpp"

#include <utility>

namespace remsh {

namespace {

Result<Box> receive(const operations::SendRequest& request, const Workplace& workplace, mode_t mode_mask,
                    rpc::ServedCall& call) {
  const auto place = workplace.place(request.path);
  if (!place) return place.failure();
  auto file = workplace.create_file(*place, request.overwrite);
  if (!file) return std::move(file).failure();
  for (;;) {
    const auto piece = call.read();
    if (!piece) return stopped();
    if (piece->empty()) break;
    if (auto written = file->write(*piece); !written) return std::move(written).failure();
  }
  if (call.cancelled()) return stopped();
  if (auto done = file->commit(request.mode & mode_mask, request.durable); !done) return std::move(done).failure();
  return operations::SendReply{file->size()}.to_box();
}

Result<Box> deliver(const operations::FetchRequest& request, const Workplace& workplace, rpc::ServedCall& call) {
  const auto place = workplace.place(request.path);
  if (!place) return place.failure();
  auto file = open_file(place->at, place->path);
  if (!file) return operations::with_advice(std::move(file).failure());
  if (file->size > 0) call.announce_total(file->size);
  operations::FetchReply reply;
  reply.mode = file->mode;
  for (;;) {
    // Read to its end, not to its size: some files have none, and others grow.
    Block block;
    const auto count = read_file(file->fd.get(), block.payload());
    if (!count) return count.failure();
    if (*count == 0) break;
    if (!call.write(rpc::StreamName::out, std::move(block), *count)) return stopped();
    reply.bytes += *count;
  }
  return reply.to_box();
}

}  // namespace

void add_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, mode_t mode_mask) {
  dispatcher.add("send",
                 typed_handler<operations::SendRequest>([workplace, mode_mask](const auto& request, auto& call) {
                   return receive(request, *workplace, mode_mask, call);
                 }));
  dispatcher.add("fetch", typed_handler<operations::FetchRequest>([workplace](const auto& request, auto& call) {
                   return deliver(request, *workplace, call);
                 }));
}

}  // namespace remsh

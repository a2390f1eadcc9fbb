#include "slave/tree_transfer.hpp"

#include "operations/advice.hpp"
#include "operations/operations.hpp"
#include "operations/tree_sink.hpp"
#include "operations/tree_source.hpp"
#include "slave/add_operation.hpp"
#include "slave/stepped_operation.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace remsh {

namespace {

using operations::FetchTree;
using operations::SendTree;
using operations::TreeSink;
using operations::TreeSource;

/// Makes a tree from what the caller sends.
class ReceiveTree final : public SteppedOperation {
 public:
  ReceiveTree(std::shared_ptr<rpc::ServedCall> call, bool is_durable, std::shared_ptr<const Workplace> workplace,
              NewTree tree)
      : SteppedOperation(std::move(call)), is_durable_(is_durable), workplace_(std::move(workplace)) {
    sink_.emplace(std::move(tree), TreeSink::Options{});
  }

 private:
  void step() override {
    take_all([this](BytesView bytes) { return sink_->take(bytes); }, [this] { commit(); });
  }

  void commit() {
    if (auto finished = sink_->finish(); !finished) return end(std::move(finished).failure());
    if (auto done = sink_->commit(is_durable_); !done) return end(std::move(done).failure());
    call().answer(operations::to_box(SendTree::Reply{sink_->entries(), sink_->result().bytes}));
  }

  /// The unfinished tree is removed before the caller gets the failure.
  void end(Failure failure) override {
    sink_.reset();
    call().fail(std::move(failure));
  }

  const bool is_durable_;
  const std::shared_ptr<const Workplace> workplace_;  // which the tree uses
  std::optional<TreeSink> sink_;
};

/// Sends a tree.
class DeliverTree final : public SteppedOperation {
 public:
  DeliverTree(std::shared_ptr<rpc::ServedCall> call, TreeSource source)
      : SteppedOperation(std::move(call)), source_(std::move(source)) {}

 private:
  void step() override {
    send_all([this](std::span<char> buffer) { return source_.read(buffer); },
             [this] {
               call().answer(operations::to_box(FetchTree::Reply{source_.entries(), source_.result().bytes}));
             });
  }

  TreeSource source_;
};

void receive_tree(const SendTree::Request& request, const std::shared_ptr<Workplace>& workplace,
                  const std::shared_ptr<rpc::ServedCall>& call) {
  const auto place = workplace->place(request.path);
  if (!place) return call->fail(place.failure());
  auto tree = workplace->create_tree(*place, request.overwrite);
  if (!tree) return call->fail(std::move(tree).failure());
  std::make_shared<ReceiveTree>(call, request.durable, workplace, std::move(*tree))->start();
}

void deliver_tree(const FetchTree::Request& request, const std::shared_ptr<Workplace>& workplace,
                  const std::shared_ptr<rpc::ServedCall>& call) {
  const auto place = workplace->place(request.path);
  if (!place) return call->fail(place.failure());
  auto source = TreeSource::open(place->at, place->path, {.exclude = operations::Exclude(request.exclude)});
  if (!source) return call->fail(operations::with_tree_advice(std::move(source).failure()));
  std::make_shared<DeliverTree>(call, std::move(*source))->start();
}

}  // namespace

void add_tree_transfer(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace) {
  add_lasting_operation<SendTree>(dispatcher, [workplace](const SendTree::Request& request, const auto& call) {
    receive_tree(request, workplace, call);
  });
  add_lasting_operation<FetchTree>(
      dispatcher, [workplace = std::move(workplace)](const FetchTree::Request& request, const auto& call) {
        deliver_tree(request, workplace, call);
      });
}

}  // namespace remsh

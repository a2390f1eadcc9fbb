// DrivenCall: an operation as a call of remsh 2.
#pragma once

#include "master/backend.hpp"
#include "rpc/call.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace remsh {

/// An operation as a call of remsh 2, with its streams, driven to its end by the thread that waits or polls. No lock is
/// held while the callbacks run. One thread at a time.
class DrivenCall final : public detail::WorkOf<Result<void>> {
 public:
  DrivenCall(std::shared_ptr<rpc::Peer> peer, AskedOperation& operation, const Patience& options)
      : operation_(operation),
        call_(std::move(peer), operation.command(), operation.take_arguments(),
              operation.what().may_last ? rpc::Call::Kind::streaming : rpc::Call::Kind::plain, options,
              &operation.number),
        feeds_(operation.ends.in != nullptr) {}

  void suspend() override { call_.suspend(); }
  bool poll(const Waker& wake) override;
  bool wait_until(TimePoint until) override;
  Result<void> take() override;

 private:
  bool do_next(rpc::Call::Event event);
  void feed();
  void take_chunk();

  AskedOperation& operation_;
  rpc::Call call_;
  bool feeds_;
  bool failed_ = false;
};

}  // namespace remsh

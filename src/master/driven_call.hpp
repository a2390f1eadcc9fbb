// DrivenCall: a call whose streams end in callbacks.
#pragma once

#include "master/backend.hpp"
#include "rpc/call.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace remsh {

/// A call whose streams end in callbacks, driven to its end by one who waits or polls. Holds nothing while it runs
/// them. One thread at a time.
class DrivenCall {
 public:
  /// Where the streams end; any may be empty.
  struct Ends {
    const InputCallback* input = nullptr;
    const OutputCallback* out = nullptr;
    const OutputCallback* err = nullptr;
    const SizeCallback* size = nullptr;  // of `out`, where it is known, before its first bytes
  };

  DrivenCall(std::shared_ptr<rpc::Peer> peer, BytesView command, const Box& arguments, rpc::Call::Kind kind,
             const Ends& ends, const CallOptions& options)
      : call_(std::move(peer), command, arguments, kind, options),
        ends_(ends),
        feeds_(ends.input != nullptr && *ends.input) {}

  void suspend() { call_.suspend(); }
  bool poll(const Waker& wake);
  bool wait_until(TimePoint until);

  /// Once it is over: the answer, or why there is none.
  [[nodiscard]] Result<Box> outcome();

  /// When the answer came, whenever its caller looked.
  [[nodiscard]] TimePoint answered_at() const noexcept { return call_.answered_at(); }

  /// Bytes of `out`.
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

 private:
  bool do_next(rpc::Call::Event event);
  void feed();
  void take_chunk();

  rpc::Call call_;
  const Ends ends_;
  bool feeds_;
  bool failed_ = false;
  std::uint64_t received_ = 0;
};

}  // namespace remsh

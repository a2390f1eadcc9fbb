// typed_handler: a handler from a function of a parsed request.
#pragma once

#include "base/result.hpp"
#include "slave/dispatcher.hpp"

#include <remsh/connection/box.hpp>

#include <memory>
#include <utility>

namespace remsh {

/// Parses the arguments of a call, and answers or fails it with what `work` gives before it returns:
/// Result<Box> work(const Request&, rpc::ServedCall&).
template <class Request, class Work>
Handler typed_handler(Work work) {
  return [work = std::move(work)](const std::shared_ptr<rpc::ServedCall>& call) {
    auto request = Request::from_box(call->arguments());
    if (!request) return call->fail(std::move(request).failure());
    Result<Box> result = work(*request, *call);
    if (!result) return call->fail(std::move(result).failure());
    call->answer(std::move(*result));
  };
}

/// What an operation that was told to stop ends with.
inline Failure stopped() { return {Errc::cancelled, "cancelled", 0}; }

}  // namespace remsh

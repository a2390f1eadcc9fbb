// add_operation: makes the handler of an operation from a function of its request.
#pragma once

#include "base/result.hpp"
#include "operations/operations.hpp"
#include "slave/dispatcher.hpp"

#include <memory>
#include <string>
#include <utility>

namespace remsh {

/// Adds an operation that `work` does, which returns its reply: Result<Reply> work(const Request&, rpc::ServedCall&).
template <class Operation, class Work>
void add_operation(Dispatcher& dispatcher, Work work) {
  dispatcher.add(std::string(Operation::what.name),
                 [work = std::move(work)](const std::shared_ptr<rpc::ServedCall>& call) {
                   auto request = operations::request_from_box<typename Operation::Request>(call->arguments());
                   if (!request) return call->fail(std::move(request).failure());
                   Result<typename Operation::Reply> reply = work(*request, *call);
                   if (!reply) return call->fail(std::move(reply).failure());
                   call->answer(operations::to_box(*reply));
                 });
}

/// Adds an operation that `begin` starts, which answers or fails the call, at once or later: void begin(Request, const
/// std::shared_ptr<rpc::ServedCall>&).
template <class Operation, class Begin>
void add_lasting_operation(Dispatcher& dispatcher, Begin begin) {
  dispatcher.add(std::string(Operation::what.name),
                 [begin = std::move(begin)](const std::shared_ptr<rpc::ServedCall>& call) {
                   auto request = operations::request_from_box<typename Operation::Request>(call->arguments());
                   if (!request) return call->fail(std::move(request).failure());
                   begin(std::move(*request), call);
                 });
}

/// The failure of an operation that was cancelled.
inline Failure stopped() { return {Errc::cancelled, "cancelled", 0}; }

}  // namespace remsh

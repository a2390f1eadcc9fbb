// Dispatcher: from operation names to handlers.
#pragma once

#include "rpc/served_call.hpp"
#include "rpc/served_calls.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// Executes one call. Runs on a worker of the server, may block, and may keep the call to answer it later. An exception
/// becomes the failure of the call.
using Handler = std::function<void(const std::shared_ptr<rpc::ServedCall>&)>;

/// Runs a part of a handler. An exception becomes the failure of the call.
void run_guarded(rpc::ServedCall& call, const std::function<void()>& part);

/// The handlers by operation name. Filled before it is used, then only read. Calls are listed while they are in
/// progress.
class Dispatcher {
 public:
  /// Without a list: for tests.
  explicit Dispatcher(std::shared_ptr<rpc::ServedCalls> list = nullptr) : list_(std::move(list)) {}

  /// False if the name is taken.
  bool add(std::string name, Handler handler) { return handlers_.emplace(std::move(name), std::move(handler)).second; }

  /// Fails calls of all other operations: the slave's policy does not allow them. Returns the names of the allowed
  /// ones, in ascending order.
  std::vector<std::string> allow_only(const std::function<bool(const std::string&)>& is_allowed);

  /// Runs the handler of the call. Fails a call of an unknown name with unsupported.
  void dispatch(const std::shared_ptr<rpc::ServedCall>& call) const;

 private:
  const std::shared_ptr<rpc::ServedCalls> list_;
  std::map<std::string, Handler, std::less<>> handlers_;
};

}  // namespace remsh

// Dispatcher: operation name to handler.
#pragma once

#include "rpc/served_call.hpp"
#include "rpc/served_calls.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace remsh {

/// Does one call. Runs on a worker of the server, may block, and may keep the call to answer it later. Whatever it
/// throws becomes the failure of the call.
using Handler = std::function<void(const std::shared_ptr<rpc::ServedCall>&)>;

/// Runs a part of what a handler does; whatever it throws becomes the failure of the call.
void run_guarded(rpc::ServedCall& call, const std::function<void()>& part);

/// Which handler does which operation. Filled before it is used, then only read. The calls that it has done are listed
/// while that takes.
class Dispatcher {
 public:
  /// Without a list: for tests.
  explicit Dispatcher(std::shared_ptr<rpc::ServedCalls> list = nullptr) : list_(std::move(list)) {}

  /// False where the name is taken.
  bool add(std::string name, Handler handler) { return handlers_.emplace(std::move(name), std::move(handler)).second; }

  /// Calls of the others are failed: the slave's policy does not allow them.
  void allow_only(const std::function<bool(const std::string&)>& is_allowed);

  /// Has the call done; one of an unknown name is failed with unsupported.
  void dispatch(const std::shared_ptr<rpc::ServedCall>& call) const;

 private:
  const std::shared_ptr<rpc::ServedCalls> list_;
  std::map<std::string, Handler, std::less<>> handlers_;
};

}  // namespace remsh

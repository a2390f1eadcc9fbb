// Dispatcher: from operation names to handlers.
#include "slave/dispatcher.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <cerrno>
#include <exception>
#include <system_error>

namespace remsh {

namespace {

// Not every std::system_error is from the system: the category of streams has numbers that are no errno.
Failure as_failure(const std::system_error& error) {
  const std::error_code code = error.code();
  const bool is_errno = code.category() == std::generic_category() || code.category() == std::system_category();
  if (!is_errno) return {Errc::remote_failure, error.what(), 0};
  return {Errc::os_error, error.what(), code.value()};
}

}  // namespace

std::vector<std::string> Dispatcher::allow_only(const std::function<bool(const std::string&)>& is_allowed) {
  std::vector<std::string> allowed;
  for (auto& [name, handler] : handlers_) {
    if (is_allowed(name)) {
      allowed.push_back(name);
      continue;
    }
    Failure failure{Errc::os_error, formatted("The policy of this slave does not allow '{}'", name), EPERM};
    handler = [failure = std::move(failure)](const std::shared_ptr<rpc::ServedCall>& call) { call->fail(failure); };
  }
  return allowed;
}

void run_guarded(rpc::ServedCall& call, const std::function<void()>& part) {
  try {
    part();
  } catch (const std::system_error& error) {
    call.fail(as_failure(error));
  } catch (const std::exception& error) {
    call.fail({Errc::remote_failure, error.what(), 0});
  } catch (...) {
    call.fail({Errc::remote_failure, "the operation threw what is no std::exception", 0});
  }
}

void Dispatcher::dispatch(const std::shared_ptr<rpc::ServedCall>& call) const {
  const auto handler = handlers_.find(call->command());
  if (handler == handlers_.end()) {
    return call->fail({Errc::unsupported, formatted("no such operation: {}", in_quotes(call->command())), 0});
  }
  if (list_) call->list_in(list_);
  run_guarded(*call, [&] { handler->second(call); });
}

}  // namespace remsh

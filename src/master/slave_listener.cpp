#include <remsh/master/slave_listener.hpp>

#include "base/throw_failure.hpp"
#include "master/admissions.hpp"
#include "master/keepalive.hpp"
#include "master/listener_impl.hpp"
#include "master/runtime.hpp"

#include <remsh/base/error.hpp>
#include <remsh/master/transport_slave_listener.hpp>

#include <future>
#include <utility>

namespace remsh {

SlaveRefused::~SlaveRefused() = default;

std::shared_ptr<Runtime> make_runtime() { return std::make_shared<Runtime>(); }

SlaveListener::SlaveListener(ListenerOptions options) {
  if (!options.runtime) options.runtime = make_runtime();
  impl_ = std::make_unique<Impl>(Impl{std::make_shared<Admissions>(std::move(options))});
  impl_->admissions->start();
}

SlaveListener::~SlaveListener() { shut_down(); }

void SlaveListener::shut_down() { impl_->admissions->shut_down(); }

SlaveCollection& SlaveListener::slave_collection() const noexcept {
  return impl_->admissions->options().slave_collection;
}

const SlaveFactory& SlaveListener::slave_class() const noexcept { return impl_->admissions->options().slave_class; }

void SlaveListener::set_keepalive(std::chrono::milliseconds interval, std::chrono::milliseconds patience) {
  impl_->admissions->set_keepalive(checked_keepalive(interval, patience, ""));
}

std::shared_ptr<Slave> SlaveListener::last_accepted() const { return impl_->admissions->last_accepted(); }

namespace {

void require(const std::unique_ptr<Transport>& connection) {
  if (!connection) throw Error(Errc::invalid_argument, "", "admit a slave", "the connection is a null pointer");
}

}  // namespace

TransportSlaveListener::TransportSlaveListener(ListenerOptions options) : SlaveListener(std::move(options)) {}
TransportSlaveListener::~TransportSlaveListener() = default;

void SlaveListener::admit(std::unique_ptr<Transport> connection) {
  require(connection);
  impl_->admit(std::move(connection));
}

std::shared_ptr<Slave> SlaveListener::handle_new_connection(std::unique_ptr<Transport> connection) {
  require(connection);
  std::promise<Result<std::shared_ptr<Slave>>> promise;
  auto future = promise.get_future();
  impl_->admit(std::move(connection),
               [&promise](Result<std::shared_ptr<Slave>> result) { promise.set_value(std::move(result)); });
  auto result = future.get();
  if (!result) throw_failure(result.failure(), "", "register");
  return std::move(*result);
}

}  // namespace remsh

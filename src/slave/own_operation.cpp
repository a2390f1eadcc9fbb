#include "slave/own_operation.hpp"

#include "base/throw_failure.hpp"
#include "connection/block.hpp"
#include "operations/operations.hpp"
#include "slave/add_operation.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace remsh {

namespace {

using operations::Call;

bool is_of_library(BytesView key) { return key.starts_with('_'); }

/// A copy of the arguments without those of the library; nullopt if there are none of these.
std::optional<Box> own_arguments(const Box& arguments) {
  const bool has_none = std::none_of(arguments.begin(), arguments.end(),
                                     [](const auto& argument) { return is_of_library(argument.key); });
  if (has_none) return std::nullopt;
  Box own;
  for (const auto& [key, value] : arguments) {
    if (!is_of_library(key)) own.set(key, value);
  }
  return own;
}

class Context final : public OperationContext {
 public:
  Context(std::shared_ptr<rpc::ServedCall> call, const Call::Request& request, const Bytes& basedir, Bytes cwd)
      : call_(std::move(call)),
        has_input_(request.in),
        has_output_(request.out),
        basedir_(basedir),
        cwd_(std::move(cwd)),
        own_arguments_(own_arguments(call_->arguments())) {}

  [[nodiscard]] const Box& arguments() const override { return own_arguments_ ? *own_arguments_ : call_->arguments(); }
  [[nodiscard]] const Bytes& basedir() const override { return basedir_; }
  [[nodiscard]] const Bytes& cwd() const override { return cwd_; }
  [[nodiscard]] bool cancelled() const override { return call_->cancelled(); }

  [[nodiscard]] std::stop_token stop_token() override {
    std::call_once(has_stop_, [this] { call_->run_on_cancel([stop = stop_]() mutable { stop.request_stop(); }); });
    if (cancelled()) stop_.request_stop();
    return stop_.get_token();
  }

  [[nodiscard]] BytesView read() override {
    if (!has_input_) return require_wanted(), BytesView();
    const auto piece = call_->read();
    if (!piece) leave();
    return *piece;
  }

  void write(BytesView bytes) override {
    if (!has_output_) return require_wanted();
    while (!bytes.empty()) {
      Block block;
      const std::size_t count = std::min(bytes.size(), Block::max_payload);
      std::memcpy(block.payload().data(), bytes.data(), count);
      if (!call_->write(rpc::StreamName::out, std::move(block), count)) leave();
      bytes.remove_prefix(count);
    }
  }

 private:
  void require_wanted() const {
    if (cancelled()) leave();
  }
  [[noreturn]] void leave() const { throw_failure(stopped(), "", call_->command()); }

  const std::shared_ptr<rpc::ServedCall> call_;
  const bool has_input_;
  const bool has_output_;
  const Bytes& basedir_;
  const Bytes cwd_;
  const std::optional<Box> own_arguments_;
  std::once_flag has_stop_;
  std::stop_source stop_;
};

}  // namespace

void run_own_operation(const Operation& operation, const std::shared_ptr<rpc::ServedCall>& call,
                       const Workplace& workplace) {
  const auto request = operations::from_box<Call::Request>(call->arguments());
  if (!request) return call->fail(request.failure());
  std::optional<Result<Directory>> found;
  if (!request->cwd.empty()) found = workplace.find_directory(request->cwd);
  if (found && !*found) return call->fail(found->failure());
  Context context(call, *request, workplace.base().path(), found ? (*found)->path() : workplace.current()->path());
  try {
    call->answer(operation(context));
  } catch (const Cancelled&) {
    if (!call->cancelled()) throw;
    call->fail(stopped());
  }
}

}  // namespace remsh

// Remsh1Server::Turn: one call of an original master. Private to Remsh1Server.
#pragma once

#include "rpc/served_call.hpp"
#include "slave/remsh1_server.hpp"
#include "slave/remsh1_translation.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

/// One call of the master, from its box to the last box about it. It belongs to the thread that has the connection. The
/// lock guards only its outcome.
class Remsh1Server::Turn final : public rpc::ServedCall, public std::enable_shared_from_this<Turn> {
 public:
  Turn(std::shared_ptr<Remsh1Server> server, remsh1::Call call)
      : server_(std::move(server)), call_(std::move(call)), arguments_(arguments_of(call_)) {}
  ~Turn() override { unlist(); }

  /// The pointer for the operation. When its last copy is gone, the call is over in any case.
  std::shared_ptr<ServedCall> handed_out() {
    return {this, [self = shared_from_this()](ServedCall*) {
              self->fail({Errc::remote_failure, "the operation ended without an answer", 0});
            }};
  }

  [[nodiscard]] const remsh1::Call& call() const noexcept { return call_; }
  [[nodiscard]] const Result<Box>& outcome() const { return *outcome_; }

  /// Waits until it is over.
  void wait() {
    std::unique_lock lock(server_->mutex_);
    server_->concluded_.wait(lock, [this] { return outcome_.has_value(); });
  }

  /// Sends the first answer of a call that streams: it could begin.
  void begin() {
    if (std::exchange(begun_, true)) return;
    server_->queue(remsh1::Answer{call_.tag}.to_box());
    if (call_.command == "send") server_->session_.expect_data();
  }
  [[nodiscard]] bool has_begun() const noexcept { return begun_; }

  [[nodiscard]] const std::string& command() const noexcept override { return call_.command; }
  [[nodiscard]] const Box& arguments() const noexcept override { return arguments_; }
  void answer(Box results) override { conclude(std::move(results)); }
  void fail(Failure failure) override { conclude(std::move(failure)); }
  [[nodiscard]] bool cancelled() const override { return server_->over_; }
  [[nodiscard]] bool lost() const override { return server_->over_; }

  void announce_total(std::uint64_t bytes) override { counts().set_total(bytes); }
  bool write(rpc::StreamName /*stream*/, Block piece, std::size_t count) override {
    begin();
    server_->queue_.push_ordered(server_->session_.data(std::nullopt, BytesView(piece.payload().data(), count)));
    counts().add_out(count);
    return server_->write_all();
  }
  std::optional<std::string_view> read() override {
    piece_ = server_->next_piece(*this);
    if (!piece_) return std::nullopt;
    counts().add_in(piece_->size());
    return std::string_view(*piece_);
  }

  [[nodiscard]] std::size_t room(rpc::StreamName /*stream*/) const override {
    const std::size_t queued = server_->queue_.data_bytes();
    if (queued < max_queued && !server_->over_) return max_queued - queued;
    server_->thirsty_ = true;
    return 0;
  }
  void send(rpc::StreamName stream, Block piece, std::size_t count, const rpc::PieceMarks& /*marks*/) override {
    const BytesView bytes(piece.payload().data(), count);
    counts().add_out(count);
    if (step_) {
      begin();
      server_->queue_.push_ordered(server_->session_.data(std::nullopt, bytes));
      return;
    }
    const auto name = stream == rpc::StreamName::err ? remsh1::Stream::err : remsh1::Stream::out;
    server_->queue_.push_ordered(server_->session_.data(name, bytes));
  }
  void flush() override {
    if (!step_) server_->go_on();
  }
  std::optional<rpc::Chunk> take() override {
    if (chunk_) counts().add_in(chunk_->bytes().size());
    return std::exchange(chunk_, std::nullopt);
  }
  void consumed(const rpc::Chunk& /*chunk*/) override {}
  void on_change(std::function<void()> callback) override {
    callback_ = std::move(callback);
    server_->begin_relay(*this);
  }

  /// Keeps the step for drive(): steps run on the thread of run(), which only waits meanwhile.
  void run_on_change(std::function<void()> step) override { step_ = std::move(step); }

  /// Runs the steps of the operation, if it has any, until it is over.
  void drive() {
    while (step_ && !is_over()) {
      if (call_.command == "send") {
        auto piece = server_->next_piece(*this);
        if (piece)
          chunk_ = rpc::Chunk{.stream = rpc::StreamName::in, .last = piece->empty(), .owned = std::move(*piece)};
      }
      const auto step = step_;
      step();
      server_->write_all();
    }
    step_ = nullptr;
  }

  /// Calls the callback of the operation that relays. On the loop.
  void tell() {
    const auto callback = callback_;
    if (callback) callback();
  }

  std::optional<Bytes> end_tag = {};  // of a send: the tag of the call that ended its data

 private:
  [[nodiscard]] bool is_over() const {
    const std::lock_guard lock(server_->mutex_);
    return outcome_.has_value();
  }

  void conclude(Result<Box> outcome) {
    unlist();
    std::function<void()> callback;  // destroyed after the outcome is set, as it may hold the last reference
    if (server_->options_.loop->is_this_thread()) {
      callback.swap(callback_);
      server_->end_relay(*this);  // before the outcome, which hands the connection to the thread of run()
    }
    const std::lock_guard lock(server_->mutex_);
    if (outcome_) return;
    outcome_.emplace(std::move(outcome));
    server_->concluded_.notify_all();
  }

  const std::shared_ptr<Remsh1Server> server_;
  const remsh1::Call call_;
  const Box arguments_;
  bool begun_ = false;
  std::optional<Bytes> piece_;       // what read() returned
  std::optional<rpc::Chunk> chunk_;  // what take() returns next
  std::function<void()> step_;       // from run_on_change(); on the thread of run()
  std::function<void()> callback_;   // from on_change(); on the loop
  std::optional<Result<Box>> outcome_;
};

}  // namespace remsh

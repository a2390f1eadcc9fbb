#include "session/session.hpp"

#include "base/connection_words.hpp"
#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/seconds.hpp"
#include "base/text.hpp"
#include "base/thread_object.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace remsh {

namespace {
constexpr std::size_t max_reason = 256;  // in a goodbye, or an announcement of one
constexpr std::chrono::milliseconds max_within{1'000'000'000'000};

/// The maximum of pings while nothing is received: less than half of what a master accepts from a slave that does not
/// read (docs/protocol.md section 9).
constexpr std::uint8_t max_pings = 30;

// How soon a look is repeated that could not do what was due.
constexpr Duration min_retry = std::chrono::milliseconds(5);
constexpr Duration max_retry = std::chrono::milliseconds(500);

/// To go through the beginning of a box again costs little beside a read of this size, and too much beside a few bytes.
constexpr std::size_t large_read = 16 * 1024;
}  // namespace

void encode_draining(Bytes& out, BytesView reason, std::chrono::milliseconds within) {
  BoxWriter(out)
      .field("_command", "draining")
      .field("reason", reason.substr(0, max_reason))
      .field("within", std::to_string(std::clamp(within, std::chrono::milliseconds(0), max_within).count()))
      .end();
}

void encode_goodbye(Bytes& out, BytesView reason, std::optional<std::uint64_t> retry) {
  BoxWriter writer(out);
  writer.field("_command", "goodbye").field("reason", reason.substr(0, max_reason));
  if (retry) writer.field("retry", std::to_string(*retry));
  writer.end();
}

// --- boxes

void Session::send_control(BytesView box) {
  if (is_over()) return;
  queue_.push_control(box);
  ++sent_.boxes;
}

void Session::send_ordered(BytesView box) {
  if (is_over()) return;
  queue_.push_ordered(box);
  ++sent_.boxes;
}

void Session::send_data(Block framed) {
  if (is_over()) return;
  queue_.push_data(std::move(framed));
  ++sent_.boxes;
}

void Session::attach(TimePoint now) {
  assert(state_ == State::waiting);
  state_ = State::attached;
  last_sent_ = last_received_ = now;
  if (!closing_) return;
  Bytes box;  // close() was called before the connection was attached
  encode_goodbye(box, ending_->cause.message, {});
  queue_.finish(box);
}

void Session::written(std::size_t bytes, TimePoint now) {
  queue_.written(bytes);
  sent_.bytes += bytes;
  if (bytes > 0) last_sent_ = now;
}

void Session::receive(BytesView bytes, TimePoint now, std::size_t again) {
  if (state_ != State::attached) return;
  const std::size_t read = bytes.size() - again;
  if (closing_ && read > 0) return end({});  // with the reason given to close()
  received_.bytes += read;
  if (read > 0) {
    last_received_ = now;
    pings_ = 0;
  }
  is_last_read_large_ = read >= large_read;
  if (!decoder_) {
    decoder_ = take_spare<BoxDecoder>();
    decoder_->set_limits(options_.limits);
  }
  decoder_->feed(bytes);
}

std::size_t Session::take_unfinished(std::span<char> memory) {
  if (state_ != State::attached || !decoder_ || !is_last_read_large_) return 0;
  if (decoder_->unfinished() + large_read > memory.size()) return 0;
  const Bytes bytes = decoder_->take_unfinished();
  bytes.copy(memory.data(), bytes.size());
  return bytes.size();
}

const BoxView* Session::next() {
  if (state_ != State::attached || !decoder_) return nullptr;
  if (decoder_->next()) {
    ++received_.boxes;
    return &decoder_->box();
  }
  if (decoder_->error() != BoxError::none) {
    breach({Errc::protocol_error, formatted("the other side sent {}", to_string(decoder_->error())), 0});
  } else if (!decoder_->is_inside_box()) {
    keep_spare(std::move(decoder_));  // most sessions are idle, and need none between two boxes
  }
  return nullptr;
}

// --- the end

bool Session::close(Failure why, std::optional<std::uint64_t> retry) {
  if (is_over() || closing_) return false;
  if (is_cut()) {  // no connection for a goodbye
    give_up();
    return true;
  }
  closing_ = true;
  ending_ = std::make_unique<Ending>(Ending{std::move(why), nullptr});
  if (state_ == State::attached) {
    Bytes box;
    encode_goodbye(box, ending_->cause.message, retry);
    queue_.finish(box);
  }
  return true;
}

bool Session::drain(BytesView reason, std::chrono::milliseconds within) {
  if (state_ != State::attached || closing_ || std::exchange(drains_, true)) return false;
  Bytes box;
  encode_draining(box, reason, within);
  send_control(box);
  return true;
}

void Session::receive_draining(const BoxView& box) {
  if (draining_) return;
  draining_ = std::make_unique<Draining>();
  draining_->reason = box.get("reason").value_or(BytesView()).substr(0, max_reason);
  const auto within = parse_number(box.get("within").value_or(BytesView()));
  if (within && *within <= static_cast<std::uint64_t>(max_within.count())) {
    draining_->within = std::chrono::milliseconds(static_cast<std::int64_t>(*within));
  }
}

void Session::receive_goodbye(const BoxView& box) {
  auto goodbye = std::make_unique<Goodbye>();
  goodbye->reason = box.get("reason").value_or(BytesView()).substr(0, max_reason);
  if (const auto retry = box.get("retry")) goodbye->retry = parse_number(*retry);
  if (!closing_) ending_.reset();  // a goodbye is a better reason than a write that failed meanwhile
  end({Errc::connection_lost, "goodbye: " + without_controls(goodbye->reason), 0,
       draining_ ? DisconnectReason::released : DisconnectReason::closed_there});
  ending_->goodbye = std::move(goodbye);
}

void Session::breach(Failure failure) {
  failure.reason = DisconnectReason::misbehaved;
  end(std::move(failure));
}

void Session::suspect(Failure cause) {
  if (!ending_) ending_ = std::make_unique<Ending>(Ending{std::move(cause), nullptr});
}

void Session::cut() {
  const bool is_inside_box = decoder_ && decoder_->is_inside_box();
  cut({Errc::connection_lost, is_inside_box ? cut_in_message : closed_without_goodbye, 0});
}

void Session::cut(Failure cause) {
  if (is_over()) return;
  if (closing_) return end({});  // with the reason given to close()
  suspect(std::move(cause));
  state_ = State::cut;
  decoder_.reset();  // drops an incomplete box of the lost connection
}

void Session::give_up() {
  assert(is_cut());
  end(ending_->cause);
}

void Session::end(Failure failure) {
  if (is_over()) return;
  suspect(std::move(failure));
  state_ = State::over;
  queue_.clear();
}

// --- liveness

bool Session::has_pulse() const noexcept {
  return state_ == State::attached && !closing_ && keepalive_ != Duration::zero();
}

Session::Pulse Session::look(TimePoint now) {
  if (!has_pulse()) return Pulse::good;
  if (now - last_received_ >= keepalive_ + patience_) {
    suspect({Errc::connection_lost,
             formatted("given up: nothing came from the other side for {}, and it had {} (keepalive) and {} more "
                       "(keepalive_patience)",
                       in_seconds(now - last_received_), in_seconds(keepalive_), in_seconds(patience_)),
             0, DisconnectReason::silent});
    return Pulse::lost;
  }
  if (now - last_sent_ < keepalive_ + options_.ping_delay || has_output() || pings_ >= max_pings) return Pulse::good;
  ++pings_;
  return Pulse::ping_due;
}

TimePoint Session::next_look(TimePoint now) const {
  if (!has_pulse()) return TimePoint::max();
  // What is due and not done, because nothing can be written or the end is still to be seen, is tried again soon.
  const TimePoint retry = now + std::clamp<Duration>(std::min(keepalive_, patience_) / 20, min_retry, max_retry);
  const auto or_retry = [&](TimePoint due) { return due > now ? due : retry; };
  const TimePoint lost = or_retry(last_received_ + keepalive_ + patience_);
  // After the last ping it looks on, as what is received then makes the next one due.
  return std::min(lost,
                  pings_ < max_pings ? or_retry(last_sent_ + keepalive_ + options_.ping_delay) : now + keepalive_);
}

void Session::set_keepalive(Duration keepalive, Duration patience, TimePoint now) {
  keepalive_ = keepalive;
  patience_ = patience;
  last_sent_ = last_received_ = now;
}

void Session::give_back() {
  if (decoder_ && (is_over() || !decoder_->is_inside_box())) decoder_.reset();
}

}  // namespace remsh

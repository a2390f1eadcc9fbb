// Remsh1Server: serves an unmodified original master over a Transport.
#include "slave/remsh1_server.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "slave/remsh1_translation.hpp"
#include "slave/remsh1_turn.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using namespace std::chrono_literals;
using Reason = ServeResult::Reason;

constexpr std::size_t read_size = 64 * 1024;

}  // namespace

Remsh1Server::Remsh1Server(std::unique_ptr<Transport> transport, Options options)
    : transport_(std::move(transport)), options_(std::move(options)) {}

ServeResult Remsh1Server::run() {
  slot_ = options_.loop->add(weak_from_this());
  bool is_registered = false;
  queue(remsh1::SlaveSession::start(options_.hostname));
  if (write_all() && next_event(options_.registered_by.at())) {
    is_registered = true;
    if (options_.on_registered) options_.on_registered();
    while (auto event = next_event()) serve(std::move(event->call));
  }
  transport_->shutdown();
  transport_->disarm_for_good(options_.loop->watcher());
  options_.loop->remove(slot_);
  ServeResult result = result_.value_or(ServeResult{Reason::stopped, "stopped", {}, {}});
  if (!is_registered && result.reason == Reason::ended) {
    result.reason = Reason::lost;
    result.message += " without having registered this slave";
  }
  result.registered = is_registered;
  return result;
}

void Remsh1Server::close() {
  over_ = true;
  transport_->shutdown();
  options_.loop->post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->tell();
  });
}

void Remsh1Server::end(Reason reason, std::string message) {
  if (!over_) result_ = ServeResult{reason, std::move(message), {}, {}};
  over_ = true;
  transport_->shutdown();
}

void Remsh1Server::end_of_stream(const IoResult& result) {
  if (result.status == IoResult::Status::failed) {
    return end(Reason::lost, std::generic_category().message(result.error));
  }
  // Our masters send one zero byte as a goodbye, because an original slave would not notice a clean end.
  const bool is_goodbye = decoder_.unread() == BytesView("\0", 1);
  if (decoder_.is_inside_box() && !is_goodbye) {
    return end(Reason::lost, "the master has closed the connection inside a box");
  }
  end(Reason::ended, "the master has closed the connection");
}

// --- reading, and executing calls

/// The next event that is not handled here at once; nullopt if the connection has ended.
std::optional<Remsh1Server::Event> Remsh1Server::next_event(TimePoint until) {
  while (!over_) {
    if (!decoder_.next()) {
      if (decoder_.error() != BoxError::none) {
        end(Reason::protocol, formatted("the master sent {}", to_string(decoder_.error())));
      } else {
        read_more(until);
      }
      continue;
    }
    auto event = session_.feed(decoder_.box().copy());
    if (!event) {
      end(Reason::protocol, event.failure().message);
    } else if (event->kind == Event::Kind::refused) {
      queue(remsh1::ErrorAnswer{event->call.tag, event->text}.to_box());
      write_all();
    } else if (event->kind != Event::Kind::dropped) {
      return std::move(*event);
    }
  }
  return std::nullopt;
}

void Remsh1Server::read_more(TimePoint until) {
  if (!read_ahead_.empty()) {
    input_ = std::exchange(read_ahead_, {});
    decoder_.feed(input_);
    return;
  }
  input_.resize(read_size);
  const IoResult result = transport_->read_some(input_, Duration::zero());
  switch (result.status) {
    case IoResult::Status::ok: return decoder_.feed(BytesView(input_).substr(0, result.bytes));
    case IoResult::Status::end:
    case IoResult::Status::failed: return end_of_stream(result);
    case IoResult::Status::would_block: break;
  }
  const Duration left = until == TimePoint::max() ? Duration(1h) : until - real_clock().now();
  if (left > Duration::zero()) {
    transport_->wait(Ready::read, left);
  } else {
    end(Reason::lost, "the master has not registered this slave in time");
  }
}

/// The next piece of a file that the master sends; empty at its end. Executes other calls that come in between.
std::optional<Bytes> Remsh1Server::next_piece(Turn& turn) {
  turn.begin();
  if (turn.end_tag) return Bytes();
  if (!write_all()) return std::nullopt;
  while (auto event = next_event()) {
    switch (event->kind) {
      case Event::Kind::data:
        if (!event->text.empty()) return std::move(event->text);
        break;
      case Event::Kind::end_of_data: turn.end_tag = std::move(event->call.tag); return Bytes();
      default: serve(std::move(event->call));
    }
  }
  return std::nullopt;
}

/// Executes a call, up to its answer.
void Remsh1Server::serve(remsh1::Call call) {
  const auto turn = std::make_shared<Turn>(shared_from_this(), std::move(call));
  options_.serve(turn->handed_out());
  turn->drive();
  turn->wait();
  if (!over_) answer(*turn);
}

// --- answers

void Remsh1Server::answer(Turn& turn) {
  const Bytes& command = turn.call().command;
  const bool is_stream = command == "execute" || command == "send" || command == "fetch";
  if (!is_stream) {
    answer_plain(turn);
  } else if (!turn.has_begun() && !turn.outcome()) {
    queue(remsh1::ErrorAnswer{turn.call().tag, text_of(turn, turn.outcome().failure())}.to_box());
  } else {
    turn.begin();
    if (command == "execute") {
      answer_execute(turn);
    } else if (command == "send") {
      answer_send(turn);
    } else {
      answer_fetch(turn);
    }
  }
  write_all();
}

void Remsh1Server::answer_plain(const Turn& turn) {
  const remsh1::Call& call = turn.call();
  Result<Box> results = turn.outcome();
  if (results) {
    results = results_of(call, *results);
  } else if (is_success(call, results.failure())) {
    results = Box();
  }
  if (results) {
    queue(remsh1::Answer{call.tag, std::move(*results)}.to_box());
  } else {
    queue(remsh1::ErrorAnswer{call.tag, text_of(turn, results.failure())}.to_box());
  }
}

void Remsh1Server::answer_execute(const Turn& turn) {
  const Result<Box>& outcome = turn.outcome();
  const auto code = outcome ? return_code_of(*outcome) : outcome.failure();
  if (code) {
    queue(session_.command_finished(*code));
  } else {
    end(Reason::lost, "remsh 1 has no word for how a command ended: " + code.failure().message);
  }
}

void Remsh1Server::answer_send(Turn& turn) {
  // The master does not read an error before it has sent everything.
  while (!turn.end_tag) {
    if (!next_piece(turn)) return;
  }
  const Result<Box>& outcome = turn.outcome();
  if (outcome) {
    queue(remsh1::Answer{*turn.end_tag}.to_box());
  } else {
    queue(remsh1::ErrorAnswer{*turn.end_tag, text_of(turn, outcome.failure())}.to_box());
  }
}

void Remsh1Server::answer_fetch(const Turn& turn) {
  const Result<Box>& outcome = turn.outcome();
  queue(outcome ? session_.file_finished() : session_.file_finished(text_of(turn, outcome.failure())));
}

Bytes Remsh1Server::text_of(const Turn& turn, const Failure& failure) const {
  return error_text(turn.call(), failure, [this](const Bytes& path) {
    const auto place = options_.workplace->place(path);
    struct stat status {};
    return place && stat_at(place->at, place->path, status, true) == 0;
  });
}

// --- writing

void Remsh1Server::queue(const Box& box) { queue_.push_ordered(encode(box)); }

IoResult Remsh1Server::write_once() {
  std::array<std::string_view, 16> views;
  const std::size_t count = queue_.gather(views);
  const IoResult result = transport_->write_some(std::span(views).first(count));
  queue_.written(result.status == IoResult::Status::ok ? result.bytes : 0);
  if (result.status == IoResult::Status::failed) end_of_stream(result);
  return result;
}

/// False if the connection has ended.
bool Remsh1Server::write_all() {
  while (!over_ && !queue_.empty()) {
    if (write_once().status == IoResult::Status::would_block) transport_->wait(Ready::write, 1h);
  }
  return !over_;
}

// --- on the loop, while a command runs

void Remsh1Server::begin_relay(Turn& turn) {
  assert(options_.loop->is_this_thread());
  relayed_ = turn.weak_from_this();
  thirsty_ = false;
  turn.begin();
  go_on();
}

/// Returns the connection to the thread of run(), which takes it once it sees the outcome.
void Remsh1Server::end_relay(const Turn& turn) {
  if (relayed_.lock().get() != &turn) return;
  relayed_.reset();
  if (armed_for_ == Ready::none) return;
  armed_for_ = Ready::none;
  transport_->arm(options_.loop->watcher(), Ready::none, Loop::token(slot_, ++armings_));
}

void Remsh1Server::on_ready(std::uint32_t number, Ready directions) {
  if (number != armings_ || armed_for_ == Ready::none || relayed_.expired()) return;
  armed_for_ = Ready::none;
  const std::size_t before = read_ahead_.size();
  if (has(directions, Ready::read)) {
    // The first byte may be a goodbye, followed by the end. So later bytes are read as well.
    read_ahead_.resize(read_size);
    const IoResult result = transport_->read_some(std::span(read_ahead_).subspan(before), Duration::zero());
    read_ahead_.resize(before + result.bytes);
    if (result.status == IoResult::Status::end || result.status == IoResult::Status::failed) end_of_stream(result);
    // Calls that come early wait. With this many, the end behind them would not be seen, so they are an error.
    if (!over_ && read_ahead_.size() == read_size) {
      end(Reason::protocol, formatted("the master sent {} bytes while a command ran", read_size));
    }
  }
  go_on();
}

/// Writes as much as possible, and arms for the rest and for the end of the connection.
void Remsh1Server::go_on() {
  while (!over_ && !queue_.empty()) {
    if (write_once().status != IoResult::Status::ok) break;
  }
  if (over_ || (thirsty_ && queue_.data_bytes() <= max_queued / 2)) tell();
  arm();
}

void Remsh1Server::arm() {
  if (over_) return;
  const Ready wanted = Ready::read | (queue_.empty() ? Ready::none : Ready::write);
  if (wanted == armed_for_) return;
  armed_for_ = wanted;
  transport_->arm(options_.loop->watcher(), wanted, Loop::token(slot_, ++armings_));
}

void Remsh1Server::tell() {
  thirsty_ = false;
  if (const auto turn = relayed_.lock()) turn->tell();
}

}  // namespace remsh

#include "master/buildbot_work.hpp"

#include "base/seconds.hpp"
#include "master/buildbot_locked.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// After this many pieces another operation of the same thread gets its turn.
constexpr int pieces_in_a_row = 16;

}  // namespace

/// While a thread drives an operation, the back end waits for it to leave.
class BuildbotBackend::Work::Inside {
 public:
  explicit Inside(BuildbotBackend& backend) : backend_(backend) {
    const std::lock_guard lock(backend_.mutex_);
    backend_.drivers_.push_back(std::this_thread::get_id());
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    const std::lock_guard lock(backend_.mutex_);
    auto& drivers = backend_.drivers_;
    drivers.erase(std::find(drivers.begin(), drivers.end(), std::this_thread::get_id()));
    backend_.left_.notify_all();
  }

 private:
  BuildbotBackend& backend_;
};

BuildbotBackend::Work::Work(std::shared_ptr<BuildbotBackend> backend, AskedOperation& operation,
                            const Patience& options)
    : backend_(std::move(backend)), operation_(operation), options_(options), begun_(backend_->group_->loop()->now()) {
  Result<std::shared_ptr<BuildbotScript>> script = std::shared_ptr<BuildbotScript>();  // destroyed without the mutex
  Locked lock(*backend_);
  script = make_buildbot_script(backend_->worker_, operation);
  std::optional<Failure> why = backend_->end_;
  if (!why && !script) why = script.failure();
  if (!why && !backend_->link_.is_open()) why = Failure{Errc::connection_lost, "the slave is not registered yet", 0};
  if (!why) why = impatience();
  if (!why) why = backend_->why_busy();
  if (why) {
    is_over_ = true;
    outcome_ = std::move(*why);
    return;
  }
  script_ = std::move(*script);
  operation.number = script_->number();
  backend_->worker_.scripts.emplace(script_->number(), script_);
  script_->begin();
  lock.unlock();
  if (options_.stop.stop_possible()) on_stop_.emplace(options_.stop, [this] { wake_driver(); });
}

BuildbotBackend::Work::~Work() {
  on_stop_.reset();  // waits for a running callback, so not under the mutex
  if (timer_) backend_->group_->loop()->cancel(*timer_);
  if (!script_ || is_over_) return;
  const Locked lock(*backend_);
  script_->leave();
}

void BuildbotBackend::Work::wake_driver() {
  const Locked lock(*backend_);
  script_->wake();
}

std::optional<Failure> BuildbotBackend::Work::impatience() const {
  if (options_.stop.stop_requested()) return Failure{Errc::cancelled, "cancelled by the caller", 0};
  if (!options_.deadline.has_passed(backend_->group_->loop()->now())) return std::nullopt;
  return Failure{Errc::timeout, deadline_passed(begun_, options_.deadline.at()), 0};
}

/// The next piece, under the mutex. nullopt if there is none now; then the operation may be over.
std::optional<BuildbotPiece> BuildbotBackend::Work::next() {
  const bool is_finished = script_->is_finished() && !script_->has_piece();
  if (is_finished) {  // also for a caller that has no more patience
    outcome_ = script_->result();
    operation_.answered_at = backend_->group_->loop()->now();
    if (outcome_) script_->give_reply(operation_);
    is_over_ = true;
    return std::nullopt;
  }
  if (auto why = impatience()) {
    script_->leave();
    outcome_ = std::move(*why);
    is_over_ = true;
    return std::nullopt;
  }
  return script_->has_piece() ? std::optional(script_->take_piece()) : std::nullopt;
}

void BuildbotBackend::Work::handle(BuildbotPiece piece) {
  using Kind = BuildbotPiece::Kind;
  const StreamEnds& ends = operation_.ends;
  const auto give = [&](const OutputCallback& output) {
    if (!output || piece.data.empty()) return;
    output(piece.data);
    operation_.moved.add_out(piece.data.size());
  };
  operation_.piece_at.reset();
  switch (piece.kind) {
    case Kind::out: return give(ends.out);
    case Kind::err: return give(ends.err);
    case Kind::log:
      if (ends.log) give([&](BytesView bytes) { ends.log(piece.number, bytes); });
      return;
    case Kind::size:
      if (ends.size) ends.size(piece.number);
      return;
    case Kind::file: {
      give(piece.is_err ? ends.err : ends.out);
      const Locked lock(*backend_);
      return script_->took_file(piece.data.size());
    }
    case Kind::room: {
      const auto size = static_cast<std::size_t>(piece.number);
      const auto buffer = std::make_unique_for_overwrite<char[]>(size);
      const std::size_t count = std::min(ends.in ? ends.in({buffer.get(), size}) : 0, size);
      operation_.moved.add_in(count);
      const Locked lock(*backend_);
      return script_->give_input(BytesView(buffer.get(), count));
    }
  }
}

bool BuildbotBackend::Work::poll(const Waker& wake) {
  if (is_over_) return true;
  const Inside inside(*backend_);
  for (int i = 0; i < pieces_in_a_row; ++i) {
    std::optional<BuildbotPiece> piece;
    {
      const Locked lock(*backend_);
      piece = next();
      if (is_over_) return true;
      if (!piece) {
        script_->set_waker(wake);
        watch_deadline();
        return false;
      }
    }
    handle(std::move(*piece));
  }
  wake();
  return false;
}

/// A driver that polls is woken at the deadline.
void BuildbotBackend::Work::watch_deadline() {
  if (timer_ || options_.deadline.is_never()) return;
  timer_ = backend_->group_->loop()->at(options_.deadline.at(), [weak = std::weak_ptr(backend_), script = script_] {
    const auto backend = weak.lock();
    if (!backend) return;
    const Locked lock(*backend);
    script->wake();
  });
}

bool BuildbotBackend::Work::wait_until(TimePoint until) {
  if (is_over_) return true;
  const Inside inside(*backend_);
  const TimePoint limit = std::min(until, options_.deadline.at());
  for (;;) {
    std::optional<BuildbotPiece> piece;
    {
      const Locked lock(*backend_);
      piece = next();
    }
    if (is_over_) return true;
    if (piece) {
      handle(std::move(*piece));
      continue;
    }
    std::unique_lock lock(backend_->mutex_);
    const auto is_due = [this] {
      return script_->has_piece() || script_->is_finished() || options_.stop.stop_requested();
    };
    if (limit == TimePoint::max()) {
      backend_->changed_.wait(lock, is_due);
    } else if (!backend_->changed_.wait_until(lock, limit, is_due) && until < options_.deadline.at()) {
      return false;
    }
  }
}

}  // namespace remsh

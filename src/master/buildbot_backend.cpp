#include "master/buildbot_backend.hpp"

#include "base/connection_words.hpp"
#include "base/format.hpp"
#include "base/misuse.hpp"
#include "base/seconds.hpp"
#include "base/text.hpp"
#include "master/buildbot_locked.hpp"
#include "master/buildbot_script.hpp"
#include "master/buildbot_work.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <memory>
#include <utility>

namespace remsh {

namespace {

/// Output that waits for callbacks. Above usual_backlog we read only if another operation waits for the worker. At
/// max_backlog the operation with the most of it is ended.
constexpr std::size_t usual_backlog = std::size_t{1} * 1024 * 1024;
constexpr std::size_t max_backlog = std::size_t{64} * 1024 * 1024;

/// How long a worker gets to take our last words.
constexpr std::chrono::seconds longest_farewell{3};

/// How much may wait for a worker that does not read before we stop reading what it asks for.
constexpr std::size_t most_unwritten = std::size_t{1} * 1024 * 1024;

/// How many operations may go on whose callers have left. More begin when the worker has ended some.
constexpr std::ptrdiff_t max_left = 256;

}  // namespace

// --- the connection

BuildbotBackend::BuildbotBackend(std::shared_ptr<BuildbotGroup> group, BuildbotInfo info)
    : group_(std::move(group)),
      worker_{.group = *group_,
              .info = std::move(info),
              .operations = *this,
              .begin_draining = [this](std::string why, Duration within) { begin_draining(std::move(why), within); }},
      link_(group_->loop()),
      keepalive_(group_->keepalive()) {}

BuildbotBackend::~BuildbotBackend() { tell_lost(); }  // no caller is inside: it would own this object

void BuildbotBackend::open(std::unique_ptr<Transport> transport) {
  Locked lock(*this);
  link_.open(std::move(transport), weak_from_this());
  heard_ = group_->loop()->now();
  if (end_) {  // disconnect() was called before
    Failure why = std::move(*end_);
    end_.reset();
    return declare_end(std::move(why));
  }
  orphans_ = group_->take_orphans(std::string(name()));
  for (const std::string& id : orphans_) {
    const std::uint64_t request = worker_.session->interrupt(id, "its connection was lost");
    worker_.requests[request] = [this, id](const Result<Value>&) { std::erase(orphans_, id); };
  }
  begin_keepalive();
  take_events();  // of what came while the worker was admitted
}

void BuildbotBackend::fail(Failure failure) {
  {
    const std::lock_guard lock(mutex_);
    if (!end_) end_ = std::move(failure);
    is_closed_ = true;
  }
  tell_lost();
}

void BuildbotBackend::on_ready(std::uint32_t number, Ready directions) {
  {
    const std::lock_guard lock(mutex_);
    if (!link_.begin_event(number) || link_closes_) return;
  }
  // No other thread reads, and only this thread closes the link.
  constexpr std::size_t size = std::size_t{64} * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  IoResult result;
  if (has(directions, Ready::read)) result = link_.read({buffer.get(), size});
  const Locked lock(*this);
  if (link_closes_) return;
  take_in(result, BytesView(buffer.get(), result.bytes));
  link_.end_event();
}

void BuildbotBackend::take_in(const IoResult& result, BytesView bytes) {
  switch (result.status) {
    case IoResult::Status::would_block: return;
    case IoResult::Status::failed:
      declare_end(link_.write_failed().value_or(
          Failure{Errc::connection_lost, connection_broke("read", result.error), result.error}));
      return close_soon();
    case IoResult::Status::end:
      declare_end(link_.write_failed().value_or(Failure{
          Errc::connection_lost, "the worker closed the connection: its process has ended, or the network failed", 0}));
      return close_soon();
    case IoResult::Status::ok: break;
  }
  heard_ = group_->loop()->now();
  pinged_.reset();
  auto fed = worker_.session->feed(bytes);
  take_events();
  if (fed) return;
  Failure why = std::move(fed).failure();
  if (why.code == Errc::protocol_error) why.reason = DisconnectReason::misbehaved;
  declare_end(std::move(why));
  close_soon();
}

void BuildbotBackend::take_events() {
  while (auto event = worker_.session->next()) take(std::move(*event));
  if (end_) go_on_with_farewell();
}

void BuildbotBackend::take(buildbot::WorkerEvent event) {
  using Kind = buildbot::WorkerEvent::Kind;
  switch (event.kind) {
    case Kind::rejected:
    case Kind::logged_in: return;
    case Kind::asks_release: return begin_draining("its operator asks for its release", {});
    case Kind::answered:
    case Kind::failed: {
      const auto open = worker_.requests.extract(event.request);
      if (!open || !open.mapped()) return;
      if (event.kind == Kind::answered) return open.mapped()(std::move(event.value));
      return open.mapped()(Failure{Errc::remote_failure, without_controls(event.text.substr(0, 2048)), 0});
    }
    case Kind::dropped:
    case Kind::complete: {
      const auto command = worker_.commands.extract(event.command);
      if (!command || command.mapped() == nullptr) return;
      return command.mapped()->command_ended(std::move(event.text), event.kind == Kind::dropped);
    }
    case Kind::update:
      if (BuildbotScript* const script = script_of(event.command)) script->update(std::move(event.update));
      return;
    case Kind::reads:
      if (BuildbotScript* const script = script_of(event.command)) return script->wants_input(event.size);
      return worker_.session->give(event.command, {});
    case Kind::writes:
      if (BuildbotScript* const script = script_of(event.command)) return script->sends_file(std::move(event.data));
      return worker_.session->took(event.command);
  }
}

/// Whose command this is; null if its operation is over.
BuildbotScript* BuildbotBackend::script_of(const std::string& command) const {
  const auto found = worker_.commands.find(command);
  return found != worker_.commands.end() ? found->second : nullptr;
}

bool BuildbotBackend::wants_bytes() const { return link_.unwritten() < most_unwritten && has_room(); }

/// Whether more output may wait for its callers.
bool BuildbotBackend::has_room() const {
  std::size_t backlog = 0;
  bool is_awaited = false;  // an operation waits for the worker
  for (const auto& [number, script] : worker_.scripts) {
    backlog += script->backlog();
    is_awaited = is_awaited || (!script->has_piece() && !script->has_left());
  }
  return backlog < usual_backlog || (is_awaited && backlog < max_backlog);
}

/// Ends the operation with most of the backlog, if there is too much of it.
void BuildbotBackend::limit_backlog() {
  std::size_t backlog = 0;
  BuildbotScript* largest = nullptr;
  for (const auto& [number, script] : worker_.scripts) {
    backlog += script->backlog();
    if (largest == nullptr || script->backlog() > largest->backlog()) largest = script.get();
  }
  if (backlog >= max_backlog) largest->overflow();
}

std::optional<Failure> BuildbotBackend::why_busy() const {
  const auto left = std::count_if(worker_.scripts.begin(), worker_.scripts.end(),
                                  [](const auto& one) { return one.second->has_left(); });
  if (left < max_left) return std::nullopt;
  return Failure{Errc::busy, formatted("the worker has not ended {} operations that their callers have left", left), 0};
}

// --- liveness

void BuildbotBackend::begin_keepalive() {
  if (keepalive_timer_) group_->loop()->cancel(*keepalive_timer_);
  keepalive_timer_.reset();
  if (keepalive_.interval == Duration::zero() || end_) return;
  const TimePoint due = pinged_ ? *pinged_ + keepalive_.patience : heard_ + keepalive_.interval;
  keepalive_timer_ = group_->loop()->at(due, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const Locked lock(*self);
    self->look_at_keepalive();
  });
}

void BuildbotBackend::look_at_keepalive() {
  if (end_) return;
  const TimePoint now = group_->loop()->now();
  if (!has_room()) {  // we do not listen
    heard_ = now;
    pinged_.reset();
  }
  if (pinged_ && now >= *pinged_ + keepalive_.patience) {
    return declare_end({Errc::connection_lost,
                        formatted("the worker has not answered for {}", in_seconds(keepalive_.patience)), 0,
                        DisconnectReason::silent});
  }
  if (!pinged_ && now >= heard_ + keepalive_.interval) {
    worker_.requests.emplace(worker_.session->ping(), nullptr);
    pinged_ = now;
  }
  begin_keepalive();
}

bool BuildbotBackend::set_keepalive(const Keepalive& keepalive) {
  const Locked lock(*this);
  keepalive_ = keepalive;
  if (link_.is_open()) begin_keepalive();
  return true;
}

// --- the end

std::optional<std::string> BuildbotBackend::draining() const {
  const std::lock_guard lock(mutex_);
  return draining_;
}

/// `within`: it is let go then at the latest.
void BuildbotBackend::begin_draining(std::string why, std::optional<Duration> within) {
  if (end_) return;
  if (within) {
    group_->loop()->at(group_->loop()->now() + *within, [weak = weak_from_this(), why] {
      const auto self = weak.lock();
      if (self) self->disconnect("the slave is released: " + why, DisconnectReason::released);
    });
  }
  if (draining_) return;
  draining_ = std::move(why);
  group_->loop()->post([self = shared_from_this()] {
    if (!self->note_draining()) self->let_go_when_idle();
  });
}

std::optional<Failure> BuildbotBackend::lost() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

void BuildbotBackend::end_connection(Failure why) {
  const Locked lock(*this);
  declare_end(std::move(why));
}

/// From here on every operation fails. Commands that would outlive the connection are interrupted first, for at most
/// longest_farewell.
void BuildbotBackend::declare_end(Failure failure) {
  if (end_) return;
  end_ = std::move(failure);
  worker_.requests.clear();
  for (auto& [id, script] : worker_.commands) script = nullptr;
  while (!worker_.scripts.empty()) worker_.scripts.begin()->second->end(*end_);
  if (!link_.is_open()) return;
  const bool must_end_commands = draining_ || (worker_.session->leaves_commands() && !worker_.commands.empty());
  if (!must_end_commands) return close_soon();
  for (const auto& [id, script] : worker_.commands) worker_.session->interrupt(id, "its connection ends");
  limit_farewell();
  go_on_with_farewell();
}

/// Stops to wait for commands after longest_farewell. A draining worker is then asked to end its process, and gets the
/// same time again; otherwise the link is closed.
void BuildbotBackend::limit_farewell() {
  group_->loop()->at(group_->loop()->now() + longest_farewell, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const Locked lock(*self);
    if (self->link_closes_) return;
    if (!self->draining_ || self->is_shut_down_) return self->close_soon();
    self->shut_worker_down();
    self->limit_farewell();
  });
}

/// Once no command runs: asks a draining worker to end its process, or closes the link.
void BuildbotBackend::go_on_with_farewell() {
  if (!worker_.commands.empty() || is_shut_down_) return;
  if (!draining_) return close_soon();
  shut_worker_down();
}

void BuildbotBackend::shut_worker_down() {
  is_shut_down_ = true;
  worker_.requests[worker_.session->shut_down()] = [this](const Result<Value>&) { close_soon(); };
}

void BuildbotBackend::close_soon() {
  if (std::exchange(link_closes_, true)) return;
  link_.shutdown();
  group_->loop()->post([self = shared_from_this()] { self->close_link(); });
}

void BuildbotBackend::close_link() {
  std::unique_ptr<Transport> transport;
  {
    const std::lock_guard lock(mutex_);
    transport = link_.close();
    if (keepalive_timer_) group_->loop()->cancel(*keepalive_timer_);
    if (worker_.session->leaves_commands()) {
      std::vector<std::string> ids = orphans_;
      for (const auto& [id, script] : worker_.commands) ids.push_back(id);
      group_->remember_orphans(std::string(name()), std::move(ids));
    }
    is_closed_ = true;
    left_.notify_all();
  }
  transport.reset();
  owner().on_end(*this, *end_);  // end_ does not change any more
  tell_lost();
}

void BuildbotBackend::wait_until_left() {
  std::unique_lock lock(mutex_);
  if (std::find(drivers_.begin(), drivers_.end(), std::this_thread::get_id()) != drivers_.end()) {
    misuse("a listener is destroyed in a callback of a call on one of its slaves, which it would wait for");
  }
  left_.wait(lock, [this] { return is_closed_ && drivers_.empty(); });
}

Started BuildbotBackend::start(AskedOperation& operation, const Patience& options) {
  return std::make_unique<Work>(shared_from_this(), operation, options);
}

}  // namespace remsh

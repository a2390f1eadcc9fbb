#include "messages/reception.hpp"

#include "base/call_log_hook.hpp"
#include "base/format.hpp"
#include "base/os_words.hpp"
#include "transport/endpoint.hpp"
#include "transport/fd_transport.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace remsh::messages {

namespace {

/// Connections that wait to be accepted; beyond that, no further ones are let in.
constexpr std::size_t most_ready = 64;

/// Failures that wait to be thrown by accept(); beyond that, they are only logged.
constexpr std::size_t most_failures = 16;

constexpr const char* no_memory = "closed a new connection: there is no memory, or no random bytes, for it";

constexpr mode_t for_others = S_IWOTH;
constexpr mode_t for_group = S_IWGRP;

/// "127.0.0.1:40112", of "tcp 127.0.0.1:40112".
std::optional<std::string> address_in(const std::string& description) {
  constexpr std::string_view tcp = "tcp ";
  if (!description.starts_with(tcp)) return std::nullopt;
  return description.substr(tcp.size());
}

}  // namespace

Reception::Reception(Loop& loop, ReceptionRules rules) : loop_(loop), rules_(std::move(rules)), gate_(rules_.gate) {}

/// Also finds out where the connection comes from.
std::string Reception::why_not_let_in(int socket, Origin& origin) const {
  if (!rules_.is_unix) return {};
  const auto peer = peer_of_unix(socket);
  if (!peer.ok()) return "cannot find out who it is: " + peer.failure().message;
  origin = peer->user;
  if (!rules_.mode || (*rules_.mode & for_others) != 0) return {};
  if (peer->user == ::geteuid() || peer->user == 0) return {};
  if ((*rules_.mode & for_group) != 0 && peer->group == ::getegid()) return {};
  return formatted("user {} may not connect: see `mode`", peer->user);
}

void Reception::arrive(UniqueFd socket) {
  try {
    begin(std::move(socket));
  } catch (const std::exception&) {  // it must not end the io thread
    log(LogLevel::error, "", no_memory);
  }
}

void Reception::begin(UniqueFd socket) {
  const std::string who = describe_peer(socket.get());
  Origin origin;
  if (const auto ip = ip_address_of(who)) origin = *ip;
  if (const std::string why = why_not_let_in(socket.get(), origin); !why.empty()) return refuse(origin, who, why);
  if (!rules_.is_unix) set_tcp_options(socket.get(), {});
  if (!rules_.terms.key) return add(Arrival{MessageStream::over_socket(std::move(socket), who), address_in(who)});

  Greeting::Start start;
  if (rules_.tls) {
    auto secured =
        std::make_unique<TlsTransport>(std::make_unique<SocketTransport>(std::move(socket), who, false), rules_.tls);
    start.tls = secured.get();
    start.stream = MessageStream::over(std::move(secured));
  } else {
    start.stream = MessageStream::over_socket(std::move(socket), who);
    start.proof = std::make_unique<MutualProof>(MutualProof::End::listener, *rules_.terms.key, new_nonce(),
                                                rules_.terms.allows_md5(rules_.is_local));
  }
  start.who = who;
  start.origin = origin;
  std::shared_ptr<Greeting> greeting;
  std::shared_ptr<Greeting> gives_way;
  Gate::Verdict verdict;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    verdict = gate_.begin(origin, loop_.now());
    if (verdict.refused.empty()) {
      start.place = verdict.id;
      greeting = std::make_shared<Greeting>(loop_, std::move(start),
                                            [weak = weak_from_this()](Greeting& it, Result<void> result) {
                                              if (const auto self = weak.lock()) self->greeted(it, std::move(result));
                                            });
      greetings_.insert(greeting);
    }
    if (verdict.gives_way) {
      const auto found = std::find_if(greetings_.begin(), greetings_.end(),
                                      [&](const auto& other) { return other->place() == *verdict.gives_way; });
      if (found != greetings_.end()) gives_way = greetings_.extract(found).value();
    }
  }
  if (gives_way) {
    refuse(gives_way->origin(), gives_way->who(), "gave way to a newer connection");
    gives_way->drop();
  }
  if (!greeting) return refuse(origin, who, verdict.refused);
  try {
    greeting->begin(rules_.handshake_timeout);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    gate_.end(greeting->place());
    greetings_.erase(greeting);
    throw;
  }
}

void Reception::cannot_accept(int error) {
  log(LogLevel::error, "", formatted("cannot take connections: {}", os_words(error)));
}

void Reception::greeted(Greeting& greeting, Result<void> result) {
  try {
    let_in_or_refuse(greeting, std::move(result));
  } catch (const std::exception&) {  // it must not end the io thread
    greeting.drop();
    log(LogLevel::error, "", no_memory);
  }
}

void Reception::let_in_or_refuse(Greeting& greeting, Result<void> result) {
  const std::shared_ptr<MessageStream> stream = greeting.stream();
  const std::string who = greeting.who();
  const Origin origin = greeting.origin();
  {
    const std::lock_guard lock(mutex_);
    if (result) gate_.proven(greeting.place());
    gate_.end(greeting.place());
    if (!result && result.failure().code == Errc::auth_failed) gate_.failed(origin, loop_.now());
    const auto found = std::find_if(greetings_.begin(), greetings_.end(),
                                    [&greeting](const auto& other) { return other.get() == &greeting; });
    if (found == greetings_.end()) return;  // it was dropped
    greetings_.erase(found);
  }
  if (result) return add(Arrival{stream, address_in(who)});
  stream->close();
  refuse(origin, who, result.failure().message);
  if (result.failure().code == Errc::connection_lost) return;  // it left by itself
  add(Failure{Errc::auth_failed, formatted("{}: {}", who, result.failure().message), 0});
}

void Reception::add(Result<Arrival> arrival) {
  std::vector<std::shared_ptr<Bell>> bells;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    if (!arrival && failures_ >= most_failures) return;
    if (!arrival) ++failures_;
    ready_.push_back(std::move(arrival));
    bells.swap(bells_);
  }
  changed_.notify_all();
  for (const auto& bell : bells) bell->ring();
  regulate();
}

std::optional<Result<Reception::Arrival>> Reception::take() {
  std::optional<Result<Arrival>> first;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return Failure{Errc::cancelled, "the listener is closed", 0};
    if (ready_.empty()) return std::nullopt;
    first = std::move(ready_.front());
    ready_.pop_front();
    if (!first->ok()) --failures_;
  }
  regulate();
  return first;
}

/// No further connections are let in while enough of them wait to be accepted: the system keeps them, as many as its
/// backlog takes.
void Reception::regulate() {
  const std::lock_guard one_at_a_time(valve_mutex_);
  const bool is_full = [&] {
    const std::lock_guard lock(mutex_);
    return ready_.size() - failures_ >= most_ready;
  }();
  if (valve_ && std::exchange(is_held_, is_full) != is_full) valve_(!is_full);
}

void Reception::set_valve(std::function<void(bool lets_in)> valve) {
  {
    const std::lock_guard one_at_a_time(valve_mutex_);
    valve_ = std::move(valve);
  }
  regulate();
}

void Reception::wait(Duration wait) {
  std::unique_lock lock(mutex_);
  if (is_closed_ || !ready_.empty()) return;
  changed_.wait_for(lock, wait);
}

void Reception::watch(std::shared_ptr<Bell> bell) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_closed_ && ready_.empty()) {
      if (std::find(bells_.begin(), bells_.end(), bell) == bells_.end()) bells_.push_back(std::move(bell));
      return;
    }
  }
  bell->ring();
}

void Reception::unwatch(const std::shared_ptr<Bell>& bell) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(bells_, bell);
}

void Reception::close() {
  std::set<std::shared_ptr<Greeting>> greetings;
  std::deque<Result<Arrival>> ready;
  std::vector<std::shared_ptr<Bell>> bells;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    greetings.swap(greetings_);
    ready.swap(ready_);
    bells.swap(bells_);
  }
  for (const auto& greeting : greetings) greeting->drop();
  for (const auto& arrival : ready) {
    if (arrival) arrival->stream->close();
  }
  changed_.notify_all();
  for (const auto& bell : bells) bell->ring();
  const std::lock_guard lock(log_mutex_);
  logs_ = false;
}

/// Logs about a connection that has proven nothing; the number of lines that each origin causes is bounded.
void Reception::refuse(const Origin& origin, const std::string& who, const std::string& why) {
  const Gate::Telling telling = [&] {
    const std::lock_guard lock(mutex_);
    return gate_.tell(origin, loop_.now());
  }();
  if (telling.aloud) log(LogLevel::warning, who, "not let in: " + why + telling.untold_words());
}

void Reception::log(LogLevel level, const std::string& who, const std::string& message) {
  const std::lock_guard lock(log_mutex_);
  if (logs_) call_log_hook(rules_.log, level, "listener", who, message);
}

}  // namespace remsh::messages

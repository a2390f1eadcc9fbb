// TLS 1.3 over another transport.
#include "transport/tls_transport.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "transport/connect.hpp"
#include "transport/endpoint.hpp"
#include "transport/fd_transport.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

namespace remsh {
namespace {

Failure lost(int error) {
  return {Errc::connection_lost, "the connection broke: " + std::generic_category().message(error), error};
}

/// How many of the next bytes to encrypt at once, at most `most`. Never just the first byte of a buffer, because it
/// would be held back as unwritten, and the caller may put other data before a buffer of which nothing was written.
std::size_t next_size(std::span<const std::string_view> buffers, std::size_t done, std::size_t most) {
  std::size_t size = 0;
  for (const std::string_view buffer : buffers) {
    const std::size_t rest = buffer.size() - std::exchange(done, 0);
    if (size + rest <= most) {
      size += rest;
    } else {
      return most - size == 1 ? size : most;
    }
  }
  return size;
}

/// Skips this number of bytes in the buffers.
void skip(std::span<const std::string_view>& buffers, std::size_t& done, std::size_t bytes) {
  while (!buffers.empty() && (bytes > 0 || done == buffers.front().size())) {
    const std::size_t part = std::min(bytes, buffers.front().size() - done);
    bytes -= part;
    done += part;
    if (done < buffers.front().size()) break;
    buffers = buffers.subspan(1);
    done = 0;
  }
}

}  // namespace

TlsTransport::TlsTransport(std::unique_ptr<Transport> inner, std::shared_ptr<const TlsContext> context,
                           std::size_t unproven_bytes)
    : inner_(std::move(inner)), context_(std::move(context)), unproven_bytes_(unproven_bytes), flight_(unproven_bytes) {
  if (!context_->is_server()) engine_.emplace(context_);
}

TlsTransport::~TlsTransport() { say_end(); }

// The handshake.

Result<TlsTransport::Step> TlsTransport::step() {
  const std::lock_guard lock(mutex_);
  if (open_) return Step::done;
  std::array<char, 4096> buffer;
  for (;;) {
    BytesView whole = BytesView(left_).substr(0, flight_.whole());
    if (!engine_ && !whole.empty()) engine_.emplace(context_);
    if (engine_) {
      const TlsEngine::Status status = engine_->handshake(whole);
      const std::size_t taken = flight_.whole() - whole.size();
      flight_.taken(taken);
      left_ = left_.substr(taken);
      const bool is_written = flush();
      if (status == TlsEngine::Status::failed) return engine_->failure();
      if (!is_written) return lost(write_error_);
      if (!engine_->output().empty()) return Step::want_write;
      if (status == TlsEngine::Status::ok) {
        open_ = true;
        proven_ = proven_ || !context_->is_server() || !engine_->identity().empty();
        return Step::done;
      }
    }
    const std::size_t size = readable_now(buffer.size());
    if (size == 0) {
      return Failure{Errc::protocol_error,
                     formatted("the other side sent more than {} bytes in the TLS handshake", unproven_bytes_), 0};
    }
    const IoResult result = inner_->read_some(std::span(buffer).first(size), Duration::zero());
    switch (result.status) {
      case IoResult::Status::would_block: return Step::want_read;
      case IoResult::Status::failed: return lost(result.error);
      case IoResult::Status::end:
        if (!engine_) engine_.emplace(context_);
        engine_->cut();
        return engine_->failure();
      case IoResult::Status::ok: break;
    }
    unproven_ += result.bytes;
    if (!keep({buffer.data(), result.bytes})) {
      return Failure{Errc::protocol_error, "the other side begins a message of TLS that cannot be one", 0};
    }
  }
}

/// Keeps input of the handshake, in memory of exactly its size.
bool TlsTransport::keep(BytesView ciphertext) {
  Bytes all;
  all.reserve(left_.size() + ciphertext.size());
  all.append(left_).append(ciphertext);
  left_ = std::move(all);
  return flight_.look(left_);
}

Result<void> TlsTransport::handshake(Deadline deadline, const std::stop_token& stop) {
  for (;;) {
    auto stepped = step();
    if (!stepped) return std::move(stepped).failure();
    if (*stepped == Step::done) return {};
    if (stop.stop_requested()) return Failure{Errc::cancelled, "stopped in the TLS handshake", 0};
    const TimePoint now = real_clock().now();
    if (deadline.has_passed(now)) {
      return Failure{Errc::timeout, "no TLS handshake in time: is the other side set up for TLS?", 0};
    }
    const Duration left = deadline.is_never() ? look_interval : std::min<Duration>(look_interval, deadline.at() - now);
    inner_->wait(*stepped == Step::want_read ? Ready::read : Ready::write, left);
  }
}

void TlsTransport::set_proven() {
  const std::lock_guard lock(mutex_);
  proven_ = true;
}

std::optional<Failure> TlsTransport::failure() const {
  const std::lock_guard lock(mutex_);
  if (!engine_ || engine_->failure().message.empty()) return std::nullopt;
  return engine_->failure();
}

std::string TlsTransport::failure_words() const {
  auto failed = failure();
  return failed ? std::move(failed->message) : std::string();
}

std::string TlsTransport::channel_binding() const {
  const std::lock_guard lock(mutex_);
  return engine_ ? engine_->exporter() : Bytes();
}

Result<std::unique_ptr<TlsTransport>> connect_tls(const Address& address, std::shared_ptr<const TlsContext> context,
                                                  Deadline deadline, const std::stop_token& stop) {
  assert(address.kind == Address::Kind::tls);
  const Address beneath{Address::Kind::tcp, address.host, address.port, {}};
  auto socket = connect_to(beneath, deadline, stop);
  if (!socket) {
    Failure failure = std::move(socket).failure();
    failure.message = to_string(address) + ": " + without_prefix(std::move(failure.message), to_string(beneath) + ": ");
    return failure;
  }
  std::string description = describe_peer(socket->get());
  auto transport = std::make_unique<TlsTransport>(
      std::make_unique<SocketTransport>(std::move(*socket), std::move(description), false), std::move(context));
  if (auto done = transport->handshake(deadline, stop); !done) {
    return Failure{done.failure().code, to_string(address) + ": " + done.failure().message, done.failure().os};
  }
  return transport;
}

// Reading.

std::size_t TlsTransport::readable_now(std::size_t wanted) const noexcept {
  return proven_ ? wanted : std::min(wanted, unproven_bytes_ - std::min(unproven_, unproven_bytes_));
}

/// True if a read returns at once, independent of the transport below.
bool TlsTransport::has_something() const noexcept {
  return open_ && (over_ || !left_.empty() || engine_->has_plaintext());
}

IoResult TlsTransport::decrypt(BytesView ciphertext, std::span<char> buffer) {
  std::size_t size = 0;
  const TlsEngine::Status status = engine_->read(ciphertext, buffer, size);
  if (status == TlsEngine::Status::ok) left_ = ciphertext;  // no room for more plaintext
  if (status == TlsEngine::Status::ended) over_ = IoResult::ended();
  if (status == TlsEngine::Status::failed) over_ = IoResult::broken(EPROTO);
  flush();  // sends answers that reading required; a writer gets their error
  if (size > 0) return IoResult::moved(size);
  return over_ ? *over_ : IoResult::blocked();
}

IoResult TlsTransport::read_some(std::span<char> buffer, Duration wait) {
  if (buffer.empty()) return IoResult::blocked();
  std::unique_lock lock(mutex_);
  if (!open_) return IoResult::broken(ENOTCONN);
  flush();
  if (has_something() && !over_) {
    const IoResult result = decrypt(std::exchange(left_, {}), buffer);
    if (result.status != IoResult::Status::would_block) return result;
  }
  if (over_) return *over_;
  // At most one record more than there is room for, because plaintext without room must be kept.
  const std::size_t size =
      readable_now(std::min(most_read, std::max(buffer.size(), TlsEngine::max_record + std::size_t{1024})));
  if (size == 0) return over(IoResult::broken(EMSGSIZE));
  const bool has_output = !engine_->output().empty() && write_error_ == 0;
  lock.unlock();
  const auto ciphertext =
      std::make_unique_for_overwrite<char[]>(size);  // on the heap, because callers' stacks may be small
  if (has_output && wait > Duration::zero()) {
    inner_->wait(Ready::both, std::min(wait, slice));
    wait = Duration::zero();
  }
  const IoResult came = inner_->read_some({ciphertext.get(), size}, wait);
  lock.lock();
  switch (came.status) {
    case IoResult::Status::would_block:
      if (has_output) flush();
      return came;
    case IoResult::Status::failed: return over(came);
    case IoResult::Status::end:
      if (shut_) return over(came);
      engine_->cut();
      return over(IoResult::broken(ECONNRESET));
    case IoResult::Status::ok: break;
  }
  if (!proven_) unproven_ += came.bytes;
  return decrypt({ciphertext.get(), came.bytes}, buffer);
}

// Writing.

/// Writes the ciphertext as far as possible. Returns false if the transport below is broken.
bool TlsTransport::flush() noexcept {
  if (!engine_) return true;
  while (write_error_ == 0 && !engine_->output().empty()) {
    const std::string_view output = engine_->output();
    const IoResult result = inner_->write_some({&output, 1});
    if (result.status == IoResult::Status::failed) write_error_ = result.error;
    if (result.status != IoResult::Status::ok) break;
    engine_->sent(result.bytes);
  }
  return write_error_ == 0;
}

/// Encrypts `size` of the next bytes, in records as large as possible, and advances in the buffers.
bool TlsTransport::encrypt(std::span<const std::string_view>& buffers, std::size_t& done, std::size_t size) {
  std::array<char, TlsEngine::max_record> several;  // small buffers share a record
  engine_->expect(size);
  while (size > 0) {
    const std::size_t record = std::min(size, TlsEngine::max_record);
    std::size_t gathered = 0;
    BytesView plaintext;
    while (gathered < record) {
      const std::string_view rest = buffers.front().substr(done);
      const std::size_t part = std::min(rest.size(), record - gathered);
      if (part == record) {
        plaintext = rest.substr(0, part);
      } else {
        std::memcpy(several.data() + gathered, rest.data(), part);
        plaintext = {several.data(), record};
      }
      gathered += part;
      skip(buffers, done, part);
    }
    if (!engine_->write(plaintext)) return false;
    size -= record;
  }
  return true;
}

IoResult TlsTransport::write_some(std::span<const std::string_view> buffers) {
  std::unique_lock lock(mutex_);
  if (!open_) return IoResult::broken(ENOTCONN);
  bool was_held = held_;  // held back by an earlier call: it is the first byte here
  std::size_t written = 0;
  std::size_t done = 0;  // bytes done of the first buffer
  for (;;) {
    if (shut_) return IoResult::broken(EPIPE);
    if (!flush()) return IoResult::broken(write_error_);
    if (!engine_->output().empty()) break;
    if (std::exchange(held_, false)) {
      ++written;
      if (std::exchange(was_held, false)) skip(buffers, done, 1);
    }
    const std::size_t size = next_size(buffers, done, most_written);
    if (size == 0) break;
    if (!encrypt(buffers, done, size)) return IoResult::broken(EPROTO);
    written += size - 1;
    held_ = true;
    flush();
    lock.unlock();  // lets a reader take its turn
    lock.lock();
  }
  return written > 0 ? IoResult::moved(written) : IoResult::blocked();
}

// Waiting.

Ready TlsTransport::wait(Ready directions, Duration wait) {
  const Deadline deadline(wait);
  for (;;) {
    bool has_output = false;
    {
      const std::lock_guard lock(mutex_);
      flush();
      if (has(directions, Ready::read) && has_something()) return Ready::read;
      has_output = engine_ && !engine_->output().empty() && write_error_ == 0;
    }
    const Ready ready = inner_->wait(has_output ? directions | Ready::write : directions, wait);
    if ((ready & directions) != Ready::none || ready == Ready::none || deadline.has_passed(real_clock().now()))
      return ready & directions;
    if (!deadline.is_never()) wait = std::max(Duration::zero(), deadline.at() - real_clock().now());
  }
}

void TlsTransport::arm(Watcher& watcher, Ready directions, std::uint64_t token) {
  const std::lock_guard lock(mutex_);
  if (has(directions, Ready::read) && has_something()) {
    inner_->arm(watcher, Ready::none, token);
    watcher.notify(token, Ready::read);
    return;
  }
  // There is unsent output of TLS itself: when notified, the owner reads, which sends it.
  const bool has_output = engine_ && !engine_->output().empty() && write_error_ == 0;
  inner_->arm(watcher, has_output && directions != Ready::none ? directions | Ready::write : directions, token);
}

void TlsTransport::disarm_for_good(Watcher& watcher) noexcept { inner_->disarm_for_good(watcher); }

// The end.

void TlsTransport::say_end() noexcept {
  const std::lock_guard lock(mutex_);
  if (std::exchange(shut_, true) || !open_) return;
  engine_->close();
  flush();
}

void TlsTransport::shutdown() noexcept {
  say_end();
  inner_->shutdown();
}

}  // namespace remsh

// Connection: boxes over a Transport.
#include <remsh/connection/connection.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh {
namespace {

/// How long from now; a long time where it is never.
Duration time_left(Deadline deadline) {
  constexpr Duration long_time = std::chrono::hours(1);
  if (deadline.is_never()) return long_time;
  const TimePoint now = std::chrono::steady_clock::now();
  return deadline.has_passed(now) ? Duration::zero() : std::min(long_time, deadline.at() - now);
}

std::error_code os_error(int error) { return {error, std::generic_category()}; }

}  // namespace

struct Connection::Impl {
  Impl(std::unique_ptr<Transport> used, BoxLimits box_limits)
      : transport(std::move(used)), limits(box_limits), decoder(box_limits) {}

  [[nodiscard]] std::string who() const { return " the connection to " + transport->description(); }

  /// Throws where a box cannot be sent, whoever is to read it.
  void check(const Box& box) const {
    if (box.empty()) throw Error(Errc::invalid_argument, "", "send a box", "it is empty");
    if (box.size() > limits.fields) {
      throw Error(Errc::too_large, "", "send a box", "it has more than " + std::to_string(limits.fields) + " fields");
    }
    std::size_t size = 2;
    for (const auto& [key, value] : box) {
      if (value.size() > Box::max_value) {
        throw Error(Errc::too_large, "", "send a box",
                    "the value of '" + key + "' has " + std::to_string(value.size()) + " bytes, over " +
                        std::to_string(Box::max_value));
      }
      size += encoded_size(key, value);
    }
    if (size > limits.bytes) {
      throw Error(Errc::too_large, "", "send a box",
                  "it has " + std::to_string(size) + " bytes, over " + std::to_string(limits.bytes));
    }
  }

  const std::unique_ptr<Transport> transport;
  const BoxLimits limits;
  BoxDecoder decoder;                               // by the thread that reads, as the buffer
  std::array<char, std::size_t{64} * 1024> buffer;  // what the decoder was fed lies here until it is used up
};

Connection::Connection(std::unique_ptr<Transport> transport, BoxLimits limits)
    : impl_(std::make_unique<Impl>(std::move(transport), limits)) {}

Connection::~Connection() { close(); }

void Connection::send_box(const Box& box, Deadline deadline) {
  impl_->check(box);
  const Bytes bytes = encode(box);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const IoResult result = impl_->transport->write_some({&rest, 1});
    if (result.status == IoResult::Status::ok) {
      rest.remove_prefix(result.bytes);
      continue;
    }
    if (result.status != IoResult::Status::would_block) {
      close();  // a part of the box may have been sent
      throw ConnectionLost(Errc::connection_lost, "", "send a box",
                           "lost" + impl_->who() + ": " + os_error(result.error).message(), os_error(result.error));
    }
    const Duration left = time_left(deadline);
    if (left == Duration::zero()) {
      close();
      throw Timeout(Errc::timeout, "", "send a box", "the other side does not read; closed" + impl_->who());
    }
    impl_->transport->wait(Ready::write, left);
  }
}

std::optional<Box> Connection::read_box(Deadline deadline) {
  for (;;) {
    if (impl_->decoder.next()) return impl_->decoder.box().copy();
    if (const BoxError error = impl_->decoder.error(); error != BoxError::none) {
      close();
      throw ProtocolError(Errc::protocol_error, "", "read a box",
                          "received " + std::string(to_string(error)) + "; closed" + impl_->who());
    }
    const IoResult result = impl_->transport->read_some(impl_->buffer, time_left(deadline));
    switch (result.status) {
      case IoResult::Status::ok: impl_->decoder.feed({impl_->buffer.data(), result.bytes}); break;
      case IoResult::Status::would_block:
        if (!deadline.has_passed()) break;
        throw Timeout(Errc::timeout, "", "read a box", "nothing in time on" + impl_->who());
      case IoResult::Status::end:
        if (!impl_->decoder.is_inside_box()) return std::nullopt;
        throw ConnectionLost(Errc::connection_lost, "", "read a box", "cut inside a box:" + impl_->who());
      case IoResult::Status::failed:
        throw ConnectionLost(Errc::connection_lost, "", "read a box",
                             "lost" + impl_->who() + ": " + os_error(result.error).message(), os_error(result.error));
    }
  }
}

void Connection::close() noexcept { impl_->transport->shutdown(); }

std::string Connection::channel_binding() const { return impl_->transport->channel_binding(); }

std::string Connection::description() const { return impl_->transport->description(); }

}  // namespace remsh

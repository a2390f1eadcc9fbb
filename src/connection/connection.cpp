// Connection: boxes over a Transport.
#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/time_left.hpp"
#include "connection/raw_connection.hpp"

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

std::error_code os_error(int error) { return {error, std::generic_category()}; }

}  // namespace

struct Connection::Impl {
  Impl(std::unique_ptr<Transport> used, BoxLimits box_limits)
      : transport(std::move(used)), limits(box_limits), decoder(box_limits) {}

  [[nodiscard]] std::string who() const { return " the connection to " + transport->description(); }

  /// Throws if no peer could accept this box.
  void check(const Box& box) const {
    if (box.empty()) throw Error(Errc::invalid_argument, "", "send a box", "it is empty");
    if (box.size() > limits.fields) {
      throw Error(Errc::too_large, "", "send a box", formatted("it has more than {} fields", limits.fields));
    }
    for (const auto& [key, value] : box) {
      if (value.size() > Box::max_value) {
        throw Error(Errc::too_large, "", "send a box",
                    formatted("the value of '{}' has {} bytes, over {}", key, value.size(), Box::max_value));
      }
    }
    const std::size_t size = encoded_size(box);
    if (size > limits.bytes) {
      throw Error(Errc::too_large, "", "send a box", formatted("it has {} bytes, over {}", size, limits.bytes));
    }
  }

  void write(BytesView rest, const char* operation, Deadline deadline) {
    while (!rest.empty()) {
      const IoResult result = transport->write_some({&rest, 1});
      if (result.status == IoResult::Status::ok) {
        rest.remove_prefix(result.bytes);
        continue;
      }
      if (result.status != IoResult::Status::would_block) {
        transport->shutdown();  // a part of the box may have been sent
        throw lost(operation, result.error);
      }
      const Duration left = time_left(deadline);
      if (left == Duration::zero()) {
        transport->shutdown();
        throw Timeout(Errc::timeout, "", operation, "the other side does not read; closed" + who());
      }
      transport->wait(Ready::write, left);
    }
  }

  /// The next bytes, in `buffer`; empty at the end of the stream.
  BytesView read(const char* operation, Deadline deadline) {
    for (;;) {
      const IoResult result = transport->read_some(buffer, time_left(deadline));
      switch (result.status) {
        case IoResult::Status::ok: return {buffer.data(), result.bytes};
        case IoResult::Status::would_block:
          if (!deadline.has_passed(real_clock().now())) break;
          throw Timeout(Errc::timeout, "", operation, "nothing in time on" + who());
        case IoResult::Status::end: return {};
        case IoResult::Status::failed: throw lost(operation, result.error);
      }
    }
  }

  [[nodiscard]] ConnectionLost lost(const char* operation, int error) const {
    return {Errc::connection_lost, "", operation, formatted("lost{}: {}", who(), os_error(error).message()),
            os_error(error)};
  }

  const std::unique_ptr<Transport> transport;
  const BoxLimits limits;
  BoxDecoder decoder;                               // this and the following: used by the reading thread only
  std::array<char, std::size_t{64} * 1024> buffer;  // the bytes that the decoder reads: here,
  Bytes given_back;                                 // or here
};

Connection::Connection(std::unique_ptr<Transport> transport, BoxLimits limits)
    : impl_(std::make_unique<Impl>(std::move(transport), limits)) {}

Connection::~Connection() { close(); }

void Connection::send_box(const Box& box, Deadline deadline) {
  impl_->check(box);
  impl_->write(encode(box), "send a box", deadline);
}

std::optional<Box> Connection::read_box(Deadline deadline) {
  constexpr const char* operation = "read a box";
  for (;;) {
    if (impl_->decoder.next()) return impl_->decoder.box().copy();
    if (const BoxError error = impl_->decoder.error(); error != BoxError::none) {
      close();
      throw ProtocolError(Errc::protocol_error, "", operation,
                          formatted("received {}; closed{}", to_string(error), impl_->who()));
    }
    const BytesView bytes = impl_->read(operation, deadline);
    if (bytes.empty()) {
      if (!impl_->decoder.is_inside_box()) return std::nullopt;
      throw ConnectionLost(Errc::connection_lost, "", operation, "cut inside a box:" + impl_->who());
    }
    impl_->decoder.feed(bytes);
  }
}

void Connection::close() noexcept { impl_->transport->shutdown(); }

std::string Connection::channel_binding() const { return impl_->transport->channel_binding(); }

std::string Connection::description() const { return impl_->transport->description(); }

RawConnection::RawConnection(Connection& connection, const char* operation)
    : impl_(*connection.impl_), operation_(operation), first_(impl_.decoder.unread()) {
  impl_.decoder = BoxDecoder(impl_.limits);
}

void RawConnection::write(BytesView bytes, Deadline deadline) { impl_.write(bytes, operation_, deadline); }

BytesView RawConnection::read(Deadline deadline) {
  if (first_.empty()) return impl_.read(operation_, deadline);
  impl_.given_back = std::exchange(first_, {});
  return impl_.given_back;
}

void RawConnection::give_back(BytesView bytes) {
  impl_.given_back = Bytes(bytes);
  impl_.decoder.feed(impl_.given_back);
}

}  // namespace remsh

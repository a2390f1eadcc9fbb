// What remsh 1 sessions take and refuse, and a recorded one.
#pragma once

#include "golden/remsh1_session.hpp"
#include "remsh1/message.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>
#include <remsh/base/error.hpp>
#include <remsh/connection/box_codec.hpp>

#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

inline std::vector<Box> boxes_in(BytesView bytes) {
  std::vector<Box> boxes;
  BoxDecoder decoder(remsh1::limits);
  decoder.feed(bytes);
  while (decoder.next()) boxes.push_back(decoder.box().copy());
  REQUIRE(decoder.error() == BoxError::none);
  return boxes;
}

/// The boxes of one side of the recorded session.
inline std::vector<Box> recorded(remsh1_golden::Side from) {
  Bytes bytes;
  for (const auto& segment : remsh1_golden::session) {
    if (segment.from == from) bytes += from_hex(segment.hex);
  }
  return boxes_in(bytes);
}

/// The event of a box that a session takes.
template <class Session>
typename Session::Event fed(Session& session, const Box& box) {
  auto event = session.feed(box);
  REQUIRE_MESSAGE(event.ok(), (event ? std::string() : event.failure().message));
  return std::move(*event);
}

/// Whether a box breaks the protocol. The session is then in breach; to go on with it, give a copy.
template <class Session>
bool breaks(Session&& session, const Box& box) {
  const auto event = session.feed(box);
  return !event && event.failure().code == Errc::protocol_error;
}

}  // namespace remsh::test

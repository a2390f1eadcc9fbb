// Trace: the boxes of a connection, made readable, for who writes or debugs a peer.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/transport/transport.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace remsh {

/// A box in one line: keys and short values; of long ones, of data, of environments and of whatever proves who
/// somebody is only the length. Bytes that do not print are escaped.
///
///     _ask=1 _command=execute args="make\x00-j8\x00" cwd=project out=stream
REMSH_API std::string to_string(const Box& box);
REMSH_API std::string to_string(const BoxView& box);

/// One box on its way, or the end of a stream.
struct TraceRecord {
  std::chrono::system_clock::time_point time = {};
  bool sent = false;  ///< by this side; else received
  std::string peer;   ///< the connection's description: "tcp 127.0.0.1:40112"
  std::string text;   ///< see to_string(); one line
};

/// The record as a line without its end: "12:30:01.123456 tcp 127.0.0.1:40112 > _ask=1 _command=stat path=/tmp". Times
/// are UTC; > was sent, < was received.
REMSH_API std::string to_string(const TraceRecord& record);

/// Called by whichever thread reads or writes, in order for each direction: must be thread-safe, should be quick, and
/// must not call the library back. Empty: nothing is traced, and nothing is paid.
using TraceHook = std::function<void(const TraceRecord&)>;

/// A transport that tells of every box that goes through it. Gives back the transport itself where there is no hook.
REMSH_API std::unique_ptr<Transport> traced(std::unique_ptr<Transport> transport, TraceHook hook);

}  // namespace remsh

// make_listener(): a listener for an address of any kind.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/master/slave_listener.hpp>
#include <remsh/master/tcp_slave_listener.hpp>

#include <memory>

namespace remsh {

/// Makes the listener for `options.address`: "tcp:HOST:PORT" and "tls:HOST:PORT" make a TcpSlaveListener, "unix:PATH" a
/// UnixSlaveListener. Accepts what SlaveListener::address() returns and what remsh-slave --master accepts. The listener
/// is not started.
///
///     auto listener = remsh::make_listener({.slave_collection = slaves, .address = "unix:/run/farm.sock"});
///     listener->start();
///
/// The options of TCP have no effect on a unix socket, which accepts slaves without a key in any case. Throws Error
/// with invalid_argument for an address that cannot be used, and for options that contradict the kind of address:
/// `certificate` or other `protocols` with a unix socket, for example.
REMSH_API std::unique_ptr<SlaveListener> make_listener(TcpListenerOptions options);

}  // namespace remsh

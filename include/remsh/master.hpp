// Everything for a program that manages slaves.
#pragma once

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/stop_on_signals.hpp>
#include <remsh/master/audit.hpp>
#include <remsh/master/command.hpp>
#include <remsh/master/lease.hpp>
#include <remsh/master/local_slave_listener.hpp>
#include <remsh/master/make_listener.hpp>
#include <remsh/master/operation_in_progress.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/slave_filter.hpp>
#include <remsh/master/slave_launcher.hpp>
#include <remsh/master/slave_listener.hpp>
#include <remsh/master/slave_notice.hpp>
#include <remsh/master/slave_operations.hpp>
#include <remsh/master/slave_protocol.hpp>
#include <remsh/master/tcp_slave_listener.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/master/unix_slave_listener.hpp>
#include <remsh/master/workspace.hpp>
#include <remsh/version.hpp>

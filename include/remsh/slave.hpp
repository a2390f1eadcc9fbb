// Everything for a program that is or contains a slave.
#pragma once

#include <remsh/auth/slave_key.hpp>
#include <remsh/base/bytes.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/stop_on_signals.hpp>
#include <remsh/connection/compression.hpp>
#include <remsh/slave/embedded.hpp>
#include <remsh/slave/enrol.hpp>
#include <remsh/slave/slave_server.hpp>
#include <remsh/version.hpp>

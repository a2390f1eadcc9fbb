// Everything for a program that exchanges messages with others, in C++ or in Python.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/value.hpp>
#include <remsh/messages/auth_key.hpp>
#include <remsh/messages/challenge.hpp>
#include <remsh/messages/client.hpp>
#include <remsh/messages/listener.hpp>
#include <remsh/messages/message_connection.hpp>
#include <remsh/version.hpp>

// log_text(): a log record as a line of text.
#pragma once

#include <remsh/base/log.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// A log record as a line, without the newline: "2026-11-29T09:30:00+0100 warning listener: w1: it does not answer".
std::string log_text(const LogRecord& record, std::chrono::system_clock::time_point at);

}  // namespace remsh

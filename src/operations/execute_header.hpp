// The header of a command: what a build master shows above its output, made in pieces as they become known.
#pragma once

#include "base/secret_mask.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/operations/execute.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// What its caller knows before it runs.
std::string first_lines_of_header(const std::vector<Bytes>& args, const ExecuteOptions& options);

/// What its slave knows when it runs. `user`: the account that was asked for; empty: the slave's own.
std::string process_lines_of_header(BytesView directory, std::optional<std::uint64_t> pid, BytesView user,
                                    const SecretMask& mask);

/// Why its slave begins to end it, and the name of the signal.
std::string ending_line_of_header(std::string_view why, std::string_view signal, const SecretMask& mask);

/// How it ended.
std::string last_line_of_header(const ExecuteResult& result);

}  // namespace remsh

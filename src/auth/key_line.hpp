// The text of key files, no I/O: lines `NAME KEY [option...]`. docs/security.md describes it for users.
//
// Failures show no key, and no word that may be one. They show a name only if the rest of the line is correct, and an
// option only if it has no digits and no capitals.
#pragma once

#include "base/result.hpp"
#include "base/secret_text.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::auth {

using WallTime = std::chrono::system_clock::time_point;

inline constexpr std::size_t max_keys_of_name = 4;
inline constexpr std::size_t max_key_line = 16'384;  // bytes; enough for all permitted terms
inline constexpr std::size_t max_key_networks = 64;
inline constexpr std::size_t max_key_labels = 32;

/// A key and everything that is known about it.
struct KeyLine {
  std::string name;
  Secret key;
  KeyTerms terms = {};
  std::optional<WallTime> used = {};  ///< when an invitation was used
  std::string kid = {};               ///< computed by make_key_line() and the parser

  friend bool operator==(const KeyLine&, const KeyLine&) = default;
};

/// Fails if the labels are not allowed.
Result<void> check_labels(const std::map<std::string, std::string>& labels);

/// Fails if a slave cannot claim these labels.
Result<void> check_claimed_labels(const std::map<std::string, std::string>& labels);

/// The labels that a slave claims, as it sends them: "gpu=a100 os=linux".
std::string claimed_labels_text(const std::map<std::string, std::string>& labels);

/// The labels of such a text; nullopt if it is malformed.
std::optional<std::map<std::string, std::string>> parse_claimed_labels(std::string_view text);

/// Makes a line; fails if the name or the terms are not allowed.
Result<KeyLine> make_key_line(std::string name, const Secret& key, KeyTerms terms = {});

/// Parses one line without its newline; nullopt for an empty line and a comment.
Result<std::optional<KeyLine>> parse_key_line(std::string_view text);

/// Appends the line and a newline, in the form that parse_key_line() accepts.
void write_key_line(SecretText& to, const KeyLine& line);

/// The options of a line as text, each after a space; without secrets.
std::string key_options(const KeyLine& line);

/// A line of a file, and its part of the text.
struct KeyRow {
  std::string_view text;  ///< with its newline; a view of the parsed text
  std::optional<KeyLine> key;
};

/// Parses all lines of a file, including comments. Fails if a line is wrong, a key appears twice, two keys of a name
/// have the same key id, a name has more than max_keys_of_name keys, there is no line at all, or the last line has no
/// newline. Failures begin with "FILE:LINE: ".
Result<std::vector<KeyRow>> parse_key_file(std::string_view text, std::string_view file);

/// Parses the single line of a slave's own file: `NAME KEY`, without options. A newline and comments may follow.
Result<KeyLine> parse_own_key(std::string_view text, std::string_view file);

}  // namespace remsh::auth

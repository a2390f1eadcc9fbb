// The text of key files, no I/O: lines `NAME KEY [option...]` and `NAME password=PASSWORD [option...]`.
// docs/security.md describes it for users.
//
// Failures show no key and no password, and no word that may be one or a part of one. They show a name only if the rest
// of the line is correct, and an unknown option only if the line has a key, and the option no digits and no capitals:
// behind a password, any word may be a part of it that was written with a space.
#pragma once

#include "auth/key_password.hpp"
#include "base/result.hpp"
#include "base/secret_text.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/bytes.hpp>
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

/// A key or a password, and everything that is known about it.
struct KeyLine {
  std::string name;
  Secret key;  ///< of a password line: stands for the name and the password, in this process; nobody can prove it
  KeyTerms terms = {};
  std::optional<WallTime> used = {};  ///< when an invitation was used
  std::string kid = {};               ///< computed by make_key_line(), make_password_line() and the parser
  std::optional<Password> password = {};

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

/// Makes a password line; fails if the name, the password or the terms are not allowed. Equal arguments give equal
/// lines as long as the process lives; another process computes another `key` and `kid`. Throws std::system_error if
/// the system has no random bytes, as make_key() does, and so does the parser.
Result<KeyLine> make_password_line(std::string name, BytesView password, KeyTerms terms = {});

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

/// Parses all lines of a file, including comments. Fails if a line is wrong, a key appears twice, a name has a password
/// twice, two lines of a name have the same key id, a name has more than max_keys_of_name lines, there is no line at
/// all, or the last line has no newline. Failures begin with "FILE:LINE: ".
Result<std::vector<KeyRow>> parse_key_file(std::string_view text, std::string_view file);

/// Parses the single line of a slave's own file: `NAME KEY`, without options. A newline and comments may follow. Fails
/// for a password.
Result<KeyLine> parse_own_key(std::string_view text, std::string_view file);

}  // namespace remsh::auth

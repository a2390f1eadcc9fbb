// The text of key files, no I/O: lines `NAME KEY [option...]`. docs/security.md says it for users.
//
// No failure shows a key, nor a word that may be one: it shows a name once the whole line is right, and an option where
// it has no digits and no capitals.
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
inline constexpr std::size_t max_key_line = 16'384;  // bytes; whatever terms are allowed fit
inline constexpr std::size_t max_key_networks = 64;
inline constexpr std::size_t max_key_labels = 32;

/// A key and all that is known of it.
struct KeyLine {
  std::string name;
  Secret key;
  KeyTerms terms = {};
  std::optional<WallTime> used = {};  ///< when an invitation was taken up
  std::string kid = {};               ///< computed: make_key_line() and the parser do

  friend bool operator==(const KeyLine&, const KeyLine&) = default;
};

/// Refuses labels that no key may have.
Result<void> check_labels(const std::map<std::string, std::string>& labels);

/// Refuses a name or terms that no line may have.
Result<KeyLine> make_key_line(std::string name, const Secret& key, KeyTerms terms = {});

/// One line without its end; nothing for an empty one and a comment.
Result<std::optional<KeyLine>> parse_key_line(std::string_view text);

/// Adds it to the text as parse_key_line() takes it, with an end of line.
void write_key_line(SecretText& to, const KeyLine& line);

/// The options of a line as they are written, each with a space before it: nothing secret.
std::string key_options(const KeyLine& line);

/// A line of a file, and which part of the text it is.
struct KeyRow {
  std::string_view text;  ///< with its end; of the text that was parsed
  std::optional<KeyLine> key;
};

/// All lines of a file, comments too. Refuses what is wrong with any of them, or all together: a key twice, two of one
/// name with the same key id, more than max_keys_of_name of a name, no line at all, and a last one without an end.
/// Failures begin with "FILE:LINE: ".
Result<std::vector<KeyRow>> parse_key_file(std::string_view text, std::string_view file);

/// The one line that a slave has of its own: `NAME KEY`, without options. An end of line may follow, and comments.
Result<KeyLine> parse_own_key(std::string_view text, std::string_view file);

}  // namespace remsh::auth

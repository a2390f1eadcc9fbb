// Key files: any text is refused with a sentence that shows neither a key nor a password, or is keys and passwords that
// keep the rules and can be written and read again.
#include "auth/derive.hpp"
#include "auth/key_line.hpp"
#include "fuzz/input.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::auth;

namespace {

/// No eight characters of what may be a key, or a part of one, are in a sentence. Words of the sentences themselves,
/// and the names of terms with their '=', are left alone: a key may contain them by chance.
void expect_no_key(BytesView text, std::string_view sentence) {
  constexpr std::string_view spaces = " \t\r\n";
  constexpr std::size_t shown = 8;
  while (!text.empty()) {
    text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
    const BytesView word = text.substr(0, text.find_first_of(spaces));
    text.remove_prefix(word.size());
    if (!Secret::from_base64(word)) continue;
    for (std::size_t at = 0; at + shown <= word.size(); ++at) {
      const BytesView part = word.substr(at, shown);
      if (part.find_first_not_of("abcdefghijklmnopqrstuvwxyz=") == BytesView::npos) continue;
      REMSH_EXPECT(sentence.find(part) == std::string_view::npos);
    }
  }
}

/// A line with every character of its password made the same, but for those that are written with %; nullopt if it has
/// no password.
std::optional<Bytes> masked(BytesView line) {
  constexpr std::string_view spaces = " \t";
  constexpr std::string_view option = "password=";
  std::size_t at = std::min(line.find_first_not_of(spaces), line.size());
  at = std::min(line.find_first_of(spaces, at), line.size());
  at = std::min(line.find_first_not_of(spaces, at), line.size());
  if (!line.substr(at).starts_with(option)) return std::nullopt;
  Bytes same(line);
  const std::size_t end = std::min(line.find_first_of(spaces, at), line.size());
  for (at += option.size(); at < end; ++at) {
    if (same[at] == '%') {
      at += 2;
    } else if (same[at] > ' ' && same[at] <= '~') {
      same[at] = 'x';
    }
  }
  return same;
}

/// A sentence about a line is the same for every password.
void expect_no_password(BytesView text) {
  while (!text.empty()) {
    const BytesView line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto other = masked(line);
    if (!other) continue;
    const auto parsed = parse_key_line(line);
    const auto parsed_other = parse_key_line(*other);
    REMSH_EXPECT(parsed.ok() == parsed_other.ok());
    if (!parsed) REMSH_EXPECT(parsed.failure().message == parsed_other.failure().message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView text = fuzz::Input(data, size).rest();
  expect_no_password(text);
  const auto own = parse_own_key(text, "own");
  if (!own) {
    fuzz::expect_printable(own.failure().message);
    expect_no_key(text, own.failure().message);
  } else {
    REMSH_EXPECT(own->terms == KeyTerms() && own->kid == kid(own->key) && !own->password);
  }

  const auto rows = parse_key_file(text, "file");
  if (!rows) {
    fuzz::expect_printable(rows.failure().message);
    expect_no_key(text, rows.failure().message);
    return 0;
  }
  Bytes same;
  SecretText written;
  std::vector<KeyLine> lines;
  std::map<std::string, std::set<std::string>> kids;
  for (const KeyRow& row : *rows) {
    same += row.text;
    if (!row.key) continue;
    REMSH_EXPECT(kids[row.key->name].insert(row.key->kid).second);
    REMSH_EXPECT(kids[row.key->name].size() <= max_keys_of_name);
    REMSH_EXPECT(!row.key->terms.is_invitation || row.key->terms.expires);
    if (const auto& password = row.key->password) {
      const auto made = make_password_line(row.key->name, password->bytes(), row.key->terms);
      REMSH_EXPECT(made && *made == *row.key);
    } else {
      REMSH_EXPECT(make_key_line(row.key->name, row.key->key, row.key->terms).ok());
    }
    lines.push_back(*row.key);
    write_key_line(written, *row.key);
  }
  REMSH_EXPECT(same == text);
  if (lines.empty()) return 0;
  const auto again = parse_key_file(written.view(), "again");
  REMSH_EXPECT(again && again->size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) REMSH_EXPECT((*again)[i].key == lines[i]);
  return 0;
}

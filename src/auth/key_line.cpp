#include "auth/key_line.hpp"

#include "auth/derive.hpp"
#include "auth/handshake_grammar.hpp"
#include "auth/hmac.hpp"
#include "base/format.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "base/utc_time.hpp"
#include "base/wipe.hpp"
#include "os/random.hpp"
#include "transport/network.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>

namespace remsh::auth {

namespace {

constexpr std::string_view label_prefix = "label.";
constexpr std::string_view password_option = "password";
constexpr std::size_t max_label = 256;

Failure wrong(std::string what) { return {Errc::invalid_argument, std::move(what), 0}; }

/// The secret of the line in which a word is.
enum class Beside : std::uint8_t {
  key,
  password,
};

/// A word for a message, quoted if its characters exclude that it is a part of a key. A password has no characters that
/// exclude it: in `w1 password=my secret`, `secret` looks like an option.
std::string shown(std::string_view word, std::string_view characters, Beside secret) {
  if (secret == Beside::password) {
    return "(not shown, as it may be a part of the password, in which a space is written %20)";
  }
  constexpr std::size_t longest = 50;
  const bool is_harmless =
      !word.empty() && word.size() <= longest && word.find_first_not_of(characters) == std::string_view::npos;
  return is_harmless ? formatted("'{}'", word) : "(not shown, as it may be a part of a key)";
}

constexpr std::string_view of_options = "abcdefghijklmnopqrstuvwxyz._-";
constexpr std::string_view of_networks = "0123456789abcdefABCDEF.:/";

/// Removes and returns the first word, and removes the spaces around it.
std::string_view take_word(std::string_view& text) {
  constexpr std::string_view spaces = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(spaces));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  return word;
}

bool is_label_value(std::string_view value) {
  return !value.empty() && value.size() <= max_label && value.find(' ') == std::string_view::npos &&
         without_controls(value) == value;
}

}  // namespace

Result<void> check_labels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > max_key_labels) return wrong("there are at most 32 labels");
  for (const auto& [key, value] : labels) {
    if (!is_slave_name(key)) return wrong("the name of a label is 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!is_label_value(value)) return wrong("the value of a label is 1 to 256 bytes of UTF-8 without spaces");
  }
  return {};
}

Result<void> check_claimed_labels(const std::map<std::string, std::string>& labels) {
  constexpr std::size_t most = 1024;  // of the registration: docs/protocol.md section 4
  if (auto checked = check_labels(labels); !checked) return checked;
  if (claimed_labels_text(labels).size() > most) return wrong("the labels have more than 1,024 bytes together");
  return {};
}

std::string claimed_labels_text(const std::map<std::string, std::string>& labels) {
  std::string text;
  for (const auto& [key, value] : labels) text += formatted("{}{}={}", text.empty() ? "" : " ", key, value);
  return text;
}

std::optional<std::map<std::string, std::string>> parse_claimed_labels(std::string_view text) {
  std::map<std::string, std::string> labels;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    labels.emplace(word.substr(0, equals), word.substr(equals + 1));
  }
  // Only the text in order, without repetition and without blanks at its end, is the same again.
  if (!check_labels(labels) || claimed_labels_text(labels) != text) return std::nullopt;
  return labels;
}

namespace {

Result<void> check_terms(const KeyTerms& terms, Beside secret) {
  if (terms.networks.size() > max_key_networks) return wrong("a key has at most 64 networks");
  for (const std::string& network : terms.networks) {
    if (!Network::parse(network)) {
      return wrong(formatted(
          "the network {} is none: give an address, or the first of a range with its prefix, as 10.0.0.0/8 or fd00::/8",
          shown(network, of_networks, secret)));
    }
  }
  if (terms.expires && parse_utc_time(to_utc_text(*terms.expires)) == std::nullopt) {
    return wrong("a key expires between the years 1970 and 2200");
  }
  if (auto checked = check_labels(terms.labels); !checked) return checked;
  if (terms.is_invitation && !terms.expires) return wrong("an invitation needs a time when it expires");
  return {};
}

/// Of a line with a password.
Result<void> check_no_invitation(const KeyTerms& terms) {
  if (terms.is_invitation) return wrong("a password cannot be an invitation, for which a slave gets a key");
  return {};
}

Result<void> take_option(std::string_view word, KeyLine& line) {
  const std::size_t equals = word.find('=');
  const std::string_view option = word.substr(0, equals);
  const bool has_value = equals != std::string_view::npos;
  const std::string_view value = has_value ? word.substr(equals + 1) : std::string_view();
  const Beside secret = line.password ? Beside::password : Beside::key;
  const auto twice = [&] { return wrong(formatted("the option '{}' is given twice", option)); };
  const auto take_time = [&](std::optional<WallTime>& into) -> Result<void> {
    if (into) return twice();
    into = parse_utc_time(value);
    if (into) return {};
    return wrong(formatted("the option '{}' wants a time in UTC, as 2027-01-31T00:00:00Z", option));
  };
  if (option == "invite" && !has_value) {
    if (line.terms.is_invitation) return twice();
    line.terms.is_invitation = true;
  } else if (option == "expires") {
    return take_time(line.terms.expires);
  } else if (option == "used") {
    return take_time(line.used);
  } else if (option == "networks") {
    if (!line.terms.networks.empty()) return twice();
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t end = std::min(value.find(',', at), value.size());
      line.terms.networks.emplace_back(value.substr(at, end - at));
      at = end + 1;
    }
  } else if (option.starts_with(label_prefix) && has_value) {
    const std::string_view key = option.substr(label_prefix.size());
    if (!line.terms.labels.emplace(key, value).second) return wrong("a label is given twice");
  } else if (option == password_option) {
    return wrong("a line has one key or one password, as its second word: give each a line of its own");
  } else {
    return wrong(formatted("unknown option {}: there are networks=, expires=, label.KEY=, invite and used=",
                           shown(option, of_options, secret)));
  }
  return {};
}

constexpr const char* wrong_password_size = "a password has 1 to 256 bytes";

constexpr const char* no_zero_key =
    "the key is all zeros, which anybody can guess: 'remsh-slave keygen add NAME' makes one";

bool is_zero(const Secret& key) { return key == *Secret::from_bytes(std::string(Secret::size, '\0')); }

constexpr const char* wrong_name =
    "the name of a slave is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or a digit";

/// What stands in the place of a key in a line with a password.
///
/// A password gets its own "key" so that one rule serves both: the key id tells lines apart, a line that changes has
/// another id, and connections that were let in by the old one end. But it must be of no other use. A key that was
/// computed from the name and the password alone could be computed by whoever knows or guesses the password, and would
/// prove the name by remsh 2 or TLS-PSK; and its key id, which is in every log, would let a reader of the log try
/// passwords. So it is a MAC under a key that nobody outside this process can know, because it is made here at random
/// and never leaves: the result is the same as long as the process lives, and tells nothing. No other process, and not
/// this one after a restart, has the same key id.
Secret stand_in_key(std::string_view name, const Password& password) {
  // An array is never destroyed: a listener may still read its file while the program exits.
  static const auto key_of_process = [] {
    std::array<char, Secret::size> key{};
    random_bytes(key);
    return key;
  }();
  SecretText text;
  text += name;
  text += " ";  // is in no name, so different pairs make different texts
  text += password.bytes();
  return hmac({key_of_process.data(), key_of_process.size()}, text.view());
}

/// Each key with the number of its line, sorted so that equal keys are neighbours.
using KeyOrder = std::vector<std::pair<BytesView, std::size_t>>;

Result<void> check_together(const std::vector<KeyRow>& rows, const std::string& file) {
  const auto at = [&file](std::size_t row) { return formatted("{}:{}: ", file, row + 1); };
  KeyOrder order;
  std::map<std::string_view, std::vector<std::size_t>> of_name;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (!rows[row].key) continue;
    const KeyLine& line = *rows[row].key;
    order.emplace_back(line.key.bytes(), row);
    std::vector<std::size_t>& others = of_name[line.name];
    if (others.size() == max_keys_of_name) {
      return wrong(formatted("{}'{}' has more than four keys{}: remove one", at(row), line.name,
                             line.password ? " and passwords" : ""));
    }
    for (const std::size_t other : others) {
      if (rows[other].key->kid == line.kid && rows[other].key->key != line.key) {
        return wrong(formatted("{}two keys of '{}' have the same key id {}, by chance: make another", at(row),
                               line.name, line.kid));
      }
    }
    others.push_back(row);
  }
  std::sort(order.begin(), order.end());
  const auto same =
      std::adjacent_find(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (same == order.end()) return {};
  const std::size_t first = same->second;
  const std::size_t second = std::next(same)->second;
  if (rows[second].key->password) {
    return wrong(formatted("{}'{}' has this password in line {} already: remove one of the lines", at(second),
                           rows[second].key->name, first + 1));
  }
  return wrong(formatted(
      "{}the key {} is in line {} already: each slave has a key of its own, so remove the line or make another key",
      at(second), rows[second].key->kid, first + 1));
}

}  // namespace

Result<KeyLine> make_key_line(std::string name, const Secret& key, KeyTerms terms) {
  if (is_zero(key)) return wrong(no_zero_key);
  if (!is_slave_name(name)) return wrong(wrong_name);
  if (auto checked = check_terms(terms, Beside::key); !checked) return std::move(checked).failure();
  return KeyLine{std::move(name), key, std::move(terms), std::nullopt, kid(key)};
}

Result<KeyLine> make_password_line(std::string name, BytesView password, KeyTerms terms) {
  if (!is_slave_name(name)) return wrong(wrong_name);
  auto checked_password = Password::from_bytes(password);
  if (!checked_password) return wrong(wrong_password_size);
  if (auto checked = check_no_invitation(terms); !checked) return std::move(checked).failure();
  // The networks of a call are no words of a line in which a password may have been torn apart.
  if (auto checked = check_terms(terms, Beside::key); !checked) return std::move(checked).failure();
  const Secret key = stand_in_key(name, *checked_password);
  return KeyLine{std::move(name), key, std::move(terms), std::nullopt, kid(key), std::move(checked_password)};
}

namespace {

constexpr bool is_plain(char byte) noexcept { return byte > ' ' && byte <= '~' && byte != '%'; }

/// The value of a hexadecimal digit; nullopt if it is none.
constexpr std::optional<unsigned> digit_value(char digit) noexcept {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<unsigned>(digit - 'a') + 10U;
  if (digit >= 'A' && digit <= 'F') return static_cast<unsigned>(digit - 'A') + 10U;
  return std::nullopt;
}

/// The password of a word of a file. base/percent_encoding.hpp does not serve here: it leaves what is malformed as it
/// is, so that a slip would become another password, and its result is not wiped.
Result<Password> decoded_password(std::string_view word) {
  SecretText text;
  while (!word.empty()) {
    if (is_plain(word[0])) {
      text += word.substr(0, 1);
      word.remove_prefix(1);
      continue;
    }
    const auto high = word[0] == '%' && word.size() >= 3 ? digit_value(word[1]) : std::nullopt;
    const auto low = high ? digit_value(word[2]) : std::nullopt;
    if (!low) {
      return wrong(
          "the password is not as it is written here: % and two hexadecimal digits for each byte that is a space, a "
          "control, % or not ASCII, such as %20 for a space");
    }
    const char byte = static_cast<char>(*high * 16 + *low);
    text += std::string_view(&byte, 1);
    word.remove_prefix(3);
  }
  auto password = Password::from_bytes(text.view());
  if (!password) return wrong(wrong_password_size);
  return *std::move(password);
}

/// The other direction of decoded_password().
void write_password(SecretText& to, const Password& password) {
  for (const char byte : password.bytes()) {
    if (is_plain(byte)) {
      to += std::string_view(&byte, 1);
      continue;
    }
    const auto value = static_cast<unsigned char>(byte);
    const std::array<char, 3> encoded{'%', upper_hex[value >> 4U], upper_hex[value & 0xFU]};
    to += std::string_view(encoded.data(), encoded.size());
  }
}

/// The line of the first two words, of which the second is a key or a password.
Result<KeyLine> line_of(std::string_view name, std::string_view word) {
  if (word.substr(0, word.find('=')) == password_option && word != password_option) {
    auto password = decoded_password(word.substr(password_option.size() + 1));
    if (!password) return std::move(password).failure();
    KeyLine line{std::string(name), stand_in_key(name, *password)};
    line.password = *std::move(password);
    return line;
  }
  const std::optional<Secret> key = Secret::from_base64(word);
  if (!key) {
    return wrong(
        "the second word is no key, which is 32 random bytes in base64, 44 characters: "
        "'remsh-slave keygen add NAME' makes one; nor is it password=PASSWORD, for a worker of Buildbot");
  }
  if (is_zero(*key)) return wrong(no_zero_key);
  return KeyLine{std::string(name), *key};
}

}  // namespace

Result<std::optional<KeyLine>> parse_key_line(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.size() > max_key_line) return wrong("the line is too long");
  const std::string_view name = take_word(text);
  if (name.empty() || name.front() == '#') return std::optional<KeyLine>();
  if (!is_slave_name(name)) {
    return wrong(
        "the first word is no name of a slave, which is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or a "
        "digit");
  }
  auto line = line_of(name, take_word(text));
  if (!line) return std::move(line).failure();
  while (!text.empty()) {
    if (auto taken = take_option(take_word(text), *line); !taken) return std::move(taken).failure();
  }
  if (line->password) {
    if (auto checked = check_no_invitation(line->terms); !checked) return std::move(checked).failure();
  }
  if (line->used && !line->terms.is_invitation) return wrong("the option 'used' is for invitations");
  const Beside secret = line->password ? Beside::password : Beside::key;
  if (auto checked = check_terms(line->terms, secret); !checked) return std::move(checked).failure();
  line->kid = kid(line->key);
  return std::optional<KeyLine>(*std::move(line));
}

void write_key_line(SecretText& to, const KeyLine& line) {
  to += line.name;
  to += " ";
  if (line.password) {
    to += password_option;
    to += "=";
    write_password(to, *line.password);
  } else {
    std::string key = line.key.to_base64();
    to += key;
    wipe(key);
  }
  to += key_options(line);
  to += "\n";
}

std::string key_options(const KeyLine& line) {
  std::string text;
  for (const std::string& network : line.terms.networks) text += (text.empty() ? " networks=" : ",") + network;
  if (line.terms.expires) text += " expires=" + to_utc_text(*line.terms.expires);
  if (line.terms.is_invitation) text += " invite";
  if (line.used) text += " used=" + to_utc_text(*line.used);
  for (const auto& [key, value] : line.terms.labels) text.append(" ").append(label_prefix) += key + "=" + value;
  return text;
}

Result<std::vector<KeyRow>> parse_key_file(std::string_view text, std::string_view path) {
  const std::string file = escaped(path);
  // A file looks like this, or has no last newline, while another process writes it in place.
  if (text.empty()) {
    return wrong(file +
                 ": the file is empty: 'remsh-slave keygen add NAME' adds a key; where no slave is to get in, "
                 "leave a comment in it, a line that begins with #");
  }
  std::vector<KeyRow> rows;
  for (std::size_t at = 0; at < text.size();) {
    const std::string where = formatted("{}:{}: ", file, rows.size() + 1);
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) return wrong(where + "the last line has no end: add a newline");
    auto line = parse_key_line(text.substr(at, end - at));
    if (!line) return wrong(where + line.failure().message);
    rows.push_back({text.substr(at, end + 1 - at), *std::move(line)});
    at = end + 1;
  }
  if (auto checked = check_together(rows, file); !checked) return std::move(checked).failure();
  return rows;
}

Result<KeyLine> parse_own_key(std::string_view text, std::string_view path) {
  const std::string file = escaped(path);
  std::optional<KeyLine> own;
  std::size_t number = 1;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::string where = formatted("{}:{}: ", file, number);
    const std::size_t end = std::min(text.find('\n', at), text.size());
    auto line = parse_key_line(text.substr(at, end - at));
    if (!line) return wrong(where + line.failure().message);
    at = end + 1;
    if (!*line) continue;
    if (own) return wrong(where + "a slave has one key: leave one line `NAME KEY`");
    own = *std::move(line);
    if (own->password) {
      return wrong(where +
                   "a password is for the master's key file and a worker of Buildbot, and proves no slave: leave "
                   "`NAME KEY` here, which 'remsh-slave keygen add NAME' prints");
    }
    if (own->terms != KeyTerms()) {
      return wrong(where + "options are for the master's key file: leave `NAME KEY` here");
    }
  }
  if (!own) return wrong(file + ": no key is in it: it is to have one line, `NAME KEY`");
  return *std::move(own);
}

}  // namespace remsh::auth

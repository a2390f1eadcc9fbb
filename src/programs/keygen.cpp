// remsh-slave keygen: makes, shows and removes the keys of slaves.
#include "auth/derive.hpp"
#include "auth/handshake_grammar.hpp"
#include "auth/key_file.hpp"
#include "auth/key_line.hpp"
#include "base/format.hpp"
#include "base/secret_text.hpp"
#include "base/text.hpp"
#include "programs/command.hpp"
#include "programs/option_reader.hpp"

#include <remsh/auth/key_ring.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

using auth::KeyFileChange;
using auth::KeyLine;

constexpr std::string_view usage_of_keygen =
    "usage: remsh-slave keygen add NAME [options]\n"
    "       remsh-slave keygen invite NAME --expires WHEN [options]\n"
    "       remsh-slave keygen list [--keys FILE]\n"
    "       remsh-slave keygen remove NAME [KID] [--keys FILE]\n"
    "\n"
    "Keeps the file of the keys that slaves may prove to a master. A master that runs follows it.\n"
    "  add     makes a key for NAME: one line goes to the file, which is made if missing, and the slave's\n"
    "          own, NAME KEY, to standard output; up to four overlap, to be rotated\n"
    "  invite  makes a token for NAME instead, for which the slave gets a key from the master, once\n"
    "  list    shows names, key ids and options, and neither keys nor passwords\n"
    "  remove  removes the keys of NAME, or the one that has the key id KID\n"
    "\n";

constexpr std::string_view notes_of_keygen =
    "\nWhoever reads either file can be that slave; docs/security.md says more.\n";

constexpr std::array codes_of_keygen{exit_ok, exit_usage, exit_software};

int complain(const std::string& what) { return program::complain(keygen_command(), what); }
int fail(const std::string& what) { return program::fail(keygen_command(), exit_software, what); }
void say(const std::string& what) { std::fputs((what + "\n").c_str(), stderr); }

/// Without stdio, whose buffer is never wiped. Returns an errno value, or 0 if everything was written.
int write_to_standard_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

/// Removes a key again that could not be given out.
Result<void> take_back(const KeyLine& line, const Settings& settings) {
  return auth::change_key_file(settings.keys, false, settings.now,
                               [&line](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
                                 KeyFileChange change;
                                 for (std::size_t i = 0; i < lines.size(); ++i) {
                                   if (lines[i].key == line.key) change.removed.insert(i);
                                 }
                                 return change;
                               });
}

/// Writes the slave's new file. Returns an error message if that fails.
std::optional<std::string> write_slave_file(const std::string& path, const KeyLine& line) {
  auto written = auth::write_own_key(path, line.name, line.key, false);
  if (written) return std::nullopt;
  if (written.failure().code != Errc::in_use) return written.failure().message;
  return in_quotes(path) + " is there already: give a new file, or remove that one";
}

int add(Settings& settings) {
  const std::string& name = settings.words[1];
  const auto line = auth::make_key_line(name, make_key(), settings.terms);
  if (!line) return complain(line.failure().message);
  // The slave's file first: a key that is only in the master's file would be of no use.
  if (settings.slave_file) {
    if (const auto fault = write_slave_file(*settings.slave_file, *line)) return fail(*fault);
  }
  const auto added = auth::change_key_file(settings.keys, true, settings.now,
                                           [&line](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
                                             return KeyFileChange{{}, {}, {*line}};
                                           });
  if (!added) {
    if (settings.slave_file) auth::remove_own_key(*settings.slave_file);
    return fail(added.failure().message);
  }
  if (!settings.slave_file) {
    SecretText text;
    auth::write_key_line(text, *auth::make_key_line(name, line->key));
    if (const int error = write_to_standard_output(text.view())) {
      return fail(formatted(
          "standard output: {}{}", std::generic_category().message(error),
          take_back(*line, settings) ? "; the key is not in the file either" : "; remove the key " + line->kid));
    }
  }
  say(formatted("added {}{}, for '{}' to {}", line->terms.is_invitation ? "an invitation, " : "the key ", line->kid,
                name, in_quotes(settings.keys)));
  return exit_ok;
}

int invite(Settings& settings) {
  if (!settings.terms.expires) return complain("invite needs --expires, such as --expires 1h");
  settings.terms.is_invitation = true;
  return add(settings);
}

int list(Settings& settings) {
  const auto content = auth::read_key_file(settings.keys, auth::KeyFileUse::keep);
  if (!content) return fail(content.failure().message);
  for (const KeyLine& line : content->lines) {
    const bool is_expired = line.terms.expires && *line.terms.expires <= settings.now;
    const std::string shown = formatted("{} {}{}{}{}\n", line.name, line.kid, line.password ? " password" : "",
                                        auth::key_options(line), is_expired ? " (expired)" : "");
    std::fputs(shown.c_str(), stdout);
  }
  return std::fflush(stdout) == 0 ? exit_ok : fail("standard output cannot be written");
}

int remove(Settings& settings) {
  const std::string& name = settings.words[1];
  const std::string kid = settings.words.size() > 2 ? settings.words[2] : "";
  if (!auth::is_slave_name(name)) return complain("NAME is 1 to 64 of A-Z a-z 0-9 . _ -");
  if (!kid.empty() && !auth::is_kid(kid)) {
    return complain("KID is the 8 hex digits that 'remsh-slave keygen list' shows");
  }
  std::string kids;
  bool has_password = false;
  const auto choose = [&](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
    KeyFileChange change;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].name != name) continue;
      if (lines[i].password) {
        has_password = true;
      } else if (kid.empty() || lines[i].kid == kid) {
        change.removed.insert(i);
        kids += " " + lines[i].kid;
      }
    }
    if (!change.removed.empty()) return change;
    std::string what =
        formatted("{} has no key {}of '{}'", in_quotes(settings.keys), kid.empty() ? "" : kid + " ", name);
    what += has_password ? ", but a password, whose id is another one each time: remove its line with an editor"
                         : ": 'remsh-slave keygen list' shows which there are";
    return Failure{Errc::invalid_argument, std::move(what), 0};
  };
  const auto removed = auth::change_key_file(settings.keys, false, settings.now, choose);
  if (!removed) return fail(removed.failure().message);
  say(formatted("removed of '{}':{}", name, kids));
  if (has_password && kid.empty()) {
    say(formatted("'{}' still has a password in {}, which is removed with an editor", name, in_quotes(settings.keys)));
  }
  return exit_ok;
}

/// An action of keygen.
struct Verb {
  std::string_view word;
  Uses use;
  std::size_t least_words;  // including this one
  std::size_t most_words;
  int (*run)(Settings& settings);
};

constexpr std::array verbs{
    Verb{"add", for_add, 2, 2, add},
    Verb{"invite", for_invite, 2, 2, invite},
    Verb{"list", for_list, 1, 1, list},
    Verb{"remove", for_remove, 2, 3, remove},
};

int run_keygen(Settings& settings, OptionReader& given) {
  const auto* const verb = std::find_if(verbs.begin(), verbs.end(), [&settings](const Verb& one) {
    return !settings.words.empty() && one.word == settings.words.front();
  });
  // A word may be a key, so no word is shown here.
  if (verb == verbs.end()) return complain("say what to do: add, invite, list or remove");
  if (settings.words.size() < verb->least_words) return complain(formatted("{} needs the NAME of a slave", verb->word));
  if (settings.words.size() > verb->most_words) return complain("there is a word too many");
  for (const Option* const option : given.on_command_line()) {
    if ((option->uses & verb->use) != 0) continue;
    return complain(formatted("{} takes no --{}", verb->word, option->name));
  }
  return verb->run(settings);
}

}  // namespace

const Command& keygen_command() {
  static constexpr Command command{for_keygen, "keygen", usage_of_keygen, notes_of_keygen, codes_of_keygen, run_keygen};
  return command;
}

}  // namespace remsh::program

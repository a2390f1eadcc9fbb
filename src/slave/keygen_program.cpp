#include "slave/keygen_program.hpp"

#include "auth/handshake.hpp"
#include "auth/key_file.hpp"
#include "auth/key_line.hpp"
#include "base/decimal.hpp"
#include "base/exit_code.hpp"
#include "base/secret_text.hpp"
#include "base/text.hpp"
#include "base/utc_time.hpp"

#include <remsh/auth/key_ring.hpp>

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using auth::KeyFileChange;
using auth::KeyLine;
using auth::WallTime;

constexpr const char* usage =
    "usage: remsh-slave keygen add NAME [options]\n"
    "       remsh-slave keygen invite NAME --expires WHEN [options]\n"
    "       remsh-slave keygen list [--keys FILE]\n"
    "       remsh-slave keygen remove NAME [KID] [--keys FILE]\n"
    "\n"
    "Keeps the file of the keys that slaves may prove to a master. A master that runs follows it.\n"
    "\n"
    "  add                make a key for NAME: one line goes to the file, which is made if missing, and the\n"
    "                     slave's own, NAME KEY, to standard output; up to four overlap, to be rotated\n"
    "  invite             make a token for NAME instead, for which the slave gets a key from the master, once\n"
    "  list               show names, key ids and options, and no keys\n"
    "  remove             remove the keys of NAME, or the one that has the key id KID\n"
    "\n"
    "  --keys FILE        the master's file (default: slaves.keys)\n"
    "  --slave-file FILE  write the slave's line to this new file, mode 0600, not to standard output\n"
    "  --expires WHEN     it counts until 2027-01-31T00:00:00Z; or from now on for 30m, 12h, 90d\n"
    "  --network NET      it counts from there alone, 10.0.0.0/8 or fd00::1; can be given more than once\n"
    "  --label KEY=VALUE  is told to the master's program; can be given more than once\n"
    "\n"
    "Who reads either file can be that slave; docs/security.md says more.\n"
    "exit codes: 0 done, 64 usage, 70 not done\n";

int complain(const std::string& what) {
  std::fprintf(stderr, "remsh-slave keygen: %s\nTry 'remsh-slave keygen --help'.\n", what.c_str());
  return exit_usage;
}

int fail(const std::string& what) {
  std::fprintf(stderr, "remsh-slave keygen: %s\n", what.c_str());
  return exit_software;
}

void say(const std::string& what) { std::fprintf(stderr, "%s\n", what.c_str()); }

/// A moment, or how long from now.
std::optional<WallTime> parse_when(std::string_view text, WallTime now) {
  if (const auto moment = parse_utc_time(text)) return moment;
  using namespace std::chrono;
  const auto count = text.empty() ? std::nullopt : from_decimal(text.substr(0, text.size() - 1));
  constexpr std::uint64_t most = 100'000;
  if (!count || *count == 0 || *count > most) return std::nullopt;
  const auto n = static_cast<std::int64_t>(*count);
  switch (text.back()) {
    case 's': return now + seconds(n);
    case 'm': return now + minutes(n);
    case 'h': return now + hours(n);
    case 'd': return now + days(n);
    default: return std::nullopt;
  }
}

struct Arguments {
  std::vector<std::string> words;  // that are no options: what to do, and to whom
  std::string keys = "slaves.keys";
  std::optional<std::string> slave_file;
  KeyTerms terms;
};

/// The exit code, where the arguments are such that the program ends here.
std::optional<int> parse(int argc, char** argv, WallTime now, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      std::fputs(usage, stdout);
      return exit_ok;
    }
    if (!word.starts_with('-')) {
      arguments.words.emplace_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string option(word.substr(0, equals));
    if (option != "--keys" && option != "--slave-file" && option != "--expires" && option != "--network" &&
        option != "--label") {
      return complain("unknown option '" + escaped(option) + "'");
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    if (value.empty()) return complain("the option " + option + " needs a value");
    if (option == "--keys") {
      arguments.keys = std::move(value);
    } else if (option == "--slave-file") {
      arguments.slave_file = std::move(value);
    } else if (option == "--network") {
      arguments.terms.networks.push_back(std::move(value));
    } else if (option == "--expires") {
      arguments.terms.expires = parse_when(value, now);
      if (!arguments.terms.expires) {
        return complain("--expires takes a time in UTC, 2027-01-31T00:00:00Z, or a duration: 30m, 12h, 90d");
      }
      if (*arguments.terms.expires <= now) return complain("--expires is in the past");
    } else {
      const std::size_t split = value.find('=');
      if (split == std::string::npos) return complain("--label takes KEY=VALUE");
      arguments.terms.labels[value.substr(0, split)] = value.substr(split + 1);
    }
  }
  return std::nullopt;
}

/// Not by stdio, whose buffer nobody wipes. An errno value; 0 where all was written.
int write_to_standard_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

int add(const Arguments& arguments, WallTime now) {
  const std::string& name = arguments.words[1];
  const Secret key = make_key();
  const auto line = auth::make_key_line(name, key, arguments.terms);
  if (!line) return complain(line.failure().message);

  // The slave's first: a key that is in the master's file, and nowhere else, would be of use to nobody.
  if (arguments.slave_file) {
    if (auto written = auth::write_own_key(*arguments.slave_file, name, key, false); !written) {
      return fail(written.failure().code == Errc::in_use
                      ? "'" + escaped(*arguments.slave_file) + "' is there already: give a new file, or remove that one"
                      : written.failure().message);
    }
  }
  const auto added =
      auth::change_key_file(arguments.keys, true, now, [&line](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
        return KeyFileChange{{}, {}, {*line}};
      });
  if (!added) {
    if (arguments.slave_file) auth::remove_own_key(*arguments.slave_file);
    return fail(added.failure().message);
  }
  if (!arguments.slave_file) {
    SecretText text;
    auth::write_key_line(text, *auth::make_key_line(name, key));
    if (const int error = write_to_standard_output(text.view())) {
      const auto removed = auth::change_key_file(arguments.keys, false, now,
                                                 [&line](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
                                                   KeyFileChange change;
                                                   for (std::size_t i = 0; i < lines.size(); ++i) {
                                                     if (lines[i].key == line->key) change.removed.insert(i);
                                                   }
                                                   return change;
                                                 });
      return fail("standard output: " + std::generic_category().message(error) +
                  (removed ? "; the key is not in the file either" : "; remove the key " + line->kid));
    }
  }
  say(std::string("added ") + (line->terms.is_invitation ? "an invitation, " : "the key ") + line->kid + ", for '" +
      name + "' to '" + escaped(arguments.keys) + "'");
  return exit_ok;
}

int list(const Arguments& arguments, WallTime now) {
  const auto content = auth::read_key_file(arguments.keys, auth::KeyFileUse::keep);
  if (!content) return fail(content.failure().message);
  for (const KeyLine& line : content->lines) {
    const bool is_expired = line.terms.expires && *line.terms.expires <= now;
    std::printf("%s %s%s%s\n", line.name.c_str(), line.kid.c_str(), auth::key_options(line).c_str(),
                is_expired ? " (expired)" : "");
  }
  return std::fflush(stdout) == 0 ? exit_ok : fail("standard output cannot be written");
}

int remove(const Arguments& arguments, WallTime now) {
  const std::string& name = arguments.words[1];
  const std::string kid = arguments.words.size() > 2 ? arguments.words[2] : "";
  if (!auth::is_slave_name(name)) return complain("NAME is 1 to 64 of A-Z a-z 0-9 . _ -");
  if (!kid.empty() && (kid.size() != 8 || kid.find_first_not_of("0123456789abcdef") != std::string::npos)) {
    return complain("KID is the 8 hex digits that 'remsh-slave keygen list' shows");
  }
  std::string kids;
  const auto removed = auth::change_key_file(
      arguments.keys, false, now, [&](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
        KeyFileChange change;
        for (std::size_t i = 0; i < lines.size(); ++i) {
          if (lines[i].name != name || (!kid.empty() && lines[i].kid != kid)) continue;
          change.removed.insert(i);
          kids += " " + lines[i].kid;
        }
        if (!change.removed.empty()) return change;
        return Failure{Errc::invalid_argument,
                       "'" + escaped(arguments.keys) + "' has no key " + (kid.empty() ? "" : kid + " ") + "of '" +
                           name + "': 'remsh-slave keygen list' shows which there are",
                       0};
      });
  if (!removed) return fail(removed.failure().message);
  say("removed of '" + name + "':" + kids);
  return exit_ok;
}

int run(int argc, char** argv) {
  const WallTime now = std::chrono::system_clock::now();
  Arguments arguments;
  if (const auto code = parse(argc, argv, now, arguments)) return *code;
  const std::size_t words = arguments.words.size();
  if (words == 0) return complain("say what to do: add, invite, list or remove");
  const std::string verb = arguments.words[0];
  const bool makes_key = verb == "add" || verb == "invite";
  if (!makes_key && verb != "list" && verb != "remove") {
    return complain("say what to do: add, invite, list or remove");
  }
  const std::size_t most = verb == "list" ? 1 : verb == "remove" ? 3 : 2;
  if (verb != "list" && words < 2) return complain(verb + " needs the NAME of a slave");
  if (words > most) return complain("there is a word too many");  // which may be a key, so it is not shown
  if (!makes_key && (arguments.terms != KeyTerms() || arguments.slave_file)) {
    return complain(verb + " takes no option but --keys");
  }
  if (verb == "list") return list(arguments, now);
  if (verb == "remove") return remove(arguments, now);
  arguments.terms.is_invitation = verb == "invite";
  if (verb == "invite" && !arguments.terms.expires) return complain("invite needs --expires, such as --expires 1h");
  return add(arguments, now);
}

}  // namespace

int run_keygen_program(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace remsh

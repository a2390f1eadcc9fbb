#include "auth/handshake_grammar.hpp"
#include "auth/key_line.hpp"
#include "auth/resources.hpp"
#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/utc_time.hpp"
#include "programs/option.hpp"
#include "transport/address.hpp"
#include "transport/network.hpp"

#include <remsh/base/secret.hpp>
#include <remsh/connection/compression.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

using Set = Fault (*)(Settings& settings, const std::string& value);

/// Accepts any value: a text as it is; for a switch, "yes" is on. `Where` names the member of the settings.
template <class Where>
constexpr Set into(Where) {
  return [](Settings& settings, const std::string& value) -> Fault {
    auto& member = Where()(settings);
    if constexpr (std::is_same_v<decltype(member), bool&>) {
      member = value == "yes";
    } else {
      member = value;
    }
    return std::nullopt;
  };
}

Fault takes(const std::string& allowed, const std::string& value) {
  return formatted(" takes {}, not {}", allowed, shown(value));
}

Fault set_master(Settings& settings, const std::string& value) {
  if (auto address = parse_address(value); !address) return ": " + address.failure().message;
  SlaveProgramOptions& program = settings.program;
  if (program.master.empty()) {
    program.master = value;
  } else {
    program.other_masters.push_back(value);
  }
  return std::nullopt;
}

void clear_masters(Settings& settings) {
  settings.program.master.clear();
  settings.program.other_masters.clear();
}

/// For enrol, which has one master: the last one counts.
Fault set_one_master(Settings& settings, const std::string& value) {
  clear_masters(settings);
  return set_master(settings, value);
}

Fault set_retry_max(Settings& settings, const std::string& value) {
  constexpr std::uint64_t most = 86'400;
  const auto seconds = from_decimal(value);
  if (!seconds || *seconds == 0 || *seconds > most) return takes("1 to 86400 seconds", value);
  settings.program.slave.back_off_max = std::chrono::seconds(*seconds);
  return std::nullopt;
}

Fault set_drain(Settings& settings, const std::string& value) {
  constexpr std::uint64_t most = 86'400;
  const auto seconds = from_decimal(value);
  if (!seconds || *seconds > most) return takes("0 to 86400 seconds", value);
  settings.program.drain_time = std::chrono::seconds(*seconds);
  return std::nullopt;
}

Fault set_compression(Settings& settings, const std::string& value) {
  settings.program.slave.compression = value == "yes";
  if (settings.program.slave.compression && !has_compression()) return " cannot be used: this program has no zstd";
  return std::nullopt;
}

Fault set_key(Settings& settings, const std::string& value) {
  if (Secret::from_base64(value)) return " takes a file, and never the key or the token itself";
  settings.key = value;
  return std::nullopt;
}

Fault set_name(Settings& settings, const std::string& value) {
  if (!auth::is_slave_name(value)) {
    return takes("1 to 64 of A-Z a-z 0-9 . _ -, of which the first is a letter or a digit", value);
  }
  settings.program.slave.name = value;
  return std::nullopt;
}

/// The words of a list with commas; nullopt if one of them is empty.
std::optional<std::vector<std::string>> words_between_commas(const std::string& value) {
  std::vector<std::string> words(1);
  for (const char c : value) {
    if (c == ',') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  if (std::find(words.begin(), words.end(), "") != words.end()) return std::nullopt;
  return words;
}

Fault set_allow(Settings& settings, const std::string& value) {
  auto words = words_between_commas(value);
  if (!words) return takes("words with one comma between them, as stat,fetch", value);
  settings.program.slave.policy.allow = std::move(*words);
  return std::nullopt;
}

Fault set_allow_user(Settings& settings, const std::string& value) {
  auto names = words_between_commas(value);
  if (!names) return takes("names of accounts with one comma between them, as build,test", value);
  settings.program.slave.policy.users = std::move(*names);
  return std::nullopt;
}

Fault set_log_size(Settings& settings, const std::string& value) {
  constexpr std::uint64_t most = 1'000'000;
  std::string_view digits = value;
  std::uint64_t unit = 1;
  for (const auto& [letter, bytes] : {std::pair{'k', 1024ULL}, std::pair{'M', 1024ULL * 1024}}) {
    if (value.back() == letter) unit = bytes;
  }
  if (unit > 1) digits.remove_suffix(1);
  const auto count = from_decimal(digits);
  if (!count || *count > most * (unit == 1 ? 1024 : 1)) return takes("bytes, or as 500k, 10M; 0: no limit", value);
  settings.program.log_size = *count * unit;
  return std::nullopt;
}

Fault set_log_keep(Settings& settings, const std::string& value) {
  constexpr std::uint64_t most = 1000;
  const auto count = from_decimal(value);
  if (!count || *count > most) return takes("0 to 1000 files", value);
  settings.program.log_keep = static_cast<unsigned>(*count);
  return std::nullopt;
}

Fault set_protocol(Settings& settings, const std::string& value) {
  if (value != "1" && value != "2") return takes("1 or 2", value);
  settings.program.slave.protocol = value == "1" ? 1 : 2;
  return std::nullopt;
}

/// Parses a duration: "90s", "30m", "12h", "90d". Not 0.
std::optional<std::chrono::seconds> duration_of(std::string_view text) {
  using namespace std::chrono;
  constexpr std::uint64_t most = 100'000;
  const auto count = from_decimal(text.substr(0, text.size() - 1));
  if (!count || *count == 0 || *count > most) return std::nullopt;
  const auto n = static_cast<std::int64_t>(*count);
  switch (text.back()) {
    case 's': return seconds(n);
    case 'm': return minutes(n);
    case 'h': return hours(n);
    case 'd': return days(n);
    default: return std::nullopt;
  }
}

/// Sets a duration of the slave's options. `Where` names the member.
template <class Where>
constexpr Set duration_into(Where) {
  return [](Settings& settings, const std::string& value) -> Fault {
    const auto duration = duration_of(value);
    if (!duration) return takes("a duration, as 90s, 30m, 12h, 7d", value);
    Where()(settings) = *duration;
    return std::nullopt;
  };
}

/// Sets the path of a hook. `Where` names the member.
template <class Where>
constexpr Set hook_into(Where) {
  return [](Settings& settings, const std::string& value) -> Fault {
    if (value.find('/') == std::string::npos) return takes("the path of a program, with a slash", value);
    Where()(settings) = value;
    return std::nullopt;
  };
}

Fault set_expires(Settings& settings, const std::string& value) {
  auto moment = parse_utc_time(value);
  if (!moment) {
    if (const auto duration = duration_of(value)) moment = settings.now + *duration;
  }
  if (!moment) return takes("a time in UTC, as 2027-01-31T00:00:00Z, or a duration, as 30m, 12h, 90d", value);
  if (*moment <= settings.now) return takes("a time that is not over", value);
  settings.terms.expires = moment;
  return std::nullopt;
}

Fault set_network(Settings& settings, const std::string& value) {
  if (!Network::parse(value)) {
    return takes("an address, or the first of a range with its prefix, as 10.0.0.0/8 or fd00::/8", value);
  }
  settings.terms.networks.push_back(value);
  return std::nullopt;
}

Fault set_claimed_label(Settings& settings, const std::string& value) {
  const std::size_t split = value.find('=');
  if (split == std::string::npos || split == 0) return takes("KEY=VALUE", value);
  auto& labels = settings.program.slave.labels;
  labels[value.substr(0, split)] = value.substr(split + 1);
  if (auto checked = auth::check_claimed_labels(labels); !checked) return ": " + checked.failure().message;
  return std::nullopt;
}

/// NAME=COUNT, for what a slave announces.
Fault set_resource(Settings& settings, const std::string& value) {
  const std::size_t split = value.find('=');
  const auto count = split == std::string::npos ? std::nullopt : from_decimal(value.substr(split + 1));
  if (!count || split == 0) return takes("NAME=COUNT, as gpu=2", value);
  auto& resources = settings.program.slave.resources;
  resources[value.substr(0, split)] = *count;
  if (auto checked = auth::check_resources(1, resources); !checked) return ": " + checked.failure().message;
  return std::nullopt;
}

Fault set_slots(Settings& settings, const std::string& value) {
  const auto slots = from_decimal(value);
  if (!slots || !auth::check_resources(*slots, {})) return takes("1 to 1000000000", value);
  settings.program.slave.slots = *slots;
  return std::nullopt;
}

Fault set_label(Settings& settings, const std::string& value) {
  const std::size_t split = value.find('=');
  if (split == std::string::npos || split == 0) return takes("KEY=VALUE", value);
  settings.terms.labels[value.substr(0, split)] = value.substr(split + 1);
  return std::nullopt;
}

// In the order of --help. Options with a value have a variable, except those of keygen. Switches have none, so that
// anything that weakens a slave's proof is visible on its command line or in its configuration file.
constexpr std::
    array
        table{
            Option{for_slave, Section::master, "master", "REMSH_MASTER", "ADDRESS",
                   "tls:HOST:PORT, tcp:HOST:PORT or unix:PATH; may be repeated: tried in turn", set_master,
                   clear_masters},
            Option{for_serve, Section::master, "stdio", "", "",
                   "serve the program that started it, over standard input and output",
                   into([](Settings& s) -> bool& { return s.stdio; })},
            Option{for_slave, Section::master, "once", "", "", "connect once, and end with that connection",
                   into([](Settings& s) -> bool& { return s.program.once; })},
            Option{for_slave, Section::master, "idle-exit", "REMSH_IDLE_EXIT", "TIME",
                   "end when no operation has run for this long, as 90s, 30m, 12h",
                   duration_into([](Settings& s) -> auto& { return s.program.slave.idle_exit; })},
            Option{for_slave, Section::master, "lifetime", "REMSH_LIFETIME", "TIME",
                   "end after this time, as soon as no operation runs",
                   duration_into([](Settings& s) -> auto& { return s.program.slave.lifetime; })},
            Option{for_slave, Section::master, "give-up-after", "REMSH_GIVE_UP_AFTER", "TIME",
                   "end when no master has accepted this slave for this long",
                   duration_into([](Settings& s) -> auto& { return s.program.slave.give_up_after; })},
            Option{for_slave, Section::master, "retry-max", "REMSH_RETRY_MAX", "SECONDS",
                   "wait no longer than this before connecting again (default: 60)", set_retry_max},
            Option{for_slave, Section::master, "drain", "REMSH_DRAIN", "SECONDS",
                   "after SIGTERM, let what runs go on for this long (default: 5)", set_drain},
            Option{for_slave, Section::master, "compression", "", "",
                   "compress output and files, both ways, if the master allows it", set_compression},
            Option{for_serve, Section::master, "until-eof", "", "",
                   "end when standard input ends, and so with the program at its other end",
                   into([](Settings& s) -> bool& { return s.program.until_eof; })},
            Option{for_enrol, Section::master, "master", "REMSH_MASTER", "ADDRESS",
                   "tls:HOST:PORT of the master that the invitation is from", set_one_master},

            Option{for_slave, Section::proof, "key", "REMSH_KEY", "FILE",
                   "the line NAME KEY, which proves both sides; -: it comes by standard input", set_key},
            Option{for_enrol, Section::proof, "key", "REMSH_KEY", "FILE",
                   "the new file for the key, mode 0600; for remsh-slave --key FILE", set_key},
            Option{for_slave | for_enrol, Section::proof, "ca", "REMSH_CA", "FILE",
                   "with tls: the master also shows a certificate by one of these CAs",
                   into([](Settings& s) -> std::string& { return s.program.slave.tls.ca; })},
            Option{for_slave | for_enrol, Section::proof, "server-name", "REMSH_SERVER_NAME", "NAME",
                   "the name in that certificate (default: the host of the address)",
                   into([](Settings& s) -> std::string& { return s.program.slave.tls.server_name; })},
            Option{for_slave, Section::proof, "keyless", "", "",
                   "no key over TCP on the loopback: all users of this host are trusted",
                   into([](Settings& s) -> bool& { return s.program.slave.keyless; })},
            Option{for_slave, Section::proof, "insecure", "", "",
                   "a key over plain TCP beyond the loopback: others can read and take over",
                   into([](Settings& s) -> bool& { return s.program.slave.insecure; })},

            Option{for_slave, Section::work, "name", "REMSH_NAME", "NAME",
                   "1 to 64 of A-Z a-z 0-9 . _ - (default: that of the key, or the host's)", set_name},
            Option{for_slave, Section::work, "basedir", "REMSH_BASEDIR", "DIR",
                   "where relative paths begin; made if missing (default: .)",
                   into([](Settings& s) -> std::string& { return s.program.slave.basedir; })},
            Option{for_slave, Section::work, "root", "REMSH_ROOT", "DIR",
                   "no path of the master leads out of it (commands are not held by it)",
                   into([](Settings& s) -> std::string& { return s.program.slave.policy.root; })},
            Option{for_slave, Section::work, "allow", "REMSH_ALLOW", "WORDS",
                   "do these operations alone, as stat,fetch,info (default: all)", set_allow},
            Option{for_slave, Section::work, "label", "REMSH_LABEL", "KEY=VALUE",
                   "say this of the slave to its masters; may be repeated", set_claimed_label,
                   [](Settings& s) { s.program.slave.labels.clear(); }},
            Option{for_slave, Section::work, "slots", "REMSH_SLOTS", "COUNT",
                   "for how many jobs its masters may reserve it at once (default: 1)", set_slots},
            Option{for_slave, Section::work, "resource", "REMSH_RESOURCE", "NAME=COUNT",
                   "what else its masters may reserve parts of, as gpu=2; may be repeated", set_resource,
                   [](Settings& s) { s.program.slave.resources.clear(); }},
            Option{for_slave, Section::work, "no-execute", "", "", "run no commands",
                   into([](Settings& s) -> bool& { return s.program.slave.policy.no_execute; })},
            Option{for_slave, Section::work, "allow-user", "REMSH_ALLOW_USER", "NAMES",
                   "as root: run commands as these accounts too, if the master says so", set_allow_user},
            Option{for_slave, Section::work, "before-command", "REMSH_BEFORE_COMMAND", "FILE",
                   "run this program before each command, which it can forbid",
                   hook_into([](Settings& s) -> std::string& { return s.program.slave.before_command; })},
            Option{for_slave, Section::work, "after-command", "REMSH_AFTER_COMMAND", "FILE",
                   "run this program after each command",
                   hook_into([](Settings& s) -> std::string& { return s.program.slave.after_command; })},
            Option{for_slave, Section::work, "hook-timeout", "REMSH_HOOK_TIMEOUT", "TIME",
                   "end such a program after this time; it has failed then (default: 60s)",
                   duration_into([](Settings& s) -> auto& { return s.program.slave.hook_timeout; })},
            Option{for_slave, Section::work, "protocol", "REMSH_PROTOCOL", "1|2",
                   "1: serve a master of the original remsh, of 2009 (default: 2)", set_protocol},

            Option{for_slave, Section::log, "log-file", "REMSH_LOG_FILE", "FILE",
                   "write the log to this file, not to standard error; SIGHUP opens it again",
                   into([](Settings& s) -> std::string& { return s.program.log_file; })},
            Option{for_slave, Section::log, "log-size", "REMSH_LOG_SIZE", "SIZE",
                   "begin a new one before it is larger, as 500k, 10M; 0: never (default: 10M)", set_log_size},
            Option{for_slave, Section::log, "log-keep", "REMSH_LOG_KEEP", "COUNT",
                   "keep so many old files: FILE.1 is the newest (default: 5)", set_log_keep},
            Option{for_slave, Section::log, "log-json", "", "", "each line of the log is an object of JSON",
                   into([](Settings& s) -> bool& { return s.program.log_json; })},
            Option{for_slave, Section::log, "verbose", "", "", "log more",
                   into([](Settings& s) -> bool& { return s.verbose; })},
            Option{for_slave, Section::log, "trace", "", "", "also log every box that is sent or received",
                   into([](Settings& s) -> bool& { return s.program.trace; })},
            Option{for_slave, Section::log, "quiet", "", "", "log nothing but what ends the program",
                   into([](Settings& s) -> bool& { return s.quiet; })},

            Option{for_keygen, Section::keys, "keys", "", "FILE", "the master's file (default: slaves.keys)",
                   into([](Settings& s) -> std::string& { return s.keys; })},
            Option{for_add | for_invite, Section::keys, "slave-file",
                   "", "FILE", "write the slave's line to this new file, mode 0600, not to standard output",
                   into([](Settings& s) -> std::optional<std::string>& { return s.slave_file; })},
            Option{for_add | for_invite, Section::keys,
                   "expires", "", "WHEN", "it counts until 2027-01-31T00:00:00Z; or from now on for 30m, 12h, 90d",
                   set_expires},
            Option{for_add | for_invite, Section::keys,
                   "network", "", "NET", "it counts from there alone, 10.0.0.0/8 or fd00::1; may be repeated",
                   set_network},
            Option{for_add | for_invite, Section::keys, "label", "", "KEY=VALUE",
                   "the master's program is told of it; may be repeated", set_label},

            Option{for_stop, Section::other, "now", "", "", "end what runs on it at once",
                   into([](Settings& s) -> bool& { return s.stops_now; })},
            Option{for_serve | for_check, Section::other, "config", "REMSH_CONFIG",
                   "FILE", "read options from this file: lines NAME = VALUE, as retry-max = 30",
                   into([](Settings& s) -> std::string& { return s.config; })},
            Option{for_serve, Section::other, "percent-encoded",
                   "", "", "in the values of later options %XX stands for a byte",
                   into([](Settings& s) -> bool& { return s.is_percent_encoded; })},
            Option{for_all, Section::other, "help", "", "", "show this text",
                   [](Settings& s, const std::string&) -> Fault {
                     s.shows = Shows::help;
                     return std::nullopt;
                   }},
            Option{for_serve, Section::other, "version", "", "", "show the versions of the program and of its protocol",
                   [](Settings& s, const std::string&) -> Fault {
                     s.shows = Shows::version;
                     return std::nullopt;
                   }},
        };

}  // namespace

std::span<const Option> options() { return table; }

const Option* find_option(Uses uses, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Option& option) {
    return (option.uses & uses) != 0 && option.name == name;
  });
  return found == table.end() ? nullptr : std::to_address(found);
}

std::string shown(std::string_view value) {
  constexpr std::size_t shorter_than_keys = 40;
  if (value.size() < shorter_than_keys) return in_quotes(value);
  return formatted("{} bytes that are not shown, as they may be a key", value.size());
}

}  // namespace remsh::program

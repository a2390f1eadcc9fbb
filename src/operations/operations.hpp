// The operations: the name, request, reply and streams of each. From these follow the methods of Slave, the back ends,
// the handlers of a slave, policies, audits, and the table of docs/protocol.md section 7, which a test compares.
//
// To add an operation: describe it here and add it to `All`, write its handler in src/slave/, its method of Slave, and
// its row in docs/protocol.md.
#pragma once

#include "operations/fields.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>
#include <remsh/operations/host_facts.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace remsh::operations {

/// The properties of an operation, besides its request and reply.
struct Description {
  std::string_view name;           ///< on the wire, and in policies
  std::string_view method = name;  ///< of Slave, and in errors and audits

  /// It may run long: it has an `op`, which identifies it for cancellation and for its streams.
  bool may_last = false;
  std::string_view streams = {};  ///< "in", "out", "out err", with a space between
  bool runs_commands = false;     ///< forbidden by a policy without commands
  std::string_view part_of = {};  ///< the operation whose permission holds for this one; empty: it has its own
};

/// A request or a reply without fields.
struct Nothing {
  static void describe(auto& /*fields*/, auto& /*self*/) {}
};

struct SetCwd {
  static constexpr Description what{.name = "set_cwd"};
  struct Request {
    std::optional<Bytes> path;  ///< nullopt: back to the base directory; empty: changes nothing
    static void describe(auto& fields, auto& self) { fields.any_path("path", self.path); }
  };
  struct Reply {
    Bytes path;
    static void describe(auto& fields, auto& self) { fields.absolute_path("path", self.path); }
  };
};

struct Getenv {
  static constexpr Description what{.name = "getenv"};
  using Request = Nothing;
  struct Reply {
    std::map<Bytes, Bytes> env;
    static void describe(auto& fields, auto& self) { fields.environment("env", self.env); }
  };
};

struct ReadInfo {
  static constexpr Description what{.name = "info", .method = "read_info"};
  using Request = Nothing;
  struct Reply {
    std::map<Bytes, Bytes> files;
    static void describe(auto& fields, auto& self) { fields.pairs("files", self.files); }
  };
};

struct Mkdir {
  static constexpr Description what{.name = "mkdir"};
  struct Request {
    Bytes path;
    std::optional<std::uint32_t> mode;
    static void describe(auto& fields, auto& self) {
      fields.path("path", self.path);
      fields.optional_mode("mode", self.mode);
    }
  };
  using Reply = Nothing;
};

struct SetBuilders {
  static constexpr Description what{.name = "set_builders"};
  struct Request {
    std::vector<Bytes> directories;  ///< relative to the base directory
    static void describe(auto& fields, auto& self) { fields.paths("directories", self.directories); }
  };
  struct Reply {
    std::vector<Bytes> others;  ///< names of directories in the base directory, ascending
    static void describe(auto& fields, auto& self) { fields.paths("others", self.others); }
  };
};

struct Remove {
  static constexpr Description what{.name = "remove", .may_last = true};
  struct Request {
    Bytes path;
    static void describe(auto& fields, auto& self) { fields.path("path", self.path); }
  };
  using Reply = Nothing;
};

/// The request of rename and of copy.
struct TwoPaths {
  Bytes from;
  Bytes to;
  bool overwrite = false;
  bool durable = true;  ///< the result is on the disk before the answer
  static void describe(auto& fields, auto& self) {
    fields.path("from", self.from);
    fields.path("to", self.to);
    fields.flag("overwrite", self.overwrite);
    fields.off_flag("no_sync", self.durable);
  }
};

struct Rename {
  static constexpr Description what{.name = "rename"};
  using Request = TwoPaths;
  using Reply = Nothing;
};

struct Copy {
  static constexpr Description what{.name = "copy", .may_last = true};
  using Request = TwoPaths;
  using Reply = Nothing;
};

struct Stat {
  static constexpr Description what{.name = "stat"};
  struct Request {
    Bytes path;
    bool nofollow = false;
    static void describe(auto& fields, auto& self) {
      fields.path("path", self.path);
      fields.flag("nofollow", self.nofollow);
    }
  };
  struct Reply {
    std::optional<FileInfo> info;  ///< nullopt: the path is missing
    static void describe(auto& fields, auto& self) { fields.file_info(self.info); }
  };
};

struct List {
  static constexpr Description what{.name = "list", .may_last = true, .streams = "out"};
  struct Request {
    Bytes path;
    static void describe(auto& fields, auto& self) { fields.path("path", self.path); }
  };
  struct Reply {
    std::uint64_t entries = 0;
    static void describe(auto& fields, auto& self) { fields.number("entries", self.entries); }
  };
  /// The stream is a sequence of these, one box each.
  struct Entry {
    Bytes name;
    std::optional<FileInfo> info;  ///< always set
    static void describe(auto& fields, auto& self) {
      fields.file_name("name", self.name);
      fields.file_info(self.info);
    }
  };
};

struct Execute {
  static constexpr Description what{
      .name = "execute", .may_last = true, .streams = "in out err log header", .runs_commands = true};
  struct Request {
    std::vector<Bytes> args;
    Bytes cwd;                   ///< empty: the session's directory
    std::vector<Bytes> set_env;  ///< NAME=value
    std::vector<Bytes> unset_env;
    std::vector<Bytes> prepend_env;  ///< NAME=value
    bool clear_env = false;
    std::chrono::milliseconds timeout{0};  ///< 0: no limit
    std::chrono::milliseconds silence{0};  ///< 0: no limit
    Bytes stop_signal;                     ///< the name of a signal; empty: SIGTERM
    std::chrono::milliseconds kill_after{2000};
    bool leaves = false;               ///< processes that it leaves behind live on
    std::optional<std::int32_t> nice;  ///< added to the slave's own
    std::optional<std::uint32_t> umask;
    std::vector<Bytes> limits;               ///< NAME=value, as resource_limit_setting() reads it
    std::vector<Bytes> group;                ///< NAME=value: limits for all of its processes together
    std::vector<Bytes> secrets;              ///< texts that are shown to nobody
    std::optional<std::uint64_t> max_bytes;  ///< of each output
    std::optional<std::uint64_t> max_lines;
    bool at = false;  ///< each piece of output has a time
    Bytes pty;        ///< COLUMNSxROWS; empty: no terminal
    Bytes user;       ///< an account; empty: the slave's own
    std::vector<LogRequest> logs;
    bool header = false;  ///< the slave says what becomes of the command
    bool in = false;
    OutputMode out = OutputMode::discard;  ///< never merge
    OutputMode err = OutputMode::discard;
    bool exact = false;  ///< not sent: for protocols that change output
    static void describe(auto& fields, auto& self) {
      fields.list("args", self.args);
      fields.optional_path("cwd", self.cwd);
      fields.assignments("env", self.set_env);
      fields.names("unset", self.unset_env);
      fields.assignments("prepend", self.prepend_env);
      fields.flag("clear_env", self.clear_env);
      fields.time_limit("timeout", self.timeout);
      fields.time_limit("silence", self.silence);
      fields.optional_name("stop_signal", self.stop_signal);
      fields.duration("kill_after", self.kill_after);
      fields.flag("leave_background", self.leaves);
      fields.optional_integer("nice", self.nice, -20, 19);
      fields.optional_mode("umask", self.umask);
      fields.assignments("limits", self.limits);
      fields.assignments("group", self.group);
      fields.optional_list("secrets", self.secrets);
      fields.optional_number("max_bytes", self.max_bytes);
      fields.optional_number("max_lines", self.max_lines);
      fields.flag("at", self.at);
      fields.optional_name("pty", self.pty);
      fields.optional_name("user", self.user);
      fields.log_files("logs", self.logs);
      fields.flag("header", self.header);
      fields.flag("in", self.in);
      fields.output("out", self.out);
      fields.output("err", self.err, true);
    }
  };
  struct Reply {
    std::optional<int> exit_code;  ///< exactly one of these two is set
    std::optional<int> signal;
    bool core = false;  ///< the system has written a core file
    bool timed_out = false;
    bool silent = false;
    bool interrupted = false;
    bool background = false;                        ///< processes live on
    bool ended_background = false;                  ///< processes were left behind, and have been ended
    bool out_of_memory = false;                     ///< its group was, and the system has ended processes of it
    bool out_of_processes = false;                  ///< its group was
    std::optional<std::uint64_t> out_dropped = {};  ///< bytes; nullopt: none
    std::optional<std::uint64_t> err_dropped = {};
    std::optional<std::chrono::microseconds> ran = {};
    ResourceUse used = {};
    std::optional<std::uint64_t> pid = {};
    Bytes dir = {};                           ///< the absolute path of its directory
    std::map<Bytes, Bytes> log_errors = {};   ///< by the number of the file: a code, a space, and text
    std::map<Bytes, Bytes> log_dropped = {};  ///< by the number of the file: bytes
    static void describe(auto& fields, auto& self) {
      fields.exit_status(self.exit_code, self.signal);
      fields.flag("core", self.core);
      fields.flag("timed_out", self.timed_out);
      fields.flag("silent", self.silent);
      fields.flag("interrupted", self.interrupted);
      fields.flag("background", self.background);
      fields.flag("ended_background", self.ended_background);
      fields.flag("out_of_memory", self.out_of_memory);
      fields.flag("out_of_processes", self.out_of_processes);
      fields.optional_number("out_dropped", self.out_dropped);
      fields.optional_number("err_dropped", self.err_dropped);
      fields.optional_time("ran", self.ran);
      fields.optional_time("user_time", self.used.user_time);
      fields.optional_time("system_time", self.used.system_time);
      fields.optional_number("peak_memory", self.used.peak_memory);
      fields.optional_number("pid", self.pid);
      fields.optional_path("dir", self.dir);
      fields.optional_pairs("log_errors", self.log_errors);
      fields.optional_pairs("log_dropped", self.log_dropped);
    }
  };
};

/// Of Interrupt, Signal and Resize.
struct RunningReply {
  bool running = false;  ///< the command was there, and what was asked has been done
  static void describe(auto& fields, auto& self) { fields.flag("running", self.running); }
};

struct Interrupt {
  static constexpr Description what{.name = "interrupt", .runs_commands = true, .part_of = "execute"};
  struct Request {
    Bytes target;  ///< the `op` of an execute
    Bytes why;
    static void describe(auto& fields, auto& self) {
      fields.op("target", self.target);
      fields.optional_text("why", self.why);
    }
  };
  using Reply = RunningReply;
};

struct Signal {
  static constexpr Description what{.name = "signal", .runs_commands = true, .part_of = "execute"};
  struct Request {
    Bytes target;  ///< the `op` of an execute
    std::uint64_t number = 0;
    static void describe(auto& fields, auto& self) {
      fields.op("target", self.target);
      fields.number("number", self.number, 1, 64);
    }
  };
  using Reply = RunningReply;
};

struct Resize {
  static constexpr Description what{.name = "resize", .runs_commands = true, .part_of = "execute"};
  struct Request {
    Bytes target;  ///< the `op` of an execute with a terminal
    std::uint64_t columns = 0;
    std::uint64_t rows = 0;
    static void describe(auto& fields, auto& self) {
      fields.op("target", self.target);
      fields.number("columns", self.columns, 1, 65535);
      fields.number("rows", self.rows, 1, 65535);
    }
  };
  using Reply = RunningReply;
};

struct Send {
  static constexpr Description what{.name = "send", .may_last = true, .streams = "in"};
  struct Request {
    Bytes path;
    bool overwrite = false;
    std::uint32_t mode = 0644;
    bool durable = true;
    static void describe(auto& fields, auto& self) {
      fields.path("path", self.path);
      fields.flag("overwrite", self.overwrite);
      fields.mode("mode", self.mode);
      fields.off_flag("no_sync", self.durable);
    }
  };
  struct Reply {
    std::uint64_t bytes = 0;
    static void describe(auto& fields, auto& self) { fields.number("bytes", self.bytes); }
  };
};

struct Fetch {
  static constexpr Description what{.name = "fetch", .may_last = true, .streams = "out"};
  struct Request {
    Bytes path;
    static void describe(auto& fields, auto& self) { fields.path("path", self.path); }
  };
  struct Reply {
    std::uint64_t bytes = 0;
    std::uint32_t mode = 0644;
    static void describe(auto& fields, auto& self) {
      fields.number("bytes", self.bytes);
      fields.mode("mode", self.mode);
    }
  };
};

/// Of SendTree and FetchTree, whose streams are in operations/tree_stream.hpp.
struct TreeReply {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  static void describe(auto& fields, auto& self) {
    fields.number("entries", self.entries);
    fields.number("bytes", self.bytes);
  }
};

struct SendTree {
  static constexpr Description what{.name = "send_tree", .may_last = true, .streams = "in"};
  struct Request {
    Bytes path;
    bool overwrite = false;
    bool durable = true;
    static void describe(auto& fields, auto& self) {
      fields.path("path", self.path);
      fields.flag("overwrite", self.overwrite);
      fields.off_flag("no_sync", self.durable);
    }
  };
  using Reply = TreeReply;
};

struct FetchTree {
  static constexpr Description what{.name = "fetch_tree", .may_last = true, .streams = "out"};
  struct Request {
    Bytes path;
    std::vector<Bytes> exclude;
    static void describe(auto& fields, auto& self) {
      fields.path("path", self.path);
      fields.patterns("exclude", self.exclude);
    }
  };
  using Reply = TreeReply;
};

/// Writes a line into the log of the slave.
struct Print {
  static constexpr Description what{.name = "print"};
  struct Request {
    Bytes message;
    static void describe(auto& fields, auto& self) { fields.text("message", self.message); }
  };
  using Reply = Nothing;
};

/// The last lines of the slave's log.
struct LogTail {
  static constexpr Description what{.name = "log_tail"};
  struct Request {
    std::uint64_t lines = 0;
    static void describe(auto& fields, auto& self) { fields.number("lines", self.lines, 1, 1000); }
  };
  struct Reply {
    std::vector<Bytes> lines;  ///< the oldest first
    static void describe(auto& fields, auto& self) { fields.optional_list("lines", self.lines); }
  };
};

struct ListOperations {
  static constexpr Description what{.name = "operations"};
  using Request = Nothing;
  struct Reply {
    std::vector<Bytes> names;
    static void describe(auto& fields, auto& self) { fields.list("names", self.names); }
  };
};

struct ReadHostFacts {
  static constexpr Description what{.name = "host_facts"};
  using Request = Nothing;
  struct Reply {
    HostFacts facts = {};
    static void describe(auto& fields, auto& self) {
      auto& facts = self.facts;
      fields.moment("clock", facts.clock);
      fields.number("cpus", facts.cpus);
      fields.optional_number("disk_free", facts.disk_free);
      fields.optional_number("disk_total", facts.disk_total);
      fields.optional_text("hostname", facts.hostname);
      fields.optional_number("load1", facts.load1);
      fields.optional_number("load5", facts.load5);
      fields.optional_number("load15", facts.load15);
      fields.optional_text("machine", facts.machine);
      fields.optional_number("memory_available", facts.memory_available);
      fields.optional_number("memory_total", facts.memory_total);
      fields.optional_text("os", facts.os);
      fields.optional_text("release", facts.release);
      fields.optional_text("software", facts.software);
      fields.optional_number("swap_free", facts.swap_free);
      fields.optional_number("swap_total", facts.swap_total);
      fields.optional_time("uptime", facts.uptime);
    }
  };
};

/// The slave announces that it will end, and ends when it is let go, or when the time is over. With `restart`, it then
/// starts again.
struct Shutdown {
  static constexpr Description what{.name = "shutdown"};
  struct Request {
    std::chrono::milliseconds within{0};
    std::string reason = {};
    bool restart = false;
    static void describe(auto& fields, auto& self) {
      fields.duration("within", self.within);
      fields.optional_text("reason", self.reason);
      fields.flag("restart", self.restart);
    }
  };
  using Reply = Nothing;
};

/// Answered by the connection itself, independent of the policy.
struct Ping {
  static constexpr Description what{.name = "ping"};
  using Request = Nothing;
  using Reply = Nothing;
};

/// An operation that the slave program has registered: its name on the wire is in its request.
struct Call {
  static constexpr Description what{.name = "call", .may_last = true, .streams = "in out"};
  struct Request {
    std::string name = {};
    Box arguments = {};  ///< without the fields that are described here
    Bytes cwd = {};      ///< empty: the session's directory
    bool in = false;
    bool out = false;
    static void describe(auto& fields, auto& self) {
      fields.optional_path("_cwd", self.cwd);
      fields.flag("_in", self.in);
      fields.flag("_out", self.out);
    }
  };
  struct Reply {
    Box results;
  };
};

/// All operations that a slave serves. A policy may name those that are not part of another one.
using All = std::tuple<SetCwd, Getenv, ReadInfo, Mkdir, SetBuilders, Remove, Rename, Copy, Stat, List, Execute,
                       Interrupt, Signal, Resize, Send, Fetch, SendTree, FetchTree, Print, LogTail, ListOperations,
                       ReadHostFacts, Shutdown>;

/// Calls `visit` with a std::type_identity of each operation of a tuple.
template <class Operations = All, class Visit>
constexpr void for_each(Visit visit) {
  [&]<class... Op>(std::type_identity<std::tuple<Op...>>) {
    (visit(std::type_identity<Op>()), ...);
  }(std::type_identity<Operations>());
}

/// The description of the operation that a policy calls `name`; null if there is none.
constexpr const Description* find(std::string_view name) {
  const Description* found = nullptr;
  for_each([&]<class Op>(std::type_identity<Op>) {
    if (Op::what.name == name) found = &Op::what;
  });
  return found;
}

/// Why an operation of a user's own cannot have this name; empty if it can.
constexpr std::string_view why_not_own_name(std::string_view name) {
  constexpr std::array<std::string_view, 9> words{"cancel",  "credit", "data", "draining", "end",
                                                  "goodbye", "hello",  "ping", "prove"};
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  bool is_name = !name.empty() && name.size() <= 64 && is_letter(name.front());
  for (const char c : name) is_name = is_name && (is_letter(c) || c == '_' || c == '-');
  if (!is_name) return "a name is 1 to 64 of a-z 0-9 _ - and begins with a letter or digit";
  bool is_ours = find(name) != nullptr;
  for (const std::string_view word : words) is_ours = is_ours || word == name;
  return is_ours ? "the name is one of the library's own" : "";
}

}  // namespace remsh::operations

// What calls, results and errors of remsh 1 are among our operations, and the other way round.
#include "slave/remsh1_translation.hpp"

#include "operations/operations.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

using namespace remsh;
using namespace remsh::operations;

namespace {

Failure failure_with(int error) { return {Errc::os_error, "a sentence of ours", error}; }

Bytes text(const char* command, Box arguments, const Failure& failure, const Bytes& existing = {}) {
  return error_text(remsh1::Call{"1", command, std::move(arguments)}, failure,
                    [&existing](const Bytes& path) { return path == existing; });
}

}  // namespace

TEST_CASE("arguments take the names of ours") {
  const auto arguments = [](const char* command, Box box) {
    return arguments_of(remsh1::Call{"1", command, std::move(box)});
  };
  CHECK(arguments("set_cwd", {}) == Box());
  CHECK(arguments("set_cwd", {{"cwd", ""}}) == Box{{"path", ""}});
  CHECK(arguments("getenv", {{"more", "x"}}) == Box());
  CHECK(arguments("mkdir", {{"dir", "d"}}) == Box{{"path", "d"}});
  CHECK(arguments("remove", {{"path", "p"}}) == Box{{"path", "p"}});
  CHECK(arguments("rename", {{"src", "a"}, {"dest", "b"}}) == Box{{"from", "a"}, {"to", "b"}});
  CHECK(arguments("copy", {{"src", "a"}, {"dest", "b"}}) == Box{{"from", "a"}, {"to", "b"}});
  CHECK(arguments("stat", {{"pathname", "p"}}) == Box{{"path", "p"}});
  CHECK(arguments("fetch", {{"src", "p"}}) == Box{{"path", "p"}});
  const auto send = from_box<Send::Request>(arguments("send", {{"dest", "p"}}));
  REQUIRE(send);
  CHECK(send->path == "p");
  CHECK_FALSE(send->overwrite);
}

TEST_CASE("a command streams what is wanted, and drops the rest") {
  const auto command = [](const char* out, const char* err) {
    const Box arguments{{"args", BytesView("a\0\0b c", 6)}, {"want_stderr", err}, {"want_stdout", out}};
    const auto parsed = from_box<Execute::Request>(arguments_of(remsh1::Call{"1", "execute", arguments}));
    REQUIRE(parsed);
    return *parsed;
  };
  CHECK(command("y", "n").args == std::vector<Bytes>{"a", "", "b c"});
  CHECK(command("y", "n").out == OutputMode::stream);
  CHECK(command("y", "n").err == OutputMode::discard);
  CHECK(command("ny", "y").out == OutputMode::discard);  // whatever is not y is n
  CHECK(command("", "y").err == OutputMode::stream);
  CHECK_FALSE(command("y", "y").in);
}

TEST_CASE("results take the names of the original") {
  const auto results = [](const char* command, const Box& reply) {
    return *results_of(remsh1::Call{"1", command}, reply);
  };
  CHECK(results("set_cwd", to_box(SetCwd::Reply{"/a"})) == Box{{"cwd", "/a"}});
  CHECK(results("mkdir", Box()) == Box());
  CHECK(results("stat", to_box(Stat::Reply())) == Box{{"result", ""}});
  FileInfo info;
  info.type = FileType::directory;
  CHECK(results("stat", to_box(Stat::Reply{info})) == Box{{"result", "d"}});
  for (const FileType type : {FileType::file, FileType::fifo, FileType::socket, FileType::unknown}) {
    info.type = type;
    CHECK(results("stat", to_box(Stat::Reply{info})) == Box{{"result", "f"}});
  }
}

TEST_CASE("of an environment goes what a box can carry") {
  const Bytes longest(251, 'N');
  const Getenv::Reply reply{{{"A", ""}, {"B", Bytes(70'000, 'x')}, {longest, "1"}, {longest + "N", "2"}}};
  const Box results = *results_of(remsh1::Call{"1", "getenv"}, to_box(reply));
  CHECK(results.size() == 3);
  CHECK(results.get("env_A") == "");
  CHECK(results.get("env_B")->size() == 65535);
  CHECK(results.get("env_" + longest) == "1");
}

TEST_CASE("the end of a command is a number, negative for a signal") {
  CHECK(return_code_of(to_box(Execute::Reply{.exit_code = 3, .signal = {}}))->to_text() == "3");
  CHECK(return_code_of(to_box(Execute::Reply{.exit_code = {}, .signal = 9}))->to_text() == "-9");
  CHECK_FALSE(return_code_of(Box()));
}

TEST_CASE("errors have the words of the original") {
  CHECK(text("set_cwd", {{"cwd", "x"}}, failure_with(ENOENT)) == "No such file or directory");
  CHECK(text("stat", {{"pathname", "x"}}, failure_with(EACCES)) == "Permission denied");
  CHECK(text("mkdir", {{"dir", ""}}, {Errc::invalid_argument, "'path' is an empty path", 0}) ==
        "'path' is an empty path");
  CHECK(text("execute", {}, failure_with(ENOENT)) == "OSError(2, 'No such file or directory')");
  CHECK(text("execute", {}, {Errc::cancelled, "the slave is being stopped", 0}) == "the slave is being stopped");
  CHECK(text("send", {{"dest", "x"}}, failure_with(EEXIST)) == "File 'x' already exists");
  CHECK(text("send", {{"dest", "x"}}, failure_with(EISDIR)) == "File 'x' already exists");
  CHECK(text("send", {{"dest", "x"}}, failure_with(ENOSPC)) == "No space left on device");
  CHECK(text("fetch", {{"src", "x"}}, failure_with(ENOENT)) == "File 'x' does not exist");
  CHECK(text("fetch", {{"src", "x"}}, failure_with(EISDIR)) == "Is a directory");
  CHECK(text("remove", {{"path", "x"}}, failure_with(EACCES)) == "tree not removed");
}

TEST_CASE("of two paths the error names the one that is to blame") {
  const Box paths{{"dest", "b"}, {"src", "a"}};
  for (const char* const command : {"rename", "copy"}) {
    CHECK(text(command, paths, failure_with(ENOENT)) == "'a' does not exist");
    CHECK(text(command, paths, failure_with(EEXIST), "b") == "'b' already exists");
    CHECK(text(command, paths, failure_with(EISDIR), "b") == "'b' already exists");
  }
  CHECK(text("rename", paths, failure_with(ENOENT), "a") == "No such file or directory");  // where b is to be
  CHECK(text("copy", paths, failure_with(ENOENT), "a") == "[Errno 2] No such file or directory: 'b'");
  CHECK(text("copy", paths, failure_with(EISDIR), "a") == "[Errno 21] Is a directory: 'a'");
}

TEST_CASE("a directory that is there already counts as made, and nothing else does") {
  CHECK(is_success(remsh1::Call{"1", "mkdir"}, failure_with(EEXIST)));
  CHECK_FALSE(is_success(remsh1::Call{"1", "mkdir"}, failure_with(ENOTDIR)));
  CHECK_FALSE(is_success(remsh1::Call{"1", "rename"}, failure_with(EEXIST)));
}

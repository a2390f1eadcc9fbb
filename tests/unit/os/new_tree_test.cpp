#include "os/new_tree.hpp"

#include "os/file.hpp"
#include "support/child_process.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "support/tree_of.hpp"
#include "support/watched_calls.hpp"
#include "unit/os/error_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

using namespace remsh;
using remsh::test::error_of;
using remsh::test::mode_of;
using remsh::test::TempDir;

namespace {

constexpr timespec tree_time{1'234'567'890, 5};

Result<NewTree> create_tree(const std::string& path, bool overwrite = false, int home = -1) {
  return NewTree::create(AT_FDCWD, path, {.overwrite = overwrite, .home = home});
}

/// Fills a tree with a file, and ends its top.
void fill_tree(NewTree& tree, BytesView content = "content") {
  REQUIRE(tree.open_file("file"));
  REQUIRE(tree.write(content));
  REQUIRE(tree.close_file(0640, tree_time));
  REQUIRE(tree.leave(0750, tree_time));
}

}  // namespace

TEST_CASE("a new tree appears with modes and times when it is committed, not before") {
  const TempDir dir;
  auto tree = create_tree(dir / "tree");
  REQUIRE(tree);
  REQUIRE(tree->enter("closed"));
  REQUIRE(tree->enter("deep"));
  REQUIRE(tree->open_file("file"));
  REQUIRE(tree->write("hello "));
  REQUIRE(tree->write("world"));
  REQUIRE(tree->close_file(0444, tree_time));
  REQUIRE(tree->leave(0700, tree_time));
  REQUIRE(tree->leave(0555, tree_time));
  REQUIRE(tree->make_link("link", "/nowhere", tree_time));
  CHECK_FALSE(dir.has("tree"));
  REQUIRE(tree->leave(0751, tree_time));
  CHECK_FALSE(dir.has("tree"));
  REQUIRE(tree->commit(true));
  const std::string at = " at 1234567890.5";
  CHECK(test::tree_of(dir / "tree") ==
        std::map<std::string, std::string>{{".", "directory " + std::to_string(0751) + at},
                                           {"closed", "directory " + std::to_string(0555) + at},
                                           {"closed/deep", "directory " + std::to_string(0700) + at},
                                           {"closed/deep/file", "file " + std::to_string(0444) + " hello world" + at},
                                           {"link", "-> /nowhere" + at}});
  CHECK(dir.count() == 1);
}

TEST_CASE("nothing remains of a tree that is not committed, also of what its modes close") {
  const TempDir dir;
  {
    auto tree = create_tree(dir / "tree");
    REQUIRE(tree);
    REQUIRE(tree->enter("closed"));
    REQUIRE(tree->open_file("file"));
    REQUIRE(tree->write("half"));
    CHECK(dir.count() == 2);  // the part tree, and the directory of its record
    REQUIRE(tree->close_file(0, tree_time));
    REQUIRE(tree->leave(0, tree_time));
    REQUIRE(tree->enter("open"));
    REQUIRE(tree->open_file("file"));
  }
  CHECK(dir.count() == 0);
}

TEST_CASE("a tree whose process is killed is removed later, and no other") {
  const TempDir dir;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto tree = create_tree(dir / "tree");
    if (tree && tree->enter("d") && tree->open_file("f")) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(dir.count() == 2);
  std::filesystem::create_directory(dir / ".remsh-0123456789abcdef.part");  // a user's, named like one of ours
  auto living = create_tree(dir / "living");
  REQUIRE(living);
  auto other = create_tree(dir / "other");  // which removes what killed processes have left
  REQUIRE(other);
  CHECK(dir.count() == 4);  // theirs, the user's, and the directory of records
  fill_tree(*living);
  REQUIRE(living->commit(false));
  CHECK(dir.read("living/file") == "content");
  CHECK(dir.has(".remsh-0123456789abcdef.part"));
}

TEST_CASE("an existing destination is refused at the beginning, and at the end") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "directory");
  dir.write("file", "old");
  REQUIRE(::symlink("directory", (dir / "link").c_str()) == 0);
  for (const char* name : {"directory", "file", "link", "directory/"}) {
    CAPTURE(name);
    CHECK(error_of(create_tree(dir / name)) == EEXIST);
  }
  CHECK(error_of(create_tree(dir / "file", true)) == ENOTDIR);
  CHECK(error_of(create_tree(dir / "link", true)) == ENOTDIR);
  CHECK(error_of(create_tree(dir / "missing/tree")) == ENOENT);
  CHECK(create_tree(dir / "missing/tree").failure().message.find("make the directory") != std::string::npos);
  for (const std::string& name : {std::string("."), std::string(".."), std::string("/"), dir / "directory/."}) {
    CHECK(error_of(create_tree(name, true)) == EINVAL);
  }
  CHECK(error_of(create_tree("")) == ENOENT);
  for (const bool overwrite : {false, true}) {
    auto tree = create_tree(dir / "tree", overwrite);
    REQUIRE(tree);
    fill_tree(*tree);
    dir.write("tree", "somebody else's");
    CHECK(error_of(tree->commit(false)) == (overwrite ? ENOTDIR : EEXIST));
    CHECK(dir.read("tree") == "somebody else's");
    std::filesystem::remove(dir / "tree");
  }
  CHECK(dir.count() == 3);
}

TEST_CASE("a tree that replaces another is exchanged for it in one step, and nothing of the old one remains") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "tree/old/deep");
  REQUIRE(::chmod((dir / "tree/old").c_str(), 0) == 0);
  auto tree = create_tree(dir / "tree", true);
  REQUIRE(tree);
  fill_tree(*tree);
  CHECK(dir.has("tree/old"));
  REQUIRE(tree->commit(false));
  CHECK(test::tree_of(dir / "tree").size() == 2);
  CHECK(dir.read("tree/file") == "content");
  CHECK(mode_of(dir / "tree") == 0750);
  CHECK(dir.count() == 1);
}

TEST_CASE("a destination that does not exist yet needs no exchange") {
  const TempDir dir;
  auto tree = create_tree(dir / "tree", true);
  REQUIRE(tree);
  fill_tree(*tree);
  REQUIRE(tree->commit(false));
  CHECK(dir.read("tree/file") == "content");
  CHECK(dir.count() == 1);
}

TEST_CASE("on a file system that cannot exchange directories the old tree stays, and the failure says what to do") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "tree");
  dir.write("tree/old", "old");
  const int code = test::run_in_child([&] {
    if (!test::refuse_system_call(SYS_renameat2, EINVAL)) return test::skipped;
    {
      auto tree = create_tree(dir / "tree", true);
      if (!tree || !tree->leave(0700, tree_time)) return 1;
      const auto done = tree->commit(false);
      if (done || done.failure().os != EINVAL) return 2;
      if (done.failure().message.find("remove the old one first") == std::string::npos) return 3;
    }
    auto fresh = create_tree(dir / "fresh");
    if (!fresh || !fresh->leave(0700, tree_time) || !fresh->commit(false)) return 4;
    return 0;
  });
  CHECK(test::unless_skipped(code) == 0);
  if (code == test::skipped) return;
  CHECK(dir.read("tree/old") == "old");
  CHECK(dir.has("fresh"));
  CHECK(dir.count() == 2);
}

TEST_CASE("a name that is there already is refused, whatever it is, and no link is followed") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "outside");
  auto tree = create_tree(dir / "tree");
  REQUIRE(tree);
  REQUIRE(tree->make_link("link", dir / "outside", tree_time));
  REQUIRE(tree->make_link("new", dir / "outside/new", tree_time));
  REQUIRE(tree->enter("directory"));
  REQUIRE(tree->leave(0755, tree_time));
  for (const char* name : {"link", "new", "directory"}) {
    CAPTURE(name);
    CHECK(error_of(tree->enter(name)) == EEXIST);
    CHECK(error_of(tree->open_file(name)) == EEXIST);
    CHECK(error_of(tree->make_link(name, "elsewhere", tree_time)) == EEXIST);
  }
  fill_tree(*tree);
  REQUIRE(tree->commit(false));
  CHECK(std::filesystem::is_empty(dir / "outside"));
  CHECK(mode_of(dir / "outside") != 0);
}

TEST_CASE("a file that is dropped is gone, and its name is free") {
  const TempDir dir;
  auto tree = create_tree(dir / "tree");
  REQUIRE(tree);
  REQUIRE(tree->open_file("file"));
  REQUIRE(tree->write("half"));
  REQUIRE(tree->drop_file());
  fill_tree(*tree);
  REQUIRE(tree->commit(false));
  CHECK(dir.read("tree/file") == "content");
}

TEST_CASE("a tree is on the disk before it gets its name, and its name before it is done") {
  for (const bool durable : {true, false}) {
    for (const unsigned call : {unsigned{SYS_syncfs}, unsigned{SYS_fsync}}) {
      CAPTURE(durable);
      const TempDir dir;
      auto tree = create_tree(dir / "tree");
      REQUIRE(tree);
      fill_tree(*tree);
      std::vector<bool> was_there;
      const auto observer = [&](const test::WatchedCall&) {
        was_there.push_back(dir.has("tree"));
        return 0;
      };
      if (!test::watch_calls(call, observer, [&] { CHECK(tree->commit(durable)); })) return;
      CHECK(was_there == (durable ? std::vector{call == SYS_fsync} : std::vector<bool>{}));
    }
  }
}

TEST_CASE("a disk that cannot keep a tree leaves nothing of it") {
  const TempDir dir;
  {
    auto tree = create_tree(dir / "tree");
    REQUIRE(tree);
    fill_tree(*tree);
    const auto observer = [](const test::WatchedCall&) { return EIO; };
    int error = 0;
    if (!test::watch_calls(SYS_syncfs, observer, [&] { error = error_of(tree->commit(true)); })) return;
    CHECK(error == EIO);
  }
  CHECK(dir.count() == 0);
}

TEST_CASE("part files of this library are known by their names") {
  CHECK(is_part_name(new_part_name()));
  CHECK(is_part_name(".remsh-parts"));
  for (const char* name : {"", ".remsh-", ".remsh-x.part", "remsh-0123456789abcdef.part", ".remsh-parts2"}) {
    CHECK_FALSE(is_part_name(name));
  }
}

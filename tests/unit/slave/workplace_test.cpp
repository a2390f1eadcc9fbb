#include "slave/workplace.hpp"

#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::TempDir;

TEST_CASE("the base directory is made where it is missing, and is where a session begins") {
  TempDir dir;
  auto workplace = Workplace::open(dir / "a/b");
  REQUIRE(workplace);
  CHECK((*workplace)->base().path() == std::filesystem::canonical(dir / "a/b"));
  CHECK((*workplace)->current()->path() == (*workplace)->base().path());
}

TEST_CASE("a base directory that cannot be is refused") {
  TempDir dir;
  dir.write("file", "");
  CHECK(Workplace::open(dir / "file").failure().os == EEXIST);
  CHECK(Workplace::open(dir / "file/x").failure().os == ENOTDIR);
}

TEST_CASE("a base directory that another user has made where everybody can is refused, whatever leads there") {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 01777) == 0);  // as /tmp is
  for (const char* name : {"theirs", "theirs/below", "ours"}) REQUIRE(::mkdir((dir / name).c_str(), 0755) == 0);
  REQUIRE(::symlink("ours", (dir / "link").c_str()) == 0);
  REQUIRE(Workplace::open(dir / "theirs/below").ok());
  constexpr uid_t somebody = 65534;
  if (::chown((dir / "theirs").c_str(), somebody, somebody) != 0 ||
      ::lchown((dir / "link").c_str(), somebody, somebody) != 0) {
    test::skip("only root can give a directory away");
    return;
  }
  for (const char* path : {"theirs", "theirs/below", "theirs/new/er", "ours/../theirs", "/theirs//below/"}) {
    CAPTURE(path);
    for (const bool is_root : {false, true}) {
      const auto opened = is_root ? Workplace::open("", dir / path) : Workplace::open(dir / path);
      REQUIRE_FALSE(opened.ok());
      CHECK(opened.failure().os == EPERM);
      CHECK(opened.failure().message.find("was made by user 65534") != std::string::npos);
    }
  }
  CHECK_FALSE(std::filesystem::exists(dir / "theirs/new"));
  CHECK_FALSE(Workplace::open(dir / "link").ok());
  CHECK(Workplace::open(dir / "ours").ok());
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);  // where only we can make one, it may be given to anybody
  CHECK(Workplace::open(dir / "theirs").ok());
}

TEST_CASE("a session goes where it is told, relative to where it is, and back to the base") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "a").c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "a/b").c_str(), 0755) == 0);
  const auto workplace = *Workplace::open(dir.path());
  const Bytes base = workplace->base().path();

  CHECK(*workplace->set_current("a") == base + "/a");
  CHECK(*workplace->set_current("b") == base + "/a/b");
  CHECK(*workplace->set_current("..") == base + "/a");
  CHECK(*workplace->set_current("") == base + "/a");
  CHECK(*workplace->set_current("/") == "/");
  CHECK(*workplace->set_current(std::nullopt) == base);
  CHECK(*workplace->set_current("") == base);
}

TEST_CASE("a directory that cannot be entered changes nothing") {
  TempDir dir;
  dir.write("file", "");
  const auto workplace = *Workplace::open(dir.path());
  CHECK(workplace->set_current("missing").failure().os == ENOENT);
  CHECK(workplace->set_current("file").failure().os == ENOTDIR);
  CHECK(workplace->current()->path() == workplace->base().path());
}

TEST_CASE("who holds the session's directory keeps it when another one is set") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "a").c_str(), 0755) == 0);
  const auto workplace = *Workplace::open(dir.path());
  const auto before = workplace->current();
  REQUIRE(workplace->set_current("a"));
  CHECK(::faccessat(before->descriptor(), "a", F_OK, 0) == 0);
}

TEST_CASE("the directory of the process stays what it is") {
  TempDir dir;
  const auto before = std::filesystem::current_path();
  const auto workplace = *Workplace::open(dir.path());
  REQUIRE(workplace->set_current("/"));
  CHECK(std::filesystem::current_path() == before);
}

TEST_CASE("many threads may move the session and work in it") {
  TempDir dir;
  for (const char* name : {"a", "b"}) REQUIRE(::mkdir((dir / name).c_str(), 0755) == 0);
  const auto workplace = *Workplace::open(dir.path());
  const Bytes base = workplace->base().path();
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const Bytes mine = base + (i % 2 == 0 ? "/a" : "/b");
      for (int round = 0; round < 200; ++round) {
        right += workplace->set_current(mine).value() == mine;
        right += workplace->current()->path().size() == mine.size();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 4 * 200 * 2);
}

TEST_CASE("what a killed slave has left of a file is removed for the next one, and nothing else") {
  for (const bool is_jailed : {false, true}) {
    CAPTURE(is_jailed);
    TempDir dir;
    const Bytes root = is_jailed ? dir.path() : Bytes();
    REQUIRE(::mkdir((dir / "base").c_str(), 0755) == 0);
    REQUIRE(::mkdir((dir / "elsewhere").c_str(), 0755) == 0);
    dir.write("elsewhere/.remsh-0123456789abcdef.part", "a user's");
    std::vector<PartRecord> living;
    const UniqueFd base(::open((dir / "base").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 2; ++i) {
      living.push_back(PartRecord::make(base.get(), std::filesystem::canonical(dir / "elsewhere").string()));
      dir.write("elsewhere/" + living.back().name(), "half");
    }
    // The lock of one ends as with its process; what it has written stays.
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const PartRecord gone = PartRecord::make(base.get(), std::filesystem::canonical(dir / "elsewhere").string());
      dir.write("elsewhere/" + gone.name(), "half");
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    const auto files = [&] {
      return std::distance(std::filesystem::directory_iterator(dir / "elsewhere"),
                           std::filesystem::directory_iterator());
    };
    CHECK(files() == 4);

    const auto workplace = *Workplace::open(dir / "base", root);
    CHECK(workplace->may_have_abandoned_parts());
    workplace->remove_abandoned_parts();
    CHECK(files() == 3);
    for (const PartRecord& record : living) CHECK(dir.read("elsewhere/" + record.name()) == "half");
    CHECK(dir.has("elsewhere/.remsh-0123456789abcdef.part"));
    living.clear();
    CHECK_FALSE(workplace->may_have_abandoned_parts());
  }
}

TEST_CASE("a record whose path leads out of the root removes nothing") {
  TempDir dir;
  REQUIRE(::mkdir((dir / "root").c_str(), 0755) == 0);
  REQUIRE(::mkdir((dir / "root/.remsh-parts").c_str(), 0700) == 0);
  dir.write(".remsh-0123456789abcdef.part", "outside");
  REQUIRE(::symlink("..", (dir / "root/out").c_str()) == 0);
  for (const std::string& path : {dir.path(), dir / "root/out", std::string("..")}) {
    CAPTURE(path);
    dir.write("root/.remsh-parts/.remsh-0123456789abcdef.part", path + "\n");
    (*Workplace::open("", dir / "root"))->remove_abandoned_parts();
    CHECK(dir.has(".remsh-0123456789abcdef.part"));
  }
}

// At: what a path may reach that must stay beneath a directory, by the kernel's means and by our own.
#include "os/at.hpp"

#include "support/confined.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::confined;
using remsh::test::TempDir;
using Reach = At::Reach;

namespace {

namespace fs = std::filesystem;

/// A root with links of all kinds, and what is outside of it.
struct Tree {
  TempDir dir;
  UniqueFd root;

  Tree() {
    fs::create_directories(dir / "root/a/b");
    fs::create_directories(dir / "outside");
    dir.write("root/file", "in the root");
    dir.write("root/a/b/file", "inside");
    dir.write("outside/secret", "outside");
    link("a/b", "in");
    link("in", "chain");
    link("../outside", "up");
    link(dir / "root/a", "absolute");
    link("loop", "loop");
    link("nowhere", "dangling");
    link(".", "self");
    link("a/..", "back");
    link("a/b/file", "to_file");
    root.reset(::open((dir / "root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  void link(const std::string& target, const std::string& name) const {
    REQUIRE(::symlink(target.c_str(), (dir / "root/" + name).c_str()) == 0);
  }

  [[nodiscard]] At at(Reach reach) const { return {root.get(), reach}; }
};

int errno_of(const UniqueFd& fd) { return fd ? 0 : errno; }

}  // namespace

TEST_CASE("a path that must stay beneath a directory does, and else is as any other") {
  const Tree tree;
  struct Case {
    Bytes path;
    int error;
  };
  const std::vector<Case> cases{
      {"file", 0},
      {"a/b/file", 0},
      {"./a//b/./file", 0},
      {".", 0},
      {"a/", 0},
      {"a/..", 0},
      {"a/../file", 0},
      {"a/b/../../a/b/file", 0},
      {"in/file", 0},
      {"in/", 0},
      {"in/../../file", 0},
      {"chain/file", 0},
      {"self/self/file", 0},
      {"back/file", 0},
      {"to_file", 0},
      {"..", EXDEV},
      {"../root/file", EXDEV},
      {"../outside/secret", EXDEV},
      {"a/../../outside/secret", EXDEV},
      {"in/../../../outside/secret", EXDEV},
      {"up", EXDEV},
      {"up/", EXDEV},
      {"up/secret", EXDEV},
      {"a/../up/secret", EXDEV},
      {"absolute", EXDEV},
      {"absolute/b/file", EXDEV},
      {"/", EXDEV},
      {"/etc/passwd", EXDEV},
      {tree.dir / "root/file", EXDEV},
      {"loop", ELOOP},
      {"dangling", ENOENT},
      {"missing", ENOENT},
      {"missing/x", ENOENT},
      {"", ENOENT},
      {"file/", ENOTDIR},
      {"file/.", ENOTDIR},
      {"file/x", ENOTDIR},
      {"to_file/", ENOTDIR},
      {Bytes(256, 'n'), ENAMETOOLONG},
      {Bytes(5000, '/') + "x", ENAMETOOLONG},
  };
  for (const Reach reach : confined) {
    CAPTURE(reach == Reach::beneath);
    for (const Case& example : cases) {
      const Bytes& path = example.path;
      const int error = example.error;
      CAPTURE(path);
      CHECK(errno_of(open_at(tree.at(reach), path, O_RDONLY | O_CLOEXEC)) == error);
      struct stat status {};
      CHECK(stat_at(tree.at(reach), path, status, true) == error);
      if (error != 0) continue;
      struct stat wanted {};
      REQUIRE(::fstatat(tree.root.get(), path.c_str(), &wanted, 0) == 0);
      CHECK(status.st_ino == wanted.st_ino);
    }
  }
}

TEST_CASE("a link at the end is looked at itself where that is wanted, wherever it leads") {
  const Tree tree;
  for (const Reach reach : confined) {
    struct stat status {};
    for (const char* name : {"up", "absolute", "loop", "dangling", "in", "a/../in"}) {
      CHECK(stat_at(tree.at(reach), name, status, false) == 0);
      CHECK(S_ISLNK(status.st_mode));
      CHECK(errno_of(open_at(tree.at(reach), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == ELOOP);
    }
    CHECK(stat_at(tree.at(reach), "up/secret", status, false) == EXDEV);
  }
}

TEST_CASE("a directory is made only within") {
  const Tree tree;
  for (const Reach reach : confined) {
    CHECK(mkdir_at(tree.at(reach), "in/new", 0777) == 0);
    CHECK(::rmdir((tree.dir / "root/a/b/new").c_str()) == 0);
    CHECK(mkdir_at(tree.at(reach), "up", 0777) == EEXIST);
    CHECK(mkdir_at(tree.at(reach), "up/new", 0777) == EXDEV);
    CHECK(mkdir_at(tree.at(reach), "../new", 0777) == EXDEV);
    CHECK(mkdir_at(tree.at(reach), tree.dir / "new", 0777) == EXDEV);
    CHECK(mkdir_at(tree.at(reach), "", 0777) == ENOENT);
  }
  CHECK(fs::exists(tree.dir / "outside/secret"));
  CHECK(std::distance(fs::directory_iterator(tree.dir / "outside"), {}) == 1);
}

TEST_CASE("the links of /proc, which are more than their text, lead nowhere") {
  const UniqueFd proc(::open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return test::skip("this system has no /proc");
  for (const Reach reach : confined) {
    for (const char* name : {"cwd", "root", "exe", "fd/0"}) {
      CAPTURE(name);
      CHECK_FALSE(open_at({proc.get(), reach}, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    }
  }
}

TEST_CASE("walking goes as deep as any path, and no deeper than there are descriptors for") {
  const TempDir dir;
  const UniqueFd root(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Bytes path;
  for (int i = 0; i < 200; ++i) path += "d/";
  fs::create_directories(dir / path);
  CHECK(open_at({root.get(), Reach::beneath_by_walking}, path, O_RDONLY | O_CLOEXEC));
  Bytes circles;
  for (int i = 0; i < 400; ++i) circles += "d/../";
  CHECK(open_at({root.get(), Reach::beneath_by_walking}, circles + "d", O_RDONLY | O_CLOEXEC));
}

TEST_CASE("what is swapped for a link in the very moment leads nowhere else") {
  const Tree tree;
  fs::create_directories(tree.dir / "root/d");
  tree.dir.write("root/d/secret", "inside");
  tree.link("../outside", "swapped");
  const std::string d = tree.dir / "root/d";
  const std::string l = tree.dir / "root/swapped";
  const std::string aside = tree.dir / "root/aside";
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done) {
      ::rename(d.c_str(), aside.c_str());
      ::rename(l.c_str(), d.c_str());
      ::rename(d.c_str(), l.c_str());
      ::rename(aside.c_str(), d.c_str());
    }
  });
  for (const Reach reach : confined) {
    for (int i = 0; i < 3000; ++i) {
      const UniqueFd fd = open_at(tree.at(reach), "d/secret", O_RDONLY | O_CLOEXEC);
      char first = 'i';
      if (fd && ::read(fd.get(), &first, 1) == 1) REQUIRE(first == 'i');
    }
  }
  done = true;
  swapper.join();
}

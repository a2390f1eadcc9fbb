#include "os/followed_file.hpp"

#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

using namespace remsh;
using remsh::test::TempDir;

namespace {

using From = FollowedFile::From;

/// All that can be read now, in pieces of at most three bytes.
std::string rest_of(FollowedFile& file) {
  std::string all;
  std::array<char, 3> buffer{};
  while (const std::size_t count = file.read(buffer)) all.append(buffer.data(), count);
  return all;
}

void append_to(const TempDir& dir, const std::string& name, const std::string& text) {
  std::ofstream(dir / name, std::ios::binary | std::ios::app) << text;
}

FollowedFile follow(const TempDir& dir, From from) { return FollowedFile(AT_FDCWD, dir / "log", from); }

}  // namespace

TEST_CASE("a followed file is read from its beginning, from its end, or once it has changed") {
  TempDir dir;
  dir.write("log", "old\n");
  FollowedFile start = follow(dir, From::start);
  FollowedFile end = follow(dir, From::end);
  FollowedFile changed = follow(dir, From::changed);
  CHECK(rest_of(start) == "old\n");
  CHECK(rest_of(end).empty());
  CHECK(rest_of(changed).empty());
  append_to(dir, "log", "new\n");
  CHECK(rest_of(start) == "new\n");
  CHECK(rest_of(end) == "new\n");
  CHECK(rest_of(changed) == "old\nnew\n");
  append_to(dir, "log", "more");
  for (FollowedFile* const file : {&start, &end, &changed}) {
    CHECK(rest_of(*file) == "more");
    CHECK_FALSE(file->problem());
  }
}

TEST_CASE("a followed file that was written to without a trace has changed if somebody says so") {
  TempDir dir;
  dir.write("log", "old\n");
  FollowedFile file = follow(dir, From::changed);
  CHECK(rest_of(file).empty());
  file.note_change();
  CHECK(rest_of(file) == "old\n");
}

TEST_CASE("a followed file may appear later, wherever it begins") {
  for (const From from : {From::start, From::end, From::changed}) {
    TempDir dir;
    FollowedFile file = follow(dir, from);
    CHECK(file.descriptor() == -1);
    CHECK(rest_of(file).empty());
    REQUIRE(file.problem());
    CHECK(file.problem()->os == ENOENT);
    dir.write("log", "new\n");
    CHECK(rest_of(file) == "new\n");
    CHECK(file.descriptor() != -1);
    CHECK_FALSE(file.problem());
  }
}

TEST_CASE("a followed file that was truncated is read from its beginning again") {
  for (const From from : {From::start, From::end, From::changed}) {
    TempDir dir;
    dir.write("log", "a long line\n");
    FollowedFile file = follow(dir, from);
    rest_of(file);
    dir.write("log", "short\n");
    CHECK(rest_of(file) == "short\n");
    append_to(dir, "log", "more\n");
    CHECK(rest_of(file) == "more\n");
  }
}

TEST_CASE("of a followed file that is rotated the rest is read first, then the new one from its beginning") {
  TempDir dir;
  FollowedFile file = follow(dir, From::end);
  dir.write("log", "one\n");
  CHECK(rest_of(file) == "one\n");
  append_to(dir, "log", "two\n");
  std::filesystem::rename(dir / "log", dir / "log.1");
  CHECK(rest_of(file) == "two\n");
  append_to(dir, "log.1", "three\n");  // its writer has not opened the new one yet
  CHECK(rest_of(file) == "three\n");
  append_to(dir, "log.1", "four\n");
  dir.write("log", "five\n");
  CHECK(rest_of(file) == "four\nfive\n");
  CHECK(file.openings() == 2);
  std::filesystem::remove(dir / "log");
  CHECK(rest_of(file).empty());
  CHECK_FALSE(file.problem());
}

TEST_CASE("of an old file that is replaced before it has changed only the new one is read") {
  TempDir dir;
  dir.write("log", "old\n");
  FollowedFile file = follow(dir, From::changed);
  dir.write("new", "new\n");
  std::filesystem::rename(dir / "new", dir / "log");
  CHECK(rest_of(file) == "new\n");
}

TEST_CASE("a followed file that is to end is read to its size, and the file that has replaced it, too") {
  TempDir dir;
  dir.write("log", "one\n");
  FollowedFile file = follow(dir, From::start);
  CHECK(rest_of(file) == "one\n");
  append_to(dir, "log", "two\n");
  file.end_here();
  append_to(dir, "log", "too late\n");
  CHECK(rest_of(file) == "two\n");
  append_to(dir, "log", "too late\n");
  CHECK(rest_of(file).empty());

  FollowedFile rotated = follow(dir, From::end);
  append_to(dir, "log", "rest\n");
  std::filesystem::rename(dir / "log", dir / "log.1");
  dir.write("log", "new\n");
  rotated.end_here();
  CHECK(rest_of(rotated) == "rest\nnew\n");
  dir.write("other", "too late\n");
  std::filesystem::rename(dir / "other", dir / "log");
  CHECK(rest_of(rotated).empty());
}

TEST_CASE("what is no regular file is not followed, and not opened") {
  TempDir dir;
  REQUIRE(::mkfifo((dir / "log").c_str(), 0600) == 0);
  FollowedFile fifo = follow(dir, From::start);
  CHECK(rest_of(fifo).empty());
  REQUIRE(fifo.problem());
  CHECK(fifo.problem()->os == EINVAL);
  CHECK(::open((dir / "log").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC) == -1);  // it has no reader

  FollowedFile directory(AT_FDCWD, dir.path(), From::start);
  CHECK(directory.problem()->os == EISDIR);
  FollowedFile device(AT_FDCWD, "/dev/null", From::start);
  CHECK(device.problem()->os == EINVAL);

  std::filesystem::remove(dir / "log");
  dir.write("log", "now a file\n");
  CHECK(rest_of(fifo) == "now a file\n");
  CHECK_FALSE(fifo.problem());
}

TEST_CASE("a followed file does not lead out of the directory that it must stay in") {
  TempDir dir;
  std::filesystem::create_directory(dir / "in");
  dir.write("secret", "secret\n");
  std::filesystem::create_symlink("../secret", dir / "in/log");
  const UniqueFd root(::open((dir / "in").c_str(), open_to_resolve));
  FollowedFile file(At(root.get(), At::Reach::beneath), "log", From::start);
  CHECK(rest_of(file).empty());
  REQUIRE(file.problem());
  CHECK(file.problem()->os == EPERM);
  std::filesystem::remove(dir / "in/log");
  dir.write("in/log", "mine\n");
  CHECK(rest_of(file) == "mine\n");
  std::filesystem::remove(dir / "in/log");
  std::filesystem::create_symlink("../secret", dir / "in/log");
  CHECK(rest_of(file).empty());
  CHECK(file.problem()->os == EPERM);
}

#include "os/part_files.hpp"

#include "os/new_file.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::TempDir;

namespace {

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Result<NewFile> create_part(const TempDir& home, const std::string& path, const UniqueFd& records) {
  return NewFile::create(AT_FDCWD, home / path, {.home = records.get(), .always_named = true});
}

/// Runs something in a process that is killed when it has returned.
void run_and_be_killed(const auto& work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto kept = work();
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("what a killed process has left of files is removed, wherever it is, and nothing else") {
  TempDir home;
  TempDir elsewhere;
  const UniqueFd records = open_directory(home.path());
  home.write(".remsh-0123456789abcdef.part", "a file of a user, named like one of ours");
  elsewhere.write(".remsh-0123456789abcdef.part", "the same");

  run_and_be_killed([&] {
    std::vector<Result<NewFile>> files;
    files.push_back(create_part(home, "a", records));
    files.push_back(create_part(home, "b", records));
    files.push_back(create_part(elsewhere, "c", records));
    for (auto& file : files) (void)file->write("half");
    return files;
  });
  CHECK(home.count() == 4);  // two part files, the directory of records, and the user's
  CHECK(elsewhere.count() == 2);
  auto living = create_part(elsewhere, "d", records);
  REQUIRE(living);

  remove_abandoned_parts(records.get(), open_directory);
  CHECK(home.count() == 2);
  CHECK(elsewhere.count() == 2);
  CHECK(home.has(".remsh-0123456789abcdef.part"));
  CHECK(elsewhere.has(".remsh-0123456789abcdef.part"));

  REQUIRE(living->write("whole"));
  REQUIRE(living->commit(0600));
  CHECK(elsewhere.read("d") == "whole");
  CHECK(home.count() == 1);  // the directory of records has gone with the last one
}

TEST_CASE("files that are written while what others left is removed stay, and their records do not fail") {
  TempDir home;
  const UniqueFd records = open_directory(home.path());
  std::atomic<bool> is_over = false;
  std::atomic<unsigned> rounds = 0;
  std::thread cleaner([&] {
    for (; !is_over; ++rounds) remove_abandoned_parts(records.get(), open_directory);
  });
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    auto file = create_part(home, "a" + std::to_string(i), records);
    const unsigned before = rounds;
    while (i % 2 == 0 && rounds < before + 2) std::this_thread::yield();  // a whole round, while it is written
    CHECK(file);
    if (file) CHECK(file->write("whole"));
    if (file) CHECK(file->commit(0600));
  }
  is_over = true;
  cleaner.join();
  CHECK(home.count() == 200);
}

TEST_CASE("a file that replaces another, and whose process is killed before it has, leaves nothing") {
  TempDir home;
  const UniqueFd records = open_directory(home.path());
  home.write("a", "old");
  run_and_be_killed([&] {
    // As it is between link() and rename().
    PartRecord record = PartRecord::make(records.get(), home.path());
    home.write(record.name(), "new");
    return record;
  });
  CHECK(home.count() == 3);
  remove_abandoned_parts(records.get(), open_directory);
  CHECK(home.count() == 1);
  CHECK(home.read("a") == "old");
}

TEST_CASE("the next file in a directory removes what killed processes have left there, if nobody else does") {
  TempDir dir;
  run_and_be_killed([&] { return NewFile::create(AT_FDCWD, dir / "a", {.always_named = true}); });
  CHECK(dir.count() == 2);
  REQUIRE(NewFile::create(AT_FDCWD, dir / "b", false));
  CHECK(dir.count() == 0);
}

TEST_CASE("of a file without a name nothing is left") {
  TempDir dir;
  run_and_be_killed([&] { return NewFile::create(AT_FDCWD, dir / "a", false); });
  CHECK(dir.count() == 0);
}

TEST_CASE("records that are not ours, or of what is no part file, remove nothing") {
  TempDir home;
  const UniqueFd records = open_directory(home.path());
  REQUIRE(::mkdir((home / ".remsh-parts").c_str(), 0700) == 0);
  home.write("precious", "kept");
  home.write(".remsh-00112233445566ff.part", "kept");
  REQUIRE(::mkfifo((home / ".remsh-ffffffffffffffff.part").c_str(), 0700) == 0);
  home.write(".remsh-parts/precious", home.path() + "\n");
  home.write(".remsh-parts/.remsh-00112233445566FF.part", home.path() + "\n");
  home.write(".remsh-parts/.remsh-00112233445566ff.part", home.path());  // cut off, so there was no file yet
  home.write(".remsh-parts/.remsh-ffffffffffffffff.part", home.path() + "\n");
  remove_abandoned_parts(records.get(), open_directory);
  CHECK(home.has("precious"));
  CHECK(home.has(".remsh-00112233445566ff.part"));
  CHECK(home.has(".remsh-ffffffffffffffff.part"));
  CHECK(home.has(".remsh-parts/precious"));
  CHECK_FALSE(home.has(".remsh-parts/.remsh-ffffffffffffffff.part"));
}

TEST_CASE("a link in the place of the records is not followed") {
  TempDir home;
  TempDir elsewhere;
  const UniqueFd records = open_directory(home.path());
  REQUIRE(::symlink(elsewhere.path().c_str(), (home / ".remsh-parts").c_str()) == 0);
  {
    auto file = create_part(home, "a", records);
    REQUIRE(file);
    CHECK(elsewhere.count() == 0);
    REQUIRE(file->commit(0600));
  }
  elsewhere.write(".remsh-00112233445566ff.part", elsewhere.path() + "\n");
  remove_abandoned_parts(records.get(), open_directory);
  CHECK(elsewhere.count() == 1);
}

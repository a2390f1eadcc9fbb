// A tree that is read here and made there: TreeSource and TreeSink.
#include "operations/tree_sink.hpp"
#include "operations/tree_source.hpp"
#include "support/child_process.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "support/tree_boxes.hpp"
#include "support/tree_of.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace remsh::test;

namespace {

namespace fs = std::filesystem;

TreeSource open_tree_source(const std::string& path, TreeSource::Options options = {}) {
  auto source = TreeSource::open(AT_FDCWD, path, std::move(options));
  REQUIRE_MESSAGE(source.ok(), source.failure().message);
  return std::move(*source);
}

/// Reads to the end, in buffers of this size.
Bytes read_tree(TreeSource& source, std::size_t size = 65000) {
  Bytes all;
  Bytes buffer(size, '\0');
  for (;;) {
    const auto count = source.read(buffer);
    REQUIRE_MESSAGE(count.ok(), count.failure().message);
    if (*count == 0) return all;
    all.append(buffer, 0, *count);
  }
}

/// A sink for a new tree in a directory.
struct MadeTree {
  TempDir dir;
  TreeSink sink;
  explicit MadeTree(TreeSink::Options options = {})
      : sink(std::move(*NewTree::create(AT_FDCWD, dir / "tree", {})), options) {}

  /// Takes a whole stream, and commits.
  Result<void> take(const Bytes& stream) {
    if (auto taken = sink.take(stream); !taken) return taken;
    if (auto ended = sink.finish(); !ended) return ended;
    return sink.commit(false);
  }
};

}  // namespace

TEST_CASE("a tree comes over with its modes and times, whatever the pieces in which it is read") {
  const TempDir dir;
  make_sample_tree(dir.path());
  for (const std::size_t size : {1U, 100U, 5000U, 65000U, 1000000U}) {
    CAPTURE(size);
    TreeSource source = open_tree_source(dir.path());
    MadeTree made;
    const auto taken = made.take(read_tree(source, size));
    REQUIRE_MESSAGE(taken.ok(), taken.failure().message);
    CHECK(tree_of(made.dir / "tree") == tree_of(dir.path()));
    CHECK(made.dir.count() == 1);
    for (const TreeResult& result : {source.result(), made.sink.result()}) {
      CHECK(result.files == 4);
      CHECK(result.directories == 3);
      CHECK(result.links == 2);
      CHECK(result.bytes == 300'003 + 10 + 7);
      CHECK(result.is_complete());
      CHECK(result.problems.empty());
    }
    CHECK(source.entries() == 9);
    CHECK(made.sink.entries() == 9);
    CHECK(made.sink.moved() == source.moved());
  }
}

TEST_CASE("ten thousand small files need few pieces") {
  const TempDir dir;
  for (int i = 0; i < 1000; ++i) dir.write("file" + std::to_string(i), Bytes(100, 'x'));
  TreeSource source = open_tree_source(dir.path());
  const Bytes stream = read_tree(source);
  CHECK(stream.size() < 1000 * 220);  // 100 bytes of content, and about 100 beside them
  CHECK(source.result().files == 1000);
}

TEST_CASE("what the patterns exclude is left out with all below it, and is no problem") {
  const TempDir dir;
  make_sample_tree(dir.path());
  dir.write("src/deep.o", "");
  TreeSource source = open_tree_source(dir.path(), {.exclude = Exclude({"*.o", "/src/deep", "nothing"})});
  MadeTree made;
  REQUIRE(made.take(read_tree(source)));
  CHECK(made.dir.has("tree/src"));
  CHECK_FALSE(made.dir.has("tree/src/deep"));
  CHECK_FALSE(made.dir.has("tree/src/deep.o"));
  CHECK_FALSE(made.dir.has("tree/src/nothing"));
  CHECK(source.result().is_complete());
  CHECK(source.result().skipped == 0);
}

TEST_CASE("part files of this library are left out") {
  const TempDir dir;
  dir.write("file", "");
  fs::create_directories(dir / ".remsh-parts/x");
  fs::create_directories(dir / ".remsh-0123456789abcdef.part/x");
  TreeSource source = open_tree_source(dir.path());
  read_tree(source);
  CHECK(source.entries() == 1);
}

TEST_CASE("sockets, fifos and devices are skipped and named, links if they are not wanted") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("x", (dir / "link").c_str()) == 0);
  for (const bool links : {true, false}) {
    TreeSource source = open_tree_source(dir.path());
    MadeTree made({.links = links});
    REQUIRE(made.take(read_tree(source)));
    CHECK(made.dir.has("tree/link") == links);
    CHECK_FALSE(made.dir.has("tree/fifo"));
    const TreeResult& result = made.sink.result();
    CHECK(result.is_complete());
    CHECK(result.skipped == (links ? 1 : 2));
    REQUIRE(result.problems.size() == result.skipped);
    const auto fifo = std::find_if(result.problems.begin(), result.problems.end(),
                                   [](const TreeProblem& problem) { return problem.path == "fifo"; });
    REQUIRE(fifo != result.problems.end());
    CHECK_FALSE(fifo->os);
    CHECK(fifo->message == "'fifo': a fifo, which is not copied");
    TreeSource without = open_tree_source(dir.path(), {.links = links});
    read_tree(without);
    CHECK(without.result().skipped == (links ? 1 : 2));
  }
}

TEST_CASE("an entry that cannot be read is named, and the rest comes; or it ends all if that is asked for") {
  const TempDir dir;
  fs::create_directories(dir / "d/closed");
  dir.write("d/closed/lost", "");
  dir.write("d/secret", "");
  dir.write("d/open", "open");
  REQUIRE(::chmod((dir / "d/closed").c_str(), 0) == 0);
  REQUIRE(::chmod((dir / "d/secret").c_str(), 0) == 0);
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  const int code = run_in_child([&] {
    if (!drop_privileges()) return skipped;
    auto source = TreeSource::open(AT_FDCWD, dir.path(), {});
    if (!source) return 1;
    Bytes stream(65000, '\0');
    const auto count = source->read(stream);
    if (!count) return 2;
    stream.resize(*count);
    const TreeResult& result = source->result();
    if (result.failed != 2 || result.files != 1 || result.directories != 1 || result.problems.size() != 2) return 3;
    for (const TreeProblem& problem : result.problems) {
      if (problem.os != std::errc::permission_denied) return 4;
      if (problem.path != "d/closed" && problem.path != "d/secret") return 5;
      if (problem.message.find("'" + problem.path + "': ") != 0) return 6;
    }
    TempDir there;
    TreeSink sink(std::move(*NewTree::create(AT_FDCWD, there / "tree", {})), {});
    if (!sink.take(stream) || !sink.finish() || !sink.commit(false)) return 7;
    if (sink.result().failed != 2 || sink.result().is_complete()) return 8;
    for (const TreeProblem& problem : sink.result().problems) {
      if (problem.os != std::errc::permission_denied || !problem.path.starts_with("d/")) return 9;
    }
    if (there.read("tree/d/open") != "open" || there.has("tree/d/secret")) return 10;
    auto strict = TreeSource::open(AT_FDCWD, dir.path(), {.require_all = true});
    Bytes buffer(65000, '\0');
    const auto refused = strict->read(buffer);
    if (refused || refused.failure().os != EACCES) return 11;
    TreeSink strict_sink(std::move(*NewTree::create(AT_FDCWD, there / "strict", {})), {.require_all = true});
    const auto ended = strict_sink.take(stream);
    if (ended || ended.failure().os != EACCES || ended.failure().code != Errc::os_error) return 12;
    return 0;
  });
  ::chmod((dir / "d/closed").c_str(), 0700);
  CHECK(unless_skipped(code) == 0);
}

TEST_CASE("a file that cannot be read to its end is dropped, and named") {
  MadeTree made;
  REQUIRE(made.take(tree_top() + tree_directory("d") + tree_file("half", "12", true) + tree_content("34", true) +
                    tree_failure(EIO) + tree_file("half2", "56") + tree_up() + tree_failure(ENOENT) + tree_up()));
  CHECK(made.sink.result().files == 1);
  CHECK(made.sink.result().bytes == 2);
  CHECK(made.sink.moved() == 6);
  REQUIRE(made.sink.result().problems.size() == 2);
  CHECK(made.sink.result().problems[0].path == "d/half");
  CHECK(made.sink.result().problems[0].os == std::errc::io_error);
  CHECK(made.sink.result().problems[1].path.empty());  // the top itself
  CHECK_FALSE(made.dir.has("tree/d/half"));
  CHECK(made.dir.read("tree/d/half2") == "56");
}

TEST_CASE("a file that shrinks while it is read is short, one that grows is as it was") {
  for (const bool grows : {false, true}) {
    CAPTURE(grows);
    const TempDir dir;
    dir.write("file", Bytes(100'000, 'x'));
    TreeSource source = open_tree_source(dir.path());
    Bytes stream(30'000, '\0');
    REQUIRE(source.read(stream));
    fs::resize_file(dir / "file", grows ? 200'000 : 40'000);
    stream += read_tree(source);
    MadeTree made;
    REQUIRE(made.take(stream));
    CHECK(made.dir.read("tree/file").size() == (grows ? 100'000 : 40'000));
    CHECK(made.sink.result().bytes == source.result().bytes);
  }
}

TEST_CASE("files without a size are read to their end") {
  TreeSource source = open_tree_source("/proc/self/net/stat");
  const Bytes stream = read_tree(source);
  if (source.result().files > 0) CHECK(source.result().bytes > 0);
  MadeTree made;
  CHECK(made.take(stream));
}

TEST_CASE("what is gone when its turn comes is left out, and what was replaced is not followed") {
  const TempDir dir;
  dir.write("file", "content");
  fs::create_directory(dir / "directory");
  auto names = [&] {
    TreeSource source = open_tree_source(dir.path());
    Bytes first(1, '\0');
    REQUIRE(source.read(first));  // the top is open; nothing in it has been read
    fs::remove(dir / "file");
    fs::remove(dir / "directory");
    REQUIRE(::symlink("/etc", (dir / "directory").c_str()) == 0);
    return read_tree(source);
  };
  names();
  TreeSource source = open_tree_source(dir.path());
  read_tree(source);
  CHECK(source.result().links == 1);
  CHECK(source.result().directories == 0);
}

TEST_CASE("the top may be a symbolic link to a directory, and must be a directory") {
  const TempDir dir;
  fs::create_directory(dir / "d");
  dir.write("d/file", "");
  REQUIRE(::symlink("d", (dir / "link").c_str()) == 0);
  TreeSource source = open_tree_source(dir / "link");
  read_tree(source);
  CHECK(source.result().files == 1);
  CHECK(TreeSource::open(AT_FDCWD, dir / "d/file", {}).failure().os == ENOTDIR);
  CHECK(TreeSource::open(AT_FDCWD, dir / "missing", {}).failure().os == ENOENT);
  CHECK(TreeSource::open(AT_FDCWD, Bytes("a\0b", 3), {}).failure().os == EINVAL);
}

TEST_CASE("directories that are too deep are named, and the rest comes") {
  const TempDir dir;
  std::string path = dir.path();
  for (std::size_t i = 0; i < max_tree_depth; ++i) {
    path += "/d";
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
  }
  dir.write("file", "");
  TreeSource source = open_tree_source(dir.path());
  MadeTree made;
  REQUIRE(made.take(read_tree(source)));
  CHECK(source.result().directories == max_tree_depth - 1);
  CHECK(source.result().files == 1);
  CHECK(source.result().failed == 1);
  CHECK(made.sink.result().directories == max_tree_depth - 1);
  CHECK(made.sink.result().failed == 1);
}

TEST_CASE("a sink takes no more entries and bytes than it may, and leaves nothing") {
  const Bytes stream = tree_top() + tree_file("a", "12345") + tree_unreadable("b") + tree_directory("d") + tree_up() +
                       tree_link("l", "t") + tree_file("c", "6789", true) + tree_content("0") + tree_up();
  CHECK(MadeTree({.max_bytes = 10, .max_entries = 5}).take(stream));
  for (const TreeSink::Options& options : {TreeSink::Options{.max_bytes = 9}, TreeSink::Options{.max_bytes = 0},
                                           TreeSink::Options{.max_entries = 4}, TreeSink::Options{.max_entries = 0}}) {
    TempDir dir;
    {
      TreeSink sink(std::move(*NewTree::create(AT_FDCWD, dir / "tree", {})), options);
      const auto taken = sink.take(stream);
      REQUIRE_FALSE(taken);
      CHECK(taken.failure().code == Errc::too_large);
    }
    CHECK(dir.count() == 0);
  }
}

TEST_CASE("a sink gives no bits that it must not give") {
  MadeTree made({.mode_mask = 0755});
  REQUIRE(made.take(tree_top(07777) + tree_directory("d", 07777) + tree_up() + tree_file("f", "", false, 06777) +
                    tree_file("c", "1", true, 04755) + tree_content("") + tree_up()));
  CHECK(mode_of(made.dir / "tree") == 0755);
  CHECK(mode_of(made.dir / "tree/d") == 0755);
  CHECK(mode_of(made.dir / "tree/f") == 0755);
  CHECK(mode_of(made.dir / "tree/c") == 0755);
}

TEST_CASE("a name that comes twice is a breach, whatever it was and is") {
  const std::vector<Bytes> entries{tree_file("n"), tree_directory("n") + tree_up(), tree_link("n", "t")};
  for (const Bytes& first : entries) {
    for (const Bytes& second : entries) {
      MadeTree made({.breach = Errc::protocol_error});
      const auto taken = made.take(tree_top() + first + second + tree_up());
      REQUIRE_FALSE(taken);
      CHECK(taken.failure().code == Errc::protocol_error);
      CHECK(taken.failure().message == "'n': the name came twice");
    }
  }
}

TEST_CASE("only so many problems are listed, and all are counted") {
  Bytes stream = tree_top();
  for (int i = 0; i < 1500; ++i) stream += tree_unreadable("n" + std::to_string(i));
  MadeTree made;
  REQUIRE(made.take(stream + tree_up()));
  CHECK(made.sink.result().failed == 1500);
  CHECK(made.sink.result().problems.size() == 1000);
  CHECK_FALSE(made.sink.result().is_complete());

  Bytes deep = tree_top();
  for (int i = 0; i < 100; ++i) deep += tree_directory(Bytes(255, 'd'));
  for (int i = 0; i < 500; ++i) deep += tree_unreadable("n" + std::to_string(i));
  MadeTree other;
  CHECK(other.sink.take(deep));
  CHECK(other.sink.result().failed == 500);
  CHECK(other.sink.result().problems.size() < 50);  // their paths fill 1 MiB
  CHECK(other.sink.result().problems.back().message.size() < 1100);
}

TEST_CASE("a disk of this host that refuses an entry ends it, with the code and the path") {
  MadeTree made({.own_error = Errc::local_os_error});
  std::string part;
  for (const auto& entry : fs::directory_iterator(made.dir.path())) {
    if (entry.path().extension() == ".part") part = entry.path().string();
  }
  REQUIRE_FALSE(part.empty());
  REQUIRE(made.sink.take(tree_top() + tree_directory("d")));
  fs::remove(part + "/d");
  const auto taken = made.sink.take(tree_file("f"));
  REQUIRE_FALSE(taken);
  CHECK(taken.failure().code == Errc::local_os_error);
  CHECK(taken.failure().os == ENOENT);
  CHECK(taken.failure().message.find("'d/f': create") == 0);
}

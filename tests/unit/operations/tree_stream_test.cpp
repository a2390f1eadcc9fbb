#include "operations/tree_stream.hpp"

#include "support/hex.hpp"
#include "support/tree_boxes.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using namespace remsh::test;

namespace {

struct DecodedTree {
  std::vector<TreePart::Kind> kinds;
  std::vector<Bytes> names;
  Bytes data;
  bool is_valid = false;
  std::string why;
};

DecodedTree decode_tree(const Bytes& stream, std::size_t piece = Bytes::npos) {
  DecodedTree seen;
  TreeDecoder decoder;
  BytesView rest = stream;
  while (!rest.empty()) {
    const Bytes some(rest.substr(0, piece));
    rest.remove_prefix(some.size());
    decoder.feed(some);
    while (decoder.next()) {
      seen.kinds.push_back(decoder.part().kind);
      seen.names.push_back(decoder.part().name);
      seen.data += decoder.part().data;
    }
    if (decoder.failure() != nullptr) break;
  }
  const auto end = decoder.finish();
  seen.is_valid = end.ok();
  if (!end) seen.why = end.failure().message;
  return seen;
}

bool is_tree_refused(const Bytes& stream, const std::string& why) {
  const DecodedTree seen = decode_tree(stream);
  CAPTURE(seen.why);
  CHECK(seen.why.find(why) != std::string::npos);
  return !seen.is_valid;
}

}  // namespace

TEST_CASE("the boxes of a tree are these bytes") {
  CHECK(to_hex(tree_top()) ==
        to_hex(encode(Box{{"mode", "755"}, {"mtime", "-7"}, {"size", "0"}, {"type", "directory"}})));
  CHECK(to_hex(tree_top()) ==
        "00046d6f64650003373535"
        "00056d74696d6500022d37"
        "000473697a65000130"
        "000474797065"
        "00096469726563746f7279"
        "0000");
  CHECK(to_hex(tree_file("a", "xy", true)) ==
        "000464617461"
        "00027879"
        "00046d6f64650003363434"
        "00046d6f7265000131"
        "00056d74696d6500022d37"
        "00046e616d65000161"
        "000473697a65000132"
        "000474797065"
        "000466696c65"
        "0000");
  CHECK(to_hex(tree_content("z")) == "00046461746100017a0000");
  CHECK(to_hex(tree_content("")) == "00046461746100000000");
  CHECK(to_hex(tree_link("l", "t")) ==
        "00046d6f64650003373535"
        "00056d74696d6500022d37"
        "00046e616d6500016c"
        "000473697a65000130"
        "000674617267657400"
        "0174"
        "000474797065"
        "000773796d6c696e6b"
        "0000");
  CHECK(to_hex(tree_failure()) ==
        "00056572726f72000345494f"
        "0004746578740004"
        "72656164"
        "0000");
  CHECK(to_hex(tree_up()) == "000275700001310000");
}

TEST_CASE("data that is read into its place makes the same bytes") {
  for (const BytesView data : {BytesView(""), BytesView("x"), BytesView("content")}) {
    const TreePart part{
        .name = "name", .info = tree_info(FileType::file, data.size(), 0644), .data = data, .more = !data.empty()};
    Bytes stream = "before";
    const std::size_t begin = begin_tree_data(stream, 100);
    std::copy(data.begin(), data.end(), stream.begin() + static_cast<std::ptrdiff_t>(begin));
    end_tree_data(stream, begin, data.size());
    end_tree_part(stream, part);
    BoxDecoder boxes;
    const Bytes box = stream.substr(6);
    boxes.feed(box);
    REQUIRE(boxes.next());
    CHECK(boxes.box().is_canonical());
    Box fields = boxes.box().copy();
    CHECK(fields.get("data") == data);
    if (!data.empty()) CHECK(box == tree_box(part));
  }
}

TEST_CASE("a tree is understood wherever it is cut") {
  const Bytes stream = tree_top() + tree_file("empty") + tree_file("a", "1234", true) + tree_content("5678", true) +
                       tree_content("") + tree_directory("d") + tree_link("l", "../x") + tree_failure() + tree_up() +
                       tree_unreadable("bad") + tree_special("socket", FileType::socket) + tree_file("b", "9", true) +
                       tree_failure() + tree_up();
  const DecodedTree whole = decode_tree(stream);
  CHECK(whole.why.empty());
  CHECK(whole.is_valid);
  CHECK(whole.data == "123456789");
  CHECK(whole.names == std::vector<Bytes>{"", "empty", "a", "", "", "d", "l", "", "", "bad", "socket", "b", "", ""});
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U}) {
    const DecodedTree cut = decode_tree(stream, piece);
    CHECK(cut.is_valid);
    CHECK(cut.kinds == whole.kinds);
    CHECK(cut.names == whole.names);
    CHECK(cut.data == whole.data);
  }
  for (std::size_t size = 0; size < stream.size(); ++size) REQUIRE_FALSE(decode_tree(stream.substr(0, size)).is_valid);
}

TEST_CASE("an entry that could not be read has the error and the text of its sender, cut and without controls") {
  const Bytes stream = tree_top() + encode(Box{{"error", "EACCES"},
                                               {"mode", "0"},
                                               {"mtime", "0"},
                                               {"name", "x"},
                                               {"size", "0"},
                                               {"text", "\x1b[2J" + Bytes(5000, 't')},
                                               {"type", "unknown"}});
  TreeDecoder decoder;
  decoder.feed(stream);
  REQUIRE(decoder.next());
  REQUIRE(decoder.next());
  REQUIRE(decoder.part().failure);
  CHECK(decoder.part().failure->os == EACCES);
  CHECK(decoder.part().failure->code == Errc::os_error);
  CHECK(decoder.part().failure->message.size() < 2 * max_tree_text);
  CHECK(decoder.part().failure->message.find('\x1b') == std::string::npos);
}

TEST_CASE("names that are not single names in a directory are refused") {
  for (const Bytes& name : {Bytes("."), Bytes(".."), Bytes("a/b"), Bytes("/etc/passwd"), Bytes("../x"), Bytes("a/"),
                            Bytes("a\0b", 3), Bytes(), Bytes(256, 'n')}) {
    CAPTURE(name);
    for (const char* type : {"file", "directory", "symlink", "socket"}) {
      Box fields{{"mode", "644"}, {"mtime", "0"}, {"name", name}, {"size", "0"}, {"type", type}};
      if (type == std::string("symlink")) fields.set("target", "t");
      CHECK_FALSE(decode_tree(tree_top() + encode(fields) + tree_up()).is_valid);
    }
  }
  CHECK(decode_tree(tree_top() + tree_file(Bytes(255, 'n')) + tree_up()).is_valid);
  CHECK(decode_tree(tree_top() + tree_file("...") + tree_file("\n\xff") + tree_up()).is_valid);
}

TEST_CASE("a stream that breaks an order is refused") {
  CHECK(is_tree_refused("", "ends before"));
  CHECK(is_tree_refused(tree_file("a") + tree_up(), "does not begin with its top"));
  CHECK(is_tree_refused(tree_directory("a") + tree_up(), "does not begin with its top"));
  CHECK(is_tree_refused(tree_up(), "does not begin with its top"));
  CHECK(is_tree_refused(tree_failure(), "does not begin with its top"));
  CHECK(is_tree_refused(tree_top(), "ends before"));
  CHECK(is_tree_refused(tree_top() + tree_directory("d") + tree_up(), "ends before"));
  CHECK(is_tree_refused(tree_top() + tree_up() + tree_up(), "after its end"));
  CHECK(is_tree_refused(tree_top() + tree_up() + tree_file("a"), "after its end"));
  CHECK(is_tree_refused(tree_top() + tree_top() + tree_up() + tree_up(), "without a name"));
  CHECK(is_tree_refused(tree_top() + tree_content("x") + tree_up(), "content without a file"));
  CHECK(is_tree_refused(tree_top() + tree_file("a", "x") + tree_content("x") + tree_up(), "content without a file"));
  CHECK(is_tree_refused(tree_top() + tree_directory("d") + tree_content("x") + tree_up() + tree_up(),
                        "content without a file"));
  CHECK(is_tree_refused(tree_top() + tree_file("a", "x", true) + tree_up(), "does not end"));
  CHECK(is_tree_refused(tree_top() + tree_file("a", "x", true) + tree_file("b") + tree_up(), "does not end"));
  CHECK(is_tree_refused(tree_top() + tree_file("a", "x", true) + tree_content("", true) + tree_content("x") + tree_up(),
                        "without bytes"));
  CHECK(is_tree_refused(tree_top() + tree_file("a", "", true) + tree_content("x") + tree_up(), "not begun"));
}

TEST_CASE("a box that is no part of a tree is refused") {
  const auto entry = [](const Bytes& type, const Box& more) {
    Box fields{{"mode", "644"}, {"mtime", "0"}, {"name", "n"}, {"size", "0"}, {"type", type}};
    for (const auto& [key, value] : more) fields.set(key, value);
    return tree_top() + encode(fields) + tree_up();
  };
  CHECK(is_tree_refused(entry("directory", {{"data", "x"}}), "not a file"));
  CHECK(is_tree_refused(entry("symlink", {{"more", "1"}, {"target", "t"}}), "not a file"));
  CHECK(is_tree_refused(entry("symlink", {}), "target"));
  CHECK(is_tree_refused(entry("symlink", {{"target", Bytes(4096, 't')}}), "target"));
  CHECK(is_tree_refused(entry("symlink", {{"target", Bytes("a\0b", 3)}}), "target"));
  CHECK(is_tree_refused(entry("file", {{"target", "t"}}), "target"));
  CHECK(is_tree_refused(entry("file", {{"up", "1"}}), "two things"));
  CHECK(is_tree_refused(entry("file", {{"error", "EIO"}}), "failure"));
  CHECK(is_tree_refused(entry("missing", {}), ""));
  CHECK(is_tree_refused(entry("door", {}), "type"));
  CHECK(is_tree_refused(entry("file", {{"mode", "88"}}), "mode"));
  CHECK(is_tree_refused(entry("file", {{"more", "yes"}}), "more"));
  CHECK(is_tree_refused(tree_top() + encode(Box{{"unknown", "1"}}) + tree_up(), "nothing"));
  CHECK(is_tree_refused(tree_top() + encode(Box{{"name", "n"}, {"up", "1"}}), "name"));
  CHECK(is_tree_refused(tree_top() + encode(Box{{"error", "EIO"}, {"up", "1"}}), "two things"));
  CHECK(is_tree_refused(tree_top() + encode(Box{{"data", "x"}, {"up", "1"}}), "content"));
  CHECK(is_tree_refused(tree_top() + encode(Box{{"target", "x"}, {"up", "1"}}), "target"));
  CHECK(is_tree_refused(tree_top() + Bytes("\1\0\0", 3), "not AMP"));
  CHECK(is_tree_refused(tree_top() + Bytes("\0\0", 2), "empty"));
  CHECK(decode_tree(entry("file", {{"unknown", "1"}})).is_valid);
}

TEST_CASE("directories are as deep as both sides have descriptors for, and no deeper") {
  Bytes stream = tree_top();
  for (std::size_t i = 1; i < max_tree_depth; ++i) stream += tree_directory("d");
  Bytes ends;
  for (std::size_t i = 0; i < max_tree_depth; ++i) ends += tree_up();
  CHECK(decode_tree(stream + ends).is_valid);
  CHECK(is_tree_refused(stream + tree_directory("d") + ends + tree_up(), "256"));
}

TEST_CASE("a box that is larger than any part can be is refused before it has come") {
  Bytes stream = tree_top();
  for (const char* key : {"a", "b", "c"}) stream += Bytes("\0\1", 2) + key + Bytes("\xff\xff", 2) + Bytes(65535, 'x');
  CHECK(is_tree_refused(stream, "too large"));
}

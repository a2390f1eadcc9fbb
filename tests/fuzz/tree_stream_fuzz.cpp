// The stream of a tree: whatever comes, its parts are a tree, the same however the bytes are cut, and can be said
// again.
#include "fuzz/input.hpp"
#include "operations/tree_stream.hpp"

#include <array>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;

namespace {

using Kind = TreePart::Kind;

constexpr std::array<std::string_view, 12> keys{"type", "name",  "data",   "more",  "up",   "mode",
                                                "size", "mtime", "target", "error", "text", "x"};
constexpr std::array<std::string_view, 20> values{"1",       "directory", "file", "symlink", "a",    "b", "",
                                                  "644",     "0",         "-1",   "..",      "a/b",  ".", "EIO",
                                                  "unknown", "socket",    "/",    "missing", "7777", "no"};

/// Boxes that are often right, and sometimes anything.
Bytes made_up_stream(fuzz::Input& input) {
  Bytes stream;
  append_tree_part(stream, {.info = {.type = FileType::directory, .mode = 0755}});
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    const Bytes name(1 + input.below(3), static_cast<char>('a' + input.below(4)));
    switch (input.below(9)) {
      case 0: append_tree_part(stream, {.name = name, .info = {.type = FileType::directory}}); break;
      case 1: append_tree_part(stream, {.kind = Kind::up}); break;
      case 2: append_tree_part(stream, {.name = name, .info = {.type = FileType::file}, .data = "data"}); break;
      case 3:
        append_tree_part(stream, {.name = name, .info = {.type = FileType::file}, .data = "data", .more = true});
        append_tree_part(stream, {.kind = Kind::content, .data = input.flag() ? "end" : "", .more = input.flag()});
        break;
      case 4: append_tree_part(stream, {.name = name, .info = {.type = FileType::symlink}, .target = "../x"}); break;
      case 5: append_tree_part(stream, {.name = name, .failure = Failure{Errc::os_error, "text", 5}}); break;
      case 6: append_tree_part(stream, {.kind = Kind::failure, .failure = Failure{Errc::os_error, "text", 5}}); break;
      case 7: stream += input.box(keys, values); break;
      default: stream += input.bytes(20); break;
    }
  }
  return stream;
}

struct Seen {
  Bytes again;  // the parts, encoded
  bool is_whole = false;
};

Seen decode(BytesView stream, std::uint8_t seed) {
  Seen seen;
  TreeDecoder decoder;
  std::size_t depth = 0;
  bool is_in_file = false;
  fuzz::in_pieces(stream, seed, [&](BytesView piece) {
    const Bytes own(piece);  // so that a use of older bytes is found
    if (decoder.failure() != nullptr) return;
    decoder.feed(own);
    while (decoder.next()) {
      const TreePart& part = decoder.part();
      const bool is_top = part.kind == Kind::entry && depth == 0;
      if (part.kind == Kind::entry) {
        REMSH_EXPECT(!is_in_file);
        REMSH_EXPECT(part.name.empty() == is_top);
        REMSH_EXPECT(part.name != "." && part.name != ".." && part.name.size() <= max_tree_name);
        REMSH_EXPECT(part.name.find('/') == Bytes::npos && part.name.find('\0') == Bytes::npos);
        REMSH_EXPECT(part.target.size() <= max_tree_target && part.target.find('\0') == Bytes::npos);
        REMSH_EXPECT((part.info.type == FileType::symlink) == !part.target.empty());
        if (part.info.type == FileType::directory) ++depth;
      } else {
        REMSH_EXPECT(part.kind != Kind::content || is_in_file);
        REMSH_EXPECT(part.kind != Kind::up || !is_in_file);
        if (part.kind == Kind::up) --depth;
      }
      REMSH_EXPECT(depth <= max_tree_depth);
      is_in_file = part.more;
      TreePart same = part;
      if (same.failure) {
        fuzz::expect_printable(same.failure->message);
        same.failure->message = "text";  // it may be cut when it is sent
      }
      append_tree_part(seen.again, same);
    }
  });
  const auto end = decoder.finish();
  seen.is_whole = end.ok();
  REMSH_EXPECT(!seen.is_whole || depth == 0);
  if (!end) fuzz::expect_printable(end.failure().message);
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t seed = input.byte();
  const Bytes stream = input.flag() ? made_up_stream(input) : Bytes(input.rest());
  const Seen first = decode(stream, 0);
  const Seen cut = decode(stream, seed);
  REMSH_EXPECT(first.again == cut.again && first.is_whole == cut.is_whole);
  if (first.is_whole) {
    const Seen again = decode(first.again, seed);
    REMSH_EXPECT(again.is_whole && again.again == first.again);
  }
  return 0;
}

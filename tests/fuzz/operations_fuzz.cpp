// Requests and replies of operations: any box is refused with a sentence, or means something that can be said again.
#include "fuzz/input.hpp"
#include "operations/operations.hpp"

#include <array>

using namespace remsh;
using namespace remsh::operations;

namespace {

constexpr std::array<std::string_view, 35> keys{
    "path",      "mode",    "from",       "to",   "overwrite", "nofollow",   "type",   "size",
    "mtime",     "args",    "cwd",        "env",  "unset",     "in",         "out",    "err",
    "clear_env", "timeout", "signal",     "exit", "timed_out", "background", "bytes",  "files",
    "name",      "entries", "kill_after", "op",   "x",         "env~0001",   "exclude", "logs",
    "log_errors", "log_dropped", "lines"};
constexpr std::array<std::string_view, 35> values{"",
                                                  std::string_view("a\0end\0", 6),
                                                  "1",
                                                  "0",
                                                  "644",
                                                  "0644",
                                                  "7777",
                                                  "8",
                                                  "a",
                                                  "/",
                                                  "/tmp/x",
                                                  std::string_view("a\0b", 3),
                                                  "stream",
                                                  "merge",
                                                  std::string_view("\0", 1),
                                                  std::string_view("ls\0-l\0", 6),
                                                  std::string_view("A=1\0B=2\0", 8),
                                                  std::string_view("A=1\0A=2\0", 8),
                                                  std::string_view("name\0value\0", 11),
                                                  std::string_view("name\0", 5),
                                                  std::string_view("=\0", 2),
                                                  "file",
                                                  "missing",
                                                  "unknown",
                                                  "-1",
                                                  "-0",
                                                  "18446744073709551615",
                                                  "18446744073709551616",
                                                  "9223372036854775807",
                                                  "-9223372036854775808",
                                                  "-9223372036854775809",
                                                  "1000000000000",
                                                  "1000000000001",
                                                  "127",
                                                  "255"};

template <class Message>
void expect_read(const Box& box) {
  const auto first = from_box<Message>(box);
  if (!first) {
    REMSH_EXPECT(first.failure().code == Errc::invalid_argument);
    fuzz::expect_printable(first.failure().message);
    return;
  }
  const Box said = to_box(*first);
  const auto second = from_box<Message>(said);
  REMSH_EXPECT(second);
  REMSH_EXPECT(to_box(*second) == said);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t which = input.below(28);
  const Bytes bytes = input.box(keys, values);
  BoxDecoder decoder;
  decoder.feed(bytes);
  if (!decoder.next()) return 0;
  const Box box = decoder.box().copy();
  constexpr std::array<void (*)(const Box&), 28> all{expect_read<SetCwd::Request>,
                                                     expect_read<SetCwd::Reply>,
                                                     expect_read<Getenv::Reply>,
                                                     expect_read<ReadInfo::Reply>,
                                                     expect_read<Mkdir::Request>,
                                                     expect_read<Remove::Request>,
                                                     expect_read<TwoPaths>,
                                                     expect_read<Stat::Request>,
                                                     expect_read<Stat::Reply>,
                                                     expect_read<Execute::Request>,
                                                     expect_read<Execute::Reply>,
                                                     expect_read<Send::Request>,
                                                     expect_read<Send::Reply>,
                                                     expect_read<Fetch::Request>,
                                                     expect_read<Fetch::Reply>,
                                                     expect_read<List::Request>,
                                                     expect_read<List::Reply>,
                                                     expect_read<List::Entry>,
                                                     expect_read<SendTree::Request>,
                                                     expect_read<SendTree::Reply>,
                                                     expect_read<FetchTree::Request>,
                                                     expect_read<FetchTree::Reply>,
                                                     expect_read<Print::Request>,
                                                     expect_read<ListOperations::Reply>,
                                                     expect_read<ReadHostFacts::Reply>,
                                                     expect_read<Shutdown::Request>,
                                                     expect_read<LogTail::Request>,
                                                     expect_read<LogTail::Reply>};
  all[which](box);
  return 0;
}

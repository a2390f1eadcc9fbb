// OutQueue: what overtakes what, and that nothing is lost at any partial write.
#include "connection/out_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using remsh::Block;
using remsh::OutQueue;

namespace {

/// A block that says `text`, padded to `size` bytes of payload.
Block block_saying(std::string_view text, std::size_t size = 0) {
  Block result;
  size = std::max(size, text.size());
  std::memset(result.payload().data(), '.', size);
  std::memcpy(result.payload().data(), text.data(), text.size());
  result.frame("<", size, ">");
  return result;
}

/// One write of which at most `most` bytes are taken.
std::string write(OutQueue& queue, std::size_t most = SIZE_MAX, std::size_t views = 64) {
  std::vector<std::string_view> pieces(views);
  pieces.resize(queue.gather(pieces));
  std::string taken;
  for (const auto& piece : pieces) taken += piece;
  taken.resize(std::min(taken.size(), most));
  queue.written(taken.size());
  return taken;
}

TEST_CASE("the control lane knows how much waits in it") {
  OutQueue queue;
  queue.push_control("12345");
  queue.push_ordered("data");
  CHECK(queue.control_bytes() == 5);
  std::array<std::string_view, 4> views;
  CHECK(queue.gather(views) == 2);
  CHECK(queue.control_bytes() == 0);  // being written
  queue.push_control("678");
  CHECK(queue.control_bytes() == 3);
  queue.written(0);
  CHECK(queue.control_bytes() == 8);
  queue.clear();
  CHECK(queue.control_bytes() == 0);
}

}  // namespace

TEST_CASE("an empty queue gives nothing to write") {
  OutQueue queue;
  CHECK(queue.empty());
  CHECK(queue.data_bytes() == 0);
  CHECK(write(queue) == "");
}

TEST_CASE("control overtakes data, and each lane keeps its order") {
  OutQueue queue;
  queue.push_data(block_saying("d1"));
  queue.push_control("[c1]");
  queue.push_ordered("(o1)");
  queue.push_data(block_saying("d2"));
  queue.push_control("[c2]");
  CHECK(queue.data_bytes() == 4 + 4 + 4);
  CHECK(write(queue) == "[c1][c2]<d1>(o1)<d2>");
  CHECK(queue.empty());
  CHECK(queue.data_bytes() == 0);
}

TEST_CASE("control never enters a box that is partly written, and overtakes all that is not") {
  OutQueue queue;
  queue.push_data(block_saying("first"));
  queue.push_data(block_saying("second"));
  CHECK(write(queue, 3) == "<fi");
  queue.push_control("[now]");
  CHECK(write(queue) == "rst>[now]<second>");
}

TEST_CASE("data of a write that took nothing is overtaken by later control") {
  OutQueue queue;
  queue.push_data(block_saying("data"));
  CHECK(write(queue, 0) == "");
  queue.push_control("[now]");
  CHECK(write(queue) == "[now]<data>");
}

TEST_CASE("nothing follows the last box, and it waits for no data but what is partly written") {
  OutQueue queue;
  queue.push_data(block_saying("first"));
  queue.push_data(block_saying("second"));
  CHECK(write(queue, 3) == "<fi");
  queue.push_control("[c]");
  queue.finish("[bye]");
  CHECK(queue.data_bytes() == 4);
  queue.push_data(block_saying("late"));
  queue.push_ordered("(late)");
  queue.push_control("[late]");
  CHECK(write(queue) == "rst>[c][bye]");
  CHECK(queue.empty());
  CHECK(queue.data_bytes() == 0);
  queue.push_control("[later]");
  CHECK(write(queue) == "");
}

TEST_CASE("data of a write during which the last box came is dropped unless it is partly written") {
  OutQueue queue;
  queue.push_control("[c]");
  queue.push_data(block_saying("one"));
  queue.push_data(block_saying("two"));
  std::array<std::string_view, 8> views;
  REQUIRE(queue.gather(views) == 3);
  queue.finish("[bye]");
  SUBCASE("nothing was written") {
    queue.written(0);
    CHECK(write(queue) == "[c][bye]");
  }
  SUBCASE("a box is partly written") {
    queue.written(5);
    CHECK(write(queue) == "ne>[bye]");
  }
  SUBCASE("all was written") {
    queue.written(13);
    CHECK(write(queue) == "[bye]");
  }
  CHECK(queue.data_bytes() == 0);
}

TEST_CASE("boxes pushed during a write come after it, control first") {
  OutQueue queue;
  queue.push_data(block_saying("old"));
  std::array<std::string_view, 8> views;
  REQUIRE(queue.gather(views) == 1);
  queue.push_data(block_saying("new"));
  queue.push_control("[c]");
  CHECK(views[0] == "<old>");
  queue.written(2);
  CHECK(write(queue) == "ld>[c]<new>");
}

TEST_CASE("control pushed during a write stays behind control that the write did not take") {
  OutQueue queue;
  queue.push_control(std::string(16 * 1024, 'a'));
  queue.push_control("[b]");  // a segment of its own
  std::array<std::string_view, 8> views;
  REQUIRE(queue.gather(views) == 2);
  queue.push_control("[c]");
  queue.written(16 * 1024);
  CHECK(write(queue) == "[b][c]");
}

TEST_CASE("a write that stops at any byte loses and doubles nothing") {
  const auto fill = [](OutQueue& queue) {
    queue.push_data(block_saying("d1"));
    queue.push_ordered("(o1)");
    queue.push_control("[c1]");
    queue.push_data(block_saying("d2"));
    queue.push_ordered("(o2)");
    queue.push_ordered("(o3)");
  };
  const std::string whole = "[c1]<d1>(o1)<d2>(o2)(o3)";
  for (std::size_t first = 0; first <= whole.size(); ++first) {
    for (std::size_t second = 0; first + second <= whole.size(); ++second) {
      OutQueue queue;
      fill(queue);
      std::string out = write(queue, first);
      out += write(queue, second);
      out += write(queue);
      CHECK(out == whole);
      CHECK(queue.empty());
      CHECK(queue.data_bytes() == 0);
    }
  }
}

TEST_CASE("a control box that comes at any byte of a write goes between two boxes") {
  const std::string whole = "<d1><d2>(o1)";
  for (std::size_t at = 0; at <= whole.size(); ++at) {
    OutQueue queue;
    queue.push_data(block_saying("d1"));
    queue.push_data(block_saying("d2"));
    queue.push_ordered("(o1)");
    std::string out = write(queue, at);
    queue.push_control("[c]");
    out += write(queue);
    const std::size_t boundary = (at + 3) / 4 * 4;  // all boxes here have four bytes
    CHECK(out == whole.substr(0, boundary) + "[c]" + whole.substr(boundary));
  }
}

TEST_CASE("one write takes at most 256 KiB of data, and always something") {
  OutQueue queue;
  for (const std::size_t size : {65000U, 65000U, 65000U, 60000U, 65000U, 100U}) queue.push_data(block_saying("", size));
  queue.push_control("[c]");
  const std::size_t all = queue.data_bytes();
  std::size_t out = 0;
  while (!queue.empty()) {
    const std::size_t control = out == 0 ? 3 : 0;
    const std::size_t wrote = write(queue).size() - control;
    CHECK(wrote > 0);
    CHECK(wrote <= OutQueue::max_data_per_write);
    out += wrote;
    CHECK(queue.data_bytes() == all - out);
  }
  CHECK(out == all);

  queue.push_ordered(std::string(1024 * 1024, 'x'));  // an answer of the largest size is one box
  CHECK(write(queue).size() == 1024 * 1024);
}

TEST_CASE("a rest of a write counts into the data of the next one") {
  OutQueue queue;
  for (int i = 0; i < 9; ++i) queue.push_data(block_saying("", Block::max_payload));
  const std::size_t box = Block::max_payload + 2;
  CHECK(write(queue, 10).size() == 10);
  CHECK(write(queue).size() <= OutQueue::max_data_per_write);
  CHECK(queue.data_bytes() > 9 * box - 10 - OutQueue::max_data_per_write - 1);
}

TEST_CASE("more boxes than views go out in several writes in the right order") {
  OutQueue queue;
  std::string whole;
  for (int i = 0; i < 50; ++i) {
    const std::string text = std::to_string(i);
    queue.push_data(block_saying(text));
    whole += "<" + text + ">";
  }
  std::string out;
  while (!queue.empty()) out += write(queue, SIZE_MAX, 3);
  CHECK(out == whole);
}

TEST_CASE("clear() drops everything") {
  OutQueue queue;
  queue.push_data(block_saying("d"));
  queue.push_control("[c]");
  write(queue, 1);
  queue.clear();
  CHECK(queue.empty());
  CHECK(queue.data_bytes() == 0);
  queue.push_control("[new]");
  CHECK(write(queue) == "[new]");
}

TEST_CASE("clear() during a write keeps what is being written until it is over, and then drops it") {
  OutQueue queue;
  queue.push_data(block_saying("old"));
  std::array<std::string_view, 8> views;
  REQUIRE(queue.gather(views) == 1);
  queue.clear();
  CHECK(views[0] == "<old>");
  CHECK(queue.data_bytes() == 0);
  queue.push_data(block_saying("new"));
  queue.written(1);
  CHECK(queue.data_bytes() == 5);
  CHECK(write(queue) == "<new>");
  CHECK(queue.data_bytes() == 0);
}

TEST_CASE("any sequence of pushes and partial writes keeps the boxes whole and the lanes in order") {
  std::mt19937 random(20240607);
  for (int run = 0; run < 300; ++run) {
    OutQueue queue;
    std::string out;
    int control = 0;
    int data = 0;
    const auto push = [&] {
      switch (random() % 3) {
        case 0: queue.push_control("[c" + std::to_string(control++) + "]"); break;
        case 1: queue.push_ordered("(d" + std::to_string(data++) + ")"); break;
        default: queue.push_data(block_saying("d" + std::to_string(data++), random() % 40));
      }
    };
    for (int step = 0; step < 60; ++step) {
      for (auto n = random() % 3; n > 0; --n) push();
      std::vector<std::string_view> views(1 + random() % 5);
      views.resize(queue.gather(views));
      if (random() % 2 == 0) push();
      std::string wrote;
      for (const auto& view : views) wrote += view;
      wrote.resize(random() % (wrote.size() + 1));
      out += wrote;
      queue.written(wrote.size());
    }
    while (!queue.empty()) out += write(queue);
    CHECK(queue.data_bytes() == 0);

    int next_control = 0;
    int next_data = 0;
    std::size_t at = 0;
    while (at < out.size()) {
      const bool is_control = out[at] == '[';
      const std::string expected = is_control ? "[c" + std::to_string(next_control++)
                                              : (out[at] == '<' ? "<d" : "(d") + std::to_string(next_data++);
      REQUIRE(out.compare(at, expected.size(), expected) == 0);
      at = out.find_first_of("])>", at) + 1;
      REQUIRE(at != 0);
    }
    CHECK(next_control == control);
    CHECK(next_data == data);
  }
}

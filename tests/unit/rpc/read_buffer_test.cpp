// ReadBuffer: memory of the thread that reads, until chunks keep it.
#include "rpc/read_buffer.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <thread>
#include <vector>

namespace read_buffer_test {

using remsh::rpc::ReadBuffer;
using remsh::rpc::SharedMemory;

TEST_CASE("what nobody keeps is read over, and what is kept is not") {
  ReadBuffer buffer;
  const std::span<char> whole = buffer.room();
  CHECK(whole.size() == SharedMemory::size);
  buffer.fill(1000);
  CHECK(buffer.room().data() == whole.data());

  SharedMemory kept = buffer.memory();
  buffer.fill(60'000);
  const std::span<char> behind = buffer.room();
  CHECK(behind.data() == whole.data() + 60'000);
  CHECK(behind.size() == whole.size() - 60'000);
  kept = {};
  CHECK(buffer.room().data() == whole.data());
}

TEST_CASE("with little room behind what is kept, the next read goes into other memory, which comes back") {
  ReadBuffer buffer;
  const char* const first = buffer.room().data();
  SharedMemory kept = buffer.memory();
  buffer.fill(SharedMemory::size - 96 * 1024);
  CHECK(buffer.room().size() == 96 * 1024);
  buffer.fill(1);
  const std::span<char> other = buffer.room();
  CHECK(other.size() == SharedMemory::size);
  CHECK((other.data() < first || other.data() >= first + SharedMemory::size));
  kept = buffer.memory();  // lets the first one go
  buffer.fill(SharedMemory::size);
  CHECK(buffer.room().data() == first);
}

TEST_CASE("memory lives as long as its last user, in whichever thread") {
  SharedMemory kept;
  std::thread([&kept] {
    ReadBuffer buffer;
    buffer.room()[7] = 'x';
    kept = buffer.memory();
    CHECK_FALSE(kept.is_only());  // the buffer has it as well
  }).join();
  CHECK(kept.is_only());
  CHECK(kept.bytes()[7] == 'x');
  const SharedMemory copy = kept;
  CHECK_FALSE(kept.is_only());
}

TEST_CASE("a buffer that is given back is the next one of its thread") {
  const char* first = nullptr;
  {
    ReadBuffer buffer;
    first = buffer.room().data();
  }
  ReadBuffer next;
  CHECK(next.room().data() == first);
  ReadBuffer another;
  CHECK(another.room().data() != first);
}

}  // namespace read_buffer_test

// of_this_thread(): one object for each thread and purpose, until the thread has destroyed it.
#include "base/thread_object.hpp"

#include <doctest/doctest.h>

#include <string>
#include <thread>

namespace thread_object_test {

using remsh::of_this_thread;

struct OtherPurpose {};

/// Uses the object of its thread when it is destroyed.
struct Late {
  bool* found = nullptr;
  ~Late() { *found = of_this_thread<std::string>() != nullptr; }
};

TEST_CASE("each thread has an object for each purpose, which stays") {
  std::string* const mine = of_this_thread<std::string>();
  REQUIRE(mine != nullptr);
  *mine = "mine";
  CHECK(of_this_thread<std::string>() == mine);
  CHECK(*of_this_thread<std::string, OtherPurpose>() == "");
  std::thread([mine] {
    CHECK(of_this_thread<std::string>() != mine);
    CHECK(*of_this_thread<std::string>() == "");
  }).join();
  CHECK(*mine == "mine");
}

TEST_CASE("what is destroyed after the object finds none") {
  bool found = true;
  std::thread([&found] {
    thread_local Late late;  // before the object is made, so that it is destroyed after it
    late.found = &found;
    *of_this_thread<std::string>() = "longer than what a string has room for in itself";
  }).join();
  CHECK_FALSE(found);
}

}  // namespace thread_object_test

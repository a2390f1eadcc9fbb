// ToldNotices: what a subscriber of a collection was told.
#pragma once

#include "support/ample.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_notice.hpp>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

namespace remsh::test {

/// What a subscriber was told, in words: subscribe with std::ref(). Thread-safe.
class ToldNotices {
 public:
  void operator()(const SlaveNotice& notice) {
    static constexpr std::array kinds = {"arrived", "left",    "reserved", "released",
                                         "paused",  "resumed", "draining", "missing"};
    std::string text = notice.name + " " + kinds.at(notice.kind);
    if (!notice.owner.empty()) text += " for " + notice.owner;
    if (notice.reason) text += " (" + std::string(to_string(*notice.reason)) + ")";
    if (!notice.words.empty()) text += ": " + notice.words;
    {
      const std::lock_guard lock(mutex_);
      texts_.push_back(text);
    }
    changed_.notify_all();
  }

  /// All notices, when there are at least so many.
  std::vector<std::string> first(std::size_t count) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, ample, [&] { return texts_.size() >= count; }));
    return texts_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> texts_;
};

}  // namespace remsh::test

// Shuffle: a random order, computed only as far as it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

namespace remsh {

/// The numbers below `count` in a random order.
class Shuffle {
 public:
  Shuffle(std::size_t count, std::uint64_t seed) : indices_(count), state_(seed) {
    std::iota(indices_.begin(), indices_.end(), std::uint32_t{0});
  }

  /// The next number; nullopt after the last one.
  std::optional<std::size_t> next() {
    if (at_ == indices_.size()) return std::nullopt;
    std::swap(indices_[at_], indices_[at_ + static_cast<std::size_t>(random() % (indices_.size() - at_))]);
    return indices_[at_++];
  }

 private:
  std::uint64_t random() {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  std::vector<std::uint32_t> indices_;
  std::size_t at_ = 0;
  std::uint64_t state_;
};

}  // namespace remsh

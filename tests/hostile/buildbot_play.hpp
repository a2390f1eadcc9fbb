// What the tests with a hostile worker of Buildbot share: both protocols in turn, and words that no log may show.
#pragma once

#include "hostile/buildbot_wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>

namespace remsh::test::buildbot_play {

using namespace std::chrono_literals;

using List = buildbot::Expression::List;
using Verdict = EvilWorker::Verdict;
using Flood = EvilWorker::Flood;

inline constexpr std::size_t mebibyte = std::size_t{1024} * 1024;

template <class Test>
void with_both(Test test) {
  for (const Speaks speaks : {Speaks::pb, Speaks::msgpack}) {
    const std::string protocol = to_string(speaks);
    CAPTURE(protocol);
    test(speaks);
  }
}

/// Short enough for a log, and nothing in it has an effect on a terminal.
inline bool is_clean(const std::string& words, std::size_t most) {
  return words.size() <= most && std::none_of(words.begin(), words.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || c == '\xff';
         });
}

/// The lines of a log that are not clean. A line about a stranger has at most 64 escaped bytes of them in each place.
inline std::string unclean_lines(const std::string& log) {
  std::string lines;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = log.find('\n', at);
    const std::string line = log.substr(at, end - at);
    if (!is_clean(line, 1000)) lines += line.substr(0, 100) + "... has " + std::to_string(line.size()) + " bytes\n";
    at = end + 1;
  }
  return lines;
}

inline const std::string nasty = "\x1b]0;owned\x07\r\n\x1b[2J%s%n\xe2\x80\xae" + std::string(60'000, 'x');

/// The same without what is no part of a UTF-8 text, and short.
inline const std::string nasty_text = "\x1b[2J\r\nhonest: disconnected: \x07%s%n";

bool is_over(auto& pending) {
  try {
    pending.wait();
  } catch (const Error&) {
  }
  return true;
}

}  // namespace remsh::test::buildbot_play

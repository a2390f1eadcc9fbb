// PlayedAnswers: what a played slave answers to calls.
#pragma once

#include "box_scan.hpp"
#include "stat_bytes.hpp"

#include <remsh/base/bytes.hpp>

#include <stdexcept>
#include <string_view>

namespace remsh::bench {

/// Boxes with which a slave answers.
class PlayedAnswers {
 public:
  /// Appends what answers the call in this box, whose size is known; nothing if it is not a call.
  void append_to(Bytes& out, BytesView box) const {
    BoxScan scan(box);
    if (!scan.next() || scan.key() != "_ask") return;
    const BytesView tag = scan.value();
    if (!scan.next() || scan.key() != "_command") throw std::runtime_error("a call without a command");
    const bool is_ping = scan.value() == "ping";
    if (!is_ping && scan.value() != "stat")
      throw std::runtime_error("a played slave cannot do: " + Bytes(scan.value()));
    out.append("\0\7_answer\0", 10).push_back(static_cast<char>(tag.size()));
    out.append(tag).append(is_ping ? end_of_box_ : rest_of_stat_);
  }

 private:
  static Bytes make_rest_of_stat() {
    constexpr std::string_view tag = "1";
    return stat_answer(tag).substr(11 + tag.size());
  }

  const Bytes rest_of_stat_ = make_rest_of_stat();
  const Bytes end_of_box_ = Bytes(2, '\0');
};

}  // namespace remsh::bench

#include "master/program_output.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

namespace remsh {

void ProgramOutput::feed(BytesView bytes, TimePoint now) {
  for (const char c : bytes) {
    if (c == '\n' || c == '\r') {
      end_line(now);
    } else if (line_.size() < longest_line) {
      line_ += c;
    }
  }
}

void ProgramOutput::finish(TimePoint now) {
  end_line(now);
  tell_dropped();
}

std::string ProgramOutput::last_lines() const {
  std::string text;
  for (const std::string& line : last_) text += (text.empty() ? "" : "; ") + line;
  return text;
}

void ProgramOutput::end_line(TimePoint now) {
  if (line_.empty()) return;
  std::string line = without_controls(std::exchange(line_, {}));
  if (now >= interval_end_) {
    tell_dropped();
    interval_end_ = now + interval;
    told_ = 0;
  }
  if (told_ < lines_per_interval) {
    ++told_;
    messages_.push_back("its program says: " + line);
  } else if (dropped_++ == 0) {
    messages_.push_back(formatted("its program says more than {} lines in {} s: the next ones are not logged",
                                  lines_per_interval, interval.count()));
  }
  last_.push_back(std::move(line));
  if (last_.size() > kept_lines) last_.pop_front();
}

void ProgramOutput::tell_dropped() {
  if (dropped_ == 0) return;
  messages_.push_back(formatted("{} lines of its program were not logged", std::exchange(dropped_, 0)));
}

}  // namespace remsh

// Screen: how the demo prints: headings, columns that fill at the same time, colours where they are welcome.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Thread-safe.
class Screen {
 public:
  /// Begins a part of the demo.
  void heading(std::string_view text) { print("\n" + painted("1", text) + "\n"); }

  void line(std::string_view text) { print("  " + std::string(text) + "\n"); }

  /// What went wrong, as the library says it.
  void error(std::string_view text) { print("  " + painted("31", text) + "\n"); }

  /// One line in a column of its own.
  void cell(std::size_t column, std::string_view text) {
    print("  " + std::string(column * column_width, ' ') + painted(colour_of(column), text) + "\n");
  }

  /// The names of the columns, in one line.
  void columns(const std::vector<std::string>& names) {
    std::string text = "  ";
    for (std::size_t column = 0; column < names.size(); ++column) {
      const std::size_t size = names[column].size();
      text += painted(colour_of(column), names[column]) + std::string(column_width - std::min(size, column_width), ' ');
    }
    print(text.erase(text.find_last_not_of(' ') + 1) + "\n");
  }

 private:
  static constexpr std::size_t column_width = 26;

  static const char* colour_of(std::size_t column) {
    static constexpr const char* colours[] = {"36", "33", "35"};
    return colours[column % 3];
  }

  /// On a terminal, unless NO_COLOR says otherwise (https://no-color.org).
  static bool wants_colours() {
    const char* const no_color = std::getenv("NO_COLOR");
    return ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
  }

  [[nodiscard]] std::string painted(const char* colour, std::string_view text) const {
    if (!colours_) return std::string(text);
    return "\033[" + std::string(colour) + "m" + std::string(text) + "\033[0m";
  }

  void print(const std::string& text) {
    const std::lock_guard lock(mutex_);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  const bool colours_ = wants_colours();
  std::mutex mutex_;
};

/// Output comes in pieces that end anywhere; this gives whole lines to a function. One thread at a time.
template <class Function>
class Lines {
 public:
  explicit Lines(Function function) : function_(std::move(function)) {}

  void operator()(std::string_view bytes) {
    rest_ += bytes;
    for (std::size_t end = 0; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) {
      function_(std::string_view(rest_).substr(0, end));
    }
  }

 private:
  Function function_;
  std::string rest_;
};

#include <remsh/master/audit.hpp>

#include "base/format.hpp"
#include "base/json_text.hpp"
#include "base/utc_time.hpp"

#include <string_view>

namespace remsh {

namespace {

/// Seconds with six decimal places.
std::string in_micros(std::chrono::microseconds time) {
  return formatted("{}.{:06}", time.count() / 1'000'000, time.count() % 1'000'000);
}

std::string to_text(std::chrono::system_clock::time_point moment) {
  const auto second = std::chrono::floor<std::chrono::seconds>(moment);
  std::string text = to_utc_text(second);
  text.pop_back();  // the Z
  return text + in_micros(std::chrono::floor<std::chrono::microseconds>(moment - second)).substr(1) + 'Z';
}

}  // namespace

std::string to_json_line(const AuditRecord& record) {
  std::string line = formatted(R"({{"start":"{}","seconds":{})", to_text(record.start),
                               in_micros(std::chrono::duration_cast<std::chrono::microseconds>(record.duration)));
  const auto add = [&line](std::string_view key, const std::string& value) {
    line += formatted(R"(,"{}":{})", key, value);
  };
  const auto add_text = [&add](std::string_view key, BytesView text) {
    if (!text.empty()) add(key, json_text(text));
  };
  add_text("slave", record.slave);
  add_text("key_id", record.key_id);
  add_text("operation", record.operation);
  if (!record.arguments.empty()) {
    std::string list;
    for (const Bytes& argument : record.arguments) list += (list.empty() ? "[" : ",") + json_text(argument);
    add("arguments", list + "]");
  }
  add_text("cwd", record.cwd);
  add_text("tag", record.tag);
  add_text("builder", record.builder);
  add_text("end", record.error ? to_string(*record.error) : "done");
  if (record.os) add("errno", std::to_string(record.os.value()));
  add_text("message", record.message);
  if (record.exit_code) add("exit_code", std::to_string(*record.exit_code));
  if (record.signal) add("signal", std::to_string(*record.signal));
  if (record.timed_out) add("timed_out", "true");
  if (record.went_silent) add("went_silent", "true");
  if (record.interrupted) add("interrupted", "true");
  if (record.bytes) add("bytes", std::to_string(*record.bytes));
  return line + "}";
}

}  // namespace remsh

#include "master/buildbot_listing.hpp"

#include "base/base64.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "operations/file_info.hpp"

#include <sys/stat.h>

#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

constexpr std::size_t longest_entry = 8192;

template <class Number>
std::optional<Number> number_from(BytesView text, int base = 10) {
  Number value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

mode_t file_type_of(BytesView letter) {
  if (letter == "f") return S_IFREG;
  if (letter == "d") return S_IFDIR;
  if (letter == "l") return S_IFLNK;
  if (letter == "p") return S_IFIFO;
  if (letter == "s") return S_IFSOCK;
  if (letter == "c") return S_IFCHR;
  if (letter == "b") return S_IFBLK;
  return 0;
}

/// TYPE SIZE MODE SECONDS.FRACTION NAME
std::optional<operations::List::Entry> parse_entry(BytesView line) {
  struct stat status {};
  status.st_mode = file_type_of(take_until(' ', line));
  const auto size = number_from<std::int64_t>(take_until(' ', line));
  const auto mode = number_from<mode_t>(take_until(' ', line), 8);
  BytesView time = take_until(' ', line);
  const auto seconds = number_from<std::int64_t>(take_until('.', time));
  if (!size || *size < 0 || !mode || !seconds) return std::nullopt;
  status.st_size = *size;
  status.st_mode |= *mode & 07777U;
  status.st_mtim.tv_sec = *seconds;
  std::string nanoseconds(time.substr(0, 9));
  nanoseconds.resize(9, '0');
  status.st_mtim.tv_nsec = number_from<std::uint32_t>(nanoseconds).value_or(0);
  if (line.find('/') != BytesView::npos) return std::nullopt;  // names are never paths
  return operations::List::Entry{Bytes(line), file_info_of(status)};
}

}  // namespace

const char* const buildbot_list_program = R"(if [ -n "$2" ]; then
  find "$1" -maxdepth 0 -printf '%y %s %m %T@ \0'
else
  find "$1" -mindepth 1 -maxdepth 1 -printf '%y %s %m %T@ %f\0'
fi | base64
)";

Failure buildbot_listing_failure(const std::string& path, const BuildbotCommandEnd& end) {
  if (!end.is_good() || !end.err.empty()) return BuildbotScript::failure_of(path, end);
  return breach("its listing of " + start_in_quotes(path) + " makes no sense");
}

void BuildbotEntryReader::feed(std::string_view text) {
  if (!is_good_) return;
  bytes_.erase(0, std::exchange(at_, 0));
  for (const char c : text) {
    if (c != '\n' && c != '\r') digits_ += c;
  }
  const std::size_t whole = digits_.size() - digits_.size() % 4;
  const auto bytes = from_base64(std::string_view(digits_).substr(0, whole));
  is_good_ = is_good_ && bytes.has_value();
  if (!is_good_) return;
  bytes_ += *bytes;
  digits_.erase(0, whole);
}

std::optional<operations::List::Entry> BuildbotEntryReader::next() {
  const std::size_t end = is_good_ ? bytes_.find('\0', at_) : Bytes::npos;
  if (end == Bytes::npos) {
    is_good_ = is_good_ && bytes_.size() - at_ <= longest_entry;
    return std::nullopt;
  }
  auto entry = parse_entry(BytesView(bytes_).substr(at_, end - at_));
  at_ = end + 1;
  is_good_ = entry.has_value();
  return entry;
}

}  // namespace remsh

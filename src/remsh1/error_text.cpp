#include "remsh1/error_text.hpp"

#include "base/errno_name.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace remsh::remsh1 {

namespace {

/// The longest text that we keep.
constexpr std::size_t max_text = 4096;

struct Meaning {
  std::string_view text;
  std::string_view name;
};

/// Messages of the original itself, which begin with a path and end like this.
constexpr Meaning endings[] = {
    {"' already exists", "EEXIST"},
    {"' does not exist", "ENOENT"},
};

/// The messages of strerror() on Linux and, if they differ, on the BSDs. (Numbers differ more often than messages.)
constexpr Meaning sentences[] = {
    {"Argument list too long", "E2BIG"},
    {"Bad address", "EFAULT"},
    {"Cannot allocate memory", "ENOMEM"},
    {"Cross-device link", "EXDEV"},
    {"Device not configured", "ENXIO"},
    {"Device or resource busy", "EBUSY"},
    {"Directory not empty", "ENOTEMPTY"},
    {"Disc quota exceeded", "EDQUOT"},
    {"Disk quota exceeded", "EDQUOT"},
    {"Exec format error", "ENOEXEC"},
    {"File exists", "EEXIST"},
    {"File name too long", "ENAMETOOLONG"},
    {"File too large", "EFBIG"},
    {"Input/output error", "EIO"},
    {"Invalid argument", "EINVAL"},
    {"Invalid cross-device link", "EXDEV"},
    {"Is a directory", "EISDIR"},
    {"No such device", "ENODEV"},
    {"No such device or address", "ENXIO"},
    {"No such file or directory", "ENOENT"},
    {"No space left on device", "ENOSPC"},
    {"Not a directory", "ENOTDIR"},
    {"Operation not permitted", "EPERM"},
    {"Operation not supported", "EOPNOTSUPP"},
    {"Permission denied", "EACCES"},
    {"Read-only file system", "EROFS"},
    {"Resource busy", "EBUSY"},
    {"Resource temporarily unavailable", "EAGAIN"},
    {"Stale file handle", "ESTALE"},
    {"Text file busy", "ETXTBSY"},
    {"Too many levels of symbolic links", "ELOOP"},
    {"Too many links", "EMLINK"},
    {"Too many open files", "EMFILE"},
    {"Too many open files in system", "ENFILE"},
};

/// Removes decimal digits, at least one, from the front.
bool take_number(BytesView& text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(digits);
  return digits > 0;
}

bool take(BytesView& text, BytesView prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// The message of strerror() in a text that may be that message alone, or have one of the forms in which Python writes
/// an exception: "[Errno 2] No such file or directory: 'x'" or "OSError(2, 'No such file or directory')".
BytesView system_sentence(BytesView text) {
  BytesView rest = text;
  if (take(rest, "[Errno ")) return take_number(rest) && take(rest, "] ") ? rest.substr(0, rest.find(": ")) : text;
  const std::size_t name = rest.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
  if (name == 0 || name == BytesView::npos) return text;
  rest.remove_prefix(name);
  if (!take(rest, "(") || !take_number(rest) || !take(rest, ", '")) return text;
  return rest.substr(0, rest.find('\''));
}

std::string_view name_of(BytesView text) {
  for (const auto& [ending, name] : endings) {
    if (text.ends_with(ending)) return name;
  }
  const BytesView sentence = system_sentence(text);
  for (const auto& [known, name] : sentences) {
    if (sentence == known) return name;
  }
  return {};
}

}  // namespace

Failure failure_of(BytesView text) {
  Failure failure{Errc::remote_failure, Bytes(text.substr(0, max_text)), 0};
  if (const int error = errno_value(name_of(text)); error != 0) {
    failure.code = Errc::os_error;
    failure.os = error;
  }
  if (text.empty()) failure.message = "the slave did not say why";
  return failure;
}

}  // namespace remsh::remsh1

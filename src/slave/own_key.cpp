#include "slave/own_key.hpp"

#include "auth/derive.hpp"
#include "auth/key_file.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <utility>

namespace remsh {

/// Reads the key from the file. Fails if it is of another name; an empty name allows any.
Result<SlaveKey> OwnKey::read_file(const std::string& name) const {
  auto own = auth::read_own_key(file_);
  if (!own) return std::move(own).failure();
  if (!name.empty() && own->name != name) {
    return Failure{
        Errc::invalid_argument,
        formatted("the key in {} is that of '{}', and this slave is {}", in_quotes(file_), own->name, in_quotes(name)),
        0};
  }
  return SlaveKey{std::move(own->name), std::move(own->key)};
}

Result<OwnKey::Current> OwnKey::read() {
  if (file_.empty()) return Current{name_, key_, {}, false};
  const std::lock_guard lock(mutex_);
  auto own = read_file(last_ ? last_->name : name_);
  if (!own && !last_) return std::move(own).failure();
  std::string notice;
  if (!own) {
    notice =
        formatted("{}; the key {} that was read before still counts", own.failure().message, auth::kid(last_->key));
  } else if (last_ && last_->key != own->key) {
    notice = formatted("the key in {} is now {}", in_quotes(file_), auth::kid(own->key));
  }
  const bool is_trouble = !own;
  if (own) last_ = *std::move(own);
  Current current{last_->name, last_->key, {}, is_trouble};
  if (notice != last_notice_) current.notice = notice;
  last_notice_ = std::move(notice);
  return current;
}

}  // namespace remsh

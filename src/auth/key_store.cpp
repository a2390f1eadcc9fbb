#include "auth/key_store.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <utility>

namespace remsh::auth {

namespace {

Failure invalid(std::string why) { return {Errc::invalid_argument, std::move(why), 0}; }

/// The line for a key that was enrolled with an invitation.
KeyLine enrolled_line(const KeyLine& token, KeyLine line) {
  line.terms = {token.terms.networks, std::nullopt, token.terms.labels, false};
  return line;
}

/// Whether a slave may come with any of these keys, which are those of one name.
bool expects_slave(std::span<const KeyEntry> entries, WallTime now) {
  return std::any_of(entries.begin(), entries.end(), [now](const KeyEntry& entry) {
    return !entry.line.terms.is_invitation && why_over(entry.line, now).empty();
  });
}

}  // namespace

/// Notifies of changes at the end of a function. Construct it before locking the mutex, so that it notifies after the
/// mutex is unlocked.
class KeyStore::ChangeNotice {
 public:
  explicit ChangeNotice(KeyStore& store) : store_(store), before_(store.generation()) {}
  ChangeNotice(const ChangeNotice&) = delete;
  ChangeNotice& operator=(const ChangeNotice&) = delete;
  ~ChangeNotice() {
    if (store_.generation() == before_) return;
    try {
      std::unique_lock lock(store_.mutex_);
      const auto all = store_.told_;
      lock.unlock();
      for (const auto& entry : all) {
        if (const auto told = entry.lock()) (*told)();
      }
    } catch (...) {  // no memory: followers notice the change by generation()
    }
  }

 private:
  KeyStore& store_;
  const std::uint64_t before_;
};

const KeyEntry* KeyStore::find_anywhere(std::string_view name, std::string_view kid) const {
  const KeyEntry* entry = of_file_.find(name, kid);
  return entry != nullptr ? entry : of_calls_.find(name, kid);
}

std::string KeyStore::unknown(std::string_view name, std::string_view kid) const {
  std::string kids;
  for (const KeyTable* table : {&of_file_, &of_calls_}) {
    for (const KeyEntry& entry : table->of(name)) kids += (kids.empty() ? "" : " ") + entry.line.kid;
  }
  if (kids.empty()) return "unknown name";
  constexpr std::size_t shown = 16;  // the maximum of a peer's claim in a message
  return formatted("unknown kid {} (the name has: {})", escaped(kid.substr(0, shown)), kids);
}

std::string KeyStore::why_no_key(const KeyEntry* entry, std::string_view name, std::string_view kid) const {
  if (entry == nullptr) return unknown(name, kid);
  // Its line has a key that nobody can know, but that must not be the only reason why a password proves no slave.
  return entry->line.password ? not_a_key : "";
}

KeyAnswer KeyStore::find(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                         WallTime now) const {
  const std::scoped_lock lock(mutex_);
  KeyAnswer found;
  const KeyEntry* const entry = find_anywhere(name, kid);
  found.reason = why_no_key(entry, name, kid);
  if (found.reason.empty()) found.reason = why_not(*entry, from, now);
  if (!found.reason.empty()) return found;
  found.key = entry->line.key;
  found.is_invitation = entry->line.terms.is_invitation;
  found.labels = entry->line.terms.labels;
  return found;
}

KeyAnswer KeyStore::claimed(std::string_view name, std::string_view kid, WallTime now) const {
  const std::scoped_lock lock(mutex_);
  KeyAnswer found;
  const KeyEntry* const entry = find_anywhere(name, kid);
  found.reason = why_no_key(entry, name, kid);
  if (found.reason.empty()) found.reason = why_over(entry->line, now);
  if (found.reason.empty()) found.key = entry->line.key;
  return found;
}

std::vector<PasswordAnswer> KeyStore::passwords_of(std::string_view name, const std::optional<IpAddress>& from,
                                                   WallTime now) const {
  const std::scoped_lock lock(mutex_);
  std::vector<PasswordAnswer> found;
  for (const KeyTable* table : {&of_file_, &of_calls_}) {
    for (const KeyEntry& entry : table->of(name)) {
      const KeyLine& line = entry.line;
      if (line.password && why_not(entry, from, now).empty()) {
        found.push_back({*line.password, line.kid, line.terms.labels});
      }
    }
  }
  return found;
}

bool KeyStore::counts(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                      WallTime now) const {
  const std::scoped_lock lock(mutex_);
  const KeyEntry* const entry = find_anywhere(name, kid);
  return entry != nullptr && !entry->line.terms.is_invitation && why_not(*entry, from, now).empty();
}

bool KeyStore::has(std::string_view name) const {
  const std::scoped_lock lock(mutex_);
  return !of_file_.of(name).empty() || !of_calls_.of(name).empty();
}

bool KeyStore::expects(std::string_view name, WallTime now) const {
  const std::scoped_lock lock(mutex_);
  for (const KeyTable* table : {&of_file_, &of_calls_}) {
    if (expects_slave(table->of(name), now)) return true;
  }
  return false;
}

std::vector<std::string> KeyStore::expected(WallTime now) const {
  std::vector<std::string> names;
  {
    const std::scoped_lock lock(mutex_);
    for (const KeyTable* table : {&of_file_, &of_calls_}) {
      for (const auto& [name, entries] : table->names()) {
        if (expects_slave(entries, now)) names.push_back(name);
      }
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::uint64_t KeyStore::generation() const {
  const std::scoped_lock lock(mutex_);
  return generation_;
}

void KeyStore::on_change(std::weak_ptr<const std::function<void()>> told) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(told_, [](const auto& entry) { return entry.expired(); });
  told_.push_back(std::move(told));
}

std::optional<WallTime> KeyStore::next_expiry(WallTime now) const {
  const std::scoped_lock lock(mutex_);
  std::optional<WallTime> next;
  for (const KeyTable* table : {&of_file_, &of_calls_}) {
    for (const auto& [name, entries] : table->names()) {
      for (const KeyEntry& entry : entries) {
        const auto& expires = entry.line.terms.expires;
        if (expires && *expires > now && (!next || *expires < *next)) next = expires;
      }
    }
  }
  return next;
}

// Calls.

Result<void> KeyStore::check_new(const KeyEntry& entry) const {
  if (auto checked = check_beside(entry, of_file_, "in the key file already,"); !checked) return checked;
  return check_beside(entry, of_calls_, "registered already,");
}

Result<KeyStore::Registered> KeyStore::add(Result<KeyLine> line) {
  if (!line) return std::move(line).failure();
  const ChangeNotice notice(*this);
  const std::scoped_lock lock(mutex_);
  KeyEntry entry = key_entry_of(*std::move(line), last_number_ + 1);
  if (auto checked = check_new(entry); !checked) return std::move(checked).failure();
  if (of_calls_.of(entry.line.name).size() >= max_keys_of_name) {
    return invalid(formatted("'{}' has four keys already: drop one", entry.line.name));
  }
  Registered registered{entry.number, entry.line.kid};
  of_calls_.add(std::move(entry));
  ++generation_;
  ++last_number_;
  return registered;
}

namespace {

/// The line that a change makes of another one.
Result<KeyLine> changed_line(const KeyLine& old, const KeyStore::Change& change) {
  const KeyTerms& terms = change.terms != nullptr ? *change.terms : old.terms;
  if (change.key != nullptr) return make_key_line(old.name, *change.key, terms);
  if (change.password != nullptr) return make_password_line(old.name, *change.password, terms);
  if (old.password) return make_password_line(old.name, old.password->bytes(), terms);
  return make_key_line(old.name, old.key, terms);
}

}  // namespace

Result<std::string> KeyStore::change(std::uint64_t number, const Change& change) {
  const ChangeNotice notice(*this);
  const std::scoped_lock lock(mutex_);
  const KeyEntry* const old = of_calls_.registered(number);
  if (old == nullptr) return invalid("the registration of the key has ended: register it again");
  auto line = changed_line(old->line, change);
  if (!line) return std::move(line).failure();
  if (line->key == old->line.key) line->used = old->line.used;
  if (!line->terms.is_invitation) line->used.reset();
  KeyEntry entry = key_entry_of(*std::move(line), number);
  if (auto checked = check_new(entry); !checked) return std::move(checked).failure();
  std::string kid = entry.line.kid;
  if (entry == *old) return kid;
  of_calls_.replace(std::move(entry));
  ++generation_;
  return kid;
}

void KeyStore::drop(std::uint64_t number) noexcept {
  const ChangeNotice notice(*this);
  const std::scoped_lock lock(mutex_);
  if (of_calls_.drop(number)) ++generation_;
}

// The file.

void KeyStore::tell(LogLevel level, std::string message) {
  constexpr std::size_t kept = 64;
  news_.push_back({level, "keys", {}, std::move(message)});
  ++told_news_;
  if (news_.size() > kept) news_.pop_front();
}

std::uint64_t KeyStore::first_news() const {
  const std::scoped_lock lock(mutex_);
  return problem_.empty() ? told_news_ : before_problem_;
}

Result<void> KeyStore::open(WallTime now) {
  constexpr int attempts = 10;  // the file may just be written in place
  auto content = read_key_file(path_);
  for (int i = 1; i < attempts && !content && content.failure().code == Errc::busy; ++i) content = read_key_file(path_);
  if (!content) return std::move(content).failure();
  KeyTable table(content->lines);
  const std::scoped_lock lock(mutex_);
  take_over(content, std::move(table), ++looks_, now);
  heard_ = told_news_;  // the caller of open() knows them
  return {};
}

std::vector<LogRecord> KeyStore::refresh(WallTime now, std::uint64_t* heard) {
  if (path_.empty()) return {};
  look(now, false);
  const std::scoped_lock lock(mutex_);
  const std::uint64_t before = std::exchange(heard != nullptr ? *heard : heard_, told_news_);
  const auto fresh = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(told_news_ - before, news_.size()));
  return {news_.end() - fresh, news_.end()};
}

void KeyStore::look(WallTime now, bool at_once) {
  const ChangeNotice notice(*this);
  std::unique_lock lock(mutex_);
  const std::uint64_t number = ++looks_;
  const FileStamp known = stamp_;
  const bool is_sure = is_settled_ && problem_.empty();
  lock.unlock();

  const auto stamp = key_file_stamp(path_);
  const bool is_same = stamp && *stamp == known;
  if (is_same && is_sure && !at_once) return;
  if (stamp && !is_same && !at_once && may_be_unfinished(*stamp, now))
    return;  // the next look will see the complete file
  const auto content = read_key_file(path_);
  if (!content && content.failure().code == Errc::busy) return;  // the same applies
  KeyTable table = content ? KeyTable(content->lines) : KeyTable();
  lock.lock();
  take_over(content, std::move(table), number, now);
}

std::string KeyStore::conflict_with_calls(const KeyTable& table) const {
  for (const auto& [name, entries] : of_calls_.names()) {
    for (const KeyEntry& entry : entries) {
      if (auto checked = check_beside(entry, table, "registered by a call, and in the key file"); !checked) {
        return checked.failure().message;
      }
    }
  }
  return {};
}

void KeyStore::take_over(const Result<KeyFileContent>& content, KeyTable table, std::uint64_t look, WallTime now) {
  if (look < last_look_) return;
  last_look_ = look;
  std::string problem = content ? conflict_with_calls(table) : content.failure().message;
  if (!problem.empty()) {
    if (problem != problem_) {
      before_problem_ = told_news_;
      tell(LogLevel::warning, problem + "; until then the keys are those that were read before");
    }
    problem_ = std::move(problem);
    return;
  }
  stamp_ = content->stamp;
  is_settled_ = is_settled(stamp_, now);
  const bool was_bad = !std::exchange(problem_, {}).empty();
  if (table == of_file_) {
    if (was_bad) tell(LogLevel::info, in_quotes(path_) + " is good again, and has the same keys");
    return;
  }

  tell(LogLevel::info,
       formatted("{} was read again: {} keys, of these new: {}; gone: {}", in_quotes(path_), content->lines.size(),
                 count_missing(table, of_file_), count_missing(of_file_, table)));
  of_file_ = std::move(table);
  ++generation_;
}

// Enrolment.

Result<KeyStore::Enrolled> KeyStore::enrol(std::string_view name, std::string_view token_kid, const Secret& new_key,
                                           WallTime now) {
  auto fresh = make_key_line(std::string(name), new_key);
  if (!fresh) return std::move(fresh).failure();
  const ChangeNotice notice(*this);
  bool is_of_call = false;
  {
    const std::scoped_lock lock(mutex_);
    if (KeyEntry* const token = of_calls_.find(name, token_kid)) {
      if (auto checked = check_token(token->line, now); !checked) return std::move(checked).failure();
      fresh = enrolled_line(token->line, *std::move(fresh));
      if (path_.empty()) {
        KeyEntry entry = key_entry_of(*fresh);
        if (auto checked = check_new(entry); !checked) return std::move(checked).failure();
        token->line.used = now;
        of_calls_.add(std::move(entry));  // invalidates `token`
        ++generation_;
        return Enrolled{fresh->kid, "in memory only: it ends with this program"};
      }
      token->line.used = now;  // reserved; undone below if the new key cannot be stored
      is_of_call = true;
      ++generation_;
    } else if (path_.empty()) {
      return Failure{Errc::auth_failed, unknown(name, token_kid), 0};
    }
  }
  const auto changed =
      change_key_file(path_, false, now, [&](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
        KeyFileChange change;
        if (!is_of_call) {
          const auto token = std::find_if(lines.begin(), lines.end(), [&](const KeyLine& line) {
            return line.name == name && line.kid == token_kid;
          });
          if (token == lines.end()) return Failure{Errc::auth_failed, "the token is not in the key file any more", 0};
          if (auto checked = check_token(*token, now); !checked) return std::move(checked).failure();
          fresh = enrolled_line(*token, *std::move(fresh));
          change.used.insert(static_cast<std::size_t>(token - lines.begin()));
        }
        change.added.push_back(*fresh);
        return change;
      });
  if (!changed) {
    const std::scoped_lock lock(mutex_);
    KeyEntry* const token = is_of_call ? of_calls_.find(name, token_kid) : nullptr;
    if (token != nullptr && token->line.used == now) token->line.used.reset();
    ++generation_;
    return changed.failure();
  }
  look(now, true);  // the slave reconnects at once
  return Enrolled{fresh->kid, "stored in " + in_quotes(path_)};
}

}  // namespace remsh::auth

#include "operations/tree_sink.hpp"

#include "base/format.hpp"
#include "operations/file_info.hpp"
#include "operations/tree_problems.hpp"

#include <cerrno>
#include <utility>

namespace remsh::operations {

namespace {

using PartKind = TreePart::Kind;

Failure over_limit(std::string_view what, std::uint64_t limit, std::string_view option) {
  return {Errc::too_large, formatted("the tree has more than the {} {} that {} allows", limit, what, option), 0};
}

}  // namespace

Result<void> TreeSink::take(BytesView bytes) {
  decoder_.feed(bytes);
  while (decoder_.next()) {
    if (auto taken = take_part(decoder_.part()); !taken) return taken;
  }
  return decoder_.failure() == nullptr ? Result<void>() : in_own_words(*decoder_.failure());
}

Result<void> TreeSink::finish() const {
  auto ended = decoder_.finish();
  return ended ? Result<void>() : in_own_words(std::move(ended).failure());
}

Result<void> TreeSink::commit(bool durable) {
  auto done = tree_.commit(durable);
  if (!done) done.failure().code = options_.own_error;
  return done;
}

Failure TreeSink::in_own_words(Failure failure) const {
  if (failure.code == Errc::invalid_argument) failure.code = options_.breach;
  return failure;
}

Result<void> TreeSink::take_part(const TreePart& part) {
  switch (part.kind) {
    case PartKind::entry: return take_entry(part);
    case PartKind::content: return take_content(part);
    case PartKind::failure: return take_failure(part);
    case PartKind::up: return go_up();
  }
  return {};
}

Result<void> TreeSink::take_entry(const TreePart& part) {
  if (directories_.empty()) {  // the top, which was made with the tree
    directories_.push_back(properties_of(part.info));
    return {};
  }
  if (++entries_ > options_.max_entries) return over_limit("entries", options_.max_entries, "max_entries");
  if (part.failure) return refuse(part.name, *part.failure);
  switch (part.info.type) {
    case FileType::directory:
      if (auto entered = checked(tree_.enter(part.name), part.name); !entered) return entered;
      names_.push_back(part.name);
      directories_.push_back(properties_of(part.info));
      ++result_.directories;
      return {};
    case FileType::file: return begin_file(part);
    case FileType::symlink:
      if (!options_.links) return note_skipped(result_, path_of(part.name), "a symbolic link"), Result<void>();
      ++result_.links;
      return checked(tree_.make_link(part.name, part.target, properties_of(part.info).mtime), part.name);
    default: break;
  }
  note_skipped(result_, path_of(part.name), "a " + std::string(to_string(part.info.type)));
  return {};
}

Result<void> TreeSink::begin_file(const TreePart& part) {
  if (auto opened = checked(tree_.open_file(part.name), part.name); !opened) return opened;
  file_name_ = part.name;
  file_ = properties_of(part.info);
  file_bytes_ = 0;
  return take_content(part);
}

Result<void> TreeSink::take_content(const TreePart& part) {
  const std::uint64_t moved = moved_ + part.data.size();
  if (moved > options_.max_bytes) return over_limit("bytes", options_.max_bytes, "max_bytes");
  moved_ = moved;
  file_bytes_ += part.data.size();
  if (auto written = checked(tree_.write(part.data), file_name_); !written) return written;
  if (part.more) return {};
  if (auto closed = checked(tree_.close_file(file_.mode, file_.mtime), file_name_); !closed) return closed;
  ++result_.files;
  result_.bytes += file_bytes_;
  file_name_.clear();
  return {};
}

/// The sender could not read the open file, or else the directory, to its end.
Result<void> TreeSink::take_failure(const TreePart& part) {
  const Bytes name = std::exchange(file_name_, {});
  if (!name.empty()) {
    if (auto dropped = checked(tree_.drop_file(), name); !dropped) return dropped;
  }
  return refuse(name, *part.failure);
}

Result<void> TreeSink::go_up() {
  const Properties set = directories_.back();
  directories_.pop_back();
  auto left = checked(tree_.leave(set.mode, set.mtime), {});
  if (!names_.empty()) names_.pop_back();
  return left;
}

/// Notes what the sender could not read. `name`: empty for the directory itself.
Result<void> TreeSink::refuse(BytesView name, const Failure& why) {
  const Bytes path = path_of(name);
  note_failed(result_, path, why);
  if (!options_.require_all) return {};
  return Failure{why.code, about_entry(path, why.message), why.os};
}

/// Says which entry a failure of this host is about.
Result<void> TreeSink::checked(Result<void> done, BytesView name) const {
  if (done) return done;
  Failure failure = std::move(done).failure();
  if (failure.os == EEXIST) return Failure{options_.breach, about_entry(path_of(name), "the name came twice"), 0};
  failure.code = options_.own_error;
  failure.message = about_entry(path_of(name), failure.message);
  return failure;
}

TreeSink::Properties TreeSink::properties_of(const FileInfo& info) const {
  return {static_cast<mode_t>(info.mode) & options_.mode_mask, timespec_of(info.mtime)};
}

}  // namespace remsh::operations

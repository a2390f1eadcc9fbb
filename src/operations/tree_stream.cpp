#include "operations/tree_stream.hpp"

#include "base/decimal.hpp"
#include "base/errno_name.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "operations/fields.hpp"

#include <string>
#include <utility>

namespace remsh::operations {

namespace {

using PartKind = TreePart::Kind;

/// One value of data, and all that may be beside it.
constexpr BoxLimits part_limits{.bytes = Box::max_value + 8192, .fields = 16};

constexpr BytesView data_key = "data";

Failure invalid_tree(std::string why) {
  return {Errc::invalid_argument, "the stream of the tree: " + std::move(why), 0};
}

/// The fields of a box, without the data.
Box fields_of(const BoxView& view) {
  return view.copy_if([](BytesView key) { return key != data_key; });
}

Failure failure_from(const Box& box) {
  const BytesView code = box.get("error").value_or("");
  Failure failure{Errc::remote_failure, without_controls(box.get("text").value_or("").substr(0, max_tree_text)),
                  errno_value(code)};
  if (failure.os != 0) failure.code = Errc::os_error;
  if (failure.message.empty()) failure.message = formatted("error {}", in_quotes(code.substr(0, 32)));
  return failure;
}

}  // namespace

// --- writing

std::size_t begin_tree_data(Bytes& stream, std::size_t room) {
  BoxWriter(stream).field(data_key, {});
  const std::size_t begin = stream.size();
  stream.resize(begin + room);
  return begin;
}

void end_tree_data(Bytes& stream, std::size_t begin, std::size_t count) {
  stream.resize(begin + count);
  stream[begin - 2] = static_cast<char>(count >> 8U);
  stream[begin - 1] = static_cast<char>(count & 0xffU);
}

void end_tree_part(Bytes& stream, const TreePart& part) {
  const bool is_entry = part.kind == PartKind::entry;
  FieldWriter numbers;
  if (is_entry) numbers.file_info(part.info);
  const Box info = std::move(numbers).box();
  BoxWriter box(stream);
  if (part.failure) {
    const auto code = errno_name(part.failure->os);
    box.field("error", code.empty() ? "FAILED" : code);
  }
  if (is_entry) box.field("mode", info.get("mode").value_or(""));
  if (part.more) box.field("more", "1");
  if (is_entry) box.field("mtime", info.get("mtime").value_or(""));
  if (!part.name.empty()) box.field("name", part.name);
  if (is_entry) box.field("size", info.get("size").value_or(""));
  if (!part.target.empty()) box.field("target", part.target);
  if (part.failure) box.field("text", BytesView(part.failure->message).substr(0, max_tree_text));
  if (is_entry) box.field("type", info.get("type").value_or(""));
  if (part.kind == PartKind::up) box.field("up", "1");
  box.end();
}

void append_tree_part(Bytes& stream, const TreePart& part) {
  if (part.kind == PartKind::content || !part.data.empty()) BoxWriter(stream).field(data_key, part.data);
  end_tree_part(stream, part);
}

// --- reading

TreeDecoder::TreeDecoder() : boxes_(part_limits) {}

bool TreeDecoder::next() {
  if (failure_) return false;
  if (!boxes_.next()) {
    if (boxes_.error() != BoxError::none) failure_ = invalid_tree(std::string(to_string(boxes_.error())));
    return false;
  }
  auto valid = read(boxes_.box());
  if (valid) valid = check();
  if (!valid) failure_ = std::move(valid).failure();
  return !failure_;
}

Result<void> TreeDecoder::finish() const {
  if (failure_) return *failure_;
  if (!has_begun_ || depth_ > 0 || boxes_.is_inside_box()) return invalid_tree("it ends before the tree does");
  return {};
}

/// Reads one box into part_.
Result<void> TreeDecoder::read(const BoxView& view) {
  const Box box = fields_of(view);
  part_ = {};
  part_.data = view.get(data_key).value_or(BytesView());
  FieldReader fields(box);
  fields.flag("more", part_.more);
  bool is_up = false;
  fields.flag("up", is_up);
  std::optional<FileInfo> info;
  const bool is_entry = box.has("type");
  if (is_entry) fields.file_info(info);
  if (box.has("name")) fields.file_name("name", part_.name);
  part_.target = box.get("target").value_or("");
  if (box.has("error")) part_.failure = failure_from(box);
  if (auto read = fields.finish(true); !read) return invalid_tree(read.failure().message);
  if (is_entry && !info) return invalid_tree("an entry is missing");
  if (info) part_.info = *info;
  const bool is_failure = !is_entry && part_.failure;
  if ((is_entry ? 1 : 0) + (is_up ? 1 : 0) + (is_failure ? 1 : 0) > 1) return invalid_tree("a box that is two things");
  if (!is_entry && !is_up && !is_failure && !view.has(data_key)) return invalid_tree("a box that is nothing");
  part_.kind = is_entry ? PartKind::entry : is_up ? PartKind::up : is_failure ? PartKind::failure : PartKind::content;
  return {};
}

/// Checks an entry by itself.
Result<void> TreeDecoder::check_entry() {
  const bool is_file = part_.info.type == FileType::file;
  const bool is_link = part_.info.type == FileType::symlink;
  if (part_.name.size() > max_tree_name) return invalid_tree("a name is too long");
  if (part_.failure && part_.info.type != FileType::unknown) return invalid_tree("a failure of an entry with a type");
  if (!is_file && (part_.more || !part_.data.empty())) return invalid_tree("content of what is not a file");
  if (part_.more && part_.data.empty()) return invalid_tree("content goes on that has not begun");
  const bool is_target =
      !part_.target.empty() && part_.target.size() <= max_tree_target && part_.target.find('\0') == Bytes::npos;
  if (is_link ? !is_target : !part_.target.empty()) return invalid_tree("a target that no symbolic link can have");
  return {};
}

/// Checks that the part may come now, and follows it.
Result<void> TreeDecoder::check() {
  if (has_begun_ && depth_ == 0) return invalid_tree("it goes on after its end");
  const bool is_entry = part_.kind == PartKind::entry;
  const bool is_directory = is_entry && part_.info.type == FileType::directory;
  if (!has_begun_ && !(is_directory && part_.name.empty())) return invalid_tree("it does not begin with its top");
  if (has_begun_ && is_entry && part_.name.empty()) return invalid_tree("an entry without a name");
  if (!is_entry && !part_.name.empty()) return invalid_tree("a name without an entry");
  if (is_in_file_ && (is_entry || part_.kind == PartKind::up))
    return invalid_tree("the content of a file does not end");
  if (part_.kind == PartKind::content && !is_in_file_) return invalid_tree("content without a file");
  if (part_.kind == PartKind::content && part_.more && part_.data.empty()) return invalid_tree("content without bytes");
  if ((part_.kind == PartKind::up || part_.kind == PartKind::failure) && (part_.more || !part_.data.empty())) {
    return invalid_tree("content without a file");
  }
  if (is_entry) {
    if (auto valid = check_entry(); !valid) return valid;
  } else if (!part_.target.empty()) {
    return invalid_tree("a target without a link");
  }
  if (is_directory && ++depth_ > max_tree_depth) {
    return invalid_tree(formatted("more than {} directories below each other", max_tree_depth));
  }
  if (part_.kind == PartKind::up) --depth_;
  has_begun_ = true;
  is_in_file_ = part_.more;
  return {};
}

}  // namespace remsh::operations

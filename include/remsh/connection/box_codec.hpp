// BoxDecoder and BoxWriter: bytes to boxes and back; incremental, bounded, no I/O.
//
// On the wire a box is pairs of (key length, key, value length, value), where lengths are 16 bits big-endian and key
// lengths 1 to 255, followed by two zero bytes: docs/protocol.md section 1.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// Why bytes are not a valid box.
enum class BoxError : std::uint8_t {
  none,
  key_too_long,     ///< a key length over 255: usually the peer speaks another protocol
  empty_box,        ///< a box without a pair
  duplicate_key,    ///< the same key twice in one box
  too_many_fields,  ///< more pairs than BoxLimits::fields
  too_large,        ///< more bytes than BoxLimits::bytes
};

/// A sentence about a BoxError.
constexpr std::string_view to_string(BoxError error) noexcept {
  switch (error) {
    case BoxError::none: return "no error";
    case BoxError::key_too_long: return "a key length over 255, so these are not AMP boxes";
    case BoxError::empty_box: return "an empty box";
    case BoxError::duplicate_key: return "a box with the same key twice";
    case BoxError::too_many_fields: return "a box with too many fields";
    case BoxError::too_large: return "a box that is too large";
  }
  return "?";
}

/// The limits of one received box.
struct BoxLimits {
  std::size_t bytes = 1024 * 1024;  ///< the size of the whole encoding
  std::size_t fields = 1024;
};

/// Appends one box to a string, field by field, keys in ascending order.
///
///     BoxWriter(out).field("_answer", tag).field("type", "file").end();
class BoxWriter {
 public:
  explicit BoxWriter(Bytes& out) : out_(out) {}

  /// Appends a field. Key and value must be within Box::max_key and Box::max_value, and the key above the previous one.
  BoxWriter& field(BytesView key, BytesView value) {
    const std::size_t before = out_.size();
    out_.resize(before + 4 + key.size() + value.size());
    write(out_.data() + before, key, value);
    return *this;
  }

  void end() { out_.append(2, '\0'); }

  /// Writes a field to memory that has room for it, and returns where it ends.
  static char* write(char* to, BytesView key, BytesView value) noexcept {
    assert(!key.empty() && key.size() <= Box::max_key && value.size() <= Box::max_value);
    for (const BytesView bytes : {key, value}) {
      *to++ = static_cast<char>(bytes.size() >> 8U);
      *to++ = static_cast<char>(bytes.size() & 0xffU);
      to = std::copy(bytes.begin(), bytes.end(), to);
    }
    return to;
  }

 private:
  Bytes& out_;
};

/// The size of a field on the wire.
constexpr std::size_t encoded_size(BytesView key, BytesView value) noexcept { return 4 + key.size() + value.size(); }

/// The size of a box on the wire.
inline std::size_t encoded_size(const Box& box) noexcept { return 4 * box.size() + box.bytes() + 2; }

/// The canonical encoding of a box, appended to `out`. The values must be within Box::max_value.
inline void append_box(Bytes& out, const Box& box) {
  assert(!box.empty());
  BoxWriter writer(out);
  for (const auto& [key, value] : box) writer.field(key, value);
  writer.end();
}

/// The canonical encoding of a box.
inline Bytes encode(const Box& box) {
  Bytes out;
  append_box(out, box);
  return out;
}

/// A decoded box whose bytes lie in a buffer that it does not own.
class BoxView {
 public:
  using Field = Box::Field;

  /// The value of a key; nullopt if it is missing.
  [[nodiscard]] std::optional<BytesView> get(BytesView key) const noexcept {
    for (const Field& field : fields_) {
      if (field.key == key) return field.value;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool has(BytesView key) const noexcept { return get(key).has_value(); }
  [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }

  /// The size of all keys and values.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  [[nodiscard]] auto begin() const noexcept { return fields_.begin(); }
  [[nodiscard]] auto end() const noexcept { return fields_.end(); }

  /// True if the keys came in ascending order, as in a canonical encoding.
  [[nodiscard]] bool is_canonical() const noexcept { return ascending_; }

  /// A Box with copies of all bytes.
  [[nodiscard]] Box copy() const {
    return copy_if([](BytesView) { return true; });
  }

  /// A Box with copies of the fields whose keys are wanted.
  template <class IsWanted>
  [[nodiscard]] Box copy_if(IsWanted is_wanted) const {
    std::vector<Field> sorted;  // a Box is filled in key order, because otherwise each insertion moves other fields
    if (!ascending_) {
      sorted = fields_;
      std::sort(sorted.begin(), sorted.end(), [](const Field& a, const Field& b) { return a.key < b.key; });
    }
    Box box;
    box.reserve(fields_.size(), bytes());
    for (const Field& field : ascending_ ? fields_ : sorted) {
      if (is_wanted(field.key)) box.set(field.key, field.value);
    }
    return box;
  }

 private:
  friend class BoxDecoder;
  std::vector<Field> fields_;
  std::size_t bytes_ = 0;
  bool ascending_ = true;
};

/// Takes bytes as they arrive and returns the boxes that are complete.
///
///     decoder.feed(bytes);
///     while (decoder.next()) handle(decoder.box());
///     if (decoder.error() != BoxError::none) close();
///
/// A box that lies completely in the bytes of one feed() is not copied; of an incomplete one only the beginning is
/// kept. The work is linear in the bytes, and the memory is bounded by the limits. After an error the decoder stays in
/// the error state.
class BoxDecoder {
 public:
  explicit BoxDecoder(BoxLimits limits = {}) : limits_(limits) {}

  /// Sets the limits of the boxes that follow. Call it only between boxes.
  void set_limits(BoxLimits limits) noexcept { limits_ = limits; }

  /// Adds bytes, which must live until next() has returned false. Call it only after next() has returned false for the
  /// bytes before.
  void feed(BytesView input) {
    assert(input_.empty());
    input_ = input;
  }

  /// Moves to the next complete box. Returns false if more bytes are needed or there is an error.
  bool next() {
    if (emitted_partial_) {
      partial_.clear();
      if (partial_.capacity() > 4096) partial_.shrink_to_fit();
      emitted_partial_ = false;
    }
    if (error_ != BoxError::none) {
      input_ = {};
      return false;
    }
    return partial_.empty() ? next_in_place() : next_joined();
  }

  /// The box that next() moved to; valid until the next call of next() or feed().
  [[nodiscard]] const BoxView& box() const noexcept { return box_; }

  [[nodiscard]] BoxError error() const noexcept { return error_; }

  /// True if the bytes so far end inside a box.
  [[nodiscard]] bool is_inside_box() const noexcept { return !partial_.empty() && !emitted_partial_; }

  /// The size of the incomplete box so far.
  [[nodiscard]] std::size_t unfinished() const noexcept { return is_inside_box() ? partial_.size() : 0; }

  /// Takes the incomplete box out. To go on with it, feed it again, together with what follows: then a box that becomes
  /// complete lies in the bytes of that feed(), and is not copied.
  [[nodiscard]] Bytes take_unfinished() { return is_inside_box() ? std::exchange(partial_, Bytes()) : Bytes(); }

  /// The bytes that no box has used yet, for handing the connection over to another reader.
  [[nodiscard]] Bytes unread() const {
    Bytes rest = emitted_partial_ ? Bytes() : partial_;
    rest.append(input_);
    return rest;
  }

 private:
  /// Scans on from `scanned_`. Returns the number of further bytes that are certainly needed; 0 if a box is complete.
  std::size_t scan(BytesView bytes) {
    for (;;) {
      if (bytes.size() - scanned_ < 2) return 2 - (bytes.size() - scanned_);
      const std::size_t key = length_at(bytes, scanned_);
      if (key == 0) {
        if (count_ == 0) return fail(BoxError::empty_box);
        scanned_ += 2;
        return 0;
      }
      if (key > Box::max_key) return fail(BoxError::key_too_long);
      if (count_ == limits_.fields) return fail(BoxError::too_many_fields);
      std::size_t end = scanned_ + 2 + key + 2;
      if (end + 2 > limits_.bytes) return fail(BoxError::too_large);
      if (bytes.size() < end) return end - bytes.size();
      end += length_at(bytes, end - 2);
      if (end + 2 > limits_.bytes) return fail(BoxError::too_large);
      if (bytes.size() < end + 2) return end + 2 - bytes.size();  // including the length that follows
      scanned_ = end;
      ++count_;
    }
  }

  bool next_in_place() {
    scanned_ = count_ = 0;
    if (scan(input_) != 0) {
      if (error_ == BoxError::none) partial_.assign(input_);
      input_ = {};
      return false;
    }
    if (error_ != BoxError::none || !split(input_.substr(0, scanned_))) {
      input_ = {};
      return false;
    }
    input_.remove_prefix(scanned_);
    return true;
  }

  bool next_joined() {
    for (;;) {
      const std::size_t need = scan(partial_);
      if (error_ != BoxError::none) break;
      if (need == 0) {
        emitted_partial_ = true;
        if (split(partial_)) return true;
        break;
      }
      if (input_.empty()) return false;
      const std::size_t taken = std::min(need, input_.size());
      partial_.append(input_.substr(0, taken));
      input_.remove_prefix(taken);
    }
    input_ = {};
    return false;
  }

  /// Splits one complete box into fields.
  bool split(BytesView bytes) {
    auto& fields = box_.fields_;
    fields.clear();
    box_.ascending_ = true;
    std::size_t at = 0;
    while (const std::size_t key_size = length_at(bytes, at)) {
      const BytesView key = bytes.substr(at + 2, key_size);
      at += 2 + key_size;
      const std::size_t value_size = length_at(bytes, at);
      if (!fields.empty() && fields.back().key >= key) box_.ascending_ = false;
      fields.push_back({key, bytes.substr(at + 2, value_size)});
      at += 2 + value_size;
    }
    box_.bytes_ = at - 4 * fields.size();
    if (box_.ascending_ || !has_duplicate()) return true;
    fail(BoxError::duplicate_key);
    return false;
  }

  [[nodiscard]] bool has_duplicate() const {
    std::vector<BytesView> keys;
    keys.reserve(box_.fields_.size());
    for (const auto& field : box_.fields_) keys.push_back(field.key);
    std::sort(keys.begin(), keys.end());
    return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
  }

  static std::size_t length_at(BytesView bytes, std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])) << 8U |
           static_cast<unsigned char>(bytes[at + 1]);
  }

  std::size_t fail(BoxError error) {
    error_ = error;
    partial_ = Bytes();
    return 1;  // not complete
  }

  BoxLimits limits_;
  BytesView input_;
  Bytes partial_;  // the beginning of an incomplete box
  bool emitted_partial_ = false;
  std::size_t scanned_ = 0;  // how much of the current box is scanned
  std::size_t count_ = 0;    // the number of its fields so far
  BoxView box_;
  BoxError error_ = BoxError::none;
};

}  // namespace remsh

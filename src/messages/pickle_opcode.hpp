// The steps of a pickle: their bytes and names.
#pragma once

#include <cstdint>
#include <string_view>

namespace remsh::messages {

/// Those that plain data needs.
enum class Opcode : std::uint8_t {
  mark = '(',
  stop = '.',
  none = 'N',
  bin_int = 'J',
  bin_int1 = 'K',
  bin_int2 = 'M',
  bin_float = 'G',
  bin_unicode = 'X',
  short_bin_bytes = 'C',
  bin_bytes = 'B',
  bin_get = 'h',
  long_bin_get = 'j',
  bin_put = 'q',
  long_bin_put = 'r',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_tuple = ')',
  tuple = 't',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',
  proto = 0x80,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  new_true = 0x88,
  new_false = 0x89,
  long1 = 0x8a,
  short_bin_unicode = 0x8c,
  bin_unicode8 = 0x8d,
  bin_bytes8 = 0x8e,
  empty_set = 0x8f,
  add_items = 0x90,
  memoize = 0x94,
  frame = 0x95,
};

/// The name that Python has for a step that plain data does not need: "GLOBAL", for example; empty if there is no such
/// step.
std::string_view refused_opcode(std::uint8_t code) noexcept;

}  // namespace remsh::messages

// Keys that tests can tell apart, and their lines in a key file.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <string>

namespace remsh::test {

/// A key that is 32 times the same byte.
inline Secret key_of(char byte) { return *Secret::from_bytes(Bytes(Secret::size, byte)); }

/// As many bytes as a key has, each one more than the byte before it.
inline Bytes counted(unsigned char first) {
  Bytes bytes;
  while (bytes.size() < Secret::size) bytes += static_cast<char>(first++);
  return bytes;
}
inline Secret counted_key(unsigned char first) { return *Secret::from_bytes(counted(first)); }

/// The line of a key file that gives this name the key of this byte.
inline std::string line_of(const std::string& name, char byte, const std::string& options = "") {
  return name + " " + key_of(byte).to_base64() + options + "\n";
}

}  // namespace remsh::test

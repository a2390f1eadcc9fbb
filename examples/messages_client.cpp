// Receives what messages_server.cpp or messages_server.py sends. Its argument is the address that the server has
// printed.
#include <remsh/messages.hpp>

#include <array>
#include <cstdint>
#include <iostream>
#include <span>

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: messages_client ADDRESS\n";
    return 2;
  }
  remsh::Client connection(argv[1], {.authkey = remsh::AuthKey("secret password")});
  std::cout << to_string(connection.recv()) << '\n';
  std::cout << connection.recv_bytes() << '\n';
  std::array<std::int32_t, 5> numbers{};
  std::cout << connection.recv_bytes_into(std::as_writable_bytes(std::span(numbers))) << " bytes:";
  for (const std::int32_t number : numbers) std::cout << ' ' << number;
  std::cout << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

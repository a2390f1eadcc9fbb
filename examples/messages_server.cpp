// Waits for one client, in C++ or in Python, and sends it three messages: messages_client.cpp and messages_client.py
// receive them, and messages_server.py sends the same.
#include <remsh/messages.hpp>

#include <array>
#include <cstdint>
#include <iostream>
#include <span>

int main() try {
  const remsh::AuthKey key("secret password");  // a program of your own takes one of random_authkey()
  remsh::Listener listener("localhost:0", {.authkey = key});
  std::cout << listener.address() << std::endl;

  remsh::MessageConnection connection = listener.accept();
  connection.send(remsh::Value::list({2.25, remsh::Value(), remsh::Value::text("junk")}));
  connection.send_bytes("hello");
  const std::array<std::int32_t, 2> numbers{42, 1729};
  connection.send_bytes(std::as_bytes(std::span(numbers)));
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

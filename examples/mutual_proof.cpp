// Two programs that share a secret prove it to each other, and then speak boxes of their own. Here both are threads.
#include <remsh/auth/challenge.hpp>
#include <remsh/base/error.hpp>
#include <remsh/connection/connection.hpp>
#include <remsh/transport/memory.hpp>

#include <cstdio>
#include <thread>
#include <utility>

int main() {
  auto [one, other] = remsh::memory_pair();  // or socket_transport(fd, "...") in each of two programs
  // 32 random bytes in base64, as `head -c 32 /dev/urandom | base64` makes them; both read them from a file of mode
  // 0600.
  const auto secret = remsh::Secret::from_base64("nFMdZy/3dGaTdCO4N2k4bXxUcV0i7Cmo0sUbuWqE0Wo=");
  if (!secret) return 1;

  std::thread client([&secret, transport = std::move(other)]() mutable {
    remsh::Connection connection(std::move(transport));
    try {
      remsh::answer_challenge(connection, "backup", *secret);
      connection.send_box({{"question", "How late is it?"}});
      if (const auto answer = connection.read_box()) std::puts(remsh::Bytes(*answer->get("answer")).c_str());
    } catch (const remsh::Error& error) {
      std::fprintf(stderr, "client: %s\n", error.what());
    }
  });

  int code = 1;
  remsh::Connection connection(std::move(one));
  try {
    remsh::deliver_challenge(connection, "backup", *secret);
    if (const auto question = connection.read_box()) {
      std::puts(remsh::Bytes(*question->get("question")).c_str());
      connection.send_box({{"answer", "As late as ever."}});
      code = 0;
    }
  } catch (const remsh::AuthError& error) {
    std::fprintf(stderr, "server: %s\n", error.what());
  }
  client.join();
  return code;
}

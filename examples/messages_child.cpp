// Starts a child, which is this program again, and exchanges messages with it over a pipe(). The child gets a key over
// a second descriptor: neither its arguments nor its environment show it.
#include <remsh/messages.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <string_view>
#include <system_error>

namespace {

/// In the child.
int serve() {
  auto connection = remsh::MessageConnection::from_descriptor(3);
  const remsh::AuthKey key = remsh::read_authkey(4);
  remsh::answer_challenge(connection, key);  // the parent wants to know that it is this child
  for (;;) {
    const remsh::Value value = connection.recv();
    connection.send(remsh::Value::list({value, value}));
  }
}

/// Starts this program as a child that has these two descriptors as 3 and 4.
pid_t start(const char* program, int third, int fourth) {
  // First copies of both at 10 or above, so that neither dup2 overwrites the other descriptor.
  const int high_third = ::fcntl(third, F_DUPFD_CLOEXEC, 10);
  const int high_fourth = ::fcntl(fourth, F_DUPFD_CLOEXEC, 10);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, high_third, 3);
  posix_spawn_file_actions_adddup2(&actions, high_fourth, 4);
  const char* const args[] = {program, "child", nullptr};
  pid_t child = -1;
  const int error = ::posix_spawn(&child, program, &actions, nullptr, const_cast<char* const*>(args), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(high_third);
  ::close(high_fourth);
  if (error != 0) throw std::system_error(error, std::generic_category(), program);
  return child;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc > 1 && std::string_view(argv[1]) == "child") return serve();

  const remsh::AuthKey key = remsh::random_authkey();
  auto [ours, theirs] = remsh::pipe();
  const int end = theirs.release();
  const pid_t child = start(argv[0], end, remsh::AuthKeyPipe(key).descriptor());
  ::close(end);

  remsh::deliver_challenge(ours, key);
  for (const remsh::Value& value : {remsh::Value(42), remsh::Value::text("apple")}) {
    ours.send(value);
    std::cout << to_string(ours.recv()) << '\n';
  }
  ours.close();
  ::waitpid(child, nullptr, 0);
} catch (const remsh::EndOfMessages&) {
  return argc > 1 ? 0 : 1;  // a child ends when its parent has closed
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

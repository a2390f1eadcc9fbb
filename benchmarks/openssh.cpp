#include "openssh.hpp"

#include "bare_socket.hpp"
#include "machine.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace remsh::bench {

namespace {

/// Where Debian has the server; it must be started by its path.
constexpr const char* server_program = "/usr/sbin/sshd";

constexpr const char* host = "bench-server";  // as the client's options name the server

/// Runs a command by a shell. Throws, with what the command has printed, if it fails.
void run(const std::string& command, const std::string& output) {
  if (std::system((command + " >'" + output + "' 2>&1 </dev/null").c_str()) == 0) return;
  std::ifstream file(output);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  throw std::runtime_error(words.empty() ? command + " has failed" : words);
}

bool is_there(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null").c_str()) == 0;
}

/// A port that is free at this moment.
std::uint16_t free_port() { return listen_on_loopback(1).port; }

}  // namespace

OpenSsh::OpenSsh(const std::string& scratch) : directory_(scratch + "/ssh") {
  if (::access(server_program, X_OK) != 0 || !is_there("ssh") || !is_there("scp")) {
    throw std::runtime_error("it is not installed (openssh-server, openssh-client)");
  }
  write_files();
  start_server();
  try {
    connect();
  } catch (...) {
    end_child(server_);
    throw;
  }
}

OpenSsh::~OpenSsh() {
  static_cast<void>(std::system(("ssh " + options() + " -O exit " + host + " >/dev/null 2>&1").c_str()));
  end_child(server_);
}

/// Keys of both sides, and what tells each to use them.
void OpenSsh::write_files() const {
  std::filesystem::create_directory(directory_);
  std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
  for (const char* name : {"/host", "/user"}) {
    run("ssh-keygen -q -t ed25519 -N '' -f '" + directory_ + name + "'", directory_ + "/output");
  }
}

void OpenSsh::start_server() {
  if (::geteuid() == 0) std::filesystem::create_directories("/run/sshd");  // the server as root wants it
  port_ = free_port();
  // SHLVL: so that bash does not take itself for a login and read the user's start files, which may take long.
  std::ofstream(directory_ + "/server")  //
      << "ListenAddress 127.0.0.1:" << port_ << "\nHostKey " << directory_ << "/host\nAuthorizedKeysFile " << directory_
      << "/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
      << "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nSetEnv SHLVL=2\n";
  std::ofstream(directory_ + "/client")  //
      << "Host " << host << "\nHostName 127.0.0.1\nPort " << port_ << "\nIdentityFile " << directory_
      << "/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
      << "BatchMode yes\nControlPath " << directory_ << "/control\n";
  const std::string settings = directory_ + "/server";
  const std::string log = directory_ + "/log";
  server_ = fork_child();
  if (server_ != 0) return;
  ::execl(server_program, server_program, "-D", "-f", settings.c_str(), "-E", log.c_str(), nullptr);
  ::_exit(127);
}

/// Connects, which must wait until the server listens, and leaves a client behind that holds the connection.
void OpenSsh::connect() const {
  constexpr int patience = 100;  // tries
  for (int left = patience;; --left) {
    try {
      return run("ssh " + options() + " -o ControlMaster=yes -N -f " + host, directory_ + "/output");
    } catch (const std::runtime_error&) {
      if (left == 0) throw;
    }
    ::usleep(50'000);
  }
}

std::string OpenSsh::options() const { return "-F '" + directory_ + "/client'"; }

void OpenSsh::execute(const std::string& command) const {
  run("ssh " + options() + " " + host + " " + command, directory_ + "/output");
}

bool OpenSsh::has(Copier copier) { return is_there(copier == Copier::scp ? "scp" : "rsync"); }

void OpenSsh::copy(Copier copier, const std::string& from, const std::string& to) const {
  const std::string ssh = options();
  const std::string files = " '" + from + "' '" + to + "'";
  if (copier == Copier::scp) return run("scp -q " + ssh + files, directory_ + "/output");
  run("rsync --whole-file --inplace -e \"ssh " + ssh + "\"" + files, directory_ + "/output");
}

void OpenSsh::send(Copier copier, const std::string& from, const std::string& to) const {
  copy(copier, from, std::string(host) + ":" + to);
}

void OpenSsh::fetch(Copier copier, const std::string& from, const std::string& to) const {
  copy(copier, std::string(host) + ":" + from, to);
}

}  // namespace remsh::bench

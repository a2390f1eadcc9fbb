#include "slaves.hpp"

#include "machine.hpp"

#include <remsh/slave/embedded.hpp>

#include <signal.h>
#include <spawn.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>

extern char** environ;

namespace remsh::bench {

namespace {

constexpr const char* slave_mark = "--as-slave";

/// The arguments of this program as a slave, behind the mark.
enum SlaveArgument {
  bytes_argument = 2,
  master_argument,
  key_argument,
  name_argument,
  basedir_argument,
  compression_argument,
  arguments
};

constexpr std::string_view compresses_word = "compresses";

constexpr std::chrono::seconds slave_patience{30};

}  // namespace

std::optional<int> run_as_slave(int argc, char** argv) {
  if (argc != arguments || std::string_view(argv[1]) != slave_mark) return std::nullopt;
  std::optional<Ballast> ballast;
  if (const std::size_t bytes = std::stoull(argv[bytes_argument]); bytes > 0) ballast.emplace(bytes);
  SlaveProgramOptions options{.master = argv[master_argument], .once = true, .log_level = LogLevel::error};
  options.slave.key_file = argv[key_argument];
  options.slave.keyless = options.slave.key_file.empty();
  options.slave.name = argv[name_argument];
  options.slave.basedir = argv[basedir_argument];
  options.slave.compression = argv[compression_argument] == compresses_word;
  return run_slave_program(std::move(options));
}

Slaves::Slaves(const std::string& directory)
    : directory_(directory),
      tcp_({.slave_collection = collection_,
            .keyless = true,
            .protocols = {SlaveProtocol::remsh2({.compression = has_compression()})}}),
      unix_({.slave_collection = collection_, .path = directory + "/socket"}),
      tls_({.slave_collection = collection_, .address = "tls:127.0.0.1:0", .keys = keys_}) {
  tcp_.start();
  unix_.start();
  tls_.start();
}

Slaves::~Slaves() {
  for (const pid_t pid : pids_) ::kill(pid, SIGTERM);  // to the supervisor, which passes it on
  for (const pid_t pid : pids_) await_end_of(pid);
}

Slaves::Started Slaves::start_tcp(const std::string& name, std::size_t ballast) {
  return start(tcp_.address(), name, "", ballast);
}

std::vector<Slaves::Started> Slaves::start_many_tcp(const std::string& prefix, std::size_t count) {
  const auto name = [&](std::size_t i) { return prefix + "-" + std::to_string(i); };
  for (std::size_t i = 0; i < count; ++i) spawn(tcp_.address(), name(i), "", 0);
  std::vector<Started> started;
  for (std::size_t i = 0; i < count; ++i) started.push_back(await(name(i)));
  return started;
}

Slaves::Started Slaves::start_tcp_at(std::uint16_t port, const std::string& name, bool compresses) {
  return start("tcp:127.0.0.1:" + std::to_string(port), name, "", 0, compresses);
}

Slaves::Started Slaves::start_unix(const std::string& name) { return start(unix_.address(), name, "", 0); }

Slaves::Started Slaves::start_tls(const std::string& name) {
  const Secret key = make_key();
  registered_.push_back(keys_.register_slave(name, key));
  const std::string path = directory_ + "/" + name + ".key";
  std::ofstream file(path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  if (!(file << name << ' ' << key.to_base64() << std::endl)) throw std::runtime_error("cannot write " + path);
  return start(tls_.address(), name, path, 0);
}

Slaves::Started Slaves::start(const std::string& address, const std::string& name, const std::string& key_file,
                              std::size_t ballast, bool compresses) {
  spawn(address, name, key_file, ballast, compresses);
  return await(name);
}

void Slaves::spawn(const std::string& address, const std::string& name, const std::string& key_file,
                   std::size_t ballast, bool compresses) {
  const std::string bytes = std::to_string(ballast);
  const std::string basedir = directory_ + "/" + name;
  std::vector<char*> argv;
  for (const char* arg : {"bench", slave_mark, bytes.c_str(), address.c_str(), key_file.c_str(), name.c_str(),
                          basedir.c_str(), compresses ? compresses_word.data() : ""}) {
    argv.push_back(const_cast<char*>(arg));
  }
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (const int error = ::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), environ); error != 0) {
    errno = error;
    fail("posix_spawn");
  }
  pids_.push_back(pid);
}

Slaves::Started Slaves::await(const std::string& name) {
  auto slave = collection_.get_slave(slave_patience, [&](const Slave& candidate) { return candidate.name() == name; });
  if (!slave) throw std::runtime_error("the slave '" + name + "' did not register in time; it may have said why above");
  // The program has divided itself: the child of its first process does the work.
  const pid_t worker = std::stoi(slave->execute({"sh", "-c", "echo $PPID"}).out);
  return {std::move(slave), worker};
}

}  // namespace remsh::bench

// Slaves: this program's slaves, in processes of their own.
#pragma once

#include <remsh/master.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// First thing in main(): where this process was started to be a slave it is one, and the exit code is given.
std::optional<int> run_as_slave(int argc, char** argv);

/// A master and the slaves that it started, over TCP, a unix socket, and TLS by a key each. One thread at a time.
class Slaves {
 public:
  /// The socket and the slaves' directories are made in `directory`.
  explicit Slaves(const std::string& directory);
  Slaves(const Slaves&) = delete;
  Slaves& operator=(const Slaves&) = delete;
  ~Slaves();  ///< ends them

  [[nodiscard]] std::uint16_t tcp_port() const { return tcp_.port(); }

  struct Started {
    std::shared_ptr<Slave> slave;
    pid_t pid = -1;  ///< of the process that does the work
  };
  Started start_tcp(const std::string& name, std::size_t ballast = 0);                ///< with so many bytes resident
  std::vector<Started> start_many_tcp(const std::string& prefix, std::size_t count);  ///< all at the same time
  /// By way of this port, which leads to tcp_port().
  Started start_tcp_at(std::uint16_t port, const std::string& name, bool compresses);
  Started start_unix(const std::string& name);
  Started start_tls(const std::string& name);

 private:
  Started start(const std::string& address, const std::string& name, const std::string& key_file, std::size_t ballast,
                bool compresses = false);
  void spawn(const std::string& address, const std::string& name, const std::string& key_file, std::size_t ballast,
             bool compresses = false);
  Started await(const std::string& name);

  std::string directory_;
  std::vector<pid_t> pids_;
  SlaveCollection collection_;
  KeyRing keys_;
  std::vector<KeyRegistration> registered_;
  TcpSlaveListener tcp_;
  UnixSlaveListener unix_;
  TcpSlaveListener tls_;
};

}  // namespace remsh::bench

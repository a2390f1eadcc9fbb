// OpenSsh: commands and files by OpenSSH, and by rsync over it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace remsh::bench {

/// A server of OpenSSH on the loopback, and a client that has a connection to it; the programs that follow share that
/// connection, so none of them exchanges keys again. One thread at a time.
class OpenSsh {
 public:
  /// Its files are made in a directory in `scratch`. Throws std::runtime_error, with the reason, if it does not work on
  /// this machine.
  explicit OpenSsh(const std::string& scratch);
  OpenSsh(const OpenSsh&) = delete;
  OpenSsh& operator=(const OpenSsh&) = delete;
  ~OpenSsh();

  /// Runs a command at the server, by a client program of its own.
  void execute(const std::string& command) const;

  enum class Copier : std::uint8_t { scp, rsync };

  /// Whether that program is there.
  [[nodiscard]] static bool has(Copier copier);

  /// Copies a file of ours to the server, or the other way round.
  void send(Copier copier, const std::string& from, const std::string& to) const;
  void fetch(Copier copier, const std::string& from, const std::string& to) const;

 private:
  void write_files() const;
  void start_server();
  void connect() const;
  void copy(Copier copier, const std::string& from, const std::string& to) const;
  [[nodiscard]] std::string options() const;

  const std::string directory_;
  std::uint16_t port_ = 0;
  pid_t server_ = -1;
};

}  // namespace remsh::bench

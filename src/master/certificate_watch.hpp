// CertificateWatch: follows the files of a server's certificate.
#pragma once

#include "os/file_stamp.hpp"
#include "transport/tls_engine.hpp"

#include <remsh/base/log.hpp>
#include <remsh/transport/tls.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace remsh {

/// Follows the files of a server's certificate, as a KeyStore does its file: what is not good yet, or any more, changes
/// nothing. One thread at a time.
class CertificateWatch {
 public:
  CertificateWatch(std::shared_ptr<TlsServer> server, const TlsIdentity& identity);

  /// False where the identity names no file.
  [[nodiscard]] bool has_files() const noexcept { return !files_.empty(); }

  /// Looks whether they have changed, which costs a call of the system for each where they have not, and takes them
  /// over. Gives what is to be told to a log: each thing once. Blocks.
  std::vector<LogRecord> look(std::chrono::system_clock::time_point now);

 private:
  std::vector<LogRecord> failed(std::string problem);

  const std::shared_ptr<TlsServer> server_;
  std::vector<std::string> files_;
  std::vector<FileStamp> stamps_ = {};  // as they were before they were read
  bool is_settled_ = false;             // whatever is written to them from now on changes a stamp
  std::string problem_;                 // of the last look; empty: none
};

}  // namespace remsh

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

/// Follows the files of a server's certificate, as a KeyStore follows its file: files that are invalid, or not complete
/// yet, change nothing. One thread at a time.
class CertificateWatch {
 public:
  CertificateWatch(std::shared_ptr<TlsServer> server, const TlsIdentity& identity);

  /// False if the identity names no file.
  [[nodiscard]] bool has_files() const noexcept { return !files_.empty(); }

  /// Checks whether the files have changed (one system call for each if they have not), and loads them if so. Returns
  /// what is to be logged, each problem once. Blocks.
  std::vector<LogRecord> look(std::chrono::system_clock::time_point now);

 private:
  std::vector<LogRecord> failed(std::string problem);

  const std::shared_ptr<TlsServer> server_;
  std::vector<std::string> files_;
  std::vector<FileStamp> stamps_ = {};  // from before the files were read
  bool is_settled_ = false;             // any write from now on changes a stamp
  std::string problem_;                 // of the last look; empty if there was none
};

}  // namespace remsh

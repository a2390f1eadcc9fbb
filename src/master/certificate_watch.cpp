#include "master/certificate_watch.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "transport/tls_certificates.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

std::vector<LogRecord> tell(LogLevel level, std::string message) {
  return {LogRecord{level, "listener", {}, std::move(message)}};
}

}  // namespace

CertificateWatch::CertificateWatch(std::shared_ptr<TlsServer> server, const TlsIdentity& identity)
    : server_(std::move(server)) {
  for (const std::string& where : {identity.certificate, identity.key}) {
    if (!where.empty() && !tls::is_pem_text(where)) files_.push_back(where);
  }
}

std::vector<LogRecord> CertificateWatch::failed(std::string problem) {
  if (problem == problem_) return {};
  problem_ = std::move(problem);
  return tell(LogLevel::warning, problem_ + "; until that is mended the certificate is that which was read before");
}

std::vector<LogRecord> CertificateWatch::look(std::chrono::system_clock::time_point now) {
  std::vector<FileStamp> stamps;
  for (const std::string& file : files_) {
    struct stat what {};
    if (::stat(file.c_str(), &what) != 0) {  // stat() follows symbolic links, which many tools use for certificates
      return failed(formatted("TLS: file {}: {}", in_quotes(file), std::generic_category().message(errno)));
    }
    stamps.push_back(stamp_of(what));
  }
  const bool is_same = stamps == stamps_;
  if (is_same && is_settled_ && problem_.empty()) return {};
  const auto is_unfinished = [now](const FileStamp& stamp) { return may_be_unfinished(stamp, now); };
  if (!is_same && std::any_of(stamps.begin(), stamps.end(), is_unfinished)) return {};  // look again later
  const auto reloaded = server_->reload();
  stamps_ = std::move(stamps);
  is_settled_ = std::all_of(stamps_.begin(), stamps_.end(), [now](const FileStamp& s) { return is_settled(s, now); });
  if (!reloaded) return failed(reloaded.failure().message);
  const bool was_bad = !std::exchange(problem_, {}).empty();
  const std::string file = in_quotes(files_.front());
  if (*reloaded) {
    return tell(LogLevel::info, formatted("the certificate was read anew from {}, for new connections", file));
  }
  return was_bad ? tell(LogLevel::info, formatted("the certificate in {} is good again, and the same", file))
                 : std::vector<LogRecord>();
}

}  // namespace remsh

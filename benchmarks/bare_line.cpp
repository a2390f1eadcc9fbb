#include "bare_line.hpp"

#include "machine.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

constexpr const char* identity = "bench";
constexpr std::size_t key_size = 32;

void check(bool good) {
  if (!good) throw std::runtime_error("OpenSSL does not do what the limit needs");
}

unsigned give_key(unsigned char* key, unsigned max) {
  if (max < key_size) return 0;
  std::memset(key, 'k', key_size);
  return key_size;
}

SSL_CTX* make_context() {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  check(context != nullptr && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1 && SSL_CTX_set_num_tickets(context, 0) == 1);
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);  // a limit that is done just closes
  SSL_CTX_set_psk_client_callback(
      context, [](SSL*, const char*, char* name, unsigned name_max, unsigned char* key, unsigned key_max) -> unsigned {
        if (std::strlen(identity) >= name_max) return 0;
        std::strcpy(name, identity);
        return give_key(key, key_max);
      });
  SSL_CTX_set_psk_server_callback(context, [](SSL*, const char*, unsigned char* key, unsigned key_max) -> unsigned {
    return give_key(key, key_max);
  });
  return context;
}

}  // namespace

void BareLine::Free::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

BareLine BareLine::with_tls(UniqueFd fd, Side side) {
  static SSL_CTX* const context = make_context();
  BareLine line(std::move(fd));
  line.tls_.reset(SSL_new(context));
  check(line.tls_ && SSL_set_fd(line.tls_.get(), line.fd_.get()) == 1);
  check((side == Side::client ? SSL_connect(line.tls_.get()) : SSL_accept(line.tls_.get())) == 1);
  return line;
}

void BareLine::write_all(const char* data, std::size_t size) {
  while (size > 0) {
    std::size_t written = 0;
    if (tls_) {
      check(SSL_write_ex(tls_.get(), data, size, &written) == 1);
    } else {
      const ssize_t result = ::write(fd_.get(), data, size);
      if (result < 0 && errno == EINTR) continue;
      if (result < 0) fail("write");
      written = static_cast<std::size_t>(result);
    }
    data += written;
    size -= written;
  }
}

std::size_t BareLine::read_some(char* data, std::size_t size) {
  if (tls_) {
    std::size_t got = 0;
    const int result = SSL_read_ex(tls_.get(), data, size, &got);
    check(result == 1 || SSL_get_error(tls_.get(), result) == SSL_ERROR_ZERO_RETURN);
    return got;
  }
  for (;;) {
    const ssize_t got = ::read(fd_.get(), data, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) fail("read");
  }
}

bool BareLine::read_all(char* data, std::size_t size) {
  while (size > 0) {
    const std::size_t got = read_some(data, size);
    if (got == 0) return false;
    data += got;
    size -= got;
  }
  return true;
}

void BareLine::end() {
  if (tls_) {
    check(SSL_shutdown(tls_.get()) >= 0);
  } else {
    ::shutdown(fd_.get(), SHUT_WR);
  }
}

std::uint64_t pump(BareLine& from, BareLine& to, std::size_t buffer_size) {
  std::vector<char> buffer(buffer_size);
  std::uint64_t total = 0;
  while (const std::size_t got = from.read_some(buffer.data(), buffer.size())) {
    to.write_all(buffer.data(), got);
    total += got;
  }
  return total;
}

}  // namespace remsh::bench

// Tests of TLS over memory, against itself and against OpenSSL set up in other ways.
#include "transport/tls_engine.hpp"
#include "support/memory_in_use.hpp"
#include "support/temp_dir.hpp"
#include "support/tls.hpp"

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace remsh;
using remsh::test::Certificate;
using remsh::test::key_of;
using remsh::test::make_certificate;
using remsh::test::one_key;
using remsh::test::TempDir;
using TlsStatus = TlsEngine::Status;
using Context = std::shared_ptr<const TlsContext>;

namespace {

/// One end of ours: takes what came, gives what is to be sent.
struct TlsEnd {
  explicit TlsEnd(Context context) : engine(std::move(context)) {}

  std::string step(BytesView came) {
    if (!is_over) {
      const TlsStatus status = engine.handshake(came);
      is_over = status == TlsStatus::ok;
    }
    if (is_over) {
      std::array<char, 5000> buffer;
      for (;;) {
        std::size_t size = 0;
        last = engine.read(came, buffer, size);
        got.append(buffer.data(), size);
        if (last != TlsStatus::ok) break;
      }
      if (last == TlsStatus::want_input) CHECK(came.empty());
    }
    return take();
  }
  std::string take() {
    std::string out(engine.output());
    engine.sent(out.size());
    return out;
  }
  [[nodiscard]] bool failed() const { return !engine.failure().message.empty(); }

  TlsEngine engine;
  bool is_over = false;
  TlsStatus last = TlsStatus::ok;
  std::string got;
};

/// OpenSSL as others use it, over memory too.
struct Raw {
  explicit Raw(bool is_server, const std::function<void(SSL_CTX*)>& set_up = {}) {
    context.reset(SSL_CTX_new(TLS_method()));
    if (set_up) set_up(context.get());
    ssl.reset(SSL_new(context.get()));
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    is_server ? SSL_set_accept_state(ssl.get()) : SSL_set_connect_state(ssl.get());
  }

  std::string step(BytesView came) {
    BIO_write(in, came.data(), static_cast<int>(came.size()));
    if (!is_over) {
      const int result = SSL_do_handshake(ssl.get());
      is_over = result == 1;
      is_failed = is_failed || (!is_over && SSL_get_error(ssl.get(), result) != SSL_ERROR_WANT_READ);
    }
    if (is_over) {
      std::array<char, 5000> buffer;
      int size = 0;
      while ((size = SSL_read(ssl.get(), buffer.data(), buffer.size())) > 0) {
        got.append(buffer.data(), static_cast<std::size_t>(size));
      }
      is_failed = is_failed || SSL_get_error(ssl.get(), size) == SSL_ERROR_SSL;
    }
    ERR_clear_error();
    return take();
  }
  std::string take() {
    std::string result(BIO_ctrl_pending(out), '\0');
    BIO_read(out, result.data(), static_cast<int>(result.size()));
    return result;
  }
  [[nodiscard]] bool failed() const { return is_failed; }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, &SSL_free};
  BIO* in = nullptr;
  BIO* out = nullptr;
  bool is_over = false;
  bool is_failed = false;
  std::string got;
};

/// Carries bytes to and fro until nobody has any more. Gives the last that `b` sent.
template <class A, class B>
std::string carry(A& a, B& b) {
  std::string to_b = a.step({});
  std::string last;
  for (;;) {
    std::string to_a = b.step(to_b);
    if (!to_a.empty()) last = to_a;
    to_b = a.step(to_a);
    if (to_b.empty()) return last;
  }
}

SSL_SESSION* raw_session(SSL* ssl) {
  const std::array<unsigned char, 2> suite{0x13, 0x01};
  SSL_SESSION* session = SSL_SESSION_new();
  const std::string key(32, 'k');
  SSL_SESSION_set1_master_key(session, reinterpret_cast<const unsigned char*>(key.data()), key.size());
  SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite.data()));
  SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION);
  return session;
}

/// Makes an OpenSSL client offer the key of 32 times 'k' under this identity, which must live as long.
template <const char* const& identity>
int raw_offer(SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* size, SSL_SESSION** session) {
  *id = reinterpret_cast<const unsigned char*>(identity);
  *size = std::string_view(identity).size();
  *session = raw_session(ssl);
  return 1;
}
int raw_find(SSL* ssl, const unsigned char*, std::size_t, SSL_SESSION** session) {
  *session = raw_session(ssl);
  return 1;
}

const char* const id_known = "w1:00000001";
const std::string long_identity(200, 'x');
const char* const id_long = long_identity.c_str();

void use_certificate(SSL_CTX* context, const Certificate& certificate) {
  BIO* bio = BIO_new_mem_buf(certificate.certificate.data(), -1);
  X509* x = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = BIO_new_mem_buf(certificate.key.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  SSL_CTX_use_certificate(context, x);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(x);
  EVP_PKEY_free(key);
}

Context client_with(char key = 'k', const std::string& identity = id_known, const TlsTuning& tuning = {}) {
  return *TlsContext::client(identity, key_of(key), tuning);
}
Context server_with(char key = 'k', const TlsTuning& tuning = {}) {
  return *TlsContext::server(one_key(id_known, key_of(key)), nullptr, tuning);
}

bool says(const Failure& failure, std::string_view part) {
  CAPTURE(failure.message);
  return failure.message.find(part) != std::string::npos;
}

std::string text_of(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

}  // namespace

TEST_CASE("a key that both sides have proves both, and gives them an exporter that is theirs alone") {
  std::string exported;
  for (int i = 0; i < 2; ++i) {
    TlsEnd client(client_with());
    TlsEnd server(server_with());
    carry(client, server);
    REQUIRE(client.is_over);
    REQUIRE(server.is_over);
    CHECK(server.engine.identity() == id_known);
    CHECK(client.engine.identity() == id_known);
    CHECK(client.engine.exporter().size() == 32);
    CHECK(client.engine.exporter() == server.engine.exporter());
    CHECK(client.engine.exporter() != exported);
    exported = client.engine.exporter();
    const std::string text = text_of(100000);
    REQUIRE(client.engine.write(text));
    REQUIRE(server.engine.write("short"));
    carry(client, server);
    CHECK(server.got == text);
    CHECK(client.got == "short");
  }
}

TEST_CASE("ciphertext may come byte by byte") {
  TlsEnd client(client_with());
  TlsEnd server(server_with());
  const auto drip = [](TlsEnd& to, const std::string& bytes) {
    std::string answer;
    for (const char& byte : bytes) answer += to.step({&byte, 1});
    return answer;
  };
  drip(server, drip(client, drip(server, client.step({}))));
  REQUIRE(client.is_over);
  REQUIRE(server.is_over);
  const std::string text = text_of(20000);
  REQUIRE(client.engine.write(text));
  drip(server, client.take());
  CHECK(server.got == text);
}

TEST_CASE("plaintext that finds no room waits in the engine, and the ciphertext behind it outside") {
  TlsEnd client(client_with());
  TlsEnd server(server_with());
  carry(client, server);
  REQUIRE(client.engine.write(text_of(40000)));
  const std::string sent = client.take();
  BytesView rest = sent;
  std::array<char, 1000> buffer;
  std::size_t size = 0;
  std::string got;
  while (got.size() < 40000) {
    REQUIRE(server.engine.read(rest, buffer, size) == TlsStatus::ok);
    CHECK(size == buffer.size());
    got.append(buffer.data(), size);
    CHECK((server.engine.has_plaintext() || got.size() % TlsEngine::max_record == 0 || got.size() == 40000));
  }
  CHECK(rest.empty());
  CHECK(got == text_of(40000));
  CHECK(server.engine.read(rest, buffer, size) == TlsStatus::want_input);
}

TEST_CASE("a peer with OpenSSL's own suites gets one of ours, and a Diffie-Hellman exchange, and no ticket") {
  Raw client(false, [](SSL_CTX* context) {
    SSL_CTX_set_psk_use_session_callback(context, raw_offer<id_known>);
    SSL_CTX_set_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
  });
  TlsEnd server(server_with());
  carry(client, server);
  REQUIRE(client.is_over);
  CHECK(SSL_session_reused(client.ssl.get()) == 1);
  CHECK(SSL_version(client.ssl.get()) == TLS1_3_VERSION);
  CHECK(std::string_view(SSL_get_cipher_name(client.ssl.get())) != "TLS_AES_256_GCM_SHA384");
  EVP_PKEY* exchanged = nullptr;
  CHECK(SSL_get_peer_tmp_key(client.ssl.get(), &exchanged) == 1);
  EVP_PKEY_free(exchanged);
  REQUIRE(server.engine.write("behind it a ticket would have come"));
  carry(client, server);
  CHECK(SSL_SESSION_has_ticket(SSL_get_session(client.ssl.get())) == 0);
  CHECK(SSL_SESSION_get_max_early_data(SSL_get_session(client.ssl.get())) == 0);

  Raw other_server(true, [](SSL_CTX* context) { SSL_CTX_set_psk_find_session_callback(context, raw_find); });
  TlsEnd our_client(client_with());
  carry(our_client, other_server);
  CHECK(our_client.is_over);
  CHECK(other_server.is_over);
}

TEST_CASE("a wrong key is refused by the server, and both say why") {
  TlsEnd client(client_with('x'));
  TlsEnd server(server_with());
  carry(client, server);
  CHECK(client.engine.failure().code == Errc::auth_failed);
  CHECK(says(client.engine.failure(), "does not accept our key"));
  CHECK_FALSE(says(client.engine.failure(), "alert"));
  CHECK(server.engine.failure().code == Errc::auth_failed);
  CHECK(says(server.engine.failure(), "'w1:00000001'"));
  CHECK(server.engine.identity().empty());
  CHECK(server.engine.exporter().empty());
  BytesView none;
  CHECK(client.engine.handshake(none) == TlsStatus::failed);
}

TEST_CASE("an unknown identity gets the same bytes as a wrong key") {
  TlsEnd wrong(client_with('x'));
  TlsEnd unknown(client_with('k', "w9:00000001"));
  TlsEnd server(server_with());
  TlsEnd other(server_with());
  const std::string to_wrong = carry(wrong, server);
  const std::string to_unknown = carry(unknown, other);
  CHECK_FALSE(to_wrong.empty());
  CHECK(to_wrong == to_unknown);
  CHECK(wrong.engine.failure().message == unknown.engine.failure().message);
  CHECK(says(other.engine.failure(), "no key here for 'w9:00000001'"));
}

TEST_CASE("a key that was taken away opens nothing, also who was there before") {
  bool is_there = true;
  const auto find = [&](std::string_view) { return is_there ? std::optional(key_of('k')) : std::nullopt; };
  const Context context = *TlsContext::server(find);
  TlsEnd first(client_with());
  TlsEnd server(context);
  carry(first, server);
  REQUIRE(server.is_over);
  is_there = false;
  TlsEnd second(client_with());
  TlsEnd again(context);
  carry(second, again);
  CHECK(again.failed());
  CHECK(second.failed());
}

TEST_CASE("an identity that nobody can have is not looked up, and an empty one is not offered") {
  bool looked = false;
  Raw client(false, [](SSL_CTX* context) { SSL_CTX_set_psk_use_session_callback(context, raw_offer<id_long>); });
  TlsEnd server(*TlsContext::server([&](std::string_view) {
    looked = true;
    return std::optional(key_of('k'));
  }));
  carry(client, server);
  CHECK(client.failed());
  CHECK_FALSE(server.is_over);
  CHECK_FALSE(looked);
  CHECK(says(server.engine.failure(), "no key here for 'xxx"));
  for (const std::string& identity : {std::string(), std::string(129, 'x'), std::string("a\0b", 3)}) {
    const auto context = TlsContext::client(identity, key_of('k'));
    REQUIRE_FALSE(context.ok());
    CHECK(context.failure().code == Errc::invalid_argument);
  }
}

TEST_CASE("a key lookup that throws ends that handshake only") {
  TlsEnd client(client_with());
  TlsEnd server(*TlsContext::server([](std::string_view) -> std::optional<Secret> { throw std::runtime_error("x"); }));
  carry(client, server);
  CHECK(server.failed());
  CHECK(client.failed());
}

TEST_CASE("a client with a key takes no certificate in place of it") {
  const Certificate certificate = make_certificate("DNS:localhost");
  for (const bool has_all_suites : {true, false}) {
    Raw server(true, [&](SSL_CTX* context) {
      use_certificate(context, certificate);
      if (!has_all_suites) SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    });
    TlsEnd client(client_with());
    carry(client, server);
    CHECK_FALSE(client.is_over);
    CHECK(client.engine.failure().code == Errc::auth_failed);
    CHECK(says(client.engine.failure(), "shows a certificate"));
  }
}

TEST_CASE("a client without a key is refused where there is no certificate") {
  Raw client(false);
  TlsEnd server(server_with());
  carry(client, server);
  CHECK(client.failed());
  CHECK_FALSE(server.is_over);
  CHECK(server.engine.failure().code == Errc::auth_failed);
  CHECK(says(server.engine.failure(), "offers no key"));
}

TEST_CASE("TLS 1.2 is not spoken") {
  Raw client(false, [](SSL_CTX* context) { SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION); });
  TlsEnd server(server_with());
  carry(client, server);
  CHECK(client.failed());
  CHECK(says(server.engine.failure(), "no TLS 1.3"));
  Raw old_server(true, [](SSL_CTX* context) {
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    use_certificate(context, make_certificate("DNS:localhost"));
  });
  TlsEnd our_client(client_with());
  carry(our_client, old_server);
  CHECK(says(our_client.engine.failure(), "no TLS 1.3"));
}

TEST_CASE("who does not speak TLS at all is told apart") {
  const std::string box("\0\4_ask\0\0011\0\10_command\0\5hello\0\0", 28);
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), std::string("SSH-2.0-OpenSSH_9\r\n"), box,
        std::string(64, '\0'), std::string(64, '\xff')}) {
    CAPTURE(bytes);
    for (const bool is_server : {true, false}) {
      TlsEnd end(is_server ? server_with() : client_with());
      end.step({});
      end.step(bytes);
      CHECK(end.engine.failure().code == Errc::protocol_error);
      CHECK(says(end.engine.failure(), "does not speak TLS"));
    }
  }
}

TEST_CASE("a client that knows the CA checks the name of the certificate, and the time") {
  const Certificate ca = make_certificate("");
  const Certificate other_ca = make_certificate("");
  const Certificate host = make_certificate("DNS:farm.example", &ca);
  const Certificate number = make_certificate("IP:127.0.0.1", &ca);
  const Certificate old = make_certificate("DNS:farm.example", &ca, -3600);
  struct Case {
    const Certificate& shown;
    const Certificate& trusted;
    std::string name;
    std::string why;  // empty: it is accepted
  };
  for (const Case& it : {Case{host, ca, "farm.example", ""}, Case{number, ca, "127.0.0.1", ""},
                         Case{host, host, "farm.example", ""}, Case{host, ca, "other.example", "ostname mismatch"},
                         Case{host, ca, "127.0.0.1", "mismatch"}, Case{number, ca, "farm.example", "mismatch"},
                         Case{host, other_ca, "farm.example", "signature"}, Case{old, ca, "farm.example", "expired"}}) {
    CAPTURE(it.name);
    CAPTURE(it.why);
    const TlsIdentity identity{it.shown.certificate, it.shown.key};
    TlsEnd server(*TlsContext::server({}, &identity));
    TlsEnd client(*TlsContext::client(TlsTrust{it.trusted.certificate, it.name}));
    carry(client, server);
    CHECK(client.is_over == (it.why.empty()));
    CHECK(server.is_over == client.is_over);
    CHECK(server.engine.identity().empty());
    if (it.why.empty()) {
      CHECK(client.engine.exporter().size() == 32);
      CHECK(client.engine.exporter() == server.engine.exporter());
      continue;
    }
    CHECK(client.engine.failure().code == Errc::auth_failed);
    CHECK(says(client.engine.failure(), it.why));
    CHECK(says(client.engine.failure(), it.name));
    CHECK(says(server.engine.failure(), "does not accept our certificate"));
  }
}

TEST_CASE("a server shows its certificate with those up to the CA, and asks for none") {
  const Certificate ca = make_certificate("");
  const Certificate host = make_certificate("DNS:farm.example", &ca);
  const TlsIdentity identity{host.certificate + ca.certificate + host.key, ""};  // all in one text
  TlsEnd server(*TlsContext::server({}, &identity));
  Raw client(false);
  carry(client, server);
  REQUIRE(client.is_over);
  CHECK(sk_X509_num(SSL_get_peer_cert_chain(client.ssl.get())) == 2);
  CHECK(SSL_get_client_CA_list(client.ssl.get()) == nullptr);
}

TEST_CASE("a server with keys and a certificate serves both kinds of clients, and knows which it has") {
  const Certificate host = make_certificate("DNS:farm.example");
  const TlsIdentity identity{host.certificate, host.key};
  const Context context = *TlsContext::server(one_key(id_known, key_of('k')), &identity);
  for (const bool by_key : {true, false}) {
    TlsEnd server(context);
    TlsEnd client(by_key ? client_with() : *TlsContext::client(TlsTrust{host.certificate, "farm.example"}));
    carry(client, server);
    REQUIRE(client.is_over);
    CHECK(server.engine.identity() == (by_key ? id_known : ""));
  }
  TlsEnd server(context);
  TlsEnd wrong(client_with('x'));
  carry(wrong, server);
  CHECK(wrong.failed());
  CHECK_FALSE(server.is_over);
}

TEST_CASE("a client that trusts a CA is told where the server has only keys") {
  TlsEnd server(server_with());
  TlsEnd client(*TlsContext::client(TlsTrust{make_certificate("").certificate, "farm.example"}));
  carry(client, server);
  CHECK(says(client.engine.failure(), "only keys"));
}

TEST_CASE("certificates are read from files, and anew while connections go on") {
  const TempDir dir;
  const std::string path = dir / "both.pem";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  const Certificate first = make_certificate("DNS:one.example");
  const Certificate second = make_certificate("DNS:two.example");
  write(first.certificate + first.key);
  const auto server = std::move(*TlsServer::create({}, TlsIdentity{path, ""}));
  const auto reaches = [&](const Certificate& certificate, const std::string& name) {
    TlsEnd end(server->context());
    TlsEnd client(*TlsContext::client(TlsTrust{certificate.certificate, name}));
    carry(client, end);
    return client.is_over;
  };
  TlsEnd old_server(server->context());
  TlsEnd old_client(*TlsContext::client(TlsTrust{first.certificate, "one.example"}));
  carry(old_client, old_server);
  REQUIRE(old_client.is_over);
  write(second.certificate + second.key);
  CHECK(reaches(first, "one.example"));
  REQUIRE(server->reload().ok());
  CHECK(reaches(second, "two.example"));
  CHECK_FALSE(reaches(first, "one.example"));
  REQUIRE(old_client.engine.write("still here"));
  carry(old_client, old_server);
  CHECK(old_server.got == "still here");
  for (const std::string& bad : {std::string("nothing"), second.certificate, first.certificate + second.key}) {
    write(bad);
    const auto reloaded = server->reload();
    REQUIRE_FALSE(reloaded.ok());
    CHECK(says(reloaded.failure(), path));
    CHECK(reaches(second, "two.example"));
  }
}

TEST_CASE("bad options are refused before anything is connected") {
  const Certificate host = make_certificate("DNS:farm.example");
  const auto why = [](const auto& result) {
    REQUIRE_FALSE(result.ok());
    return result.failure().message;
  };
  CHECK(why(TlsContext::server({})).find("keys or a certificate") != std::string::npos);
  CHECK(why(TlsContext::client(TlsTrust{"", "a"})).find("no CA") != std::string::npos);
  CHECK(why(TlsContext::client(TlsTrust{host.certificate, ""})).find("no name") != std::string::npos);
  CHECK(why(TlsContext::client(TlsTrust{"/nonexistent/ca.pem", "a"})).find("/nonexistent/ca.pem") != std::string::npos);
  CHECK(why(TlsContext::client(TlsTrust{host.key, "a"})).find("no certificate in the text given") != std::string::npos);
  const TlsIdentity no_key{host.certificate, ""};
  CHECK(why(TlsContext::server({}, &no_key)).find("no private key") != std::string::npos);
}

TEST_CASE("keys are replaced after so many records, in each direction, and nothing is lost") {
  TlsTuning tuning;
  tuning.records_per_key = 3;
  TlsEnd client(client_with('k', id_known, tuning));
  TlsEnd server(server_with('k', tuning));
  carry(client, server);
  std::string to_server;
  std::string to_client;
  for (int i = 0; i < 50; ++i) {
    REQUIRE(client.engine.write("c" + std::to_string(i)));
    REQUIRE(client.engine.write("|"));
    REQUIRE(server.engine.write("s" + std::to_string(i)));
    to_server += "c" + std::to_string(i) + "|";
    to_client += "s" + std::to_string(i);
    carry(client, server);
  }
  CHECK(server.got == to_server);
  CHECK(client.got == to_client);
}

namespace {

struct KeyUpdates {
  int received = 0;
  int written = 0;
};
void count_key_updates(int is_written, int, int type, const void* bytes, std::size_t, SSL*, void* counts) {
  if (type != SSL3_RT_HANDSHAKE || *static_cast<const unsigned char*>(bytes) != SSL3_MT_KEY_UPDATE) return;
  auto& both = *static_cast<KeyUpdates*>(counts);
  ++(is_written != 0 ? both.written : both.received);
}

}  // namespace

TEST_CASE("a peer that never replaces its keys is asked to") {
  TlsTuning tuning;
  tuning.records_per_key = 10;
  Raw client(false, [](SSL_CTX* context) { SSL_CTX_set_psk_use_session_callback(context, raw_offer<id_known>); });
  KeyUpdates counts;
  SSL_set_msg_callback(client.ssl.get(), count_key_updates);
  SSL_set_msg_callback_arg(client.ssl.get(), &counts);
  TlsEnd server(server_with('k', tuning));
  carry(client, server);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(SSL_write(client.ssl.get(), "x", 1) == 1);
    carry(client, server);
  }
  CHECK(server.got == std::string(100, 'x'));
  CHECK(counts.received == 5);  // each time after 20
  CHECK(counts.written >= 4);   // with the next record
  for (int i = 0; i < 100; ++i) REQUIRE(server.engine.write("y"));
  carry(client, server);
  CHECK(client.got == std::string(100, 'y'));
  CHECK(counts.received == 14);  // on its own accord after 10
}

TEST_CASE("who sends messages of TLS without end is cut, and who sends data between them is not") {
  for (const bool has_data : {true, false}) {
    for (const int kind : {SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED}) {
      Raw client(false, [](SSL_CTX* context) { SSL_CTX_set_psk_use_session_callback(context, raw_offer<id_known>); });
      TlsEnd server(server_with());
      carry(client, server);
      std::string flood;
      for (int i = 0; i < 200; ++i) {
        REQUIRE(SSL_key_update(client.ssl.get(), kind) == 1);
        REQUIRE(SSL_do_handshake(client.ssl.get()) == 1);
        if (has_data) REQUIRE(SSL_write(client.ssl.get(), "x", 1) == 1);
        flood += client.take();
      }
      const std::string answer = server.step(flood);
      CHECK(server.failed() == !has_data);
      CHECK(answer.size() < 200 * 100);
      if (has_data) continue;
      CHECK(server.engine.failure().code == Errc::protocol_error);
      CHECK(says(server.engine.failure(), "without end"));
      CHECK(answer.size() < 33 * 100);
    }
  }
}

TEST_CASE("the end that was said is told apart from one that was not") {
  TlsEnd client(client_with());
  TlsEnd server(server_with());
  carry(client, server);
  REQUIRE(client.engine.write("last words"));
  client.engine.close();
  CHECK_FALSE(client.engine.write("more"));
  carry(client, server);
  CHECK(server.got == "last words");
  CHECK(server.last == TlsStatus::ended);
  CHECK_FALSE(server.failed());
  REQUIRE(server.engine.write("the other way goes on"));
  carry(client, server);
  CHECK(client.got == "the other way goes on");
  CHECK(client.last == TlsStatus::want_input);
  client.engine.cut();
  CHECK(client.engine.failure().code == Errc::connection_lost);
  CHECK(says(client.engine.failure(), "cut"));
}

TEST_CASE("a connection that ends in the handshake says so") {
  TlsEnd client(client_with());
  client.step({});
  client.engine.cut();
  CHECK(says(client.engine.failure(), "in the TLS handshake"));
}

TEST_CASE("bytes that were changed on the way break the stream, each single one") {
  std::string record;
  for (std::size_t at = 0; record.empty() || at < record.size(); ++at) {
    TlsEnd client(client_with());
    TlsEnd server(server_with());
    carry(client, server);
    REQUIRE(client.engine.write("payload"));
    record = client.take();
    record[at] = static_cast<char>(record[at] ^ 0x10);
    const std::string alert = server.step(record);
    CHECK(server.got.empty());
    const bool waits = at == 3 || at == 4;  // a longer record has not come yet
    CHECK((server.failed() || waits));
    if (server.failed()) CHECK(server.engine.failure().code == Errc::protocol_error);
  }
}

TEST_CASE("messages hold neither keys nor what a stranger can paint the terminal with") {
  TlsEnd client(client_with('x', "w1\x1b[31m:00000001"));
  TlsEnd server(server_with());
  carry(client, server);
  CHECK(says(server.engine.failure(), "w1\\x1B[31m"));
  CHECK_FALSE(says(server.engine.failure(), "kkkk"));
  CHECK_FALSE(says(client.engine.failure(), "xxxx"));
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("an idle connection costs little memory") {
  constexpr std::size_t count = 50;
  const Certificate host = make_certificate("DNS:farm.example");
  const TlsIdentity identity{host.certificate, host.key};
  const Context server_context = *TlsContext::server(one_key(id_known, key_of('k')), &identity);
  for (const bool by_key : {true, false}) {
    const Context client_context =
        by_key ? client_with() : *TlsContext::client(TlsTrust{host.certificate, "farm.example"});
    std::vector<std::unique_ptr<TlsEnd>> clients;
    std::vector<std::unique_ptr<TlsEnd>> servers;
    std::size_t clients_cost = 0;
    std::size_t servers_cost = 0;
    for (std::size_t i = 0; i < 2 * count; ++i) {
      auto client = std::make_unique<TlsEnd>(client_context);
      auto server = std::make_unique<TlsEnd>(server_context);
      carry(*client, *server);
      REQUIRE(client->engine.write(text_of(100000)));
      REQUIRE(server->engine.write(text_of(100000)));
      carry(*client, *server);
      REQUIRE(server->got.size() == 100000);
      std::string().swap(client->got);
      std::string().swap(server->got);
      clients.push_back(std::move(client));
      servers.push_back(std::move(server));
    }
    std::size_t before = test::bytes_in_use();
    clients.resize(count);
    clients_cost = before - test::bytes_in_use();
    before = test::bytes_in_use();
    servers.resize(count);
    servers_cost = before - test::bytes_in_use();
    MESSAGE("bytes of an idle connection, ", std::string(by_key ? "by key" : "by certificate"), ": client ",
            clients_cost / count, ", server ", servers_cost / count);
    CHECK(clients_cost / count <= 24 * 1024);
    CHECK(servers_cost / count <= 24 * 1024);
  }
}
#endif

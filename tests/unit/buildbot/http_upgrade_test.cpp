// The requests of Buildbot's workers for a WebSocket: those that are answered, as they were recorded, and all that is
// refused.
#include "buildbot/http_upgrade.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace http_upgrade_test {

using namespace remsh;
using namespace remsh::buildbot;

using State = UpgradeReader::State;

namespace {

const Bytes request_line = "GET / HTTP/1.1\r\n";
const Bytes host = "Host: h\r\n";
const Bytes upgrade = "Upgrade: websocket\r\n";
const Bytes connection = "Connection: Upgrade\r\n";
const Bytes key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";  // of RFC 6455, section 1.3
const Bytes version = "Sec-WebSocket-Version: 13\r\n";
const Bytes end = "\r\n";

/// A request that is good but for what is added.
Bytes request_with(const Bytes& headers) {
  return request_line + host + upgrade + connection + key + version + headers + end;
}

/// As a worker of Buildbot 3.7 sent it.
const Bytes recorded =
    "GET / HTTP/1.1\r\nUser-Agent: AutobahnPython/22.7.1\r\nHost: 127.0.0.1:39989\r\nUpgrade: WebSocket\r\n"
    "Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nAuthorization: Basic dzE6cHcx\r\n"
    "Sec-WebSocket-Key: XlSi866Eay5NHxEfYjxmJg==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct Refusal {
  int status = 0;
  std::string why;
};

/// What a request is refused with, however it comes.
Refusal refusal_of(const Bytes& head) {
  UpgradeReader whole;
  REQUIRE(whole.feed(head) == State::refused);
  CHECK_FALSE(whole.why().empty());
  CHECK(whole.user().empty());
  CHECK(whole.password().empty());
  CHECK(whole.feed(recorded) == State::refused);  // and stays so
  UpgradeReader by_bytes;
  State state = State::need_more;
  for (std::size_t i = 0; i < head.size() && state == State::need_more; ++i) state = by_bytes.feed(head.substr(i, 1));
  CHECK(state == State::refused);
  CHECK(by_bytes.status() == whole.status());
  CHECK(by_bytes.why() == whole.why());
  return {whole.status(), whole.why()};
}

bool is_complete(const Bytes& head) {
  UpgradeReader reader;
  return reader.feed(head) == State::complete;
}

/// The user and the password of an Authorization header.
std::pair<std::string, std::string> credentials(const std::string& authorization) {
  UpgradeReader reader;
  REQUIRE(reader.feed(request_with("Authorization: " + authorization + "\r\n")) == State::complete);
  return {reader.user(), std::string(reader.password())};
}

bool says(const std::string& message, const std::string& words) { return message.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("the request of a worker is answered as Buildbot answers it") {
  UpgradeReader reader;
  REQUIRE(reader.feed(recorded) == State::complete);
  CHECK(reader.user() == "w1");
  CHECK(reader.password() == "pw1");
  CHECK(reader.rest().empty());
  CHECK(reader.status() == 0);
  CHECK(reader.answer().value() ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: +foVDCLDWlWUd18WwGyRIM6foWA=\r\n\r\n");
  // The keys of a worker of Buildbot 4.3, and of RFC 6455.
  for (const auto& [its_key, accept] : std::vector<std::pair<Bytes, Bytes>>{
           {"99DpYRTyv61eUb/UWO6yCA==", "4/VgLAIKG99CpPPdI+g2f5DGHbg="},
           {"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
       }) {
    UpgradeReader other;
    REQUIRE(other.feed(request_line + host + upgrade + connection + version + "Sec-WebSocket-Key: " + its_key +
                       "\r\n\r\n") == State::complete);
    CHECK(says(other.answer().value(), "\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"));
  }
}

TEST_CASE("a request may come in any two parts, and with bytes behind it") {
  const Bytes behind = "\x82\x80\r\n\r\n";
  const Bytes all = recorded + behind;
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    CAPTURE(cut);
    UpgradeReader reader;
    const State first = reader.feed(BytesView(all).substr(0, cut));
    CHECK(first == (cut < recorded.size() ? State::need_more : State::complete));
    if (first == State::need_more) REQUIRE(reader.feed(BytesView(all).substr(cut)) == State::complete);
    CHECK(reader.rest() ==
          BytesView(all).substr(recorded.size(), cut < recorded.size() ? behind.size() : cut - recorded.size()));
    CHECK(reader.user() == "w1");
    CHECK(reader.password() == "pw1");
  }
  UpgradeReader again;
  REQUIRE(again.feed(all) == State::complete);
  CHECK(again.feed("more") == State::complete);  // which is ignored
  CHECK(again.rest() == behind);
  UpgradeReader by_bytes;
  for (std::size_t i = 0; i + 1 < recorded.size(); ++i) {
    REQUIRE(by_bytes.feed(recorded.substr(i, 1)) == State::need_more);
  }
  CHECK(by_bytes.feed("\n") == State::complete);
}

TEST_CASE("the headers that ask for a WebSocket may be spelled in many ways") {
  CHECK(is_complete(request_with("")));
  CHECK(
      is_complete("GET / HTTP/1.1\r\nHOST:h\r\nupgrade:WEBSOCKET\r\ncOnNeCtIoN:\tuPGRADE \r\n"
                  "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\t\r\nSEC-WEBSOCKET-VERSION:   13   \r\n\r\n"));
  CHECK(is_complete(request_line + host + key + version + upgrade + "Connection: keep-alive, Upgrade\r\n" + end));
  CHECK(is_complete(request_line + host + key + version + upgrade + "Connection: ,Upgrade ,,close\r\n" + end));
  CHECK(is_complete(request_line + host + key + version + connection + "Upgrade: h2c, websocket\r\n" + end));
  CHECK(is_complete(request_with("Connection: close\r\nUpgrade: h2c\r\n")));  // lists may be in several headers
  CHECK(is_complete(request_with("X-Other: \t\r\nX-Other: \x80\xff caf\xc3\xa9\r\nEmpty:\r\n")));
  CHECK(is_complete(request_with("Content-Length: 0\r\n")));
  CHECK(is_complete(request_with("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: a, b\r\n")));
}

TEST_CASE("any path is taken, up to 1024 bytes") {
  const auto with_path = [](const Bytes& path) {
    return "GET " + path + " HTTP/1.1\r\n" + host + upgrade + connection + key + version + end;
  };
  CHECK(is_complete(with_path("/a/b%20c?d=e&f#~!")));
  CHECK(is_complete(with_path("/" + Bytes(1023, 'p'))));
  CHECK(refusal_of(with_path("/" + Bytes(1024, 'p'))).status == 414);
  CHECK(refusal_of(with_path("/" + Bytes(20'000, 'p'))).status == 414);
  for (const Bytes& path : std::vector<Bytes>{"", "x", "*", "http://h/", "/ x", "/\tx", "/\x80", " /"}) {
    CAPTURE(path);
    CHECK(refusal_of(with_path(path)).status == 400);
  }
}

TEST_CASE("the first line says what is refused") {
  struct Case {
    Bytes line;
    int status;
  };
  for (const Case& each : std::vector<Case>{
           {"POST / HTTP/1.1", 405},
           {"HEAD / HTTP/1.1", 405},
           {"get / HTTP/1.1", 405},
           {"GETS / HTTP/1.1", 405},
           {"GET / HTTP/1.0", 505},
           {"GET / HTTP/0.9", 505},
           {"GET / HTTP/1.2", 505},
           {"PRI / HTTP/2.0", 505},
           {"GET / HTTP/11", 400},
           {"GET / HTTP/1.10", 400},
           {"GET / HTTP/1,1", 400},
           {"GET / HTTP/1.x", 400},
           {"GET / http/1.1", 400},
           {"GET / HTTP/1.1 ", 400},
           {" GET / HTTP/1.1", 400},
           {"GET  / HTTP/1.1", 400},
           {"GET /  HTTP/1.1", 400},
           {"GET\t/\tHTTP/1.1", 400},
           {"GET /", 400},
           {"GET /HTTP/1.1", 400},
           {"GET", 400},
           {"", 400},
           {" ", 400},
           {"  ", 400},
           {"G(T / HTTP/1.1", 400},
           {"G\x80T / HTTP/1.1", 400},
       }) {
    CAPTURE(each.line);
    CHECK(refusal_of(each.line + "\r\n").status == each.status);
  }
}

TEST_CASE("a request that does not ask for a WebSocket of version 13 is answered with 426") {
  for (const Bytes& head : std::vector<Bytes>{
           request_line + end,
           request_line + host + connection + key + version + end,
           request_line + host + upgrade + key + version + end,
           request_line + host + upgrade + connection + key + end,
           request_line + host + key + version + connection + "Upgrade: h2c\r\n" + end,
           request_line + host + key + version + connection + "Upgrade: websockets\r\n" + end,
           request_line + host + key + version + connection + "Upgrade: websocke\r\n" + end,
           request_line + host + key + version + connection + "Upgrade: web socket\r\n" + end,
           request_line + host + key + version + connection + "Upgrade:\r\n" + end,
           request_line + host + key + version + upgrade + "Connection: keep-alive\r\n" + end,
           request_line + host + upgrade + connection + key + "Sec-WebSocket-Version: 8\r\n" + end,
           request_line + host + upgrade + connection + key + "Sec-WebSocket-Version: 13, 8\r\n" + end,
           request_line + host + upgrade + connection + key + "Sec-WebSocket-Version: 013\r\n" + end,
           request_line + host + upgrade + connection + key + "Sec-WebSocket-Version:\r\n" + end,
       }) {
    CAPTURE(head);
    CHECK(refusal_of(head).status == 426);
  }
}

TEST_CASE("the key must be 16 bytes in base64, and there must be a host") {
  for (const char* const its_key :
       {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZXM=", "dGhlIHNhbXBsZSBub25jZXNz",
        "dGhlIHNhbXBs ZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j-Q==", "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ=="}) {
    CAPTURE(its_key);
    const Refusal refusal = refusal_of(request_line + host + upgrade + connection + version +
                                       "Sec-WebSocket-Key: " + its_key + "\r\n" + end);
    CHECK(refusal.status == 400);
    CHECK(says(refusal.why, "16 bytes in base64"));
  }
  CHECK(says(refusal_of(request_line + host + upgrade + connection + version + end).why, "no key"));
  const Refusal without_host = refusal_of(request_line + upgrade + connection + key + version + end);
  CHECK(without_host.status == 400);
  CHECK(says(without_host.why, "no header Host"));
}

TEST_CASE("a malformed line is refused") {
  struct Case {
    Bytes headers;
    std::string words;
  };
  for (const Case& each : std::vector<Case>{
           {"X: a\nY: b\r\n", "without a carriage return"},
           {"X: a\n", "without a carriage return"},
           {"\n", "without a carriage return"},
           {"X: a\rY: b\r\n", "a carriage return is not the end of a line"},
           {"X: a\r\r\n", "a carriage return is not the end of a line"},
           {Bytes("X: a\0b\r\n", 8), "a control character"},
           {Bytes("X\0: a\r\n", 7), "a control character"},
           {"X: \x1b[31m\r\n", "a control character"},
           {"X: \x7f\r\n", "a control character"},
           {"X: \x01\r\n", "a control character"},
           {"X: \x1f\r\n", "a control character"},
           {"X: a\r\n b\r\n", "folded"},
           {"X: a\r\n\tb: c\r\n", "folded"},
           {" X: a\r\n", "folded"},
           {"X\r\n", "no colon"},
           {": a\r\n", "name of a header is malformed"},
           {"X : a\r\n", "name of a header is malformed"},
           {"X\t: a\r\n", "name of a header is malformed"},
           {"X Y: a\r\n", "name of a header is malformed"},
           {"X(Y): a\r\n", "name of a header is malformed"},
           {"X\x80: a\r\n", "name of a header is malformed"},
       }) {
    CAPTURE(each.headers);
    const Refusal refusal = refusal_of(request_with(each.headers));
    CHECK(refusal.status == 400);
    CHECK(says(refusal.why, each.words));
  }
  CHECK(refusal_of(end + request_with("")).status == 400);
  CHECK(refusal_of("GET / HTTP/1.1\n").status == 400);
  CHECK(refusal_of(Bytes(1, '\0')).status == 400);
}

TEST_CASE("a header that may come once is refused if it comes twice") {
  const std::vector<Bytes> once{host, key, version, "Authorization: Basic dzE6cHcx\r\n", "Content-Length: 0\r\n"};
  for (const Bytes& header : once) {
    CAPTURE(header);
    const bool is_there = request_with("").find(header) != Bytes::npos;
    const Refusal refusal = refusal_of(request_with(is_there ? header : header + header));
    CHECK(refusal.status == 400);
    CHECK(says(refusal.why, "comes twice"));
  }
  CHECK(refusal_of(request_with("host: other\r\n")).status == 400);
  // The second counts even if the first was not well formed.
  CHECK(refusal_of(request_with("Authorization: x\r\nauthorization: Basic dzE6cHcx\r\n")).status == 400);
}

TEST_CASE("a request that announces a body is refused") {
  for (const Bytes& header : std::vector<Bytes>{
           "Content-Length: 1\r\n", "Content-Length: 00\r\n", "Content-Length: -0\r\n", "Content-Length:\r\n",
           "Content-Length: 0, 0\r\n", "Transfer-Encoding: chunked\r\n", "transfer-encoding: identity\r\n"}) {
    CAPTURE(header);
    const Refusal refusal = refusal_of(request_with(header));
    CHECK(refusal.status == 400);
    CHECK(says(refusal.why, "announces a body"));
  }
}

TEST_CASE("a request of a web page is refused, whatever its origin") {
  for (const Bytes& header : std::vector<Bytes>{"Origin: http://evil.example\r\n", "origin: http://127.0.0.1\r\n",
                                                "ORIGIN: null\r\n", "Origin:\r\n"}) {
    CAPTURE(header);
    CHECK(refusal_of(request_with(header)).status == 403);
    CHECK(refusal_of(request_line + header).status == 403);
  }
}

TEST_CASE("a head has at most 8 KiB") {
  const std::size_t without = request_with("X: \r\n").size();
  const auto with_size = [&](std::size_t size) { return request_with("X: " + Bytes(size - without, 'x') + "\r\n"); };
  REQUIRE(UpgradeReader::max_head == 8192);
  const Bytes longest = with_size(8192);
  REQUIRE(longest.size() == 8192);
  CHECK(is_complete(longest));
  CHECK(is_complete(longest + Bytes(100'000, 'x')));  // what is behind it does not count
  CHECK(refusal_of(with_size(8193)).status == 431);
  CHECK(refusal_of(with_size(20'000)).status == 431);
  Bytes many = request_line;
  while (many.size() < 10'000) many += "X: x\r\n";
  CHECK(refusal_of(many).status == 431);
  CHECK(refusal_of(Bytes(8192, 'x')).status == 431);
  UpgradeReader reader;
  CHECK(reader.feed(Bytes(8191, 'x')) == State::need_more);
  // A line that ends behind the limit is not looked at.
  CHECK(refusal_of(request_line + "X: " + Bytes(8192, 'x') + "\n").status == 431);
}

TEST_CASE("the user ends at the first colon of the Basic authorization") {
  using Both = std::pair<std::string, std::string>;
  CHECK(credentials("Basic dzE6cHcx") == Both("w1", "pw1"));
  CHECK(credentials("bAsIc   dzE6cHcx  ") == Both("w1", "pw1"));
  CHECK(credentials("Basic dzE6cDp3OjE=") == Both("w1", "p:w:1"));
  CHECK(credentials("Basic dzE6") == Both("w1", ""));
  CHECK(credentials("Basic OnB3") == Both("", "pw"));
  CHECK(credentials("Basic Og==") == Both("", ""));
  CHECK(credentials("Basic dwAKOv8A") == Both(std::string("w\0\n", 3), std::string("\xff\0", 2)));
}

TEST_CASE("an authorization that is missing or malformed gives no user, and is no refusal") {
  UpgradeReader reader;
  REQUIRE(reader.feed(request_with("")) == State::complete);
  CHECK(reader.user().empty());
  CHECK(reader.password().empty());
  for (const char* const authorization :
       {"", "Basic", "Basic ", "Basic dzE=", "Basic dzE6cHcx=", "Basic dzE6cHc", "BasicdzE6cHcx", "Basic dzE6 cHcx",
        "Basic d*E6cHcx", "Digest dzE6cHcx", "dzE6cHcx"}) {
    CAPTURE(authorization);
    CHECK(credentials(authorization) == std::pair<std::string, std::string>());
  }
}

TEST_CASE("a refusal has nothing of the request in its reason") {
  const Bytes secret = "c2VjcmV0";
  for (const Bytes& head : std::vector<Bytes>{
           secret + " / HTTP/1.1\r\n",
           "GET /" + secret + "\r\n",
           request_with("Authorization: Basic " + secret + "\r\nAuthorization: Basic " + secret + "\r\n"),
           request_with("Authorization Basic " + secret + "\r\n"),
           request_with("Sec-WebSocket-Key: " + secret + "\r\n"),
           request_with("Authorization: Basic dzE6cHcx\r\nOrigin: " + secret + "\r\n"),
       }) {
    const Refusal refusal = refusal_of(head);
    CHECK_FALSE(says(refusal.why, secret));
    CHECK(std::all_of(refusal.why.begin(), refusal.why.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  }
}

TEST_CASE("a refusal is a complete answer of HTTP, and ends the connection") {
  CHECK(http_refusal(400) == "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(401) ==
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"remsh\"\r\nConnection: close\r\n"
        "Content-Length: 0\r\n\r\n");
  CHECK(http_refusal(403) == "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(405) ==
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(414) == "HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(426) ==
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Connection: Upgrade, close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(431) ==
        "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  CHECK(http_refusal(505) ==
        "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace http_upgrade_test

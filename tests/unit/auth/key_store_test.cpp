// Tests of KeyStore, and of the KeyRing before it.
#include "auth/key_store.hpp"

#include "auth/derive.hpp"
#include "base/utc_time.hpp"
#include "support/child_process.hpp"
#include "support/has.hpp"
#include "support/keys.hpp"
#include "support/later.hpp"
#include "support/temp_dir.hpp"
#include "unit/auth/test_day.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::auth;
using namespace std::chrono_literals;
using remsh::test::has;
using remsh::test::key_of;
using remsh::test::later;
using remsh::test::line_of;
using remsh::test::TempDir;
using remsh::test::test_day;

namespace {

const auto peer_address = parse_ip_address("127.0.0.1");

std::string kid_of(char fill) { return kid(key_of(fill)); }

/// A key file and the ring that follows it. One thread at a time.
class Followed {
 public:
  explicit Followed(const std::string& text) { put(text); }

  /// Writes it in place.
  void put(const std::string& text) const {
    dir.write("slaves.keys", text);
    ::chmod(path().c_str(), 0600);
  }
  [[nodiscard]] std::string path() const { return dir / "slaves.keys"; }
  [[nodiscard]] KeyRing ring() const { return KeyFile(path()); }

  TempDir dir;
};

std::string reason(const KeyRing& ring, const std::string& name, const std::string& kid, WallTime at = test_day) {
  const KeyAnswer found = auth::KeyStore::of(ring)->find(name, kid, peer_address, at);
  CHECK(found.key.has_value() == found.reason.empty());
  return found.reason;
}

bool counts(const KeyRing& ring, const std::string& name, char fill, WallTime at = test_day) {
  return auth::KeyStore::of(ring)->counts(name, kid_of(fill), peer_address, at);
}

/// The passwords that count for a name, in their order.
std::vector<std::string> passwords(const KeyRing& ring, const std::string& name, WallTime at = test_day,
                                   const std::optional<IpAddress>& from = peer_address) {
  std::vector<std::string> found;
  for (const PasswordAnswer& answer : auth::KeyStore::of(ring)->passwords_of(name, from, at)) {
    found.emplace_back(answer.password.bytes());
    CHECK(auth::KeyStore::of(ring)->counts(name, answer.kid, from, at));
  }
  return found;
}

using Passwords = std::vector<std::string>;

/// What an Error says; empty where none is thrown.
template <class Function>
std::string words_of_error(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("an empty ring has nobody") {
  const KeyRing ring;
  CHECK(reason(ring, "w1", kid_of('1')) == "unknown name");
  CHECK_FALSE(auth::KeyStore::of(ring)->has("w1"));
  CHECK_FALSE(auth::KeyStore::of(ring)->next_expiry(test_day));
  CHECK(auth::KeyStore::of(ring)->refresh(test_day).empty());
}

TEST_CASE("a registered key is found until its registration goes, by every copy of the ring") {
  KeyRing ring;
  const KeyRing copy = ring;
  const auto before = auth::KeyStore::of(copy)->generation();
  {
    const KeyRegistration registration = ring.register_slave("w1", key_of('1'), {{}, {}, {{"rack", "b7"}}, false});
    CHECK(registration);
    const auto found = auth::KeyStore::of(copy)->find("w1", kid_of('1'), peer_address, test_day);
    CHECK(found.key == key_of('1'));
    CHECK(found.labels == std::map<std::string, std::string>{{"rack", "b7"}});
    CHECK_FALSE(found.is_invitation);
    CHECK(auth::KeyStore::of(copy)->has("w1"));
    CHECK(counts(copy, "w1", '1'));
    CHECK(auth::KeyStore::of(copy)->generation() != before);
  }
  CHECK_FALSE(auth::KeyStore::of(copy)->has("w1"));
  CHECK_FALSE(counts(copy, "w1", '1'));
}

TEST_CASE("a registration tells its name and the id of its key, and no more") {
  KeyRing ring;
  KeyRegistration first = ring.register_slave("w1", key_of('1'));
  CHECK(first.name() == "w1");
  CHECK(first.key_id() == kid_of('1'));
  first.update(KeyTerms{{}, {}, {{"rack", "b7"}}, false});
  CHECK(first.key_id() == kid_of('1'));
  first.update(key_of('2'));
  CHECK(first.key_id() == kid_of('2'));
  CHECK_THROWS_AS(first.update(KeyTerms{{"nowhere"}, {}, {}, false}), Error);
  CHECK(first.key_id() == kid_of('2'));
  KeyRegistration moved = std::move(first);
  CHECK(moved.name() == "w1");
  CHECK(moved.key_id() == kid_of('2'));
  CHECK(first.name().empty());
  CHECK(first.key_id().empty());
  KeyRegistration assigned;
  CHECK(assigned.name().empty());
  assigned = std::move(moved);
  CHECK(assigned.key_id() == kid_of('2'));
  assigned.drop();
  CHECK(assigned.name().empty());
  CHECK(assigned.key_id().empty());
}

TEST_CASE("a key of zeros is no key, in a file or by call") {
  KeyRing ring;
  CHECK(has(words_of_error([&] { static_cast<void>(ring.register_slave("w1", key_of('\0'))); }), "all zeros"));
  auto one = ring.register_slave("w1", key_of('1'));
  CHECK(has(words_of_error([&] { one.update(key_of('\0')); }), "all zeros"));
  CHECK(counts(ring, "w1", '1'));
  const Followed file(line_of("w1", '\0'));
  CHECK(has(words_of_error([&] { static_cast<void>(file.ring()); }), "slaves.keys:1: the key is all zeros"));
}

TEST_CASE("each of several logs is told of the same trouble, once, also one that begins later") {
  const Followed file(line_of("w1", '1'));
  const auto store = auth::KeyStore::of(file.ring());
  std::uint64_t first = store->first_news();
  std::uint64_t second = store->first_news();
  CHECK(store->refresh(later(), &first).empty());
  file.put("nonsense\n");
  CHECK(store->refresh(later(), &first).size() == 1);
  CHECK(store->refresh(later(), &first).empty());
  CHECK(store->refresh(later(), &second).size() == 1);
  CHECK(store->refresh(later(), &second).empty());
  std::uint64_t late = store->first_news();
  const auto told = store->refresh(later(), &late);
  REQUIRE(told.size() == 1);
  CHECK(has(told.front().message, "until then the keys are those that were read before"));
  file.put(line_of("w2", '2'));
  for (std::uint64_t* heard : {&first, &second, &late}) CHECK(store->refresh(later(), heard).size() == 1);
  late = store->first_news();
  CHECK(store->refresh(later(), &late).empty());
}

TEST_CASE("what does not count says why, with the kids that the name has") {
  KeyRing ring;
  const auto one = ring.register_slave("w1", key_of('1'));
  const auto two = ring.register_slave("w1", key_of('2'));
  CHECK(reason(ring, "w1", "01234567") ==
        "unknown kid 01234567 (the name has: " + kid_of('1') + " " + kid_of('2') + ")");
  CHECK(reason(ring, "w2", kid_of('1')) == "unknown name");
  CHECK(has(reason(ring, "w1", "\x1b[2J" + std::string(100, 'x')), "unknown kid \\x1B[2Jxxxxxxxxxxxx ("));
}

TEST_CASE("a registration is moved, updated, dropped, and may outlive the ring") {
  KeyRegistration kept;
  {
    KeyRing ring;
    KeyRegistration first = ring.register_slave("w1", key_of('1'));
    KeyRegistration moved = std::move(first);
    CHECK_FALSE(first);
    CHECK(counts(ring, "w1", '1'));
    moved.update(key_of('2'));
    CHECK_FALSE(counts(ring, "w1", '1'));
    CHECK(counts(ring, "w1", '2'));
    moved.update(KeyTerms{{}, test_day, {}, false});
    CHECK(has(reason(ring, "w1", kid_of('2')), "line expired"));
    moved.update(key_of('3'));
    CHECK(has(reason(ring, "w1", kid_of('3')), "line expired"));
    moved.update(key_of('3'), {});
    CHECK(counts(ring, "w1", '3'));
    const auto generation = auth::KeyStore::of(ring)->generation();
    moved.update(key_of('3'), {});
    CHECK(auth::KeyStore::of(ring)->generation() == generation);

    kept = ring.register_slave("w2", key_of('4'));
    kept = std::move(moved);
    CHECK_FALSE(auth::KeyStore::of(ring)->has("w2"));
    moved.drop();
    KeyRegistration dropped = ring.register_slave("w3", key_of('5'));
    dropped.drop();
    dropped.drop();
    CHECK_FALSE(auth::KeyStore::of(ring)->has("w3"));
    CHECK(has(words_of_error([&] { dropped.update(key_of('6')); }), "has ended"));
  }
  CHECK(has(words_of_error([&] { kept.update(key_of('6')); }), "ring has"));
}

TEST_CASE("a call that would break a rule throws, shows no key and changes nothing") {
  Followed file(line_of("f1", 'f'));
  KeyRing ring = file.ring();
  auto one = ring.register_slave("w1", key_of('1'));
  auto two = ring.register_slave("w2", key_of('2'));
  const auto generation = auth::KeyStore::of(ring)->generation();
  const std::vector<std::string> refusals{
      words_of_error([&] { static_cast<void>(ring.register_slave("w 3", key_of('3'))); }),
      words_of_error([&] { static_cast<void>(ring.register_slave("w3", key_of('1'))); }),
      words_of_error([&] { static_cast<void>(ring.register_slave("w1", key_of('1'))); }),
      words_of_error([&] { static_cast<void>(ring.register_slave("w3", key_of('f'))); }),
      words_of_error([&] {
        static_cast<void>(ring.register_slave("w3", key_of('3'), {{"10.0.0.1/8"}, {}, {}, false}));
      }),
      words_of_error([&] {
        static_cast<void>(ring.register_slave("w3", key_of('3'), {{}, {}, {}, true}));
      }),
      words_of_error([&] { two.update(key_of('1')); }),
      words_of_error([&] {
        two.update(KeyTerms{{}, {}, {{"a b", "c"}}, false});
      }),
  };
  for (const std::string& refusal : refusals) {
    CAPTURE(refusal);
    CHECK_FALSE(refusal.empty());
    for (const char fill : {'1', '2', '3', 'f'}) {
      CHECK_FALSE(has(refusal, key_of(fill).to_base64().substr(0, 12)));
      CHECK_FALSE(has(refusal, key_of(fill).bytes().substr(0, 12)));
    }
  }
  CHECK(has(refusals[1], "the key " + kid_of('1') + " is registered already, for 'w1'"));
  CHECK(has(refusals[3], "in the key file already, for 'f1'"));
  CHECK(auth::KeyStore::of(ring)->generation() == generation);
  CHECK(counts(ring, "w2", '2'));

  std::vector<KeyRegistration> more;
  for (const char fill : {'3', '4', '5'}) more.push_back(ring.register_slave("w1", key_of(fill)));
  CHECK(has(words_of_error([&] { static_cast<void>(ring.register_slave("w1", key_of('6'))); }),
            "four keys already: drop one"));
}

TEST_CASE("a key counts until it expires, by the clock of who asks") {
  KeyRing ring;
  const auto hour = ring.register_slave("w1", key_of('1'), {{}, test_day + 1h, {}, false});
  const auto day = ring.register_slave("w2", key_of('2'), {{}, test_day + 24h, {}, false});
  const auto generation = auth::KeyStore::of(ring)->generation();
  CHECK(counts(ring, "w1", '1', test_day + 1h - 1ns));
  CHECK_FALSE(counts(ring, "w1", '1', test_day + 1h));
  CHECK(reason(ring, "w1", kid_of('1'), test_day + 1h) == "line expired, at 2026-11-21T09:00:00Z");
  CHECK(auth::KeyStore::of(ring)->has("w1"));  // no slave without a key takes its name
  CHECK(auth::KeyStore::of(ring)->next_expiry(test_day) == test_day + 1h);
  CHECK(auth::KeyStore::of(ring)->next_expiry(test_day + 1h) == test_day + 24h);
  CHECK_FALSE(auth::KeyStore::of(ring)->next_expiry(test_day + 24h));
  CHECK(auth::KeyStore::of(ring)->generation() == generation);
}

TEST_CASE("a key with networks counts from there alone") {
  KeyRing ring;
  const auto key = ring.register_slave("w1", key_of('1'), {{"10.0.0.0/8", "::1"}, {}, {}, false});
  const auto from = [&](const char* peer) {
    return auth::KeyStore::of(ring)->find("w1", kid_of('1'), ip_address_of(peer), test_day);
  };
  CHECK(from("tcp 10.1.2.3:4711").key);
  CHECK(from("tcp [::1]:4711").key);
  CHECK(from("tcp 127.0.0.1:4711").reason == "network not allowed");
  CHECK(from("unix pid 1").reason == "network not allowed");
  CHECK_FALSE(auth::KeyStore::of(ring)->counts("w1", kid_of('1'), peer_address, test_day));
}

TEST_CASE("a ring of a file has its keys, and those of calls beside them") {
  Followed file(line_of("w1", '1', " label.rack=b7") + line_of("w2", '2'));
  KeyRing ring = file.ring();
  const auto registration = ring.register_slave("w1", key_of('3'));
  CHECK(counts(ring, "w1", '1'));
  CHECK(counts(ring, "w1", '3'));
  CHECK(counts(ring, "w2", '2'));
  CHECK(auth::KeyStore::of(ring)->find("w1", kid_of('1'), peer_address, test_day).labels.at("rack") == "b7");
}

TEST_CASE("a bad file is thrown by the constructor, with a sentence that shows what to do") {
  Followed file(line_of("w1", '1'));
  ::chmod(file.path().c_str(), 0644);
  CHECK(words_of_error([&] { KeyFile{file.path()}; }) == "read keys: others than its owner can get at the keys in '" +
                                                             file.path() + "' (mode 0644): chmod 600 '" + file.path() +
                                                             "', and make new keys if somebody may have read it");
  CHECK(has(words_of_error([&] { KeyFile{file.dir / "none"}; }), "No such file"));
}

TEST_CASE("a file that has not changed disturbs nobody, however it was touched") {
  Followed file(line_of("w1", '1'));
  const KeyRing ring = file.ring();
  const auto generation = auth::KeyStore::of(ring)->generation();
  for (int i = 0; i < 3; ++i) CHECK(auth::KeyStore::of(ring)->refresh(later()).empty());
  file.put(line_of("w1", '1'));
  CHECK(auth::KeyStore::of(ring)->refresh(later()).empty());
  file.put("# a comment\n" + line_of("w1", '1'));
  CHECK(auth::KeyStore::of(ring)->refresh(later()).empty());
  CHECK(auth::KeyStore::of(ring)->generation() == generation);
}

TEST_CASE("keys are added, rotated and removed while the file is followed") {
  Followed file(line_of("w1", '1'));
  const KeyRing ring = file.ring();
  auto generation = auth::KeyStore::of(ring)->generation();
  const auto changed = [&] { return std::exchange(generation, auth::KeyStore::of(ring)->generation()) != generation; };

  file.put(line_of("w1", '1') + line_of("w1", '2') + line_of("w2", '3'));
  const auto news = auth::KeyStore::of(ring)->refresh(later());
  REQUIRE(news.size() == 1);
  CHECK(news[0].level == LogLevel::info);
  CHECK(has(news[0].message, "was read again: 3 keys, of these new: 2; gone: 0"));
  CHECK(changed());
  CHECK(counts(ring, "w1", '1'));
  CHECK(counts(ring, "w1", '2'));
  CHECK(counts(ring, "w2", '3'));

  file.put(line_of("w1", '2') + line_of("w2", '3'));
  CHECK(has(auth::KeyStore::of(ring)->refresh(later()).at(0).message, "new: 0; gone: 1"));
  CHECK(changed());
  CHECK_FALSE(counts(ring, "w1", '1'));
  CHECK(counts(ring, "w1", '2'));

  file.put(line_of("w1", '2', " label.a=b") + line_of("w2", '3'));
  CHECK(auth::KeyStore::of(ring)->refresh(later()).size() == 1);
  CHECK(changed());

  file.put("# nobody\n");
  CHECK(auth::KeyStore::of(ring)->refresh(later()).size() == 1);
  CHECK_FALSE(auth::KeyStore::of(ring)->has("w1"));
}

TEST_CASE("a change that keeps the file's size and time of writing is seen") {
  Followed file(line_of("w1", '1'));
  const KeyRing ring = file.ring();
  struct stat before {};
  REQUIRE(::stat(file.path().c_str(), &before) == 0);
  file.put(line_of("w1", '2'));
  const timespec times[]{before.st_atim, before.st_mtim};
  REQUIRE(::utimensat(AT_FDCWD, file.path().c_str(), times, 0) == 0);
  auth::KeyStore::of(ring)->refresh(later());
  CHECK(counts(ring, "w1", '2'));
}

TEST_CASE("a file that was written a moment ago is left for the next look") {
  Followed file(line_of("w1", '1'));
  const KeyRing ring = file.ring();
  file.put("# the rest is coming\n");
  struct stat what {};
  REQUIRE(::stat(file.path().c_str(), &what) == 0);
  const WallTime written{std::chrono::duration_cast<WallTime::duration>(
      std::chrono::seconds(what.st_mtim.tv_sec) + std::chrono::nanoseconds(what.st_mtim.tv_nsec))};
  CHECK(auth::KeyStore::of(ring)->refresh(written + 50ms).empty());
  CHECK(counts(ring, "w1", '1'));
  file.put(line_of("w1", '1'));
  CHECK(auth::KeyStore::of(ring)->refresh(written + 10s).empty());
  CHECK(counts(ring, "w1", '1'));
}

TEST_CASE("a file that becomes bad keeps the last good keys, and is told once, as is its recovery") {
  Followed file(line_of("w1", '1'));
  const KeyRing ring = file.ring();
  const auto generation = auth::KeyStore::of(ring)->generation();
  const auto told = [&] { return auth::KeyStore::of(ring)->refresh(later()); };

  SUBCASE("by its text") { file.put(line_of("w1", '1') + "w2 x\n"); }
  SUBCASE("by its mode") { ::chmod(file.path().c_str(), 0644); }
  SUBCASE("by its directory") {
    file.put(line_of("w1", '2'));
    ::chmod(file.dir.path().c_str(), 0777);
  }
  SUBCASE("as it is gone") { ::unlink(file.path().c_str()); }
  SUBCASE("as it is empty") { file.put(""); }
  auto news = told();
  REQUIRE(news.size() == 1);
  CHECK(news[0].level == LogLevel::warning);
  CHECK(news[0].component == "keys");
  CHECK(has(news[0].message, "; until then the keys are those that were read before"));
  CHECK_FALSE(has(news[0].message, key_of('1').to_base64().substr(0, 12)));
  CHECK(told().empty());
  CHECK(counts(ring, "w1", '1'));
  CHECK(auth::KeyStore::of(ring)->generation() == generation);

  ::chmod(file.dir.path().c_str(), 0700);
  file.put(line_of("w1", '1'));
  news = told();
  REQUIRE(news.size() == 1);
  CHECK(news[0].level == LogLevel::info);
  CHECK(has(news[0].message, "is good again"));
  CHECK(auth::KeyStore::of(ring)->generation() == generation);
}

TEST_CASE("a key that a call has registered is not taken from the file as well") {
  Followed file(line_of("w1", '1'));
  KeyRing ring = file.ring();
  auto registration = ring.register_slave("w2", key_of('2'));
  file.put(line_of("w1", '1') + line_of("w3", '2'));
  const auto news = auth::KeyStore::of(ring)->refresh(later());
  REQUIRE(news.size() == 1);
  CHECK(has(news[0].message, "the key " + kid_of('2') + " is registered by a call, and in the key file for 'w3'"));
  CHECK_FALSE(auth::KeyStore::of(ring)->has("w3"));
  registration.drop();
  CHECK(auth::KeyStore::of(ring)->refresh(later()).size() == 1);
  CHECK(auth::KeyStore::of(ring)->has("w3"));
}

TEST_CASE("an invitation is taken up once: the new key has its networks and labels, and is in the file") {
  Followed file("# ours\n" + line_of("w1", '1', " networks=127.0.0.0/8 expires=2026-11-21T09:00:00Z invite label.a=b"));
  const KeyRing ring = file.ring();
  const auto found = auth::KeyStore::of(ring)->find("w1", kid_of('1'), peer_address, test_day);
  CHECK(found.key);
  CHECK(found.is_invitation);
  CHECK_FALSE(counts(ring, "w1", '1'));  // nobody stays by it

  const auto enrolled = auth::KeyStore::of(ring)->enrol("w1", kid_of('1'), key_of('2'), test_day);
  REQUIRE(enrolled.ok());
  CHECK(enrolled->kid == kid_of('2'));
  CHECK(enrolled->where == "stored in '" + file.path() + "'");
  CHECK(counts(ring, "w1", '2'));
  CHECK(auth::KeyStore::of(ring)->find("w1", kid_of('2'), peer_address, test_day).labels.at("a") == "b");
  CHECK(reason(ring, "w1", kid_of('1')) == "token used, at 2026-11-21T08:00:00Z");
  CHECK(file.dir.read("slaves.keys") ==
        "# ours\n" +
            line_of("w1", '1',
                    " networks=127.0.0.0/8 expires=2026-11-21T09:00:00Z invite used=2026-11-21T08:00:00Z label.a=b") +
            line_of("w1", '2', " networks=127.0.0.0/8 label.a=b"));

  const auto again = auth::KeyStore::of(ring)->enrol("w1", kid_of('1'), key_of('3'), test_day);
  REQUIRE_FALSE(again.ok());
  CHECK(again.failure().code == Errc::auth_failed);
  CHECK(has(again.failure().message, "token used"));
  CHECK(reason(file.ring(), "w1", kid_of('3')) ==
        "unknown kid " + kid_of('3') + " (the name has: " + kid_of('1') + " " + kid_of('2') + ")");
}

TEST_CASE("what is no token, or none any more, is not taken up") {
  Followed file(line_of("w1", '1') + line_of("w2", '2', " invite expires=2026-11-21T08:00:00Z"));
  const KeyRing ring = file.ring();
  const std::string before = file.dir.read("slaves.keys");
  const auto why = [&](const char* name, char token) {
    const auto enrolled = auth::KeyStore::of(ring)->enrol(name, kid_of(token), key_of('9'), test_day);
    REQUIRE_FALSE(enrolled.ok());
    CHECK(enrolled.failure().code == Errc::auth_failed);
    return enrolled.failure().message;
  };
  CHECK(has(why("w1", '1'), "a key used as a token"));
  CHECK(has(why("w2", '2'), "line expired"));
  CHECK(has(why("w1", '2'), "not in the key file"));
  CHECK(has(why("w3", '1'), "not in the key file"));
  CHECK(file.dir.read("slaves.keys") == before);
}

TEST_CASE("an enrolment that cannot be stored leaves the token good") {
  Followed file(line_of("w1", '1', " invite expires=2026-11-21T09:00:00Z"));
  KeyRing ring = file.ring();
  const auto call = ring.register_slave("w2", key_of('2'), {{}, test_day + 1h, {}, true});
  ::chmod(file.path().c_str(), 0644);
  for (const auto& [name, token] : {std::pair("w1", '1'), std::pair("w2", '2')}) {
    const auto enrolled = auth::KeyStore::of(ring)->enrol(name, kid_of(token), key_of('9'), test_day);
    REQUIRE_FALSE(enrolled.ok());
    CHECK(has(enrolled.failure().message, "chmod 600"));
    CHECK(enrolled.failure().code != Errc::auth_failed);
  }
  ::chmod(file.path().c_str(), 0600);
  CHECK(auth::KeyStore::of(ring)->enrol("w1", kid_of('1'), key_of('8'), test_day).ok());
  CHECK(auth::KeyStore::of(ring)->enrol("w2", kid_of('2'), key_of('9'), test_day).ok());
  CHECK(has(reason(ring, "w2", kid_of('2')), "token used"));
  CHECK(has(file.dir.read("slaves.keys"), line_of("w2", '9')));
  CHECK_FALSE(auth::KeyStore::of(ring)->enrol("w2", kid_of('2'), key_of('7'), test_day).ok());
}

TEST_CASE("a ring without a file keeps an enrolled key in memory, and says so") {
  KeyRing ring;
  auto invitation = ring.register_slave("w1", key_of('1'), {{}, test_day + 1h, {{"a", "b"}}, true});
  const auto enrolled = auth::KeyStore::of(ring)->enrol("w1", kid_of('1'), key_of('2'), test_day);
  REQUIRE(enrolled.ok());
  CHECK(has(enrolled->where, "in memory only"));
  CHECK(counts(ring, "w1", '2'));
  CHECK(has(reason(ring, "w1", kid_of('1')), "token used"));
  CHECK_FALSE(auth::KeyStore::of(ring)->enrol("w1", kid_of('1'), key_of('3'), test_day).ok());
  invitation.drop();
  CHECK(counts(ring, "w1", '2'));
  CHECK(
      has(auth::KeyStore::of(ring)->enrol("w2", kid_of('1'), key_of('3'), test_day).failure().message, "unknown name"));
}

TEST_CASE("of two processes that bring one token at once, one gets the key") {
  for (int round = 0; round < 5; ++round) {
    Followed file(line_of("w1", '1', " invite expires=2026-11-21T09:00:00Z"));
    const KeyRing ring = file.ring();
    std::vector<pid_t> children;
    for (const char fill : {'2', '3', '4'}) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0)
        ::_exit(auth::KeyStore::of(KeyFile(file.path()))->enrol("w1", kid_of('1'), key_of(fill), test_day) ? 1 : 0);
      children.push_back(child);
    }
    int enrolled = 0;
    for (const pid_t child : children) {
      int status = 0;
      ::waitpid(child, &status, 0);
      enrolled += WIFEXITED(status) ? WEXITSTATUS(status) : 100;
    }
    CHECK(enrolled == 1);
    CHECK(read_key_file(file.path())->lines.size() == 2);
    auth::KeyStore::of(ring)->refresh(later());
    CHECK(counts(ring, "w1", '2') + counts(ring, "w1", '3') + counts(ring, "w1", '4') == 1);
  }
}

TEST_CASE("threads ask, look, register and enrol at once") {
  std::string text;
  for (char fill = 'A'; fill < 'I'; ++fill) {
    text += line_of(std::string("t") + fill, fill, " invite expires=2026-11-21T09:00:00Z");
  }
  Followed file(text + line_of("w1", '1'));
  KeyRing ring = file.ring();
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    while (!done) {
      if (!auth::KeyStore::of(ring)->counts("w1", kid_of('1'), peer_address, test_day)) ++wrong;
      static_cast<void>(auth::KeyStore::of(ring)->generation() +
                        (auth::KeyStore::of(ring)->next_expiry(test_day) ? 1U : 0U));
    }
  });
  threads.emplace_back([&] {
    while (!done) auth::KeyStore::of(ring)->refresh(later());
  });
  threads.emplace_back([&] {
    while (!done) {
      auto registration = ring.register_slave("w2", key_of('2'));
      registration.update(key_of('3'));
    }
  });
  for (char fill = 'A'; fill < 'I'; ++fill) {
    const std::string name = std::string("t") + fill;
    const auto fresh = static_cast<char>(fill - 'A' + 'a');
    CHECK(auth::KeyStore::of(ring)->enrol(name, kid_of(fill), key_of(fresh), test_day).ok());
    CHECK(counts(ring, name, fresh));
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a registered password counts until its registration goes, and is no key") {
  KeyRing ring;
  const auto store = auth::KeyStore::of(ring);
  const auto before = store->generation();
  std::string id;
  {
    const KeyRegistration b1 = ring.register_password("b1", "secret", {{}, {}, {{"rack", "b7"}}, false});
    id = b1.key_id();
    CHECK(b1.name() == "b1");
    CHECK(is_kid(id));
    CHECK(store->generation() != before);
    CHECK(store->has("b1"));
    CHECK(store->expects("b1", test_day));
    CHECK(store->expected(test_day) == std::vector<std::string>{"b1"});
    CHECK(store->counts("b1", id, peer_address, test_day));
    const auto found = store->passwords_of("b1", peer_address, test_day);
    REQUIRE(found.size() == 1);
    CHECK(found[0].password.matches("secret"));
    CHECK(found[0].kid == id);
    CHECK(found[0].labels == std::map<std::string, std::string>{{"rack", "b7"}});
    CHECK(passwords(ring, "b2").empty());

    CHECK(reason(ring, "b1", id) == "a password, not a key");
    const KeyAnswer claimed = store->claimed("b1", id, test_day);
    CHECK_FALSE(claimed.key);
    CHECK(claimed.reason == "a password, not a key");
    CHECK(reason(ring, "b1", kid_of('1')) == "unknown kid " + kid_of('1') + " (the name has: " + id + ")");
    const auto enrolled = store->enrol("b1", id, key_of('9'), test_day);
    REQUIRE_FALSE(enrolled.ok());
    CHECK(enrolled.failure().code == Errc::auth_failed);
    CHECK(enrolled.failure().message == "a password, not a key");
  }
  CHECK_FALSE(store->has("b1"));
  CHECK_FALSE(store->counts("b1", id, peer_address, test_day));
  CHECK(passwords(ring, "b1").empty());
}

TEST_CASE("keys have no passwords, and a name may have both, four together") {
  KeyRing ring;
  const auto store = auth::KeyStore::of(ring);
  const auto key = ring.register_slave("w1", key_of('1'));
  CHECK(passwords(ring, "w1").empty());
  std::vector<KeyRegistration> more;
  for (const char* password : {"a", "b", "c"}) more.push_back(ring.register_password("w1", password));
  CHECK(passwords(ring, "w1") == Passwords{"a", "b", "c"});
  CHECK(store->find("w1", kid_of('1'), peer_address, test_day).key == key_of('1'));
  CHECK(store->claimed("w1", kid_of('1'), test_day).key == key_of('1'));
  CHECK(has(words_of_error([&] { static_cast<void>(ring.register_password("w1", "d")); }), "four keys already"));
  CHECK(has(words_of_error([&] { static_cast<void>(ring.register_slave("w1", key_of('2'))); }), "four keys already"));
  more.erase(more.begin());
  CHECK(passwords(ring, "w1") == Passwords{"b", "c"});
}

TEST_CASE("a password counts from its networks and until it expires") {
  KeyRing ring;
  const auto store = auth::KeyStore::of(ring);
  const auto registration = ring.register_password("b1", "secret", {{"10.0.0.0/8", "::1"}, test_day + 1h, {}, false});
  const auto from = [&](const char* peer, WallTime at = test_day) {
    return passwords(ring, "b1", at, ip_address_of(peer));
  };
  CHECK(from("tcp 10.1.2.3:4711") == Passwords{"secret"});
  CHECK(from("tcp [::1]:4711") == Passwords{"secret"});
  CHECK(from("tcp 127.0.0.1:4711").empty());
  CHECK(from("unix pid 1").empty());
  CHECK(from("tcp 10.1.2.3:4711", test_day + 1h - 1ns) == Passwords{"secret"});
  CHECK(from("tcp 10.1.2.3:4711", test_day + 1h).empty());
  CHECK_FALSE(store->counts("b1", registration.key_id(), peer_address, test_day));
  CHECK_FALSE(store->counts("b1", registration.key_id(), ip_address_of("tcp 10.1.2.3:1"), test_day + 1h));
  CHECK(store->next_expiry(test_day) == test_day + 1h);
  CHECK(store->has("b1"));  // no slave without a key takes its name
  CHECK_FALSE(store->expects("b1", test_day + 1h));
  CHECK(store->expected(test_day + 1h).empty());
  // It is no key, whatever else is wrong with it.
  CHECK(reason(ring, "b1", registration.key_id(), test_day + 1h) == "a password, not a key");
  CHECK(store->claimed("b1", registration.key_id(), test_day + 1h).reason == "a password, not a key");
}

TEST_CASE("a registration changes its password, its terms, and between a password and a key") {
  KeyRing ring;
  const auto store = auth::KeyStore::of(ring);
  KeyRegistration one = ring.register_password("b1", "old", {{}, {}, {{"a", "b"}}, false});
  const std::string old_id = one.key_id();
  auto generation = store->generation();
  const auto changed = [&] { return std::exchange(generation, store->generation()) != generation; };
  one.update_password("old");
  CHECK(one.key_id() == old_id);
  CHECK_FALSE(changed());
  one.update_password("new");
  CHECK(changed());
  CHECK(passwords(ring, "b1") == Passwords{"new"});
  CHECK(one.key_id() != old_id);
  CHECK_FALSE(store->counts("b1", old_id, peer_address, test_day));
  CHECK(store->passwords_of("b1", peer_address, test_day).at(0).labels.at("a") == "b");
  const std::string new_id = one.key_id();
  one.update(KeyTerms{{}, test_day + 1h, {}, false});
  CHECK(changed());
  CHECK(passwords(ring, "b1") == Passwords{"new"});
  CHECK(passwords(ring, "b1", test_day + 1h).empty());
  CHECK(one.key_id() == new_id);
  one.update_password("old");
  CHECK(one.key_id() == old_id);
  CHECK(passwords(ring, "b1", test_day + 1h).empty());

  one.update(key_of('1'));
  CHECK(one.key_id() == kid_of('1'));
  CHECK(passwords(ring, "b1").empty());
  CHECK(counts(ring, "b1", '1'));
  CHECK(reason(ring, "b1", kid_of('1')).empty());
  CHECK(has(reason(ring, "b1", kid_of('1'), test_day + 1h), "line expired"));
  one.update_password("new");
  CHECK(one.key_id() == new_id);
  CHECK(passwords(ring, "b1") == Passwords{"new"});
  CHECK_FALSE(counts(ring, "b1", '1'));
  one.update(key_of('2'), {{}, {}, {}, false});
  CHECK(passwords(ring, "b1").empty());
  CHECK(counts(ring, "b1", '2', test_day + 1h));

  one.drop();
  CHECK_THROWS_AS(one.update_password("x"), Error);
  KeyRegistration empty;
  CHECK_THROWS_AS(empty.update_password("x"), Error);
}

TEST_CASE("a call for a password that would break a rule throws, shows no password and changes nothing") {
  const Followed file("f1 password=of-the-file\n");
  KeyRing ring = file.ring();
  const auto store = auth::KeyStore::of(ring);
  auto one = ring.register_password("b1", "secret-one");
  auto two = ring.register_password("b1", "secret-two");
  auto invitation = ring.register_slave("b2", key_of('2'), {{}, test_day + 1h, {}, true});
  const auto generation = store->generation();
  const KeyTerms invited{{}, test_day + 1h, {}, true};
  const auto refused = [&](const std::string& name, const std::string& password, const KeyTerms& terms = {}) {
    return words_of_error([&] { static_cast<void>(ring.register_password(name, password, terms)); });
  };
  const std::vector<std::pair<std::string, const char*>> refusals{
      {refused("b 3", "secret"), "the name of a slave"},
      {refused("b3", ""), "a password has 1 to 256 bytes"},
      {refused("b3", std::string(257, 's')), "a password has 1 to 256 bytes"},
      {refused("b1", "secret-one"), "this password is registered already, for 'b1'"},
      {refused("f1", "of-the-file"), "this password is in the key file already, for 'f1'"},
      {refused("b3", "secret", invited), "a password cannot be an invitation"},
      {refused("b3", "secret", {{"10.0.0.1/8"}, {}, {}, false}), "the network '10.0.0.1/8' is none"},
      {refused("b3", "secret", {{}, {}, {{"a b", "c"}}, false}), "the name of a label"},
      {words_of_error([&] { two.update_password("secret-one"); }), "update a password: this password is registered"},
      {words_of_error([&] { two.update_password(""); }), "1 to 256 bytes"},
      {words_of_error([&] { two.update(invited); }), "a password cannot be an invitation"},
      {words_of_error([&] { invitation.update_password("secret"); }), "a password cannot be an invitation"},
  };
  for (const auto& refusal : refusals) {
    CAPTURE(refusal.first);
    CHECK(has(refusal.first, refusal.second));
    for (const char* part : {"secret", "of-the-file", "sss"}) CHECK_FALSE(has(refusal.first, part));
  }
  CHECK(store->generation() == generation);
  CHECK(passwords(ring, "b1") == Passwords{"secret-one", "secret-two"});
  CHECK(counts(ring, "b2", '2') == false);  // an invitation still
  CHECK(store->find("b2", kid_of('2'), peer_address, test_day).is_invitation);
  const auto same = ring.register_password("b3", "secret-one");  // another name may have the same
  CHECK(passwords(ring, "b3") == Passwords{"secret-one"});
  CHECK(same.key_id() != one.key_id());
}

TEST_CASE("passwords of a file are followed like its keys, and keep their ids while their lines stay") {
  const Followed file("b1 password=old label.a=b\n" + line_of("w1", '1'));
  KeyRing ring = file.ring();
  const auto store = auth::KeyStore::of(ring);
  const auto id = [&](std::size_t at) { return store->passwords_of("b1", peer_address, test_day).at(at).kid; };
  const std::string old_id = id(0);
  CHECK(passwords(ring, "b1") == Passwords{"old"});
  CHECK(store->expected(test_day) == std::vector<std::string>{"b1", "w1"});
  const auto call = ring.register_password("b1", "of-a-call");
  CHECK(passwords(ring, "b1") == Passwords{"old", "of-a-call"});

  file.put("b1 password=old label.a=b\nb1 password=new\n" + line_of("w1", '1'));
  auto news = store->refresh(later());
  REQUIRE(news.size() == 1);
  CHECK(has(news[0].message, "was read again: 3 keys, of these new: 1; gone: 0"));
  CHECK(passwords(ring, "b1") == Passwords{"old", "new", "of-a-call"});
  CHECK(id(0) == old_id);
  CHECK(store->counts("b1", old_id, peer_address, test_day));
  const auto generation = store->generation();
  file.put("# touched\nb1 password=old label.a=b\nb1 password=%6Eew\n" + line_of("w1", '1'));
  CHECK(store->refresh(later()).empty());
  CHECK(store->generation() == generation);

  file.put("b1 password=new\n" + line_of("w1", '1'));
  CHECK(has(store->refresh(later()).at(0).message, "new: 0; gone: 1"));
  CHECK_FALSE(store->counts("b1", old_id, peer_address, test_day));
  CHECK(passwords(ring, "b1") == Passwords{"new", "of-a-call"});

  for (const char* bad : {"b1 password=new horse\n", "b1 password=of-a-call\n", "b1 password=new%\n"}) {
    CAPTURE(bad);
    file.put(bad);
    news = store->refresh(later());
    REQUIRE(news.size() == 1);
    CHECK(news[0].level == LogLevel::warning);
    for (const char* part : {"new", "horse", "of-a-call"}) CHECK_FALSE(has(news[0].message, part));
    CHECK(passwords(ring, "b1") == Passwords{"new", "of-a-call"});
  }
}

TEST_CASE("an enrolment into a file with passwords keeps them, and takes none for a token") {
  const std::string passwords_of_file = "w1 password=secret%21\n";
  const Followed file(passwords_of_file + line_of("w1", '1', " expires=2026-11-21T09:00:00Z invite"));
  const KeyRing ring = file.ring();
  const auto store = auth::KeyStore::of(ring);
  const std::string id = store->passwords_of("w1", peer_address, test_day).at(0).kid;
  const auto refused = store->enrol("w1", id, key_of('9'), test_day);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().message == "a password, not a key");
  REQUIRE(store->enrol("w1", kid_of('1'), key_of('2'), test_day).ok());
  CHECK(file.dir.read("slaves.keys") ==
        passwords_of_file + line_of("w1", '1', " expires=2026-11-21T09:00:00Z invite used=2026-11-21T08:00:00Z") +
            line_of("w1", '2'));
  CHECK(passwords(ring, "w1") == Passwords{"secret!"});
}

TEST_CASE("a made key is another one each time") { CHECK(make_key() != make_key()); }

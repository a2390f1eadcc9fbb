// Opening: which protocol a connection speaks, by its first bytes.
#include "master/opening.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/box_codec.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::from_hex;

namespace {

const SlaveProtocol in_remsh1 = SlaveProtocol::remsh1();
const SlaveProtocol in_remsh2 = SlaveProtocol::remsh2();
const Bytes hello_box = encode({{"_ask", "1"}, {"_command", "hello"}});

/// A protocol that is recognised by one word.
class Word final : public WorkerProtocol {
 public:
  explicit Word(std::string word, std::optional<Duration> silence = {}) : word_(std::move(word)), silence_(silence) {}
  [[nodiscard]] std::string_view name() const noexcept override { return word_; }
  [[nodiscard]] bool has_keys() const noexcept override { return true; }
  [[nodiscard]] bool does_one_operation_at_a_time() const noexcept override { return true; }
  [[nodiscard]] Recognition recognise(BytesView opening) const override {
    if (opening.starts_with(word_)) return Recognition::yes;
    return BytesView(word_).starts_with(opening) ? Recognition::need_more : Recognition::no;
  }
  [[nodiscard]] std::optional<Duration> silence_before_sending() const noexcept override { return silence_; }
  [[nodiscard]] BeginHandshake serve(WorkerHost /*host*/) const override { return {}; }

 private:
  const std::string word_;
  const std::optional<Duration> silence_;
};

SlaveProtocol word(std::string text, std::optional<Duration> silence = {}) {
  return SlaveProtocol(std::make_shared<Word>(std::move(text), silence));
}

/// The protocol that is found by these bytes, one by one; "" if more are needed.
std::string found(const std::vector<ServedProtocol>& protocols, BytesView bytes) {
  Opening opening(protocols);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (const ServedProtocol* one = opening.feed(bytes.substr(i, 1))) {
      CHECK(opening.bytes() == bytes.substr(0, i + 1));
      return one->protocol.name() + (one->is_accepted ? "" : ", not accepted");
    }
  }
  return "";
}

}  // namespace

TEST_CASE("a protocol is recognised by the first bytes, wherever they are cut") {
  const std::vector<ServedProtocol> both{{in_remsh2, {}}, {in_remsh1, {}}};
  const Bytes original = from_hex(test::remsh1_golden::session[0].hex);
  CHECK(found(both, hello_box) == "remsh 2");
  CHECK(found(both, original) == "remsh 1");
  CHECK(Opening(both).feed(original)->protocol == in_remsh1);
  CHECK(found(both, BytesView(hello_box).substr(0, 2)).empty());
  CHECK(found(both, BytesView(original).substr(0, original.size() - 1)).empty());
}

TEST_CASE("a protocol is recognised, or not, after a bounded number of bytes") {
  const std::vector<ServedProtocol> both{{in_remsh2, {}}, {in_remsh1, {}}};
  const Bytes long_box = Bytes("\0\x8hostname\xff\xff", 12) + Bytes(65535, 'n');
  Opening opening(both);
  const ServedProtocol* protocol = nullptr;
  for (std::size_t i = 0; i < long_box.size() && protocol == nullptr; ++i)
    protocol = opening.feed(BytesView(long_box).substr(i, 1));
  REQUIRE(protocol != nullptr);
  CHECK(protocol->protocol == in_remsh2);
  CHECK(opening.bytes().size() <= 1025);
}

TEST_CASE("a protocol that is not accepted is recognised to say so") {
  const std::vector<ServedProtocol> one{{in_remsh2, {}}, {in_remsh1, {}, false}};
  CHECK(found(one, hello_box) == "remsh 2");
  CHECK(found(one, from_hex(test::remsh1_golden::session[0].hex)) == "remsh 1, not accepted");
  const std::vector<ServedProtocol> other{{in_remsh1, {}}, {in_remsh2, {}, false}};
  CHECK(found(other, hello_box) == "remsh 2, not accepted");
}

TEST_CASE("an accepted protocol goes before others that recognise the same bytes") {
  const std::vector<ServedProtocol> protocols{{word("HELLO you"), {}}, {word("HELLO"), {}, false}};
  CHECK(found(protocols, "HELLO").empty());
  CHECK(found(protocols, "HELLO you") == "HELLO you");
  CHECK(found(protocols, "HELLO me") == "HELLO, not accepted");
}

TEST_CASE("bytes that no protocol recognises go to the first one, which says what is wrong with them") {
  const std::vector<ServedProtocol> both{{in_remsh2, {}}, {in_remsh1, {}}};
  for (const char* bytes : {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x01"}) {
    CHECK(found(both, bytes) == "remsh 2");
  }
  CHECK(found(both, Bytes(2, '\0')) == "remsh 2");
  CHECK(found(both, encode({{"type", "other"}})) == "remsh 2");
}

TEST_CASE("lists of protocols by which a listener could not tell connections apart are refused") {
  const auto why = [](const std::vector<SlaveProtocol>& accepted) -> std::string {
    const auto checked = check_protocols(accepted);
    if (checked) return "good";
    CHECK(checked.failure().code == Errc::invalid_argument);
    return checked.failure().message;
  };
  CHECK(why({in_remsh2}) == "good");
  CHECK(why({in_remsh2, in_remsh1, word("A", 100ms)}) == "good");
  CHECK(why({word("A", 0ms)}) == "good");
  CHECK(why({}).find("`protocols` is empty") != std::string::npos);
  CHECK(why({in_remsh2, in_remsh1, in_remsh2}).find("`protocols` has remsh 2 twice") != std::string::npos);
  CHECK(why({in_remsh2, word("A", 0ms)}).find("by A the master sends first and at once") != std::string::npos);
  CHECK(why({word("A", 100ms), word("B", 100ms)}).find("leave one of them out") != std::string::npos);
}

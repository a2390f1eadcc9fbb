// MasterSession: the turns of a master that drives an original slave, box by box.
#include "remsh1/master_session.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"
#include "unit/remsh1/recorded.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::remsh1;
using remsh::test::breaks;
using remsh::test::fed;
using remsh::test::from_hex;
using remsh::test::recorded;
using remsh::test::remsh1_golden::Side;
using MasterEvent = MasterSession::Event;

namespace {

Box answer(const char* tag) { return Box{{"_answer", tag}}; }
Box error(const char* tag, const char* text) {
  return Box{{"_error", tag}, {"_error_code", "0"}, {"_error_description", text}};
}

/// In the middle of an execute, or a fetch.
MasterSession master_receiving(const char* command) {
  MasterSession slave;
  (void)slave.begin(command, {});
  fed(slave, answer("1"));
  return slave;
}

}  // namespace

TEST_CASE("the boxes of an original master are made, and those of an original slave understood") {
  std::vector<Box> asked = recorded(Side::master);
  const std::vector<Box> said = recorded(Side::slave);
  asked.erase(asked.begin());  // registered
  std::size_t next_asked = 0;
  MasterSession slave;
  std::string story;
  const auto ask = [&](Box box) { CHECK(box == asked.at(next_asked++)); };
  for (std::size_t i = 1; i < said.size(); ++i) {  // without register
    if (slave.is_idle()) {
      Box arguments = asked.at(next_asked);
      const Bytes command(*arguments.get("_command"));
      arguments.erase("_ask");
      arguments.erase("_command");
      story += command + " ";
      ask(slave.begin(command, arguments));
    }
    const MasterEvent event = fed(slave, said[i]);
    switch (event.kind) {
      case MasterEvent::Kind::answered: story += "answered "; break;
      case MasterEvent::Kind::failed: story += "failed(" + event.text + ") "; break;
      case MasterEvent::Kind::data: story += "data(" + event.data.substr(0, event.data.size() - 1) + ") "; break;
      case MasterEvent::Kind::finished:
        story += "finished" + (event.reply ? std::string() : "(" + event.result.to_text() + ")") + " ";
        break;
    }
    if (slave.is_sending()) {
      ask(slave.data("hello file\n"));
      ask(slave.finish());
    }
    // Which the original master forgot: it is what kills its slave.
    if (event.reply) CHECK(*event.reply == answer("5"));
  }
  CHECK(next_asked == asked.size());
  CHECK(slave.is_idle());
  CHECK(story ==
        "set_cwd answered set_cwd answered mkdir answered getenv answered "
        "execute answered data(out) data(err) finished(3) send answered answered "
        "send failed(File 'f' already exists) rename failed('none' does not exist) copy answered rename answered "
        "stat answered stat answered stat answered remove answered fetch answered data(hello file) finished ");
}

TEST_CASE("every call has a tag of its own, also those that are not answered") {
  MasterSession slave;
  CHECK(slave.begin("send", Box{{"dest", "x"}}) == Box{{"_ask", "1"}, {"_command", "send"}, {"dest", "x"}});
  fed(slave, answer("1"));
  REQUIRE(slave.is_sending());
  CHECK(slave.data("a") == Box{{"_ask", "2"}, {"_command", "data"}, {"data", "a"}});
  CHECK(slave.data("b") == Box{{"_ask", "3"}, {"_command", "data"}, {"data", "b"}});
  CHECK(slave.finish() == Box{{"_ask", "4"}, {"_command", "finished"}});
  CHECK_FALSE(slave.is_sending());
  CHECK_FALSE(slave.is_idle());
  fed(slave, answer("4"));
  CHECK(slave.is_idle());
  CHECK(slave.begin("getenv", {}) == Box{{"_ask", "5"}, {"_command", "getenv"}});
}

TEST_CASE("an answer gives its results") {
  MasterSession slave;
  (void)slave.begin("stat", Box{{"pathname", "/"}});
  const MasterEvent event = fed(slave, Box{{"_answer", "1"}, {"result", "d"}});
  CHECK(event.kind == MasterEvent::Kind::answered);
  CHECK(event.results == Box{{"result", "d"}});
}

TEST_CASE("an error ends its call, wherever it comes in place of an answer") {
  for (const char* const command : {"stat", "execute", "fetch", "send"}) {
    MasterSession slave;
    (void)slave.begin(command, {});
    const MasterEvent event = fed(slave, error("1", "no"));
    CHECK(event.kind == MasterEvent::Kind::failed);
    CHECK(event.text == "no");
    CHECK(slave.is_idle());
  }
  MasterSession slave;
  (void)slave.begin("send", {});
  fed(slave, answer("1"));
  (void)slave.finish();
  CHECK(fed(slave, error("2", "disk full")).text == "disk full");
  CHECK(slave.is_idle());
}

TEST_CASE("the output of a command is told apart, and its end answered by nobody") {
  MasterSession slave = master_receiving("execute");
  CHECK(slave.is_executing());
  const MasterEvent err = fed(slave, {{"_ask", "1"}, {"_command", "data"}, {"data", "e"}, {"stream", "stderr"}});
  CHECK(err.kind == MasterEvent::Kind::data);
  CHECK(err.stream == Stream::err);
  CHECK(err.data == "e");
  CHECK_FALSE(err.reply);
  const MasterEvent end = fed(slave, {{"_ask", "2"}, {"_command", "finished"}, {"result", "-9"}});
  CHECK(end.kind == MasterEvent::Kind::finished);
  CHECK(end.result == ReturnCode{{}, 9});
  CHECK_FALSE(end.reply);
  CHECK(slave.is_idle());
  CHECK_FALSE(slave.is_executing());
}

TEST_CASE("the end of a fetch is answered with its very tag") {
  MasterSession slave = master_receiving("fetch");
  CHECK_FALSE(slave.is_executing());
  CHECK_FALSE(fed(slave, {{"_ask", "x y"}, {"_command", "data"}, {"data", ""}}).reply);
  const MasterEvent end = fed(slave, {{"_ask", "x z"}, {"_command", "finished"}});
  CHECK(end.kind == MasterEvent::Kind::finished);
  CHECK(end.reply == answer("x z"));
  CHECK(slave.is_idle());
}

TEST_CASE("a fetch that failed on its way is told by either key, and answered all the same") {
  for (const char* const key : {"errstr", "errmsg"}) {
    MasterSession slave = master_receiving("fetch");
    const MasterEvent end = fed(slave, {{"_ask", "1"}, {"_command", "finished"}, {key, "Input/output error"}});
    CHECK(end.kind == MasterEvent::Kind::failed);
    CHECK(end.text == "Input/output error");
    CHECK(end.reply == answer("1"));
    CHECK(slave.is_idle());
  }
}

TEST_CASE("a slave that speaks when nothing was asked is in breach") {
  for (const Box& box : {answer("1"), error("1", "x"), Box{{"_ask", "1"}, {"_command", "data"}, {"data", "x"}},
                         Box{{"_ask", "1"}, {"_command", "set_cwd"}}, Box{{"type", "register"}}}) {
    MasterSession slave;
    CHECK(breaks(slave, box));
    CHECK_FALSE(slave.is_idle());
  }
}

TEST_CASE("a slave that answers something else than was asked is in breach") {
  for (const Box& box : {answer("2"), answer(""), error("2", "x"), Box{{"_answer_", "1"}},
                         Box{{"_ask", "1"}, {"_command", "data"}, {"data", "x"}, {"stream", "stdout"}},
                         Box{{"_ask", "1"}, {"_command", "finished"}, {"result", "0"}}}) {
    for (const char* const command : {"stat", "execute", "send", "fetch"}) {
      MasterSession slave;
      (void)slave.begin(command, {});
      CHECK(breaks(slave, box));
    }
  }
}

TEST_CASE("anything but data and the end is a breach while they come") {
  for (const char* const command : {"execute", "fetch"}) {
    for (const Box& box : {answer("1"), error("1", "x"), Box{{"_ask", "1"}, {"_command", "data"}},
                           Box{{"_command", "data"}, {"data", "x"}}, Box{{"_ask", "1"}, {"_command", "stat"}}}) {
      MasterSession slave = master_receiving(command);
      CHECK(breaks(slave, box));
    }
  }
  for (const Box& box :
       {Box{{"_ask", "1"}, {"_command", "data"}, {"data", "x"}},
        Box{{"_ask", "1"}, {"_command", "data"}, {"data", "x"}, {"stream", "stdin"}},
        Box{{"_ask", "1"}, {"_command", "finished"}}, Box{{"_ask", "1"}, {"_command", "finished"}, {"result", "x"}}}) {
    MasterSession slave = master_receiving("execute");
    CHECK(breaks(slave, box));
  }
}

TEST_CASE("a slave that speaks while a file is sent is in breach, be it to answer data") {
  MasterSession slave;
  (void)slave.begin("send", {});
  fed(slave, answer("1"));
  (void)slave.data("x");
  CHECK(breaks(slave, answer("2")));

  MasterSession late;
  (void)late.begin("send", {});
  fed(late, answer("1"));
  (void)late.data("x");
  (void)late.finish();
  CHECK(breaks(late, answer("2")));  // of the data, where that of the end should be
}

TEST_CASE("after a breach nothing makes sense any more") {
  MasterSession slave;
  (void)slave.begin("stat", {});
  CHECK(breaks(slave, answer("2")));
  CHECK(breaks(slave, answer("1")));
}

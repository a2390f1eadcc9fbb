// The audit hook of each listener: told once of every operation, at its end.
#include "support/audited.hpp"
#include "support/slaves.hpp"


namespace remsh::test {

TEST_CASE("every listener tells of the operations of its slaves") {
  std::vector<Over> kinds = all_transports;
  if (!TwistedSlaves::are_wanted()) kinds.push_back(Over::remsh1);
  for (const Over over : kinds) {
    const std::string words = to_string(over);
    CAPTURE(words);
    Audited audited;
    Farm farm(over, {.audit = audited.hook()});
    const auto slave = farm.start("w1");
    static_cast<void>(audited.take());

    slave->execute({"sh", "-c", "exit 3"}, {.tag = "first"});
    slave->send(Source::bytes("content"), "file");
    CHECK_THROWS_AS(slave->send(Source::bytes("other"), "file"), RemoteError);
    slave->start_mkdir("dir", {.tag = "started"}).wait();
    const auto records = audited.take();
    REQUIRE(records.size() == 4);
    CHECK(records[0].slave == "w1");
    CHECK(records[0].key_id == slave->info().key_id);
    if (over == Over::tls) CHECK(records[0].key_id.size() == 8);
    CHECK(records[0].arguments == std::vector<Bytes>{"sh", "-c", "exit 3"});
    CHECK(records[0].exit_code == 3);
    CHECK(records[0].tag == "first");
    CHECK(records[1].operation == "send");
    CHECK(records[1].bytes == 7);
    CHECK(records[2].error == Errc::os_error);
    CHECK(records[2].os == std::errc::file_exists);
    CHECK(records[3].tag == "started");
  }
}

TEST_CASE("an operation is told of when its slave is lost or its caller's patience is") {
  Audited audited;
  Farm farm(Over::memory, {.audit = audited.hook()});
  const auto slave = farm.start();
  CHECK_THROWS_AS(slave->execute({"sleep", "1000"}, {.deadline = std::chrono::milliseconds(1)}), Timeout);
  std::stop_source stop;
  auto stopped = slave->start_execute({"sleep", "1000"}, {.stop = stop.get_token()});
  stop.request_stop();
  CHECK_THROWS_AS(stopped.wait(), Cancelled);
  auto lost = slave->start_execute({"sleep", "1000"});
  slave->disconnect();
  CHECK_THROWS_AS(lost.wait(), ConnectionLost);
  CHECK_THROWS_AS(slave->ping(), ConnectionLost);
  const auto records = audited.take();
  REQUIRE(records.size() == 4);
  CHECK(records[0].error == Errc::timeout);
  CHECK(records[1].error == Errc::cancelled);
  CHECK(records[2].error == Errc::connection_lost);
  CHECK(records[3].error == Errc::connection_lost);
}

}  // namespace remsh::test

// Compressed streams, as a master and a slave agree on them.
#include "support/forwarding_transport.hpp"
#include "support/has.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace remsh::test {

namespace {

/// Counts what is written and read.
class CountingTransport final : public ForwardingTransport {
 public:
  CountingTransport(std::unique_ptr<Transport> inner, std::shared_ptr<std::atomic<std::size_t>> count)
      : ForwardingTransport(std::move(inner)), count_(std::move(count)) {}

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    const IoResult result = inner().read_some(buffer, wait);
    if (result.status == IoResult::Status::ok) *count_ += result.bytes;
    return result;
  }
  IoResult write_some(std::span<const std::string_view> buffers) override {
    const IoResult result = inner().write_some(buffers);
    if (result.status == IoResult::Status::ok) *count_ += result.bytes;
    return result;
  }

 private:
  const std::shared_ptr<std::atomic<std::size_t>> count_;
};

/// A master and a slave, each of which wants to compress or not, and the bytes between them.
struct Link {
  Link(bool master_allows, bool slave_wants)
      : listener({.slave_collection = slaves,
                  .protocols = {SlaveProtocol::remsh2({.compression = master_allows})},
                  .log = log.hook()}),
        server({.name = "worker", .basedir = dir / "worker", .compression = slave_wants, .log = log.hook()},
               [this](SlaveServer& serving) { return serving.serve(std::move(theirs)); }) {
    slave = listener.handle_new_connection(std::make_unique<CountingTransport>(std::move(ours), count));
    REQUIRE(slave != nullptr);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { slave->disconnect("the test is over"); }

  /// How many bytes went over the link while the function ran.
  template <class Function>
  std::size_t during(Function function) {
    const std::size_t before = *count;
    function();
    return *count - before;
  }

  const TempDir dir;
  const Log log;
  std::shared_ptr<std::atomic<std::size_t>> count = std::make_shared<std::atomic<std::size_t>>(0);
  std::unique_ptr<Transport> ours;
  std::unique_ptr<Transport> theirs = [this] {
    auto [one, other] = memory_pair();
    ours = std::move(one);
    return std::move(other);
  }();
  SlaveCollection slaves;
  TransportSlaveListener listener;
  SlaveThread server;
  std::shared_ptr<Slave> slave;
};

bool is_compressed(const Slave& slave) {
  const auto& features = slave.info().features;
  return std::find(features.begin(), features.end(), "zstd") != features.end();
}

Bytes lines(std::size_t size) {
  Bytes text;
  for (int line = 0; text.size() < size; ++line) text += "[" + std::to_string(line) + "] Compiling some/file.cpp\n";
  text.resize(size);
  return text;
}

constexpr std::size_t mebibyte = 1024 * 1024;

}  // namespace

TEST_CASE("with both sides' consent files, trees and output cross the link in a fraction of their bytes") {
  if (!has_compression()) return;
  Link link(true, true);
  CHECK(is_compressed(*link.slave));
  const Bytes text = lines(4 * mebibyte);
  Bytes back;
  CHECK(link.during([&] { link.slave->send(Source::bytes(text), "text"); }) < mebibyte);
  CHECK(link.during([&] { link.slave->fetch("text", Sink::bytes(back)); }) < mebibyte);
  CHECK(back == text);
  CHECK(link.during([&] { CHECK(link.slave->execute({"cat", "text"}).out == text); }) < mebibyte);
  CHECK(link.during([&] {
    CHECK(link.slave->execute({"sh", "-c", "cat >copy; cmp copy text"}, {.in = Source::bytes(text)}).ok());
  }) < mebibyte);
  link.slave->mkdir("tree");
  link.slave->rename("text", "tree/text");
  CHECK(link.during([&] { link.slave->fetch_tree("tree", link.dir / "tree"); }) < mebibyte);
  CHECK(link.dir.read("tree/text") == text);
  CHECK(link.slave->operations().size() > 10);  // what is no stream is as before
}

TEST_CASE("a command that is fed by its handle, and followed by it, is compressed both ways") {
  if (!has_compression()) return;
  Link link(true, true);
  const Bytes text = lines(mebibyte);
  Bytes came;
  CHECK(link.during([&] {
    Command command = link.slave->start({"cat"}, {.in = Source::writes()});
    std::thread feeding([&] {
      command.write(text);
      command.close_stdin();
    });
    came = command.wait().out;
    feeding.join();
  }) < mebibyte);
  CHECK(came == text);
}

TEST_CASE("what cannot be compressed arrives as it is, and costs no more than without") {
  if (!has_compression()) return;
  Link link(true, true);
  const Bytes noise = link.slave->execute({"head", "-c", "1000000", "/dev/urandom"}).out;
  Bytes back;
  CHECK(link.during([&] { link.slave->send(Source::bytes(noise), "noise"); }) < 1'010'000);
  link.slave->fetch("noise", Sink::bytes(back));
  CHECK(back == noise);
}

TEST_CASE("a file of zeros takes less than 1 % of its size on the link, and arrives unchanged") {
  if (!has_compression()) return;
  Link link(true, true);
  Bytes zeros(16 * mebibyte, '\0');
  Bytes back;
  CHECK(link.during([&] { link.slave->send(Source::bytes(zeros), "zeros"); }) < 16 * mebibyte / 100);
  link.slave->fetch("zeros", Sink::bytes(back));
  CHECK(back == zeros);
}

TEST_CASE("nothing is compressed unless both sides want it, and a slave whose master does not logs a warning") {
  if (!has_compression()) return;
  const Bytes text = lines(mebibyte);
  for (const bool master_allows : {false, true}) {
    Link link(master_allows, !master_allows);
    CHECK_FALSE(is_compressed(*link.slave));
    CHECK(link.during([&] { link.slave->send(Source::bytes(text), "text"); }) > mebibyte);
    CHECK(link.slave->execute({"cat", "text"}).out == text);
    const bool has_warned = has(link.log.text(), "nothing is compressed");
    CHECK(has_warned == !master_allows);
  }
}

TEST_CASE("several slaves of one listener compress or not, each as it wants") {
  if (!has_compression()) return;
  const TempDir dir;
  SlaveCollection slaves;
  TcpSlaveListener listener({.slave_collection = slaves,
                             .keyless = true,
                             .protocols = {SlaveProtocol::remsh2({.compression = true}), SlaveProtocol::remsh1()}});
  listener.start();
  SlaveThread far({.name = "far", .basedir = dir / "far", .keyless = true, .compression = true},
                  [&](auto& server) { return server.run_once(listener.address()); });
  SlaveThread near({.name = "near", .basedir = dir / "near", .keyless = true},
                   [&](auto& server) { return server.run_once(listener.address()); });
  for (const std::string name : {"far", "near"}) {
    const auto slave = slaves.get_slave(ample, [&](const Slave& each) { return each.name() == name; });
    REQUIRE(slave);
    CHECK(is_compressed(*slave) == (name == "far"));
    const Bytes text = lines(mebibyte);
    CHECK(slave->execute({"cat"}, {.in = Source::bytes(text)}).out == text);
  }
  far.server().stop();
  near.server().stop();
}

TEST_CASE("remsh-slave --compression compresses under TLS") {
  if (!has_compression()) return;
  const TempDir dir;
  KeyRing keys;
  const Secret key = make_key();
  const auto registration = keys.register_slave("worker", key);
  dir.write("key", "worker " + key.to_base64() + "\n");
  ::chmod((dir / "key").c_str(), 0600);
  SlaveCollection slaves;
  TcpSlaveListener listener({.slave_collection = slaves,
                             .address = "tls:127.0.0.1:0",
                             .keys = keys,
                             .protocols = {SlaveProtocol::remsh2({.compression = true})}});
  listener.start();
  Program create({"create", dir / "worker", "--master", listener.address(), "--key", dir / "key", "--compression"});
  REQUIRE(create.wait() == 0);
  CHECK(has(dir.read("worker/slave.conf"), "\ncompression = yes\n"));
  Program run({"run", dir / "worker"});
  const auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(is_compressed(*slave));
  const Bytes text = lines(mebibyte);
  CHECK(slave->execute({"cat"}, {.in = Source::bytes(text)}).out == text);
}

TEST_CASE("without zstd the two options throw an error that says how to build with it") {
  if (has_compression()) return;
  CHECK_THROWS_WITH_AS(static_cast<void>(SlaveProtocol::remsh2({.compression = true})),
                       doctest::Contains("-Dzstd=enabled"), Error);
  CHECK_THROWS_WITH_AS(SlaveServer({.name = "worker", .compression = true}), doctest::Contains("-Dzstd=enabled"),
                       Error);
}

}  // namespace remsh::test

// W6 under TLS: what the registration of a slave costs its master, beside a server of bare OpenSSL that does the same
// key exchange, reads what a slave says of itself, and answers.
//
// The rate is not compared: the slaves of the library cost more than their master.

#include "bare_line.hpp"
#include "bare_socket.hpp"
#include "fleet_identity.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "played_handshake.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <remsh/slave.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t most_slaves = 500;
constexpr std::size_t at_once = 25;  // below what a listener allows

struct Costs {
  double cpu_us = 0;
  double idle_kib = 0;
};

Costs measure(FleetKind kind, std::size_t count) {
  const FleetPart master(master_args(kind, count));
  const FleetPart slaves(slaves_args(kind, 0, count, master.hear()));
  static_cast<void>(slaves.hear());
  const auto register_up_to = [&](std::size_t then) {
    master.tell("await " + std::to_string(then));
    static_cast<void>(slaves.ask("connect " + std::to_string(then)));
    static_cast<void>(master.hear());
  };
  register_up_to(1);  // what is made for the first slave only is not counted
  const double cpu_before = cpu_seconds(master.pid());
  const double before_kib = private_kib(master.pid());
  for (std::size_t registered = 1; registered < count;) {
    registered = std::min(registered + at_once, count);
    register_up_to(registered);
  }
  const auto more = static_cast<double>(count - 1);
  return {(cpu_seconds(master.pid()) - cpu_before) * 1e6 / more, (private_kib(master.pid()) - before_kib) / more};
}

class TlsFleet final : public Work {
 public:
  explicit TlsFleet(const Bench& bench) {
    const auto& fleets = bench.options.fleets;
    count_ = std::min(most_slaves, *std::min_element(fleets.begin(), fleets.end()));
  }

  void run_round(std::size_t round, Report& report) override {
    const auto [bare, ours] = in_turns(
        round, [this] { return measure(FleetKind::limit_tls, count_); },
        [this] { return measure(FleetKind::remsh_tls, count_); });
    const std::string fleet = "W6 " + std::to_string(count_) + " slaves under TLS: ";
    report.add({fleet + "register", "master CPU us", Measure::Better::less, 1.3}, bare.cpu_us, ours.cpu_us);
    report.add_alone({fleet + "idle", "KiB each", Measure::Better::less, 24}, ours.idle_kib);
  }

  [[nodiscard]] std::size_t lines() const override { return 2; }

 private:
  std::size_t count_;
};

// --- the master of the limit

/// Accepts so many slaves, one after the other.
void accept_slaves(int listening, std::size_t count, std::vector<BareLine>& slaves) {
  Bytes said = fleet_registration();
  const Bytes answer = bare_registered();
  while (slaves.size() < count) {
    pollfd ready{listening, POLLIN, 0};
    if (::poll(&ready, 1, -1) < 0 && errno != EINTR) fail("poll");
    UniqueFd socket(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket && errno == EAGAIN) continue;
    if (!socket) fail("accept");
    set_no_delay(socket.get());
    BareLine line = BareLine::with_tls(std::move(socket), BareLine::Side::server);
    if (!line.read_all(said.data(), said.size())) throw std::runtime_error("a slave says too little");
    line.write_all(answer.data(), answer.size());
    slaves.push_back(std::move(line));
  }
}

// --- the slaves

/// Keeps the connection of one slave of the limit.
BareLine connect_bare(std::uint16_t port) {
  BareLine line = BareLine::with_tls(connect_to_loopback(port), BareLine::Side::client);
  const Bytes registration = fleet_registration();
  line.write_all(registration.data(), registration.size());
  Bytes answer = bare_registered();
  if (!line.read_all(answer.data(), answer.size())) throw std::runtime_error("a master does not answer");
  return line;
}

/// A slave of the library, in a thread of its own.
class ServedSlave {
 public:
  ServedSlave(std::size_t number, std::uint16_t port)
      : server_({.name = fleet_name(number),
                 .basedir = std::filesystem::temp_directory_path().native(),
                 .key = fleet_key(number)}),
        thread_([this, port] { server_.run_once("tls:127.0.0.1:" + std::to_string(port)); }) {}
  ServedSlave(const ServedSlave&) = delete;
  ServedSlave& operator=(const ServedSlave&) = delete;
  ~ServedSlave() {
    server_.stop();
    thread_.join();
  }

 private:
  SlaveServer server_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Work> make_tls_fleet(const Bench& bench) { return std::make_unique<TlsFleet>(bench); }

void run_limit_tls_master(const FleetOrders& orders) {
  const ListeningSocket listening = listen_on_loopback(4096);
  std::vector<BareLine> slaves;
  orders.send(std::to_string(listening.port));
  while (const auto text = orders.receive()) {
    accept_slaves(listening.socket.get(), static_cast<std::size_t>(parse_order(*text).number), slaves);
    orders.send("registered");
  }
}

void run_tls_slaves(FleetKind kind, std::uint16_t port, const FleetOrders& orders) {
  std::vector<BareLine> bare;
  std::vector<std::unique_ptr<ServedSlave>> served;
  orders.send("ready");
  while (const auto text = orders.receive()) {
    const auto count = static_cast<std::size_t>(parse_order(*text).number);
    if (kind == FleetKind::limit_tls) {
      while (bare.size() < count) bare.push_back(connect_bare(port));
    } else {
      while (served.size() < count) served.push_back(std::make_unique<ServedSlave>(served.size(), port));
    }
    orders.send("connected");
  }
}

}  // namespace remsh::bench

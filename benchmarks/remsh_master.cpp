// Our master of a fleet, in a process of its own, so that its CPU time and memory are those of the library.

#include "remsh_master.hpp"
#include "fleet_identity.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "stat_bytes.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::chrono::seconds registration_patience{50};
constexpr std::size_t times_of_first = 5;

std::vector<std::shared_ptr<Slave>> slaves_of_fleet(const SlaveCollection& slaves, std::size_t from, std::size_t to) {
  std::vector<std::shared_ptr<Slave>> found;
  for (std::size_t number = from; number < to; ++number) {
    if (auto slave = slaves.find(fleet_name(number))) found.push_back(std::move(slave));
  }
  return found;
}

/// Calls all slaves once from one thread, and returns how many microseconds that took.
double call_all(const std::vector<std::shared_ptr<Slave>>& slaves) {
  const double begin = now();
  CompletionQueue queue;
  for (const auto& slave : slaves) {
    slave->start_stat(stat_path).then(queue, [](auto call) {
      if (!call.wait()) throw std::runtime_error("stat() found nothing");
    });
  }
  queue.run();
  return (now() - begin) * 1e6;
}

/// The median of so many times.
std::string median_of(std::size_t times, const std::vector<std::shared_ptr<Slave>>& slaves) {
  std::vector<double> taken;
  while (taken.size() < times) taken.push_back(call_all(slaves));
  return std::to_string(quantile(taken, 0.5));
}

/// The median and the 99th percentile.
std::string call_one(Slave& slave, double seconds) {
  std::vector<double> taken;
  taken.reserve(static_cast<std::size_t>(seconds * 3e5) + 1);
  double before = now();
  for (const double end = before + seconds; before < end;) {
    static_cast<void>(slave.stat(stat_path));
    const double after = now();
    taken.push_back((after - before) * 1e6);
    before = after;
  }
  return std::to_string(quantile(taken, 0.5)) + " " + std::to_string(quantile(taken, 0.99));
}

}  // namespace

std::vector<KeyRegistration> register_fleet(KeyRing& keys, std::size_t count) {
  std::vector<KeyRegistration> registered;
  for (std::size_t i = 0; i < count; ++i) registered.push_back(keys.register_slave(fleet_name(i), fleet_key(i)));
  return registered;
}

RemshMaster::RemshMaster(const SlaveCollection& slaves, std::size_t count) : slaves_(slaves), count_(count) {}

std::string RemshMaster::obey(const FleetOrder& order) {
  const auto number = static_cast<std::size_t>(order.number);
  if (order.word == "await") {
    if (!slaves_.wait_for_slaves(number, registration_patience)) {
      throw std::runtime_error("only " + std::to_string(slaves_.size()) + " slaves have registered");
    }
    return "registered";
  }
  if (order.word == "call_all") return median_of(number, slaves_.get_all_slaves());
  if (order.word == "call_first") return median_of(times_of_first, slaves_of_fleet(slaves_, 0, number));
  if (order.word == "call_on") {
    for (const auto& slave : slaves_of_fleet(slaves_, number, count_)) left_.push_back(slave->start_stat(stat_path));
    return "started";
  }
  if (order.word == "call_one") return call_one(*slaves_.find(fleet_name(subject_)), order.number);
  if (order.word != "subject") throw std::runtime_error("our master does not know the order " + order.word);
  subject_ = number;
  return "known";
}

void run_remsh_master(std::size_t count, bool by_tls, const FleetOrders& orders) {
  KeyRing keys;
  const auto registered = register_fleet(keys, count);
  SlaveCollection slaves;
  TcpSlaveListener listener(
      {.slave_collection = slaves, .address = by_tls ? "tls:127.0.0.1:0" : "tcp:127.0.0.1:0", .keys = keys});
  listener.start();
  RemshMaster master(slaves, count);
  orders.send(std::to_string(listener.port()));
  while (const auto text = orders.receive()) orders.send(master.obey(parse_order(*text)));
}

}  // namespace remsh::bench

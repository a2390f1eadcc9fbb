// The parts of a fleet: two masters, and the slaves that one process plays for either.
#pragma once

#include "fleet_orders.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace remsh::bench {

/// Whose master, and so which handshake.
enum class FleetKind : std::uint8_t { remsh, limit, remsh_tls, limit_tls, memory };

// What a part is started with, and what it does in this process. A master takes the orders
//
//     await COUNT         wait until so many slaves are registered, then answer
//     call_all TIMES      call each slave once, so often; the answer is how long that took, in us: the median
//     subject NUMBER      call_one is about this slave from now on, in place of the first; answer
//     call_one SECONDS    call one slave again and again; the answer is how long that took, in us: the median,
//                         and after a space the 99th percentile
//     call_first COUNT    call each of the first so many slaves once, a few times; the answer is as that of call_all
//     call_on FROM        start a call of each slave from this number on, wait for none, and answer
//
// after it has said at which port it listens; the process that plays slaves takes
//
//     connect COUNT       so many more, and answer when all are registered
//     reconnect COUNT     cut so many connections, the last ones, connect again, and answer when all are registered
//
// after it has said that it is ready. Only ours has subject, call_one, call_first, call_on and reconnect. All end with
// the other end of the orders.
//
// A master whose slaves are played in its own process knows `register COUNT`, too: so many in all register, then it
// answers. Under TLS a master knows await alone, and the process of the slaves answers `connect COUNT` (so many in all)
// at once.

std::vector<std::string> master_args(FleetKind kind, std::size_t slaves);
std::vector<std::string> slaves_args(FleetKind kind, std::size_t first, std::size_t slaves, const std::string& port);

void run_fleet_part(const std::vector<std::string>& args, const FleetOrders& orders);

void run_remsh_master(std::size_t slaves, bool by_tls, const FleetOrders& orders);
void run_limit_master(std::size_t slaves, const FleetOrders& orders);
void run_played_slaves(FleetKind kind, std::size_t first, std::size_t slaves, std::uint16_t port,
                       const FleetOrders& orders);
void run_memory_master(std::size_t slaves, const FleetOrders& orders);
void run_limit_tls_master(const FleetOrders& orders);
void run_tls_slaves(FleetKind kind, std::uint16_t port, const FleetOrders& orders);

/// One order: a word and a number.
struct FleetOrder {
  std::string word;
  double number;
};
FleetOrder parse_order(const std::string& text);

}  // namespace remsh::bench

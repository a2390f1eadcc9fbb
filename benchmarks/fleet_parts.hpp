// The parts of a fleet: two masters, and the slaves that one process plays for either.
#pragma once

#include "fleet_orders.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace remsh::bench {

/// Whose master, and so which handshake.
enum class FleetKind : std::uint8_t { remsh, limit };

// What a part is started with, and what it does in this process. A master takes the orders
//
//     await COUNT         wait until so many slaves are registered, then answer
//     call_all TIMES      call each slave once, so often; the answer is how long that took, in us: the median
//     call_one SECONDS    call the slave number 0 again and again; the answer is how long that took, in us: the median
//
// after it has said at which port it listens; the process that plays slaves takes
//
//     connect COUNT       so many more, and answer when all are registered
//
// after it has said that it is ready. All end with the other end of the orders.

std::vector<std::string> master_args(FleetKind kind, std::size_t slaves);
std::vector<std::string> slaves_args(FleetKind kind, std::size_t slaves, const std::string& port);

void run_fleet_part(const std::vector<std::string>& args, const FleetOrders& orders);

void run_remsh_master(std::size_t slaves, const FleetOrders& orders);
void run_limit_master(std::size_t slaves, const FleetOrders& orders);
void run_played_slaves(FleetKind kind, std::size_t slaves, std::uint16_t port, const FleetOrders& orders);

/// One order: a word and a number.
struct FleetOrder {
  std::string word;
  double number;
};
FleetOrder parse_order(const std::string& text);

}  // namespace remsh::bench

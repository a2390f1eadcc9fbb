#include "fleet_parts.hpp"

#include <stdexcept>

namespace remsh::bench {

namespace {

constexpr const char* master_word = "master";
constexpr const char* slaves_word = "slaves";

std::string word_of(FleetKind kind) { return kind == FleetKind::remsh ? "remsh" : "limit"; }

}  // namespace

std::vector<std::string> master_args(FleetKind kind, std::size_t slaves) {
  return {master_word, word_of(kind), std::to_string(slaves)};
}

std::vector<std::string> slaves_args(FleetKind kind, std::size_t first, std::size_t slaves, const std::string& port) {
  return {slaves_word, word_of(kind), std::to_string(slaves), port, std::to_string(first)};
}

void run_fleet_part(const std::vector<std::string>& args, const FleetOrders& orders) {
  const FleetKind kind = args.at(1) == word_of(FleetKind::remsh) ? FleetKind::remsh : FleetKind::limit;
  const std::size_t slaves = std::stoul(args.at(2));
  if (args.at(0) == slaves_word) {
    run_played_slaves(kind, std::stoul(args.at(4)), slaves, static_cast<std::uint16_t>(std::stoul(args.at(3))), orders);
  } else if (kind == FleetKind::remsh) {
    run_remsh_master(slaves, orders);
  } else {
    run_limit_master(slaves, orders);
  }
}

FleetOrder parse_order(const std::string& text) {
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) throw std::runtime_error("not an order: " + text);
  return {text.substr(0, space), std::stod(text.substr(space + 1))};
}

}  // namespace remsh::bench

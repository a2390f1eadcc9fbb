#include "fleet_parts.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace remsh::bench {

namespace {

constexpr const char* master_word = "master";
constexpr const char* slaves_word = "slaves";

constexpr std::array<const char*, 5> kind_words{"remsh", "limit", "remsh-tls", "limit-tls",
                                                "memory"};  // in their order

std::string word_of(FleetKind kind) { return kind_words.at(static_cast<std::size_t>(kind)); }

FleetKind kind_of(const std::string& word) {
  const auto* const found = std::find(kind_words.begin(), kind_words.end(), word);
  if (found == kind_words.end()) throw std::runtime_error("no fleet is of the kind " + word);
  return static_cast<FleetKind>(found - kind_words.begin());
}

}  // namespace

std::vector<std::string> master_args(FleetKind kind, std::size_t slaves) {
  return {master_word, word_of(kind), std::to_string(slaves)};
}

std::vector<std::string> slaves_args(FleetKind kind, std::size_t first, std::size_t slaves, const std::string& port) {
  return {slaves_word, word_of(kind), std::to_string(slaves), port, std::to_string(first)};
}

void run_fleet_part(const std::vector<std::string>& args, const FleetOrders& orders) {
  const FleetKind kind = kind_of(args.at(1));
  const std::size_t slaves = std::stoul(args.at(2));
  if (args.at(0) == slaves_word) {
    const auto port = static_cast<std::uint16_t>(std::stoul(args.at(3)));
    const bool by_tls = kind == FleetKind::remsh_tls || kind == FleetKind::limit_tls;
    if (by_tls) return run_tls_slaves(kind, port, orders);
    return run_played_slaves(kind, std::stoul(args.at(4)), slaves, port, orders);
  }
  switch (kind) {
    case FleetKind::remsh: return run_remsh_master(slaves, false, orders);
    case FleetKind::remsh_tls: return run_remsh_master(slaves, true, orders);
    case FleetKind::limit: return run_limit_master(slaves, orders);
    case FleetKind::limit_tls: return run_limit_tls_master(orders);
    case FleetKind::memory: return run_memory_master(slaves, orders);
  }
}

FleetOrder parse_order(const std::string& text) {
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) throw std::runtime_error("not an order: " + text);
  return {text.substr(0, space), std::stod(text.substr(space + 1))};
}

}  // namespace remsh::bench

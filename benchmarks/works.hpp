// Works: each work of the library beside its limit, one round at a time.
#pragma once

#include "limits.hpp"
#include "long_link.hpp"
#include "options.hpp"
#include "report.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

namespace remsh::bench {

/// A work that is measured. One thread at a time.
class Work {
 public:
  virtual ~Work() = default;

  /// Measures limit and ours once, one after the other; in odd rounds ours first.
  virtual void run_round(std::size_t round, Report& report) = 0;

  /// How many lines of the report it fills.
  [[nodiscard]] virtual std::size_t lines() const = 0;
};

class MessagePeer;
class Slaves;

/// What works are measured with; lives longer than they.
struct Bench {
  const Options& options;
  const std::string& scratch;
  LimitPeer& tcp_limit;
  LimitPeer& unix_limit;
  LimitPeer& tls_limit;
  std::deque<LimitPeer>& many_limits;
  std::deque<LongLinks>& long_links;
  MessagePeer& tcp_messages;
  MessagePeer& unix_messages;
  Slaves& slaves;
};

std::unique_ptr<Work> make_round_trips(const Bench& bench);
std::unique_ptr<Work> make_other_libraries(const Bench& bench);   // W1
std::unique_ptr<Work> make_concurrent_calls(const Bench& bench);  // W2, one slave
std::unique_ptr<Work> make_many_slaves(const Bench& bench);       // W2, many slaves
std::unique_ptr<Work> make_transfers(const Bench& bench);         // W3
std::unique_ptr<Work> make_commands(const Bench& bench);          // W4
std::unique_ptr<Work> make_other_programs(const Bench& bench);    // W3 and W4
std::unique_ptr<Work> make_output(const Bench& bench);            // W5
std::unique_ptr<Work> make_fleets(const Bench& bench);            // W6
std::unique_ptr<Work> make_tls_fleet(const Bench& bench);         // W6
std::unique_ptr<Work> make_memory_fleet(const Bench& bench);      // W6
std::unique_ptr<Work> make_far_transfers(const Bench& bench);     // W7
std::unique_ptr<Work> make_messages(const Bench& bench);          // M1

}  // namespace remsh::bench

#include "slave/about.hpp"

#include "base/format.hpp"
#include "slave/add_operation.hpp"
#include "slave/host_facts.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace remsh {

namespace {

constexpr std::size_t longest_print = 4096;

/// The line of the log for a message of the master. The log itself replaces what has an effect.
std::string print_line(const Bytes& message) {
  if (message.size() <= longest_print) return "the master says: " + message;
  return formatted("the master says: {}... and {} bytes more", message.substr(0, longest_print),
                   message.size() - longest_print);
}

operations::ListOperations::Reply names_of(const About& about) {
  operations::ListOperations::Reply reply;
  reply.names = about.operations;
  reply.names.emplace_back(operations::Ping::what.name);
  std::sort(reply.names.begin(), reply.names.end());
  return reply;
}

}  // namespace

void add_about(Dispatcher& dispatcher, std::shared_ptr<const Workplace> workplace, std::shared_ptr<const About> about) {
  using namespace operations;
  add_operation<Print>(dispatcher, [about](const Print::Request& request, rpc::ServedCall&) -> Result<Nothing> {
    about->print(print_line(request.message));
    return Nothing();
  });
  add_operation<LogTail>(dispatcher, [about](const LogTail::Request& request, rpc::ServedCall&) {
    return Result<LogTail::Reply>(LogTail::Reply{about->log_tail(static_cast<std::size_t>(request.lines))});
  });
  add_operation<ListOperations>(dispatcher, [about](const Nothing&, rpc::ServedCall&) -> Result<ListOperations::Reply> {
    return names_of(*about);
  });
  add_operation<Shutdown>(dispatcher, [about](const Shutdown::Request& request, rpc::ServedCall&) -> Result<Nothing> {
    if (auto agreed = about->shut_down(request); !agreed) return std::move(agreed).failure();
    return Nothing();
  });
  add_operation<ReadHostFacts>(dispatcher, [about, workplace = std::move(workplace)](const Nothing&, rpc::ServedCall&) {
    ReadHostFacts::Reply reply{read_host_facts(workplace->base().descriptor())};
    reply.facts.software = about->software.substr(0, 255);
    return Result<ReadHostFacts::Reply>(std::move(reply));
  });
}

}  // namespace remsh

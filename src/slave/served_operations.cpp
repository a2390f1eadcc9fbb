#include "slave/served_operations.hpp"

#include "base/secret_mask.hpp"
#include "operations/operations.hpp"
#include "operations/telling_fields.hpp"

#include <algorithm>
#include <type_traits>

namespace remsh {

namespace {

/// Copies the arguments of a call, if it is an operation of ours.
void note_arguments(ServedOperation& operation, const Box& arguments) {
  operations::for_each([&]<class Operation>(std::type_identity<Operation>) {
    if (operation.operation != Operation::what.name) return;
    const auto request = operations::request_from_box<typename Operation::Request>(arguments);
    if (!request) return;  // its handler reports why
    operations::TellingFields fields([&](BytesView value) { operation.arguments.emplace_back(value); });
    Operation::Request::describe(fields, *request);
    if constexpr (std::is_same_v<Operation, operations::Execute>) {
      operation.cwd = request->cwd;
      const SecretMask mask(request->secrets);
      for (Bytes& argument : operation.arguments) argument = mask.applied_to(argument);
    }
  });
}

}  // namespace

std::vector<ServedOperation> served_operations(const rpc::ServedCalls& calls) {
  std::vector<ServedOperation> all;
  calls.for_each([&](const rpc::ServedCall& call) {
    ServedOperation operation;
    operation.id = call.number();
    operation.duration = calls.now() - call.since();
    operation.start = std::chrono::system_clock::now() -
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(operation.duration);
    operation.operation = call.command();
    note_arguments(operation, call.arguments());
    operation.process = call.process();
    operation.bytes_in = call.moved().in();
    operation.bytes_out = call.moved().out();
    operation.bytes_total = call.moved().total();
    operation.cancelled = call.cancelled();
    all.push_back(std::move(operation));
  });
  std::reverse(all.begin(), all.end());
  return all;
}

}  // namespace remsh

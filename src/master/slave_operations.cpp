// SlaveOperations: each operation is a SlaveWork, which is run at once or returned as a Pending.
#include <remsh/master/slave_operations.hpp>

#include "master/operation_forms.hpp"
#include "master/tree_work.hpp"

#include <cstdint>
#include <utility>

namespace remsh {

using namespace operations;

SlaveOperations::SlaveOperations(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}
SlaveOperations::~SlaveOperations() = default;

std::map<Bytes, Bytes> SlaveOperations::getenv(const CallOptions& options) { return run<Getenv>(*this, {}, options); }
std::map<Bytes, Bytes> SlaveOperations::read_info(const CallOptions& options) {
  return run<ReadInfo>(*this, {}, options);
}
void SlaveOperations::mkdir(const Bytes& path, const CallOptions& options) { run<Mkdir>(*this, {path, {}}, options); }
void SlaveOperations::remove(const Bytes& path, const CallOptions& options) { run<Remove>(*this, {path}, options); }
void SlaveOperations::rename(const Bytes& from, const Bytes& to, const PathOptions& options) {
  run<Rename>(*this, {from, to, options.overwrite, options.durable}, options);
}
void SlaveOperations::copy(const Bytes& from, const Bytes& to, const PathOptions& options) {
  run<Copy>(*this, {from, to, options.overwrite, options.durable}, options);
}
std::optional<FileInfo> SlaveOperations::stat(const Bytes& path, const StatOptions& options) {
  return run<Stat>(*this, {path, !options.follow}, options);
}
std::vector<DirectoryEntry> SlaveOperations::list(const Bytes& path, const ListOptions& options) {
  return run_work<ListWork>(*this, path, options);
}
ExecuteResult SlaveOperations::execute(const std::vector<Bytes>& args, const ExecuteOptions& options) {
  return run_work<ExecuteWork>(*this, args, options);
}
Command SlaveOperations::start(std::vector<Bytes> args, ExecuteOptions options) {
  return Command::start(*this, std::move(args), std::move(options));
}
bool SlaveOperations::interrupt(std::uint64_t command, const Bytes& why, const CallOptions& options) {
  return run<Interrupt>(*this, interrupt_of(command, why), options);
}
bool SlaveOperations::signal(std::uint64_t command, int number, const CallOptions& options) {
  return run<Signal>(*this, signal_of(command, number), options);
}
TransferResult SlaveOperations::send(const Source& source, const Bytes& to, const TransferOptions& options) {
  return run_work<SendWork>(*this, source, to, options);
}
TransferResult SlaveOperations::fetch(const Bytes& from, const Sink& sink, const TransferOptions& options) {
  return run_work<FetchWork>(*this, from, sink, options);
}
TreeResult SlaveOperations::send_tree(const std::string& from, const Bytes& to, const TreeOptions& options) {
  return run_work<SendTreeWork>(*this, from, to, options);
}
TreeResult SlaveOperations::fetch_tree(const Bytes& from, const std::string& to, const TreeOptions& options) {
  return run_work<FetchTreeWork>(*this, from, to, options);
}
Box SlaveOperations::call(const std::string& operation, const Box& arguments, const OwnOperationOptions& options) {
  return run_work<CallWork>(*this, operation, arguments, options);
}
void SlaveOperations::print(const Bytes& message, const CallOptions& options) { run<Print>(*this, {message}, options); }
std::vector<std::string> SlaveOperations::log_tail(std::uint64_t lines, const CallOptions& options) {
  return run<LogTail>(*this, {lines}, options);
}
std::vector<std::string> SlaveOperations::operations(const CallOptions& options) {
  return run<ListOperations>(*this, {}, options);
}
HostFacts SlaveOperations::host_facts(const CallOptions& options) { return run_work<HostFactsWork>(*this, options); }
SlaveReport SlaveOperations::report(const CallOptions& options) {
  auto host = start_host_facts(options);
  auto names = start_operations(options);
  auto info = start_read_info(options);
  return {host.wait(), names.wait(), info.wait()};
}
std::chrono::nanoseconds SlaveOperations::ping(const CallOptions& options) {
  return run_work<PingWork>(*this, options);
}

Pending<std::map<Bytes, Bytes>> SlaveOperations::start_getenv(CallOptions options) {
  return start_plain<Getenv>(*this, {}, std::move(options));
}
Pending<std::map<Bytes, Bytes>> SlaveOperations::start_read_info(CallOptions options) {
  return start_plain<ReadInfo>(*this, {}, std::move(options));
}
Pending<void> SlaveOperations::start_mkdir(Bytes path, CallOptions options) {
  return start_plain<Mkdir>(*this, {std::move(path), {}}, std::move(options));
}
Pending<void> SlaveOperations::start_remove(Bytes path, CallOptions options) {
  return start_plain<Remove>(*this, {std::move(path)}, std::move(options));
}
Pending<void> SlaveOperations::start_rename(Bytes from, Bytes to, PathOptions options) {
  return start_plain<Rename>(*this, {std::move(from), std::move(to), options.overwrite, options.durable}, options);
}
Pending<void> SlaveOperations::start_copy(Bytes from, Bytes to, PathOptions options) {
  return start_plain<Copy>(*this, {std::move(from), std::move(to), options.overwrite, options.durable}, options);
}
Pending<std::optional<FileInfo>> SlaveOperations::start_stat(Bytes path, StatOptions options) {
  return start_plain<Stat>(*this, {std::move(path), !options.follow}, options);
}
Pending<std::vector<DirectoryEntry>> SlaveOperations::start_list(Bytes path, ListOptions options) {
  return start_work<ListWork>(*this, std::move(path), std::move(options));
}
Pending<ExecuteResult> SlaveOperations::start_execute(std::vector<Bytes> args, ExecuteOptions options) {
  return start_work<ExecuteWork>(*this, std::move(args), std::move(options));
}
Pending<bool> SlaveOperations::start_interrupt(std::uint64_t command, Bytes why, CallOptions options) {
  return start_plain<Interrupt>(*this, interrupt_of(command, std::move(why)), std::move(options));
}
Pending<bool> SlaveOperations::start_signal(std::uint64_t command, int number, CallOptions options) {
  return start_plain<Signal>(*this, signal_of(command, number), std::move(options));
}
Pending<TransferResult> SlaveOperations::start_send(Source source, Bytes to, TransferOptions options) {
  return start_work<SendWork>(*this, std::move(source), std::move(to), std::move(options));
}
Pending<TransferResult> SlaveOperations::start_fetch(Bytes from, Sink sink, TransferOptions options) {
  return start_work<FetchWork>(*this, std::move(from), std::move(sink), std::move(options));
}
Pending<TreeResult> SlaveOperations::start_send_tree(std::string from, Bytes to, TreeOptions options) {
  return start_work<SendTreeWork>(*this, std::move(from), std::move(to), std::move(options));
}
Pending<TreeResult> SlaveOperations::start_fetch_tree(Bytes from, std::string to, TreeOptions options) {
  return start_work<FetchTreeWork>(*this, std::move(from), std::move(to), std::move(options));
}
Pending<Box> SlaveOperations::start_call(std::string operation, Box arguments, OwnOperationOptions options) {
  return start_work<CallWork>(*this, std::move(operation), std::move(arguments), std::move(options));
}
Pending<void> SlaveOperations::start_print(Bytes message, CallOptions options) {
  return start_plain<Print>(*this, {std::move(message)}, std::move(options));
}
Pending<std::vector<std::string>> SlaveOperations::start_log_tail(std::uint64_t lines, CallOptions options) {
  return start_plain<LogTail>(*this, {lines}, std::move(options));
}
Pending<std::vector<std::string>> SlaveOperations::start_operations(CallOptions options) {
  return start_plain<ListOperations>(*this, {}, std::move(options));
}
Pending<HostFacts> SlaveOperations::start_host_facts(CallOptions options) {
  return start_work<HostFactsWork>(*this, std::move(options));
}
Pending<std::chrono::nanoseconds> SlaveOperations::start_ping(CallOptions options) {
  return start_work<PingWork>(*this, std::move(options));
}

}  // namespace remsh

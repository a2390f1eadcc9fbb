#include "master/tree_work.hpp"

#include "base/format.hpp"
#include "operations/advice.hpp"

#include <fcntl.h>

#include <span>
#include <utility>

namespace remsh {

namespace {

using operations::TreeSink;
using operations::TreeSource;

/// The mode bits that a slave may set on what we fetch: write permission for other users is not among them.
constexpr mode_t fetched_tree_bits = 0755;

void destroy_sink(void* sink) { delete static_cast<std::optional<TreeSink>*>(sink); }

}  // namespace

// --- send_tree

SendTreeWork::SendTreeWork(const Target& target, const std::string& from, const Bytes& to, const TreeOptions& options)
    : SlaveWork(target, {.path = to, .overwrite = options.overwrite, .durable = options.durable}, options, from,
                &operations::SendTree::Request::path),
      progress_(options.progress) {
  request_.check("source path", from);
  request_.check("destination path", asked_.request.path);
  request_.check_patterns(options.exclude);
  auto source = TreeSource::open(
      AT_FDCWD, from,
      {.exclude = operations::Exclude(options.exclude), .links = options.links, .require_all = options.require_all});
  if (!source) request_.fail_locally(operations::with_tree_advice(std::move(source).failure()), from);
  source_.emplace(std::move(*source));
  asked_.ends.in = [this, &from](std::span<char> buffer) {
    const auto count = source_->read(buffer);
    if (!count) request_.fail_locally(count.failure(), from);
    progress_.advance(source_->moved(), std::nullopt);
    return *count;
  };
  begin();
}

TreeResult SendTreeWork::finish(Result<void> answer) {
  if (answer.ok() && asked_.reply.entries != source_->entries()) {
    answer = Failure{Errc::protocol_error,
                     formatted("the answer to send_tree makes no sense: {} entries were sent, it says {}",
                               source_->entries(), asked_.reply.entries)};
  }
  require(std::move(answer));
  progress_.finish(source_->result().bytes);
  return source_->result();
}

// --- fetch_tree

FetchTreeWork::FetchTreeWork(const Target& target, const Bytes& from, const std::string& to, const TreeOptions& options)
    : SlaveWork(target, {.path = from, .exclude = options.exclude}, options),
      to_(to),
      options_(options),
      progress_(options.progress),
      sink_(new Sink),
      disk_(patience_, {sink_, destroy_sink}) {
  request_.check("path", asked_.request.path);
  request_.check("destination path", to);
  request_.check_patterns(options.exclude);
  require_local(create());
  asked_.ends.out = [this](BytesView bytes) {
    require_local(take_in(bytes));
    progress_.advance((*sink_)->moved(), std::nullopt);
  };
  record_.set_local_file(to);
  begin();
}

Result<void> FetchTreeWork::create() {
  if (auto can = LocalDisk::check(); !can) return can;
  const TreeSink::Options how{.max_bytes = options_.max_bytes,
                              .max_entries = options_.max_entries,
                              .mode_mask = fetched_tree_bits,
                              .links = options_.links,
                              .require_all = options_.require_all,
                              .own_error = Errc::local_os_error,
                              .breach = Errc::protocol_error};
  return disk_.run([sink = sink_, to = to_, overwrite = options_.overwrite, how]() -> Result<void> {
    auto tree = NewTree::create(AT_FDCWD, to, {.overwrite = overwrite});
    if (!tree) {
      tree.failure().code = Errc::local_os_error;
      return std::move(tree).failure();
    }
    sink->emplace(std::move(*tree), how);
    return {};
  });
}

Result<void> FetchTreeWork::take_in(BytesView bytes) {
  if (!disk_.has_thread()) return (*sink_)->take(bytes);
  return disk_.queue([sink = sink_, copy = Bytes(bytes)] { return (*sink)->take(copy); }, bytes.size());
}

/// Throws what the disk's steps have found.
void FetchTreeWork::require_local(const Result<void>& result) const {
  if (result.ok()) return;
  const Failure& failure = result.failure();
  if (failure.code == Errc::local_os_error) request_.fail_locally(failure, to_);
  if (failure.code == Errc::too_large) request_.refuse(Errc::too_large, failure.message);
  request_.fail(failure, patience_.stop);
}

TreeResult FetchTreeWork::finish(Result<void> answer) {
  require(std::move(answer));
  require_local(disk_.run([sink = sink_, reply = asked_.reply, durable = options_.durable]() -> Result<void> {
    if (auto ended = (*sink)->finish(); !ended) return ended;
    if (reply.entries != (*sink)->entries() || reply.bytes != (*sink)->result().bytes) {
      return Failure{
          Errc::protocol_error,
          formatted("the answer to fetch_tree makes no sense: {} entries with {} bytes came, it says {} with {}",
                    (*sink)->entries(), (*sink)->result().bytes, reply.entries, reply.bytes)};
    }
    return (*sink)->commit(durable);
  }));
  // The disk's thread does nothing more now.
  TreeResult result = (*sink_)->result();
  progress_.finish(result.bytes);
  return result;
}

}  // namespace remsh

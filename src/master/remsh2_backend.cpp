#include "master/remsh2_backend.hpp"

#include "operations/schema.hpp"

#include <algorithm>
#include <utility>

namespace remsh {

namespace {

using namespace operations;
using Kind = rpc::Call::Kind;

/// What the slave answered makes no sense: it costs the call, not the connection.
Failure bad_answer(BytesView command, const Failure& failure) {
  return {Errc::protocol_error, "the answer to " + Bytes(command) + " makes no sense: " + failure.message, 0};
}

}  // namespace

Remsh2Group::Remsh2Group(std::shared_ptr<Loop> loop, const rpc::Engine::Options& options, AdmittedBackend::Owner owner)
    : PeerGroup(std::move(loop), {.engine = options,
                                  .on_end =
                                      [this](rpc::Peer& peer) {  // who keeps us
                                        auto& backend = static_cast<Remsh2Backend&>(peer);
                                        owner_.on_end(backend, *backend.ended());
                                        backend.on_lost_.tell(owner_.run_service);
                                      }}),
      owner_(std::move(owner)) {}

Remsh2Backend::~Remsh2Backend() {
  on_lost_.tell(owner().run_service);  // the last handle went before the end of the connection was declared
}

void Remsh2Backend::fail(Failure failure) {
  Peer::fail(std::move(failure));
  on_lost_.tell(owner().run_service);
}

std::optional<Failure> Remsh2Backend::lost() const { return closed(); }

void Remsh2Backend::on_lost(std::unique_ptr<LostCallback> callback) { on_lost_.add(std::move(callback)); }

void Remsh2Backend::disconnect(const std::string& reason) { close(reason); }

/// Every operation: drives one call to its end. Holds nothing while it runs the caller's functions.
Result<Box> Remsh2Backend::run(BytesView command, const Box& arguments, Kind kind, const ExecuteStreams& streams,
                               const std::function<void(std::uint64_t)>& total, const CallOptions& options) {
  rpc::Call call(shared_from_this(), command, arguments, kind, options);
  bool feeds = streams.input != nullptr;
  for (;;) {
    switch (call.next(feeds)) {
      case rpc::Call::Event::chunk: {
        const rpc::Chunk& chunk = call.chunk();
        if (chunk.total && total) total(*chunk.total);
        const OutputCallback& output = chunk.stream == rpc::StreamName::err ? streams.err : streams.out;
        if (output) output(chunk.bytes());
        break;
      }
      case rpc::Call::Event::room: {
        Block piece;
        const auto buffer = piece.payload().first(call.room());
        const std::size_t count = std::min(streams.input(buffer), buffer.size());
        if (count == 0) {
          feeds = false;
          call.end_input();
        } else {
          call.send(std::move(piece), count);
        }
        break;
      }
      case rpc::Call::Event::answered: return std::move(call.answer());
      case rpc::Call::Event::failed: return std::move(call.failure());
    }
  }
}

Result<Box> Remsh2Backend::run(BytesView command, const Box& arguments, Kind kind, const CallOptions& options) {
  static const ExecuteStreams no_streams;
  return run(command, arguments, kind, no_streams, nullptr, options);
}

template <class Reply>
Result<Reply> Remsh2Backend::run(BytesView command, const Box& arguments, Kind kind, const CallOptions& options) {
  auto answer = run(command, arguments, kind, options);
  if (!answer) return std::move(answer).failure();
  auto reply = Reply::from_box(*answer);
  if (!reply) return bad_answer(command, reply.failure());
  return reply;
}

namespace {
/// An answer whose results say nothing.
struct Done {
  static Result<Done> from_box(const Box&) { return Done{}; }
};
Result<void> done(const Result<Done>& result) { return result ? Result<void>() : Result<void>(result.failure()); }
}  // namespace

Result<Bytes> Remsh2Backend::set_cwd(const std::optional<Bytes>& path, const CallOptions& options) {
  auto reply = run<SetCwdReply>("set_cwd", SetCwdRequest{path}.to_box(), Kind::plain, options);
  if (!reply) return std::move(reply).failure();
  return std::move(reply->path);
}

Result<std::map<Bytes, Bytes>> Remsh2Backend::getenv(const CallOptions& options) {
  auto reply = run<GetenvReply>("getenv", {}, Kind::plain, options);
  if (!reply) return std::move(reply).failure();
  return std::move(reply->env);
}

Result<std::map<Bytes, Bytes>> Remsh2Backend::read_info(const CallOptions& options) {
  auto reply = run<InfoReply>("info", {}, Kind::plain, options);
  if (!reply) return std::move(reply).failure();
  return std::move(reply->files);
}

Result<void> Remsh2Backend::mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) {
  return done(run<Done>("mkdir", MkdirRequest{path, mode}.to_box(), Kind::plain, options));
}

Result<void> Remsh2Backend::remove(const Bytes& path, const CallOptions& options) {
  return done(run<Done>("remove", RemoveRequest{path}.to_box(), Kind::streaming, options));
}

Result<void> Remsh2Backend::rename(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) {
  return done(run<Done>("rename", TwoPathsRequest{from, to, overwrite}.to_box(), Kind::plain, options));
}

Result<void> Remsh2Backend::copy(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) {
  return done(run<Done>("copy", TwoPathsRequest{from, to, overwrite}.to_box(), Kind::streaming, options));
}

Result<std::optional<FileInfo>> Remsh2Backend::stat(const Bytes& path, bool follow, const CallOptions& options) {
  auto reply = run<StatReply>("stat", StatRequest{path, !follow}.to_box(), Kind::plain, options);
  if (!reply) return std::move(reply).failure();
  return reply->info;
}

Result<ExecuteResult> Remsh2Backend::execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                             const CallOptions& options) {
  const ExecuteOptions& wanted = *request.options;
  ExecuteCommand command;
  command.args = request.args;
  command.cwd = wanted.cwd;
  command.clear_env = wanted.clear_env;
  for (const auto& [name, value] : wanted.env) {
    if (value) {
      command.set_env.push_back(name + "=" + *value);
    } else {
      command.unset_env.push_back(name);
    }
  }
  command.timeout = wanted.timeout;
  command.kill_after = wanted.kill_after;
  command.in = streams.input != nullptr;
  command.out = streams.out ? OutputMode::stream : OutputMode::discard;
  command.err = wanted.merge_stderr ? OutputMode::merge : streams.err ? OutputMode::stream : OutputMode::discard;
  auto answer = run("execute", command.to_box(), Kind::streaming, streams, nullptr, options);
  if (!answer) return std::move(answer).failure();
  const auto reply = ExecuteReply::from_box(*answer);
  if (!reply) return bad_answer("execute", reply.failure());
  ExecuteResult result;
  result.exit_code = reply->exit_code;
  result.signal = reply->signal;
  result.timed_out = reply->timed_out;
  result.left_background = reply->background;
  return result;
}

Result<void> Remsh2Backend::send(const Bytes& path, const InputCallback& input, bool overwrite, std::uint32_t mode,
                                 const CallOptions& options) {
  auto answer = run("send", SendRequest{path, overwrite, mode}.to_box(), Kind::streaming,
                    ExecuteStreams{input, nullptr, nullptr}, nullptr, options);
  if (!answer) return std::move(answer).failure();
  return {};
}

Result<FetchedFile> Remsh2Backend::fetch(const Bytes& path, const std::function<void(std::uint64_t)>& size,
                                         const OutputCallback& output, const CallOptions& options) {
  std::uint64_t received = 0;
  const OutputCallback counted = [&](BytesView bytes) {
    received += bytes.size();
    output(bytes);
  };
  auto answer = run("fetch", FetchRequest{path}.to_box(), Kind::streaming, ExecuteStreams{nullptr, counted, nullptr},
                    size, options);
  if (!answer) return std::move(answer).failure();
  const auto reply = FetchReply::from_box(*answer);
  if (!reply) return bad_answer("fetch", reply.failure());
  if (reply->bytes != received) {
    return bad_answer("fetch", {Errc::protocol_error,
                                std::to_string(received) + " bytes came, it says " + std::to_string(reply->bytes), 0});
  }
  return FetchedFile{reply->mode};
}

Result<Box> Remsh2Backend::call(const std::string& name, const Box& arguments, const CallOptions& options) {
  return run(name, arguments, Kind::streaming, options);
}

Result<void> Remsh2Backend::ping(const CallOptions& options) {
  return done(run<Done>("ping", {}, Kind::plain, options));
}

}  // namespace remsh

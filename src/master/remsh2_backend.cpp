#include "master/remsh2_backend.hpp"

#include "master/driven_call.hpp"
#include "operations/schema.hpp"

#include <cstdint>
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
                                        backend.tell_lost(backend.on_lost_);
                                      }}),
      owner_(std::move(owner)) {}

Remsh2Backend::~Remsh2Backend() {
  tell_lost(on_lost_);  // the last handle went before the end of the connection was declared
}

void Remsh2Backend::fail(Failure failure) {
  Peer::fail(std::move(failure));
  tell_lost(on_lost_);
}

std::optional<Failure> Remsh2Backend::lost() const { return closed(); }

void Remsh2Backend::on_lost(std::unique_ptr<LostCallback> callback) { on_lost_.add(std::move(callback)); }

namespace {

/// One operation: a call, and what its answer means.
template <class T, class Convert>
class Remsh2Work final : public WorkOf<Result<T>> {
 public:
  Remsh2Work(std::shared_ptr<rpc::Peer> peer, BytesView command, const Box& arguments, Kind kind,
             const DrivenCall::Ends& ends, const CallOptions& options, Convert convert)
      : command_(command),
        convert_(std::move(convert)),
        call_(std::move(peer), command, arguments, kind, ends, options) {}

  void suspend() override { call_.suspend(); }
  bool poll(const Waker& wake) override { return call_.poll(wake); }
  bool wait_until(TimePoint until) override { return call_.wait_until(until); }

  Result<T> take() override {
    auto answer = call_.outcome();
    if (!answer) return std::move(answer).failure();
    auto result = convert_(*answer, call_);
    if (!result) return bad_answer(command_, result.failure());
    return result;
  }

 private:
  const BytesView command_;  // a literal, or the caller's
  const Convert convert_;
  DrivenCall call_;
};

template <class T, class Convert>
Started<T> begin(std::shared_ptr<rpc::Peer> peer, BytesView command, const Box& arguments, Kind kind,
                 const CallOptions& options, Convert convert, const DrivenCall::Ends& ends = {}) {
  return std::make_unique<Remsh2Work<T, Convert>>(std::move(peer), command, arguments, kind, ends, options,
                                                  std::move(convert));
}

/// Of an answer whose results say nothing.
Result<void> nothing(const Box& /*answer*/, const DrivenCall& /*call*/) { return {}; }

}  // namespace

Started<Bytes> Remsh2Backend::start_set_cwd(const std::optional<Bytes>& path, const CallOptions& options) {
  return begin<Bytes>(shared_from_this(), "set_cwd", SetCwdRequest{path}.to_box(), Kind::plain, options,
                      [](const Box& answer, const DrivenCall&) -> Result<Bytes> {
                        auto reply = SetCwdReply::from_box(answer);
                        if (!reply) return std::move(reply).failure();
                        return std::move(reply->path);
                      });
}

Started<std::map<Bytes, Bytes>> Remsh2Backend::start_getenv(const CallOptions& options) {
  return begin<std::map<Bytes, Bytes>>(shared_from_this(), "getenv", {}, Kind::plain, options,
                                       [](const Box& answer, const DrivenCall&) -> Result<std::map<Bytes, Bytes>> {
                                         auto reply = GetenvReply::from_box(answer);
                                         if (!reply) return std::move(reply).failure();
                                         return std::move(reply->env);
                                       });
}

Started<std::map<Bytes, Bytes>> Remsh2Backend::start_read_info(const CallOptions& options) {
  return begin<std::map<Bytes, Bytes>>(shared_from_this(), "info", {}, Kind::plain, options,
                                       [](const Box& answer, const DrivenCall&) -> Result<std::map<Bytes, Bytes>> {
                                         auto reply = InfoReply::from_box(answer);
                                         if (!reply) return std::move(reply).failure();
                                         return std::move(reply->files);
                                       });
}

Started<void> Remsh2Backend::start_mkdir(const Bytes& path, std::optional<std::uint32_t> mode,
                                         const CallOptions& options) {
  return begin<void>(shared_from_this(), "mkdir", MkdirRequest{path, mode}.to_box(), Kind::plain, options, nothing);
}

Started<void> Remsh2Backend::start_remove(const Bytes& path, const CallOptions& options) {
  return begin<void>(shared_from_this(), "remove", RemoveRequest{path}.to_box(), Kind::streaming, options, nothing);
}

Started<void> Remsh2Backend::start_rename(const Bytes& from, const Bytes& to, Placement placement,
                                          const CallOptions& options) {
  return begin<void>(shared_from_this(), "rename",
                     TwoPathsRequest{from, to, placement.overwrite, placement.durable}.to_box(), Kind::plain, options,
                     nothing);
}

Started<void> Remsh2Backend::start_copy(const Bytes& from, const Bytes& to, Placement placement,
                                        const CallOptions& options) {
  return begin<void>(shared_from_this(), "copy",
                     TwoPathsRequest{from, to, placement.overwrite, placement.durable}.to_box(), Kind::streaming,
                     options, nothing);
}

Started<std::optional<FileInfo>> Remsh2Backend::start_stat(const Bytes& path, bool follow, const CallOptions& options) {
  return begin<std::optional<FileInfo>>(shared_from_this(), "stat", StatRequest{path, !follow}.to_box(), Kind::plain,
                                        options,
                                        [](const Box& answer, const DrivenCall&) -> Result<std::optional<FileInfo>> {
                                          auto reply = StatReply::from_box(answer);
                                          if (!reply) return std::move(reply).failure();
                                          return reply->info;
                                        });
}

Started<ExecuteResult> Remsh2Backend::start_execute(const ExecuteRequest& request, const ExecuteStreams& streams,
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
  return begin<ExecuteResult>(shared_from_this(), "execute", command.to_box(), Kind::streaming, options,
                              [](const Box& answer, const DrivenCall&) -> Result<ExecuteResult> {
                                auto reply = ExecuteReply::from_box(answer);
                                if (!reply) return std::move(reply).failure();
                                ExecuteResult result;
                                result.exit_code = reply->exit_code;
                                result.signal = reply->signal;
                                result.timed_out = reply->timed_out;
                                result.left_background = reply->background;
                                return result;
                              },
                              {&streams.input, &streams.out, &streams.err, nullptr});
}

Started<void> Remsh2Backend::start_send(const Bytes& path, const InputCallback& input, Placement placement,
                                        std::uint32_t mode, const CallOptions& options) {
  return begin<void>(shared_from_this(), "send",
                     SendRequest{path, placement.overwrite, mode, placement.durable}.to_box(), Kind::streaming, options,
                     nothing, {.input = &input});
}

Started<FetchedFile> Remsh2Backend::start_fetch(const Bytes& path, const SizeCallback& size,
                                                const OutputCallback& output, const CallOptions& options) {
  return begin<FetchedFile>(
      shared_from_this(), "fetch", FetchRequest{path}.to_box(), Kind::streaming, options,
      [](const Box& answer, const DrivenCall& call) -> Result<FetchedFile> {
        auto reply = FetchReply::from_box(answer);
        if (!reply) return std::move(reply).failure();
        if (reply->bytes != call.received()) {
          return Failure{Errc::protocol_error,
                         std::to_string(call.received()) + " bytes came, it says " + std::to_string(reply->bytes), 0};
        }
        return FetchedFile{reply->mode};
      },
      {.out = &output, .size = &size});
}

Started<Box> Remsh2Backend::start_call(const std::string& name, const Box& arguments, const CallOptions& options) {
  return begin<Box>(shared_from_this(), name, arguments, Kind::streaming, options,
                    [](Box& answer, const DrivenCall&) { return Result<Box>(std::move(answer)); });
}

Started<TimePoint> Remsh2Backend::start_ping(const CallOptions& options) {
  return begin<TimePoint>(
      shared_from_this(), "ping", {}, Kind::plain, options,
      [](const Box& /*answer*/, const DrivenCall& call) -> Result<TimePoint> { return call.answered_at(); });
}

}  // namespace remsh

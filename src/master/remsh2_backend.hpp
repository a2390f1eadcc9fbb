// Remsh2Backend: drives a slave that speaks our own protocol.
#pragma once

#include "master/admitted_backend.hpp"
#include "rpc/call.hpp"
#include "rpc/peer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

/// What the backends of one listener have in common.
class Remsh2Group final : public rpc::PeerGroup {
 public:
  Remsh2Group(std::shared_ptr<Loop> loop, const rpc::Engine::Options& options, AdmittedBackend::Owner owner);

 private:
  friend class Remsh2Backend;
  const AdmittedBackend::Owner owner_;
};

/// An AdmittedBackend that is a Peer: one object, as a master has many. Thread-safe.
class Remsh2Backend final : public AdmittedBackend, public rpc::Peer {
 public:
  explicit Remsh2Backend(std::shared_ptr<Remsh2Group> group) : Peer(std::move(group)) {}
  ~Remsh2Backend() override;

  Started<Bytes> start_set_cwd(const std::optional<Bytes>& path, const CallOptions& options) override;
  Started<std::map<Bytes, Bytes>> start_getenv(const CallOptions& options) override;
  Started<std::map<Bytes, Bytes>> start_read_info(const CallOptions& options) override;
  Started<void> start_mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) override;
  Started<void> start_remove(const Bytes& path, const CallOptions& options) override;
  Started<void> start_rename(const Bytes& from, const Bytes& to, Placement placement,
                             const CallOptions& options) override;
  Started<void> start_copy(const Bytes& from, const Bytes& to, Placement placement,
                           const CallOptions& options) override;
  Started<std::optional<FileInfo>> start_stat(const Bytes& path, bool follow, const CallOptions& options) override;
  Started<ExecuteResult> start_execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                       const CallOptions& options) override;
  Started<void> start_send(const Bytes& path, const InputCallback& input, Placement placement, std::uint32_t mode,
                           const CallOptions& options) override;
  Started<FetchedFile> start_fetch(const Bytes& path, const SizeCallback& size, const OutputCallback& output,
                                   const CallOptions& options) override;
  Started<Box> start_call(const std::string& name, const Box& arguments, const CallOptions& options) override;
  Started<TimePoint> start_ping(const CallOptions& options) override;
  [[nodiscard]] std::uint64_t next_operation() const override { return Peer::next_call(); }
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept override {
    Peer::notify_when_over(std::move(end));
  }
  void end_connection(Failure why) override { close(std::move(why)); }
  [[nodiscard]] std::optional<Failure> lost() const override;
  void on_lost(std::unique_ptr<LostCallback> callback) override;
  void open(std::unique_ptr<Transport> transport) override { Peer::open(std::move(transport)); }
  void fail(Failure failure) override;
  void wait_until_left() override { Peer::wait_until_left(); }

 private:
  friend class Remsh2Group;
  [[nodiscard]] const AdmittedBackend::Owner& owner() const noexcept override {
    return static_cast<const Remsh2Group&>(group()).owner_;
  }

  LostCallbacks on_lost_;
};

}  // namespace remsh

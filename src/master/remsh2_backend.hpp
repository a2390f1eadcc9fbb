// Remsh2Backend: drives a slave that speaks our own protocol.
#pragma once

#include "master/backend.hpp"
#include "rpc/call.hpp"
#include "rpc/peer.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace remsh {

/// A Backend over a Peer. Made before its connection is open, so that the slave class can decide whether it wants it:
/// until attach() every operation fails with connection_lost. Thread-safe.
class Remsh2Backend final : public Backend {
 public:
  /// `run_service` runs a function on a thread that may block.
  explicit Remsh2Backend(std::function<void(std::function<void()>)> run_service)
      : run_service_(std::move(run_service)) {}
  ~Remsh2Backend() override;

  /// The connection is open. Once; before anybody is to use the slave.
  void attach(std::shared_ptr<rpc::Peer> peer);

  /// The connection has ended, or never came to be open; by the peer's owner. Once.
  void ended(Failure failure);

  Result<Bytes> set_cwd(const std::optional<Bytes>& path, const CallOptions& options) override;
  Result<std::map<Bytes, Bytes>> getenv(const CallOptions& options) override;
  Result<std::map<Bytes, Bytes>> read_info(const CallOptions& options) override;
  Result<void> mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) override;
  Result<void> remove(const Bytes& path, const CallOptions& options) override;
  Result<void> rename(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) override;
  Result<void> copy(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) override;
  Result<std::optional<FileInfo>> stat(const Bytes& path, bool follow, const CallOptions& options) override;
  Result<ExecuteResult> execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                const CallOptions& options) override;
  Result<void> send(const Bytes& path, const InputCallback& input, bool overwrite, std::uint32_t mode,
                    const CallOptions& options) override;
  Result<FetchedFile> fetch(const Bytes& path, const std::function<void(std::uint64_t)>& size,
                            const OutputCallback& output, const CallOptions& options) override;
  Result<Box> call(const std::string& name, const Box& arguments, const CallOptions& options) override;
  Result<void> ping(const CallOptions& options) override;
  void disconnect(const std::string& reason) override;
  [[nodiscard]] std::optional<Failure> lost() const override;
  void on_lost(std::function<void()> callback) override;

 private:
  [[nodiscard]] rpc::Peer* peer() const noexcept {
    return is_attached_.load(std::memory_order_acquire) ? peer_.get() : nullptr;
  }
  Result<Box> run(BytesView command, const Box& arguments, rpc::Call::Kind kind, const ExecuteStreams& streams,
                  const std::function<void(std::uint64_t)>& total, const CallOptions& options);
  Result<Box> run(BytesView command, const Box& arguments, rpc::Call::Kind kind, const CallOptions& options);
  template <class Reply>
  Result<Reply> run(BytesView command, const Box& arguments, rpc::Call::Kind kind, const CallOptions& options);

  const std::function<void(std::function<void()>)> run_service_;
  std::shared_ptr<rpc::Peer> peer_;  // written once, before is_attached_
  std::atomic<bool> is_attached_ = false;

  mutable std::mutex mutex_;
  std::optional<Failure> lost_;
  std::optional<std::string> disconnect_early_;  // disconnect() came before attach()
  std::function<void()> on_lost_;
};

}  // namespace remsh

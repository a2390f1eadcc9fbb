// Remsh2Backend: drives a slave that speaks remsh 2, the protocol of this library.
#pragma once

#include "master/admitted_backend.hpp"
#include "rpc/peer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

class Remsh2Backend;

/// What the back ends of one listener share.
class Remsh2Group final : public rpc::PeerGroup {
 public:
  Remsh2Group(std::shared_ptr<Loop> loop, const Session::Options& options, AdmittedBackend::Owner owner);

 private:
  friend class Remsh2Backend;

  // On the loop. The peer keeps this group alive.

  /// The connection of a slave is cut. It is still in its collection, and its lease is held. What the cut ends is
  /// decided here and nowhere else on a master: it ends everything, as no connection can replace another yet (decision
  /// 0034). When sessions can be resumed, this function will keep them.
  static void connection_cut(rpc::Peer& peer);

  /// A slave has announced that it will end. If it is reserved, it is let go at the end of the lease, otherwise now, as
  /// soon as it is idle.
  static void slave_drains(Remsh2Backend& backend);

  /// The session of a slave is over, after a cut or on purpose: the slave leaves its collection, and its lease ends.
  void session_over(Remsh2Backend& backend);

  const AdmittedBackend::Owner owner_;
};

/// An AdmittedBackend that is also a Peer, in one object, since a master has many of them. Thread-safe.
class Remsh2Backend final : public AdmittedBackend, public rpc::Peer {
 public:
  explicit Remsh2Backend(std::shared_ptr<Remsh2Group> group) : Peer(std::move(group)) {}
  ~Remsh2Backend() override;

  Started start(AskedOperation& operation, const Patience& options) override;
  std::shared_ptr<void> batch() override;
  Result<bool> write_input(std::uint64_t operation, BytesView bytes, const Patience& options) override;
  void end_input(std::uint64_t operation) override;
  [[nodiscard]] std::uint64_t next_operation() const override { return Peer::next_call(); }
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept override {
    Peer::notify_when_over(std::move(end));
  }
  void end_connection(Failure why) override { close(std::move(why)); }
  [[nodiscard]] std::optional<Failure> lost() const override;
  bool set_keepalive(const Keepalive& keepalive) override {
    Peer::set_keepalive(keepalive.interval, keepalive.patience);
    return true;
  }
  [[nodiscard]] std::optional<std::string> draining() const override;
  [[nodiscard]] bool is_draining() const override { return Peer::is_draining(); }
  void open(std::unique_ptr<Transport> transport) override { Peer::open(std::move(transport)); }
  void fail(Failure failure) override;
  void wait_until_left() override { Peer::wait_until_left(); }

 private:
  friend class Remsh2Group;
  [[nodiscard]] const AdmittedBackend::Owner& owner() const noexcept override {
    return static_cast<const Remsh2Group&>(group()).owner_;
  }
};

}  // namespace remsh

#include "master/remsh2_backend.hpp"

#include "base/text.hpp"
#include "master/driven_call.hpp"
#include "rpc/call_input.hpp"
#include "rpc/peer_batch.hpp"

#include <utility>

namespace remsh {

Remsh2Group::Remsh2Group(std::shared_ptr<Loop> loop, const Session::Options& options, AdmittedBackend::Owner owner)
    : PeerGroup(std::move(loop),
                {.session = options,
                 .on_cut = connection_cut,
                 .on_draining = [](rpc::Peer& peer) { slave_drains(static_cast<Remsh2Backend&>(peer)); },
                 .on_end = [this](rpc::Peer& peer) { session_over(static_cast<Remsh2Backend&>(peer)); }}),
      owner_(std::move(owner)) {}

void Remsh2Group::connection_cut(rpc::Peer& peer) { peer.give_up(); }

void Remsh2Group::slave_drains(Remsh2Backend& backend) {
  if (!backend.note_draining()) backend.let_go_when_idle();
}

void Remsh2Group::session_over(Remsh2Backend& backend) {
  owner_.on_end(backend, *backend.ended());
  backend.tell_lost();
}

Remsh2Backend::~Remsh2Backend() {
  tell_lost();  // if the last handle was dropped before the end of the connection was declared
}

void Remsh2Backend::fail(Failure failure) {
  Peer::fail(std::move(failure));
  tell_lost();
}

std::optional<Failure> Remsh2Backend::lost() const { return closed(); }

std::optional<std::string> Remsh2Backend::draining() const {
  const auto announced = Peer::draining();
  return announced ? std::optional(without_controls(announced->reason)) : std::nullopt;
}

Started Remsh2Backend::start(AskedOperation& operation, const Patience& options) {
  return std::make_unique<DrivenCall>(shared_from_this(), operation, options);
}

std::shared_ptr<void> Remsh2Backend::batch() { return std::make_shared<rpc::PeerBatch>(shared_from_this()); }

Result<bool> Remsh2Backend::write_input(std::uint64_t operation, BytesView bytes, const Patience& options) {
  return rpc::CallInput(shared_from_this(), operation).write(bytes, options);
}

void Remsh2Backend::end_input(std::uint64_t operation) { rpc::CallInput(shared_from_this(), operation).end(); }

}  // namespace remsh

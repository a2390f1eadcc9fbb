// W1 by Cap'n Proto: its two-party RPC, as its "EZ" interface sets it up.
#include "stat_peer.hpp"

#include "stat.capnp.h"

#include <capnp/ez-rpc.h>

#include <string>

namespace {

class Files final : public stat_peer::Files::Server {
  kj::Promise<void> stat(StatContext context) override {
    const auto path = context.getParams().getPath();
    const auto answer =
        remsh::bench::StatAnswer::of(std::string(reinterpret_cast<const char*>(path.begin()), path.size()));
    auto info = context.getResults().initInfo();
    info.setType("file");
    info.setSize(answer.size);
    info.setMode(answer.mode);
    info.setMtime(answer.mtime);
    return kj::READY_NOW;
  }
};

}  // namespace

int main(int argc, char** argv) {
  return remsh::bench::stat_peer(
      argc, argv,
      [](const auto& is_at) {
        capnp::EzRpcServer server(kj::heap<Files>(), "127.0.0.1", 0);
        auto& scope = server.getWaitScope();
        is_at(static_cast<std::uint16_t>(server.getPort().wait(scope)));
        kj::NEVER_DONE.wait(scope);
      },
      [](std::uint16_t port, const auto& measure) {
        capnp::EzRpcClient client("127.0.0.1", port);
        auto files = client.getMain<stat_peer::Files>();
        const std::string path = remsh::bench::stat_path;
        measure([&] {
          auto request = files.statRequest();
          request.setPath(kj::arrayPtr(reinterpret_cast<const kj::byte*>(path.data()), path.size()));
          static_cast<void>(request.send().wait(client.getWaitScope()).getInfo().getSize());
        });
      });
}

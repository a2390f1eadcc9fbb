// W1 by gRPC: its synchronous server and stub.
#include "stat_peer.hpp"

#include "stat.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace {

class Files final : public stat_peer::Files::Service {
  grpc::Status Stat(grpc::ServerContext* /*context*/, const stat_peer::Path* request, stat_peer::Info* reply) override {
    const auto answer = remsh::bench::StatAnswer::of(request->path());
    reply->set_type("file");
    reply->set_size(answer.size);
    reply->set_mode(answer.mode);
    reply->set_mtime(answer.mtime);
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  return remsh::bench::stat_peer(
      argc, argv,
      [](const auto& is_at) {
        Files files;
        int port = 0;
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
        builder.RegisterService(&files);
        const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
        is_at(static_cast<std::uint16_t>(port));
        server->Wait();
      },
      [](std::uint16_t port, const auto& measure) {
        const auto stub = stat_peer::Files::NewStub(
            grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
        stat_peer::Path request;
        request.set_path(remsh::bench::stat_path);
        measure([&] {
          grpc::ClientContext context;
          stat_peer::Info reply;
          if (!stub->Stat(&context, request, &reply).ok()) throw std::runtime_error("no answer");
        });
      });
}

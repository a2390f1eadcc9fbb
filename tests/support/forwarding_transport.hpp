// ForwardingTransport: a transport that passes everything to another one, for those that change or count a part of it.
#pragma once

#include <remsh/transport/transport.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::test {

/// As thread-safe as the other transport. A test may keep that one, in order to cut it off.
class ForwardingTransport : public Transport {
 public:
  explicit ForwardingTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}

  IoResult read_some(std::span<char> buffer, Duration wait) override { return inner_->read_some(buffer, wait); }
  IoResult write_some(std::span<const std::string_view> buffers) override { return inner_->write_some(buffers); }
  Ready wait(Ready directions, Duration wait) override { return inner_->wait(directions, wait); }
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    inner_->arm(watcher, directions, token);
  }
  void disarm_for_good(Watcher& watcher) noexcept override { inner_->disarm_for_good(watcher); }
  void shutdown() noexcept override { inner_->shutdown(); }
  [[nodiscard]] bool is_inherited() const override { return inner_->is_inherited(); }
  [[nodiscard]] std::string failure_words() const override { return inner_->failure_words(); }
  [[nodiscard]] std::string description() const override { return inner_->description(); }

 protected:
  [[nodiscard]] Transport& inner() const noexcept { return *inner_; }

 private:
  const std::shared_ptr<Transport> inner_;
};

}  // namespace remsh::test

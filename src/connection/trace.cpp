#include <remsh/connection/trace.hpp>

#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace remsh {

namespace {

constexpr std::size_t longest_shown = 120;

/// Values that do not belong in a log: content that may be secret, and proofs.
bool is_hidden(BytesView key) {
  key = key.substr(0, key.find('~'));  // a long value's continuation is equally secret
  return key == "data" || key == "env" || key == "mac" || key == "resume_mac" || key == "nonce" || key == "files" ||
         key == "secrets" || key == "prepend" || key.starts_with("env_");
}

bool is_plain(BytesView text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=' && c != '<';
  });
}

void append_shown(std::string& line, BytesView text) {
  if (is_plain(text)) {
    line.append(text);
    return;
  }
  line += '"';
  for (const char c : escaped(text)) {
    if (c == '"') line += '\\';
    line += c;
  }
  line += '"';
}

/// Decides which values of a box are hidden because they contain one of the texts under `secrets`. docs/protocol.md
/// section 7.
class HiddenSecrets {
 public:
  template <class AnyBox>
  explicit HiddenSecrets(const AnyBox& box) {
    const auto list = box.get(key_);
    if (!list) return;
    has_some_ = true;
    is_whole_ = !box.has(Bytes(key_) + "~0001");
    BytesView rest = *list;
    std::vector<Bytes> secrets;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\0');
      secrets.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end == BytesView::npos ? rest.size() : end + 1);
    }
    mask_.emplace(secrets);
  }

  /// A secret may begin in one part of a long value and end in the next one.
  [[nodiscard]] bool hide(BytesView key, BytesView value) const {
    if (!has_some_ || key.starts_with('_')) return false;
    return key == key_ || !is_whole_ || key.find('~') != BytesView::npos || mask_->is_in(value);
  }

 private:
  static constexpr BytesView key_ = "secrets";
  bool has_some_ = false;
  bool is_whole_ = true;
  std::optional<SecretMask> mask_;
};

template <class AnyBox>
std::string line_of(const AnyBox& box) {
  const HiddenSecrets secrets(box);
  std::string line;
  for (const auto& [key, value] : box) {
    if (!line.empty()) line += ' ';
    append_shown(line, key);
    line += '=';
    if (is_hidden(key) || value.size() > longest_shown || secrets.hide(key, value)) {
      line += formatted("<{} bytes>", value.size());
    } else {
      append_shown(line, value);
    }
  }
  return line;
}

/// Passes everything on, and traces it.
class TracedTransport final : public Transport {
 public:
  TracedTransport(std::unique_ptr<Transport> inner, TraceHook hook)
      : inner_(std::move(inner)), hook_(std::move(hook)), peer_(without_controls(inner_->description())) {}

  IoResult read_some(std::span<char> buffer, Duration wait) override {
    const IoResult result = inner_->read_some(buffer, wait);
    switch (result.status) {
      case IoResult::Status::ok: received_.follow(*this, BytesView(buffer.data(), result.bytes)); break;
      case IoResult::Status::would_block: break;
      case IoResult::Status::end: received_.end(*this, "(end)"); break;
      case IoResult::Status::failed: received_.end(*this, error_text(result.error)); break;
    }
    return result;
  }

  IoResult write_some(std::span<const std::string_view> buffers) override {
    const IoResult result = inner_->write_some(buffers);
    if (result.status == IoResult::Status::failed) sent_.end(*this, error_text(result.error));
    if (result.status != IoResult::Status::ok) return result;
    std::size_t left = result.bytes;
    for (const std::string_view buffer : buffers) {
      const BytesView taken = buffer.substr(0, left);
      left -= taken.size();
      if (!taken.empty()) sent_.follow(*this, taken);
    }
    return result;
  }

  Ready wait(Ready directions, Duration wait) override { return inner_->wait(directions, wait); }
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    inner_->arm(watcher, directions, token);
  }
  void disarm_for_good(Watcher& watcher) noexcept override { inner_->disarm_for_good(watcher); }
  void shutdown() noexcept override { inner_->shutdown(); }
  [[nodiscard]] std::string failure_words() const override { return inner_->failure_words(); }
  [[nodiscard]] std::string channel_binding() const override { return inner_->channel_binding(); }
  [[nodiscard]] bool is_inherited() const override { return inner_->is_inherited(); }
  [[nodiscard]] std::string description() const override { return inner_->description(); }

 private:
  /// One direction. Used only by the thread that reads, or only by the one that writes.
  class Direction {
   public:
    explicit Direction(bool sent) : sent_(sent) {}

    void follow(const TracedTransport& transport, BytesView bytes) {
      if (over_) return;
      decoder_.feed(bytes);
      while (decoder_.next()) transport.tell(sent_, to_string(decoder_.box()));
      if (decoder_.error() != BoxError::none) {
        end(transport, formatted("(no boxes from here on: {})", to_string(decoder_.error())));
      }
    }

    void end(const TracedTransport& transport, std::string text) {
      if (!std::exchange(over_, true)) transport.tell(sent_, std::move(text));
    }

   private:
    const bool sent_;
    bool over_ = false;
    BoxDecoder decoder_;
  };

  static std::string error_text(int error) { return '(' + std::generic_category().message(error) + ')'; }

  void tell(bool sent, std::string text) const {
    try {
      hook_({std::chrono::system_clock::now(), sent, peer_, std::move(text)});
    } catch (...) {  // a hook that throws must not end the connection
    }
  }

  const std::unique_ptr<Transport> inner_;
  const TraceHook hook_;
  const std::string peer_;
  Direction sent_{true};
  Direction received_{false};
};

}  // namespace

std::string to_string(const Box& box) { return line_of(box); }
std::string to_string(const BoxView& box) { return line_of(box); }

std::string to_string(const TraceRecord& record) {
  using namespace std::chrono;
  const auto day = floor<days>(record.time);
  const hh_mm_ss<microseconds> time(duration_cast<microseconds>(record.time - day));
  return formatted("{:02}:{:02}:{:02}.{:06} {} {} {}", time.hours().count(), time.minutes().count(),
                   time.seconds().count(), time.subseconds().count(), record.peer, record.sent ? '>' : '<',
                   record.text);
}

std::unique_ptr<Transport> traced(std::unique_ptr<Transport> transport, TraceHook hook) {
  if (!hook) return transport;
  return std::make_unique<TracedTransport>(std::move(transport), std::move(hook));
}

}  // namespace remsh

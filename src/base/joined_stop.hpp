// JoinedStop: a stop token that either of two others stops.
#pragma once

#include <memory>
#include <stop_token>

namespace remsh {

/// A stop token that either of two others stops, as long as this object lives.
class JoinedStop {
 public:
  JoinedStop(const std::stop_token& one, const std::stop_token& other)
      : one_(one, Pass{source_}), other_(other, Pass{source_}) {}
  JoinedStop(const JoinedStop&) = delete;
  JoinedStop& operator=(const JoinedStop&) = delete;

  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  struct Pass {
    std::stop_source source;
    void operator()() noexcept { source.request_stop(); }
  };

  std::stop_source source_;
  std::stop_callback<Pass> one_;
  std::stop_callback<Pass> other_;
};

/// A token that either of two others stops. If an object must live as long as the token is used, it is put into
/// `joined`.
inline std::stop_token join(const std::stop_token& one, const std::stop_token& other,
                            std::unique_ptr<JoinedStop>& joined) {
  if (!one.stop_possible()) return other;
  if (!other.stop_possible()) return one;
  joined = std::make_unique<JoinedStop>(one, other);
  return joined->token();
}

}  // namespace remsh

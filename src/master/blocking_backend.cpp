#include "master/blocking_backend.hpp"

#include "base/clock.hpp"
#include "base/format.hpp"
#include "master/admitted_backend.hpp"
#include "master/errand.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <system_error>

namespace remsh {

namespace {

/// An operation as an errand.
class BlockingWork final : public detail::WorkOf<Result<void>> {
 public:
  using Body = std::function<Result<void>(Errand&, const Patience&)>;

  BlockingWork(RunningOperations& operations, AskedOperation& asked, const Patience& options, Body body)
      : running_(operations),
        body_(std::move(body)),
        errand_(options, [this](Errand& errand, const Patience& patience) {
          const Finishing finishing{running_};
          result_ = body_(errand, patience);
        }) {
    asked.number = running_.number();
  }

  void suspend() override {
    try {
      errand_.suspend();
    } catch (const std::system_error& error) {
      result_ = Failure{Errc::local_os_error, formatted("no thread for it: {}", error.what()), error.code().value()};
      has_no_thread_ = true;
      running_.finish();
    }
  }
  bool poll(const Waker& wake) override { return has_no_thread_ || errand_.poll(wake); }
  bool wait_until(TimePoint until) override { return has_no_thread_ || errand_.wait_until(until); }
  Result<void> take() override { return std::move(result_); }

 private:
  /// Ends the operation when its body ends, however that happens.
  struct Finishing {
    RunningOperations::Running& running;
    ~Finishing() { running.finish(); }
  };

  RunningOperations::Running running_;
  const Body body_;
  Result<void> result_;
  bool has_no_thread_ = false;
  Errand errand_;  // the last member: its destructor waits for the body
};

/// The stream ends of an operation, in a form that the body of an errand may call. Counts the bytes that they move.
StreamEnds passed(Errand& errand, AskedOperation& operation) {
  const StreamEnds& ends = operation.ends;
  StreamCounts& moved = operation.moved;
  StreamEnds ours;
  if (ends.in) {
    ours.in = [&](std::span<char> buffer) {
      std::size_t size = 0;
      errand.pass([&] { size = ends.in(buffer); });
      moved.add_in(size);
      return size;
    };
  }
  const auto output = [&errand, &moved](const OutputCallback& callback) -> OutputCallback {
    if (!callback) return {};
    return [&](BytesView bytes) {
      errand.pass([&] { callback(bytes); });
      moved.add_out(bytes.size());
    };
  };
  ours.out = output(ends.out);
  ours.err = output(ends.err);
  if (ends.size) {
    ours.size = [&](std::uint64_t bytes) { errand.pass([&] { ends.size(bytes); }); };
  }
  return ours;
}

}  // namespace

template <class Base>
Started BlockingBackend<Base>::start(AskedOperation& operation, const Patience& options) {
  RunningOperations& running = *this;
  return std::make_unique<BlockingWork>(running, operation, options,
                                        [this, &operation](Errand& errand, const Patience& patience) -> Result<void> {
                                          auto done = run(operation, passed(errand, operation), patience);
                                          operation.answered_at = real_clock().now();
                                          return done;
                                        });
}

template class BlockingBackend<Backend>;
template class BlockingBackend<AdmittedBackend>;

}  // namespace remsh

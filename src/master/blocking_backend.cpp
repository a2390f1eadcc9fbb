#include "master/blocking_backend.hpp"

#include "base/clock.hpp"
#include "master/admitted_backend.hpp"
#include "master/errand.hpp"
#include "master/running_operations.hpp"

#include <cstddef>
#include <span>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// An errand with a result.
template <class T>
class ErrandFor final : public WorkOf<Result<T>> {
 public:
  using Body = std::function<Result<T>(Errand&, const CallOptions&)>;

  ErrandFor(RunningOperations& operations, const CallOptions& options, Body body)
      : running_(operations),
        body_(std::move(body)),
        errand_(options, [this](Errand& errand, const CallOptions& patience) {
          const Finishing finishing{running_};
          result_ = body_(errand, patience);
        }) {}

  void suspend() override {
    try {
      errand_.suspend();
    } catch (const std::system_error& error) {
      result_ = Failure{Errc::local_os_error, std::string("no thread for it: ") + error.what(), error.code().value()};
      has_no_thread_ = true;
      running_.finish();
    }
  }
  bool poll(const Waker& wake) override { return has_no_thread_ || errand_.poll(wake); }
  bool wait_until(TimePoint until) override { return has_no_thread_ || errand_.wait_until(until); }
  Result<T> take() override { return std::move(*result_); }

 private:
  /// The operation is over with its body, however that ends.
  struct Finishing {
    RunningOperations::Running& running;
    ~Finishing() { running.finish(); }
  };

  RunningOperations::Running running_;
  const Body body_;
  std::optional<Result<T>> result_;
  bool has_no_thread_ = false;
  Errand errand_;  // the last: its end waits for the body
};

template <class T>
Started<T> begin(RunningOperations& operations, const CallOptions& options, typename ErrandFor<T>::Body body) {
  return std::make_unique<ErrandFor<T>>(operations, options, std::move(body));
}

// Callbacks, as the body of an errand calls them.

InputCallback passed(Errand& errand, const InputCallback& input) {
  if (!input) return {};
  return [&](std::span<char> buffer) {
    std::size_t size = 0;
    errand.pass([&] { size = input(buffer); });
    return size;
  };
}

OutputCallback passed(Errand& errand, const OutputCallback& output) {
  if (!output) return {};
  return [&](BytesView bytes) { errand.pass([&] { output(bytes); }); };
}

SizeCallback passed(Errand& errand, const SizeCallback& size) {
  if (!size) return {};
  return [&](std::uint64_t bytes) { errand.pass([&] { size(bytes); }); };
}

}  // namespace

template <class Base>
Started<Bytes> BlockingBackend<Base>::start_set_cwd(const std::optional<Bytes>& path, const CallOptions& options) {
  return begin<Bytes>(*this, options,
                      [this, &path](Errand&, const CallOptions& patience) { return this->set_cwd(path, patience); });
}

template <class Base>
Started<std::map<Bytes, Bytes>> BlockingBackend<Base>::start_getenv(const CallOptions& options) {
  return begin<std::map<Bytes, Bytes>>(*this, options,
                                       [this](Errand&, const CallOptions& patience) { return this->getenv(patience); });
}

template <class Base>
Started<std::map<Bytes, Bytes>> BlockingBackend<Base>::start_read_info(const CallOptions& options) {
  return begin<std::map<Bytes, Bytes>>(
      *this, options, [this](Errand&, const CallOptions& patience) { return this->read_info(patience); });
}

template <class Base>
Started<void> BlockingBackend<Base>::start_mkdir(const Bytes& path, std::optional<std::uint32_t> mode,
                                                 const CallOptions& options) {
  return begin<void>(*this, options, [this, &path, mode](Errand&, const CallOptions& patience) {
    return this->mkdir(path, mode, patience);
  });
}

template <class Base>
Started<void> BlockingBackend<Base>::start_remove(const Bytes& path, const CallOptions& options) {
  return begin<void>(*this, options,
                     [this, &path](Errand&, const CallOptions& patience) { return this->remove(path, patience); });
}

template <class Base>
Started<void> BlockingBackend<Base>::start_rename(const Bytes& from, const Bytes& to, Placement placement,
                                                  const CallOptions& options) {
  return begin<void>(*this, options, [this, &from, &to, placement](Errand&, const CallOptions& patience) {
    return this->rename(from, to, placement.overwrite, patience);
  });
}

template <class Base>
Started<void> BlockingBackend<Base>::start_copy(const Bytes& from, const Bytes& to, Placement placement,
                                                const CallOptions& options) {
  return begin<void>(*this, options, [this, &from, &to, placement](Errand&, const CallOptions& patience) {
    return this->copy(from, to, placement.overwrite, patience);
  });
}

template <class Base>
Started<std::optional<FileInfo>> BlockingBackend<Base>::start_stat(const Bytes& path, bool follow,
                                                                   const CallOptions& options) {
  return begin<std::optional<FileInfo>>(*this, options, [this, &path, follow](Errand&, const CallOptions& patience) {
    return this->stat(path, follow, patience);
  });
}

template <class Base>
Started<Box> BlockingBackend<Base>::start_call(const std::string& name, const Box& arguments,
                                               const CallOptions& options) {
  return begin<Box>(*this, options, [this, &name, &arguments](Errand&, const CallOptions& patience) {
    return this->call(name, arguments, patience);
  });
}

template <class Base>
Started<TimePoint> BlockingBackend<Base>::start_ping(const CallOptions& options) {
  return begin<TimePoint>(*this, options, [this](Errand&, const CallOptions& patience) -> Result<TimePoint> {
    if (auto answer = this->ping(patience); !answer) return std::move(answer).failure();
    return real_clock().now();
  });
}

template <class Base>
Started<ExecuteResult> BlockingBackend<Base>::start_execute(const ExecuteRequest& request,
                                                            const ExecuteStreams& streams, const CallOptions& options) {
  return begin<ExecuteResult>(*this, options, [this, &request, &streams](Errand& errand, const CallOptions& patience) {
    const ExecuteStreams ours{passed(errand, streams.input), passed(errand, streams.out), passed(errand, streams.err)};
    return this->execute(request, ours, patience);
  });
}

template <class Base>
Started<void> BlockingBackend<Base>::start_send(const Bytes& path, const InputCallback& input, Placement placement,
                                                std::uint32_t mode, const CallOptions& options) {
  return begin<void>(*this, options,
                     [this, &path, &input, placement, mode](Errand& errand, const CallOptions& patience) {
                       return this->send(path, passed(errand, input), placement.overwrite, mode, patience);
                     });
}

template <class Base>
Started<FetchedFile> BlockingBackend<Base>::start_fetch(const Bytes& path, const SizeCallback& size,
                                                        const OutputCallback& output, const CallOptions& options) {
  return begin<FetchedFile>(*this, options, [this, &path, &size, &output](Errand& errand, const CallOptions& patience) {
    return this->fetch(path, passed(errand, size), passed(errand, output), patience);
  });
}

template class BlockingBackend<Backend>;
template class BlockingBackend<AdmittedBackend>;

}  // namespace remsh

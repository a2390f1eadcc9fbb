#include "master/backend.hpp"

#include <exception>
#include <utility>

namespace remsh {

/// Ends the connection of a worker that is draining when none of the operations that had begun runs any more. If more
/// have begun meanwhile, it waits for these as well.
class Backend::LetGo final : public OperationsEnd {
 public:
  explicit LetGo(Backend& backend) : backend_(backend) { range.end = backend.next_operation(); }

  void note() noexcept override {
    if (backend_.next_operation() != range.end) return backend_.let_go_when_idle();
    try {
      backend_.disconnect("the slave is released: " + backend_.draining().value_or(""), DisconnectReason::released);
    } catch (const std::exception&) {  // no memory: the slave leaves when its time is over
    }
  }

 private:
  Backend& backend_;  // exists while note() runs
};

void Backend::let_go_when_idle() noexcept {
  try {
    notify_when_over(std::make_unique<LetGo>(*this));
  } catch (const std::exception&) {  // no memory: the slave leaves when its time is over
  }
}

}  // namespace remsh

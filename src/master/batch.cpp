#include <remsh/master/batch.hpp>

#include "master/backend.hpp"

#include <remsh/master/slave.hpp>

#include <utility>

namespace remsh {

Batch::Batch(std::shared_ptr<void> open) noexcept : open_(std::move(open)) {}
Batch::~Batch() = default;

Batch Slave::batch() { return Batch(backend_->batch()); }

}  // namespace remsh

// SlaveListener::Impl: what the listeners of this library reach of their base.
#pragma once

#include "master/admission.hpp"

#include <remsh/master/slave_listener.hpp>

#include <memory>

namespace remsh {

struct SlaveListener::Impl {
  std::shared_ptr<Admissions> admissions;
};

}  // namespace remsh

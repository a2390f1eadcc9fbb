// What tests with slaves include. Each includes what it needs itself as well: clang compiles them without this.
#include "support/slaves.hpp"

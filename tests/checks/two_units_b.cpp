// The other of two translation units with every public header.
#include "all_headers.hpp"

const char* version_of_b();

const char* version_of_b() { return remsh::version; }

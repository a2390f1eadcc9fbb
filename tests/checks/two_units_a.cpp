// One of two translation units with every public header: together they link, so nothing in them is defined twice.
#include "all_headers.hpp"

const char* version_of_b();

int main() { return version_of_b() == nullptr ? 1 : 0; }

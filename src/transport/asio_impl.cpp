// Asio's own sources, compiled once.
#define REMSH_ASIO_SOURCES
#include "transport/asio.hpp"

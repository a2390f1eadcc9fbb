// REMSH_API marks what the shared library exports; everything else stays hidden.
#pragma once

#if defined(REMSH_STATIC)
#define REMSH_API
#elif defined(__GNUC__)
#define REMSH_API __attribute__((visibility("default")))
#else
#define REMSH_API
#endif

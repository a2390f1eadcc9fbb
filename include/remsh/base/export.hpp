// REMSH_API marks what the shared library exports; everything else stays hidden.
#pragma once

#if defined(__cplusplus) && __cplusplus < 202002L && !defined(_MSVC_LANG)
#error "remsh needs C++20: compile with -std=c++20 (CMake: cxx_std_20, Meson: cpp_std=c++20)"
#endif

#if defined(REMSH_STATIC)
#define REMSH_API
#elif defined(__GNUC__)
#define REMSH_API __attribute__((visibility("default")))
#else
#define REMSH_API
#endif

// The one door to Asio: its settings, which must be the same in every translation unit, and the few headers we use.
#pragma once

// The build sets these. They are checked here because a translation unit without them would break the one-definition
// rule, or export Asio's symbols, without a word.
#if !defined(ASIO_STANDALONE) || !defined(ASIO_SEPARATE_COMPILATION) || !defined(ASIO_DISABLE_VISIBILITY) || \
    !defined(ASIO_NO_DEPRECATED)
#error "Asio's settings are missing: see asio_args in src/meson.build"
#endif
#if defined(__linux__) && !defined(ASIO_HAS_STD_ALIGNED_ALLOC)
#error "without ASIO_HAS_STD_ALIGNED_ALLOC, Asio 1.22 allocates by one function and frees by another"
#endif

#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"  // its fences: nothing of ours relies on them, all our state is under mutexes
#endif
#if defined(__GNUC__)
#pragma GCC system_header  // Asio's headers warn; nothing below is ours
#endif

// A program may hold another Asio, of another version or other settings, beside this one. Within the static library
// ours would be linked with it as if they were the same; so its namespace has another name.
#define asio remsh_asio

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#if defined(REMSH_ASIO_SOURCES)  // in asio_impl.cpp
#include <asio/impl/src.hpp>
#endif

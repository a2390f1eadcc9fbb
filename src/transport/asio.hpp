// The only place that includes Asio: its settings, which must be the same in every translation unit, and the few
// headers that we use.
#pragma once

// The build sets these. They are checked here because a translation unit without them would silently break the
// one-definition rule, or export Asio's symbols.
#if !defined(ASIO_STANDALONE) || !defined(ASIO_SEPARATE_COMPILATION) || !defined(ASIO_DISABLE_VISIBILITY) || \
    !defined(ASIO_NO_DEPRECATED)
#error "Asio's settings are missing: see asio_args in src/meson.build"
#endif
#if defined(__linux__) && !defined(ASIO_HAS_STD_ALIGNED_ALLOC)
#error "without ASIO_HAS_STD_ALIGNED_ALLOC, Asio 1.22 allocates by one function and frees by another"
#endif

#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"  // for its fences, on which we do not rely: all our state is under mutexes
#endif
#if defined(__GNUC__)
#pragma GCC system_header  // Asio's headers cause warnings; none of our code is below
#endif

// A host program may contain another Asio, of another version or with other settings. In a static library our symbols
// would be merged with it, so our copy uses another namespace.
#define asio remsh_asio

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#if defined(REMSH_ASIO_SOURCES)  // in asio_impl.cpp
#include <asio/impl/src.hpp>
#endif

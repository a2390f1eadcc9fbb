// A second unit of the host, which has remsh's headers too, an Asio of its own, with other settings than remsh's, and
// a fmt of its own, if there is one.
#include <remsh/master.hpp>
#include <remsh/slave.hpp>

#define ASIO_STANDALONE
#define ASIO_HAS_STD_ALIGNED_ALLOC  // without it Debian's breaks by itself: a bug of Asio 1.22
#include <asio.hpp>

#if __has_include(<fmt/format.h>)
#define FMT_HEADER_ONLY
#include <remsh/fmt.hpp>
#endif

#include <chrono>

bool own_asio_works() {
  asio::io_context context;
  asio::steady_timer timer(context, std::chrono::milliseconds(1));
  bool fired = false;
  timer.async_wait([&](const std::error_code& error) { fired = !error; });
  context.run();
  return fired && remsh::Errc::busy != remsh::Errc::timeout;
}

bool own_fmt_works() {
#ifdef FMT_VERSION
  return fmt::format("{:>5}", remsh::Errc::busy) == " busy";
#else
  return true;
#endif
}

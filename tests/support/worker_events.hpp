// What the tests of both sessions with a worker of Buildbot share: what is told, for people, and a login.
#pragma once

#include "base/text.hpp"
#include "buildbot/worker_session.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

namespace remsh::test {

inline std::string in_words(const buildbot::WorkerUpdate& update) {
  using Kind = buildbot::WorkerUpdate::Kind;
  const std::string text = to_string(Value::text(update.text));
  switch (update.kind) {
    case Kind::out: return "stdout " + text;
    case Kind::err: return "stderr " + text;
    case Kind::header: return "header " + text;
    case Kind::log: return "log of " + update.log + " " + text;
    case Kind::rc: return "rc " + std::to_string(update.rc);
    case Kind::elapsed: return "elapsed " + to_string(Value(update.seconds));
    case Kind::stat: return "stat " + to_string(update.value);
  }
  return "?";
}

inline std::string in_words(const buildbot::WorkerEvent& event) {
  using Kind = buildbot::WorkerEvent::Kind;
  const std::string number = std::to_string(event.request);
  switch (event.kind) {
    case Kind::rejected: return "rejected";
    case Kind::logged_in: return "logged_in";
    case Kind::answered: return "answered " + number + " " + to_string(event.value);
    case Kind::failed: return "failed " + number + " " + event.text;
    case Kind::update: return event.command + " " + in_words(event.update);
    case Kind::complete: return event.command + " complete" + (event.text.empty() ? "" : ": " + event.text);
    case Kind::dropped: return event.command + " dropped";
    case Kind::reads: return event.command + " reads " + std::to_string(event.size);
    case Kind::writes: return event.command + " writes " + escaped(event.data);
    case Kind::asks_release: return "asks_release";
  }
  return "?";
}

/// The events since the last call.
inline std::string told_by(buildbot::WorkerSession& session) {
  std::string all;
  while (const auto event = session.next()) all += (all.empty() ? "" : "; ") + in_words(*event);
  return all;
}

/// Knows one worker: w1, by the password pw1.
inline bool is_w1(std::string_view name, const std::function<bool(std::string_view)>& proves) {
  const bool is_right = proves("pw1");
  return is_right && name == "w1";
}

/// As fuzz::expect_printable(): a failure is logged.
inline void check_harmless(const Result<void>& fed) {
  REQUIRE_FALSE(fed.ok());
  const Failure& failure = fed.failure();
  CHECK(failure.code == Errc::protocol_error);
  CHECK_FALSE(failure.message.empty());
  CHECK(failure.message.size() < 400);
  CHECK_MESSAGE(std::none_of(failure.message.begin(), failure.message.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
                escaped(failure.message));
}

}  // namespace remsh::test

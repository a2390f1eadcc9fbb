// A session over Perspective Broker, and the worker that a test plays.
#pragma once

#include "base/digest.hpp"
#include "base/text.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/jelly.hpp"
#include "buildbot/pb_session.hpp"
#include "support/worker_events.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test::pb_talk {

using namespace remsh::buildbot;

using Kind = WorkerCommand::Kind;
using List = Expression::List;
using Said = WorkerEvent::Kind;

inline const Bytes challenge = "0123456789abcdef";

// --- expressions, as a worker writes them

inline Expression text(const char* words) { return Expression::list("unicode", words); }
inline Expression none() { return Expression::list("None"); }
inline Expression dereference(std::int64_t number) { return Expression::list("dereference", number); }
inline Expression list_of(List items) { return items.insert(items.begin(), "list"), Expression(std::move(items)); }
inline Expression tuple(List items) { return items.insert(items.begin(), "tuple"), Expression(std::move(items)); }
inline Expression dict(Expression key, Expression value) {
  return Expression::list("dictionary", Expression::list(std::move(key), std::move(value)));
}

inline Expression call(std::int64_t request, Expression object, const char* method, List arguments = {},
                       int wants = 1) {
  return Expression::list("message", request, std::move(object), method, wants, tuple(std::move(arguments)),
                          Expression::list("dictionary"));
}

/// A call of an object of ours; which request it is does not matter.
inline Expression call_of(std::int64_t object, const char* method, List arguments = {}) {
  return call(50, object, method, std::move(arguments));
}

inline Expression login(Expression name) { return call(1, "root", "login", {std::move(name)}); }

inline Expression response(const Bytes& password, const Bytes& to = challenge) {
  return call(2, 1, "respond", {*digest(Hash::md5, *digest(Hash::md5, password) + to), remote(1)});
}

inline Expression update(std::int64_t object, Expression key, Expression value) {
  return call_of(object, "update", {list_of({list_of({dict(std::move(key), std::move(value)), 0})})});
}

inline Expression complete(std::int64_t object) { return call_of(object, "complete", {none()}); }
inline Expression answer(std::int64_t request, Expression value) {
  return Expression::list("answer", request, std::move(value));
}
inline Expression error(std::int64_t request, const char* why) {
  return Expression::list("error", request, failure("exceptions.ValueError", why));
}

inline Bytes wire(const Expression& expression) {
  Bytes bytes;
  append_banana(bytes, expression);
  return bytes;
}

inline std::vector<Expression> read_all(BananaReader& reader, BytesView bytes) {
  reader.feed(bytes);
  std::vector<Expression> all;
  for (;;) {
    auto next = reader.next();
    REQUIRE_MESSAGE(next.ok(), next.failure().message);
    if (!*next) return all;
    all.push_back(std::move(**next));
  }
}

// --- expressions and events, for people: 'text', bytes, @1 for an object, <a tuple>, [a list], {a: dictionary}

std::string shown(const Expression& expression);

inline std::string shown_items(std::span<const Expression> items) {
  std::string all;
  for (const Expression& item : items) all += (all.empty() ? "" : " ") + shown(item);
  return all;
}

inline std::string shown(const Expression& expression) {
  if (const auto* const number = expression.get_if<std::int64_t>()) return std::to_string(*number);
  if (const auto* const number = expression.get_if<double>()) return to_string(Value(*number));
  if (const auto* const string = expression.get_if<Bytes>()) return escaped(*string);
  if (const auto number = remote_of(expression)) return "@" + std::to_string(*number);
  const List& list = *expression.get_if<List>();
  const auto* const word = list.empty() ? nullptr : list[0].get_if<Bytes>();
  if (word == nullptr) return "(" + shown_items(list) + ")";
  const auto rest = std::span(list).subspan(1);
  if (*word == "None") return "None";
  if (*word == "unicode") return "'" + shown_items(rest) + "'";
  if (*word == "boolean") return shown_items(rest);
  if (*word == "tuple") return "<" + shown_items(rest) + ">";
  if (*word == "list") return "[" + shown_items(rest) + "]";
  if (*word != "dictionary") return "(" + shown_items(list) + ")";
  std::string all;
  for (const Expression& pair : rest) {
    const List& both = *pair.get_if<List>();
    all += (all.empty() ? "" : ", ") + shown(both[0]) + ": " + shown(both[1]);
  }
  return "{" + all + "}";
}

/// A session, and the worker that the test plays.
class Talk {
 public:
  explicit Talk(LoginCheck check = is_w1, const Bytes& with = challenge)
      : session_(make_pb_session(std::move(check), with)) {}

  WorkerSession* operator->() { return session_.get(); }

  Result<void> feed(const Expression& expression) { return session_->feed(wire(expression)); }

  /// What the worker says is right.
  void hears(const Expression& expression) {
    const auto fed = feed(expression);
    REQUIRE_MESSAGE(fed.ok(), fed.failure().message);
  }

  /// The events since the last call.
  std::string told() { return test::told_by(*session_); }

  /// What was sent since the last call.
  std::vector<Expression> sent_expressions() { return read_all(reader_, session_->take_output()); }
  std::string sent() { return shown_items(sent_expressions()); }

  void log_in() {
    hears("pb");
    hears(Expression::list("version", 6));
    hears(login("w1"));
    hears(response("pw1"));
    hears(Expression::list("decref", 1));
    CHECK(told() == "logged_in");
    sent();
  }

  /// Answers a request for builders: the first one is the worker's object 11.
  void makes_builders(std::int64_t request, int count) {
    List all{"dictionary"};
    for (int i = 1; i <= count; ++i)
      all.emplace_back(Expression::list(text(("remsh-" + std::to_string(i)).c_str()), remote(10 + i)));
    hears(answer(request, Expression(std::move(all))));
  }

  void prepare() {
    const auto request = session_->prepare();
    makes_builders(static_cast<std::int64_t>(request), 1);
    CHECK(told() == "answered " + std::to_string(request) + " None");
    sent();
  }

 private:
  std::unique_ptr<WorkerSession> session_;
  BananaReader reader_{{}};
};

/// After the login, and with a builder.
struct ReadyTalk : Talk {
  ReadyTalk() {
    log_in();
    prepare();
  }
};

inline const WorkerCommand look{.kind = Kind::stat, .path = "/w/f"};
inline const WorkerCommand upload{.kind = Kind::upload_file, .path = "/w/f"};
inline const WorkerCommand download{.kind = Kind::download_file, .path = "/w/f"};

inline std::string started(int request, int builder, int object, const std::string& id) {
  return "(message " + std::to_string(request) + " " + std::to_string(builder) + " startCommand 1 <@" +
         std::to_string(object) + " '" + id + "' 'stat' {'file': '/w/f'}> {})";
}

}  // namespace remsh::test::pb_talk

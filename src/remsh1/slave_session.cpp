// SlaveSession: the slave's side of remsh 1, for an original master.
#include "remsh1/slave_session.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace remsh::remsh1 {

namespace {

using Event = SlaveSession::Event;
using Kind = Event::Kind;

/// The calls of the original, and the arguments that each requires; an empty key is none.
struct Operation {
  BytesView command;
  std::array<BytesView, 3> keys;
};
constexpr std::array operations{
    Operation{"set_cwd", {}},           Operation{"getenv", {}},
    Operation{"mkdir", {"dir"}},        Operation{"execute", {"args", "want_stdout", "want_stderr"}},
    Operation{"send", {"dest"}},        Operation{"fetch", {"src"}},
    Operation{"remove", {"path"}},      Operation{"rename", {"src", "dest"}},
    Operation{"copy", {"src", "dest"}}, Operation{"stat", {"pathname"}},
};

/// Why a call cannot be executed, if the call alone shows that.
std::optional<Bytes> objection(const Call& call) {
  const auto known = std::find_if(operations.begin(), operations.end(),
                                  [&call](const Operation& operation) { return operation.command == call.command; });
  if (known == operations.end()) return "no such command: " + in_quotes(call.command);
  for (const BytesView key : known->keys) {
    const auto value = key.empty() ? BytesView() : call.arguments.get(key);
    if (!value) return formatted("the call has no argument '{}'", key);
    if (key.starts_with("want_") && !from_boolean(*value)) return formatted("'{}' is neither y nor n", key);
  }
  return std::nullopt;
}

}  // namespace

Result<Event> SlaveSession::feed(Box box) {
  if (!registered_) {
    if (!is_registered(box)) return breach("the master has not answered with the type 'registered'");
    registered_ = true;
    return Event{Kind::registered};
  }
  Result<Message> message = parse(std::move(box));
  if (!message) return std::move(message).failure();
  if (auto* const made = std::get_if<Call>(&*message)) return call(std::move(*made));
  return Event{Kind::dropped};
}

Result<Event> SlaveSession::call(Call call) {
  if (call.command == "data") {
    // Data has no answer, so it cannot be refused.
    if (!receiving_) return breach("data came, but nothing is being sent");
    const auto bytes = call.arguments.get("data");
    if (!bytes) return breach("data came without the key 'data'");
    Bytes text(*bytes);
    return Event{Kind::data, std::move(call), std::move(text)};
  }
  if (call.command == "finished" && receiving_) {
    receiving_ = false;
    return Event{Kind::end_of_data, std::move(call)};
  }
  auto text = objection(call);
  if (!text && receiving_ && call.command == "send") text = "another file is being sent already";
  if (text) return Event{Kind::refused, std::move(call), std::move(*text)};
  return Event{Kind::call, std::move(call)};
}

Bytes SlaveSession::data(std::optional<Stream> stream, BytesView bytes) {
  assert(bytes.size() <= max_data);
  Bytes out;
  out.reserve(bytes.size() + 96);
  BoxWriter writer(out);
  writer.field("_ask", tags_.next()).field("_command", "data").field("data", bytes);
  if (stream) writer.field("stream", to_string(*stream));
  writer.end();
  return out;
}

Box SlaveSession::command_finished(const ReturnCode& code) {
  return Call{tags_.next(), "finished", Box{{"result", code.to_text()}}}.to_box();
}

Box SlaveSession::file_finished(const std::optional<Bytes>& error) {
  Call call{tags_.next(), "finished"};
  if (error) {
    // The specification has the first key, the original's slave the second. Both are sent, so that any master finds
    // one.
    for (const char* const key : {"errmsg", "errstr"}) call.arguments.set(key, error->substr(0, max_data));
  }
  return std::move(call).to_box();
}

}  // namespace remsh::remsh1

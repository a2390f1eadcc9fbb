#include "remsh1/master_session.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace remsh::remsh1 {

namespace {

Failure slave_sent(const std::string& what) { return breach("the slave sent " + what); }

}  // namespace

Box MasterSession::call(Bytes command, Box arguments) {
  asked_ = tags_.next();
  return Call{asked_, std::move(command), std::move(arguments)}.to_box();
}

Box MasterSession::begin(Bytes command, Box arguments) {
  assert(state_ == State::idle);
  state_ = State::asked;
  kind_ = command == "execute" ? Kind::execute
          : command == "send"  ? Kind::send
          : command == "fetch" ? Kind::fetch
                               : Kind::plain;
  return call(std::move(command), std::move(arguments));
}

Box MasterSession::data(BytesView bytes) {
  assert(state_ == State::sending && !bytes.empty() && bytes.size() <= max_data);
  return call("data", Box{{"data", bytes}});
}

Box MasterSession::finish() {
  assert(state_ == State::sending);
  state_ = State::ending;
  return call("finished", {});
}

Result<MasterSession::Event> MasterSession::feed(Box box) {
  auto message = parse(std::move(box));
  auto event = message ? take(std::move(*message)) : slave_sent("what is no message: " + message.failure().message);
  if (!event) state_ = State::broken;
  return event;
}

Result<MasterSession::Event> MasterSession::take(Message message) {
  if (auto* const answer = std::get_if<Answer>(&message)) return answered(std::move(*answer));
  if (auto* const error = std::get_if<ErrorAnswer>(&message)) return failed(std::move(*error));
  return called(std::get<Call>(std::move(message)));
}

Result<MasterSession::Event> MasterSession::answered(Answer answer) {
  if ((state_ != State::asked && state_ != State::ending) || answer.tag != asked_) {
    return slave_sent(formatted("an answer to {}, which waits for none", start_in_quotes(answer.tag)));
  }
  if (state_ == State::ending || kind_ == Kind::plain) {
    state_ = State::idle;
  } else {
    state_ = kind_ == Kind::send ? State::sending : State::receiving;
  }
  return Event{.kind = Event::Kind::answered, .results = std::move(answer.results)};
}

Result<MasterSession::Event> MasterSession::failed(ErrorAnswer error) {
  if ((state_ != State::asked && state_ != State::ending) || error.tag != asked_) {
    return slave_sent(formatted("an error for {}, which waits for none", start_in_quotes(error.tag)));
  }
  state_ = State::idle;
  return Event{.kind = Event::Kind::failed, .text = std::move(error.description)};
}

Result<MasterSession::Event> MasterSession::called(Call call) {
  if (state_ != State::receiving) {
    return slave_sent(formatted("a call {} that has no place here", start_in_quotes(call.command)));
  }
  if (call.command == "data") {
    const auto data = call.arguments.get("data");
    if (!data) return slave_sent("data without data");
    Event event{.kind = Event::Kind::data, .data = Bytes(*data)};
    if (kind_ == Kind::execute) {
      const auto stream = stream_of(call.arguments.get("stream").value_or(BytesView()));
      if (!stream) return slave_sent("output that is neither stdout nor stderr");
      event.stream = *stream;
    }
    return event;
  }
  if (call.command != "finished") return slave_sent(formatted("a call {} among data", start_in_quotes(call.command)));
  Event event{.kind = Event::Kind::finished};
  if (kind_ == Kind::execute) {
    auto result = ReturnCode::from_text(call.arguments.get("result").value_or(BytesView()));
    if (!result) return std::move(result).failure();
    event.result = *result;
  } else {
    // The documentation of remsh 1 says errmsg, the original slave sends errstr. The slave expects an answer to this
    // end.
    for (const BytesView key : {BytesView("errmsg"), BytesView("errstr")}) {
      const auto text = call.arguments.get(key);
      if (text && event.kind != Event::Kind::failed) event = Event{.kind = Event::Kind::failed, .text = Bytes(*text)};
    }
    event.reply = Answer{std::move(call.tag)}.to_box();
  }
  state_ = State::idle;
  return event;
}

}  // namespace remsh::remsh1

#include "buildbot/worker_update.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace remsh::buildbot {

namespace {

using UpdateKind = WorkerUpdate::Kind;

constexpr std::array<std::pair<std::string_view, UpdateKind>, 7> update_kinds{{
    {"stdout", UpdateKind::out},
    {"stderr", UpdateKind::err},
    {"header", UpdateKind::header},
    {"log", UpdateKind::log},
    {"rc", UpdateKind::rc},
    {"elapsed", UpdateKind::elapsed},
    {"stat", UpdateKind::stat},
}};

const std::string* text_in_update(const Value& value) {
  const auto* const text = value.get_if<Value::Text>();
  return text != nullptr ? &text->text : nullptr;
}

/// The items of a tuple as the dialect has it: msgpack has lists alone. Null for any other value.
const std::vector<Value>* tuple_items(Dialect dialect, const Value& value) {
  const auto* const tuple = dialect == Dialect::pb ? value.get_if<Value::Tuple>() : nullptr;
  const auto* const list = dialect == Dialect::msgpack ? value.get_if<Value::List>() : nullptr;
  return tuple != nullptr ? &tuple->items : list != nullptr ? &list->items : nullptr;
}

/// The text of a piece of output: in PB the piece itself, in msgpack the first of [text, positions of newlines, times].
const std::string* output_in(Dialect dialect, const Value& value) {
  if (dialect == Dialect::pb) return text_in_update(value);
  const auto* const list = value.get_if<Value::List>();
  return list != nullptr && !list->items.empty() ? text_in_update(list->items.front()) : nullptr;
}

}  // namespace

Result<std::optional<WorkerUpdate>> read_update(Dialect dialect, std::string_view name, Value value) {
  const std::optional<WorkerUpdate> none;
  const auto* const known =
      std::find_if(update_kinds.begin(), update_kinds.end(), [name](const auto& one) { return one.first == name; });
  if (known == update_kinds.end()) return none;
  WorkerUpdate update{.kind = known->second};
  switch (update.kind) {
    case UpdateKind::out:
    case UpdateKind::err:
    case UpdateKind::header: {
      const std::string* const text = output_in(dialect, value);
      if (text == nullptr) return breach("it has sent output without its text");
      update.text = *text;
      break;
    }
    case UpdateKind::log: {  // (name, output)
      const auto* const both = tuple_items(dialect, value);
      const bool is_pair = both != nullptr && both->size() == 2;
      const std::string* const log = is_pair ? text_in_update(both->front()) : nullptr;
      const std::string* const text = is_pair ? output_in(dialect, both->back()) : nullptr;
      if (log == nullptr || text == nullptr) return breach("it has sent an update of a log file without its text");
      update.log = *log;
      update.text = *text;
      break;
    }
    case UpdateKind::rc: {
      const auto* const rc = value.get_if<std::int64_t>();
      if (rc == nullptr) return none;
      update.rc = *rc;
      break;
    }
    case UpdateKind::elapsed: {
      const auto* const seconds = value.get_if<double>();
      if (seconds == nullptr) return none;
      update.seconds = *seconds;
      break;
    }
    case UpdateKind::stat: update.value = std::move(value); break;
  }
  return std::optional(std::move(update));
}

}  // namespace remsh::buildbot

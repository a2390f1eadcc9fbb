#include "buildbot/pb_builders.hpp"

#include "base/format.hpp"
#include "buildbot/jelly.hpp"

#include <algorithm>
#include <utility>

namespace remsh::buildbot {

namespace {

constexpr std::size_t max_builders = 64;

std::string builder_name(std::size_t index) { return formatted("remsh-{}", index + 1); }

}  // namespace

Expression PbBuilders::add() {
  builders_.emplace_back();
  Expression::List names{"list"};
  for (std::size_t i = 0; i < builders_.size(); ++i) {
    names.push_back(jelly_tuple(jelly_text(builder_name(i)), jelly_text(".")));
  }
  return Expression(std::move(names));
}

Result<void> PbBuilders::take(const Expression& dictionary) {
  const auto pairs = pairs_of_dictionary(dictionary);
  if (!pairs) return breach("it does not name its builders");
  for (const auto& [key, builder] : *pairs) {
    const auto value = from_jelly(key);
    const auto* const name = value ? value->get_if<Value::Text>() : nullptr;
    const auto object = name != nullptr ? remote_of(builder) : std::nullopt;
    if (!object) return breach("it names a builder without its object");
    for (std::size_t i = 0; i < builders_.size(); ++i) {
      if (name->text == builder_name(i)) builders_[i].object = *object;
    }
  }
  const bool has_all = std::all_of(builders_.begin(), builders_.end(), [](const auto& one) { return one.object > 0; });
  return has_all ? Result<void>() : breach("it does not name all of its builders");
}

std::optional<PbBuilders::Begun> PbBuilders::next() {
  if (waiting_.empty()) return std::nullopt;
  const auto free = std::find_if(builders_.begin(), builders_.end(),
                                 [](const auto& one) { return one.object != 0 && one.command.empty(); });
  if (free == builders_.end()) return std::nullopt;
  Begun begun{free->object, std::move(waiting_.front())};
  waiting_.pop_front();
  free->command = begun.command.id;
  return begun;
}

bool PbBuilders::needs_more() const noexcept { return !waiting_.empty() && builders_.size() < max_builders; }

std::optional<std::uint64_t> PbBuilders::drop(const std::string& id) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&id](const auto& one) { return one.id == id; });
  if (found == waiting_.end()) return std::nullopt;
  const std::uint64_t request = found->request;
  waiting_.erase(found);
  return request;
}

std::optional<std::int64_t> PbBuilders::of(const std::string& id) const {
  const auto found =
      std::find_if(builders_.begin(), builders_.end(), [&id](const auto& one) { return one.command == id; });
  return found != builders_.end() ? std::optional(found->object) : std::nullopt;
}

void PbBuilders::free(const std::string& id) {
  for (Builder& builder : builders_) {
    if (builder.command == id) builder.command.clear();
  }
}

}  // namespace remsh::buildbot

#include "sim/servant.hpp"

#include "rpc/message.hpp"

#include <algorithm>
#include <utility>

namespace remsh::sim {

using namespace rpc;

namespace {
Failure served_badly() { return {Errc::remote_failure, "no", 0}; }
}  // namespace

Story& Servant::story_of(const OpenService& service) { return stories_.at(parse_tag(service.tag).value()); }

void Servant::on_service(std::shared_ptr<OpenService> service) {
  Story& story = story_of(*service);
  Chance& chance = world_.chance;
  world_.expect(!std::exchange(story.served, true), "call ", story.id, " is served twice");
  story.service = std::move(service);
  if (story.has_streams) {
    for (const StreamName stream : outputs) {
      const bool is_rare = stream == StreamName::log || stream == StreamName::header;
      if (is_rare && !chance.one_in(4)) continue;
      story.output_left[static_cast<std::size_t>(stream)] =
          chance.one_in(4) ? plan_.most_data : chance.size(plan_.most_data);
    }
    story.reads_to_end = chance.one_in(2);
    story.heeds_cancel = chance.one_in(2);
  }
  if (chance.one_in(plan_.slow_one_in)) story.server_pause = chance.up_to(plan_.most_pause);
  world_.after(chance.up_to(plan_.most_pause), [this, &story] { drive(story); });
}

void Servant::on_service_changed(OpenService& service) {
  Story& story = story_of(service);
  world_.soon([this, &story] { drive(story); });
}

void Servant::drive(Story& story) {
  if (!story.service) return;
  if (story.service->answered) {  // the session is over
    story.service.reset();
    return;
  }
  read_input(story);
  const bool stops = story.service->cancelled && story.heeds_cancel;
  if (!stops && !story.is_answering) produce(story);
  const bool is_done =
      story.all_output_left() == 0 && (!story.reads_to_end || story.has_read_end || story.service->cancelled);
  if ((!is_done && !stops) || std::exchange(story.is_answering, true)) return;
  world_.after(world_.chance.up_to(plan_.most_pause), [this, &story] { answer(story); });
}

void Servant::read_input(Story& story) {
  while (!story.server_waits && !story.service->in.empty()) {
    const Chunk chunk = story.service->in.take();
    world_.expect(!story.has_read_end, "input behind its end");
    world_.expect(story.came[0].take(chunk.bytes()), "call ", story.id, ": wrong bytes of input");
    moved_ += chunk.bytes().size();
    story.has_read_end = chunk.last;
    if (chunk.last) world_.expect(story.came[0].bytes() == story.sent[0].bytes(), "input is missing at its end");
    end_.engine.consumed(*story.service, chunk);
    end_.pump_soon();
    if (story.server_pause == Duration::zero()) continue;
    story.server_waits = true;
    world_.after(story.server_pause, [this, &story] {
      story.server_waits = false;
      drive(story);
    });
  }
}

void Servant::produce(Story& story) {
  for (const StreamName stream : outputs) {
    const auto at = static_cast<std::size_t>(stream);
    const SendCredit& credit = story.service->credit(stream);
    while (story.output_left[at] > 0) {
      const std::size_t room = end_.room(credit.room());
      if (room == 0) break;
      const std::size_t most = std::min(room, story.output_left[at]);
      const std::size_t count = world_.chance.one_in(2) ? most : 1 + world_.chance.size(most - 1);
      end_.engine.send_output(*story.service, stream, story.sent[at].next_data(count, end_.engine.compresses()),
                              std::nullopt);
      story.output_left[at] -= count;
      end_.pump_soon();
    }
  }
}

void Servant::answer(Story& story) {
  if (!story.service || story.service->answered) return;
  story.answered = true;
  if (world_.chance.one_in(4)) {
    story.failed = true;
    end_.engine.fail(*story.service, served_badly());
  } else {
    if (world_.chance.one_in(3)) story.results.set("result", Bytes(world_.chance.size(max_box), 'r'));
    end_.engine.answer(*story.service, story.results);
  }
  story.service.reset();
  end_.pump_soon();
}

void Servant::on_room() {
  for (auto& [id, story] : stories_) drive(story);
}

}  // namespace remsh::sim

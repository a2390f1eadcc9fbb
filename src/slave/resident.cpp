#include "slave/resident.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "operations/operations.hpp"
#include "os/threads.hpp"
#include "slave/about.hpp"
#include "slave/builder_directories.hpp"
#include "slave/filesystem.hpp"
#include "slave/in_use.hpp"
#include "slave/list.hpp"
#include "slave/master_contact.hpp"
#include "slave/own_operation.hpp"
#include "slave/served_operations.hpp"
#include "slave/transfer.hpp"
#include "slave/tree_transfer.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// How many threads may be inside an operation, those of ended connections included.
constexpr std::size_t most_threads = 1024;

}  // namespace

Resident::Resident(const SlaveOptions& options, const Clock& clock)
    : options_(options),
      clock_(clock),
      log_(options.log),
      hooks_(CommandHooks::of(options)),
      served_(std::make_shared<rpc::ServedCalls>(clock)) {}

Resident::~Resident() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return user_operations_ == 0; });
}

std::vector<ServedOperation> Resident::operations_in_progress() const { return served_operations(*served_); }

// --- the operations

bool Resident::add_operation(std::string name, Operation operation) {
  return operations_.emplace(std::move(name), std::move(operation)).second;
}

bool Resident::is_allowed(const std::string& operation) const {
  const auto& allow = options_.policy.allow;
  const operations::Description* const what = operations::find(operation);
  if (options_.policy.no_execute && what != nullptr && what->runs_commands) return false;
  const bool is_part = what != nullptr && !what->part_of.empty();
  return !allow || std::find(allow->begin(), allow->end(), is_part ? what->part_of : operation) != allow->end();
}

Dispatcher Resident::make_dispatcher(const std::shared_ptr<Workplace>& workplace,
                                     const std::shared_ptr<CommandSet>& commands, const std::string& master) {
  Dispatcher dispatcher(served_);
  // If the policy denies a master the slave's full rights, it must not install a set-user-ID program that others can
  // run.
  const bool is_confined = !options_.policy.root.empty() || !is_allowed(std::string(operations::Execute::what.name));
  const mode_t mode_mask = is_confined ? 0777 : 07777;
  add_filesystem(dispatcher, workplace, mode_mask);
  add_builders(dispatcher, workplace);
  add_list(dispatcher, workplace);
  add_transfer(dispatcher, workplace, mode_mask);
  add_tree_transfer(dispatcher, workplace);
  add_execute(dispatcher, workplace, commands, is_allowed(std::string(operations::Fetch::what.name)));
  const auto about = std::make_shared<About>(About{
      .software = registration_of(options_, {}).software,
      .print = [log = log_, master](const std::string& message) { log.write(LogLevel::info, master, message); },
      .log_tail = [ring =
                       log_ring_](std::size_t lines) { return ring ? ring->last(lines) : std::vector<std::string>(); },
      .shut_down = [this](const operations::Shutdown::Request& request) -> Result<void> {
        const InUse in_use(mutex_, changed_, user_operations_);
        if (shut_down_) return shut_down_(request);
        return {};
      },
  });
  add_about(dispatcher, workplace, about);
  for (const auto& [name, operation] : operations_) {
    dispatcher.add(name, [this, &run = operation, workplace](const std::shared_ptr<rpc::ServedCall>& call) {
      const InUse in_use(mutex_, changed_, user_operations_);
      run_own_operation(run, call, *workplace);
    });
  }
  about->operations = dispatcher.allow_only([this](const std::string& operation) { return is_allowed(operation); });
  return dispatcher;
}

// --- the directories

std::shared_ptr<Workplace> Resident::open_workplace() {
  for (const std::string& word : options_.policy.allow.value_or(std::vector<std::string>())) {
    const operations::Description* const what = operations::find(word);
    const bool is_ours = word == operations::Ping::what.name || (what != nullptr && what->part_of.empty());
    if (!is_ours && !operations_.contains(word)) {
      throw Error(Errc::invalid_argument, "", "serve",
                  formatted("the policy allows {}, which is no operation of this slave", in_quotes(word)));
    }
  }
  const std::string& root = options_.policy.root;
  const std::string basedir = options_.basedir.empty() && root.empty() ? "." : options_.basedir;
  auto workplace = Workplace::open(basedir, root);
  if (!workplace) throw_failure(workplace.failure(), "", formatted("open the base directory {}", in_quotes(basedir)));
  begin_to_clean(*workplace);
  return std::move(*workplace);
}

/// Removes what killed slaves have left, on a thread that nobody waits for, since the disk may hang.
void Resident::begin_to_clean(const std::shared_ptr<const Workplace>& workplace) {
  if (!workplace->may_have_abandoned_parts()) return;
  const std::lock_guard lock(mutex_);
  if (has_cleaned_ && !*has_cleaned_) return;
  const auto has_returned = std::make_shared<std::atomic<bool>>(false);
  std::vector<rpc::StuckThread> threads(1);
  try {
    threads[0].thread = start_thread("remsh-parts", [held = workplace, has_returned]() mutable {
      try {
        held->remove_abandoned_parts();
      } catch (const std::exception&) {  // no memory: the next session tries again
      }
      held.reset();
      *has_returned = true;
    });
  } catch (const std::system_error&) {  // no thread: the next session tries again
    return;
  }
  threads[0].has_returned = has_cleaned_ = has_returned;
  stuck_threads_.add(std::move(threads));
}

// --- the sessions

ServedSession Resident::begin_session(std::shared_ptr<Workplace> workplace, const std::string& master) {
  const std::shared_ptr<Loop> loop = Loop::start(clock_);
  const auto commands =
      std::make_shared<CommandSet>(loop, CommandSet::default_grace, options_.log, hooks_, options_.policy.users);
  auto dispatcher = std::make_shared<const Dispatcher>(make_dispatcher(workplace, commands, master));
  return {std::move(workplace), loop, commands, std::move(dispatcher)};
}

void Resident::connection_ended(const ServedSession& session) { session.commands->begin_stop(); }

void Resident::end_session(ServedSession session) {
  session.dispatcher.reset();
  session.workplace.reset();  // closes the directories, unless a stuck operation uses them
  session.commands->stop();
  session.loop->stop();
}

// --- the threads

void Resident::leave_stuck(std::vector<rpc::StuckThread> threads, const std::string& peer) {
  if (threads.empty()) return;
  std::string commands;
  for (const auto& stuck : threads) {
    if (commands.find(stuck.command) == std::string::npos) commands += (commands.empty() ? "" : ", ") + stuck.command;
  }
  log_.write(
      LogLevel::warning, peer,
      formatted(
          "{} operations have not returned ({}): going on without them. Does a disk or a network file system hang?",
          threads.size(), commands));
  stuck_threads_.add(std::move(threads));
}

std::size_t Resident::max_threads() { return most_threads - std::min(most_threads, stuck_threads_.size()); }

}  // namespace remsh

#include <remsh/master/slave_launcher.hpp>

#include "auth/derive.hpp"
#include "auth/key_line.hpp"
#include "base/format.hpp"
#include "base/misuse.hpp"
#include "base/secret_text.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "master/runtime.hpp"
#include "master/slave_process.hpp"
#include "master/slave_start.hpp"
#include "master/started_program.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "os/threads.hpp"
#include "os/unique_fd.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// The programs that were started and have not ended. The loop of the listener watches them.
struct SlaveLauncher::Impl {
  /// A program that we started, with our handles and keys for it.
  struct Launched {
    Launched(std::string given_name, std::shared_ptr<StartedProgram> given)
        : name(std::move(given_name)), program(std::move(given)) {}

    const std::string name;
    std::string key_id;
    const std::shared_ptr<StartedProgram> program;
    std::shared_ptr<SlaveStart> start;  // until the slave has come for the first time, or failed

    // Under the mutex of the launcher.
    KeyRegistration key;
    UniqueFd to;             // its standard input; closing it makes the program end
    bool is_ending = false;  // begin_end() was called

    /// Why it will not come, if it has ended or is ending.
    [[nodiscard]] Failure why_ended() const {
      const std::optional<Failure> exited = is_ending ? std::nullopt : program->exited();
      return exited ? *exited : Failure{Errc::connection_lost, "it was told to end before it came", 0};
    }
  };

  explicit Impl(LauncherOptions options)
      : listener(options.listener),
        admissions(options.listener.impl().admissions),
        runtime(admissions->runtime()),
        keys(admissions->options().keys),
        command{std::move(options.command), options.embedded, std::move(options.env), options.clear_env,
                options.inherit_env},
        master(std::move(options.master)),
        kill_after(std::clamp<std::chrono::milliseconds>(options.kill_after, std::chrono::milliseconds(0),
                                                         std::chrono::hours(24))) {}

  const SlaveListener& listener;
  const std::shared_ptr<Admissions> admissions;
  const std::shared_ptr<Runtime> runtime;  // stays when the listener has gone
  std::optional<KeyRing> keys;
  const SlaveCommand command;
  const std::string master;
  const std::chrono::milliseconds kill_after;
  TreeKiller killer;

  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> names;  // of the programs in the list, or about to be added
  std::list<std::shared_ptr<Launched>> launched;
  unsigned count = 0;
  int starting = 0;  // slaves that have neither come nor failed
  SlaveSubscription arrivals;

  [[nodiscard]] SlaveCollection& slaves() const { return admissions->options().slave_collection; }
  [[nodiscard]] std::shared_ptr<Slave> find(const Launched& one) const;
  Result<std::string> claim(std::string name);
  void give_up(const std::string& name);
  Result<std::shared_ptr<Launched>> launch(const SlaveCommand& what, const std::string& name,
                                           const std::string& basedir, const std::string& address,
                                           const std::map<std::string, std::string>& labels);
  void watch(const std::shared_ptr<Launched>& one);
  std::shared_ptr<SlaveStart> await(const std::shared_ptr<Launched>& one, const std::string& operation,
                                    const std::string& address, Deadline deadline);
  void look_for_arrivals();
  Failure end_failed(Launched& one, Failure failure);
  void on_end(const std::shared_ptr<Launched>& one);
  void end_key(Launched& one);
  void begin_end(Launched& one, TimePoint kill_at);
};

/// The slave that has proven the key of this program; null if it is not in the collection.
std::shared_ptr<Slave> SlaveLauncher::Impl::find(const Launched& one) const {
  auto slave = slaves().find(one.name);
  return slave && Admissions::key_id_of(*slave) == one.key_id ? slave : nullptr;
}

/// Reserves a name for one more slave of this launcher.
Result<std::string> SlaveLauncher::Impl::claim(std::string name) {
  const std::lock_guard lock(mutex);
  if (name.empty()) name = formatted("launched-{}", ++count);
  // One that is not connected any more may still be in the collection for a moment.
  if (const auto same = slaves().find(name); same && same->is_connected()) {
    return Failure{Errc::in_use, formatted("a slave with the name '{}' is connected", name), 0};
  }
  if (names.insert(name).second) return name;
  return Failure{Errc::in_use, formatted("a slave with the name '{}' was launched, and not ended", name), 0};
}

void SlaveLauncher::Impl::give_up(const std::string& name) {
  const std::lock_guard lock(mutex);
  names.erase(name);
}

Result<std::shared_ptr<SlaveLauncher::Impl::Launched>> SlaveLauncher::Impl::launch(
    const SlaveCommand& what, const std::string& name, const std::string& basedir, const std::string& address,
    const std::map<std::string, std::string>& labels) {
  std::vector<Bytes> more{"--master=" + address, "--name=" + name};
  if (!basedir.empty()) more.push_back("--basedir=" + basedir);
  more.insert(more.end(), {"--key=-", "--until-eof"});
  auto input = open_pipe_to_child();
  if (!input) return of_this_system(std::move(input).failure());
  auto output = open_pipe_from_child();
  if (!output) return of_this_system(std::move(output).failure());
  const Secret secret = make_key();
  auto line = auth::make_key_line(name, secret);
  if (!line) return std::move(line).failure();
  KeyRegistration registration;
  try {
    registration = keys->register_slave(name, secret, {.labels = labels});  // before the slave can connect
  } catch (const Error& error) {
    return Failure{error.code(), error.message(), 0};
  }
  const int said = output->theirs.get();
  auto process = SlaveProcess::start(what, more, input->theirs.get(), said, said);
  if (!process) return std::move(process).failure();
  auto one =
      std::make_shared<Launched>(name, std::make_shared<StartedProgram>(std::move(*process), std::move(output->ours)));
  one->key_id = line->kid;
  one->key = std::move(registration);
  one->to = std::move(input->ours);
  input->theirs.reset();
  SecretText text;
  auth::write_key_line(text, *line);
  SigpipeBlocked sigpipe;
  // The line fits in any pipe. EPIPE means that the program has ended, which the loop will see soon.
  if (::write(one->to.get(), text.view().data(), text.view().size()) < 0 && errno == EPIPE) sigpipe.consume();
  return one;
}

void SlaveLauncher::Impl::watch(const std::shared_ptr<Launched>& one) {
  const auto log = [admissions = admissions, name = one->name](LogLevel level, const std::string& message) {
    admissions->log(level, name, message);
  };
  const std::weak_ptr<Launched> weak = one;
  const std::lock_guard lock(mutex);  // the program cannot be found before it is watched
  launched.push_back(one);
  one->program->watch({admissions->loop(), killer, log,
                       [this, weak] {
                         if (const auto self = weak.lock()) end_key(*self);
                       },
                       [this, weak] {
                         if (const auto self = weak.lock()) on_end(self);
                       }});
}

/// The SlaveStart of a program, from its beginning to the arrival of its slave.
std::shared_ptr<SlaveStart> SlaveLauncher::Impl::await(const std::shared_ptr<Launched>& one,
                                                       const std::string& operation, const std::string& address,
                                                       Deadline deadline) {
  auto start = std::make_shared<SlaveStart>(
      SlaveStart::Owner{.runtime = *runtime,
                        .end_program = [this, one](Failure failure) { return end_failed(*one, std::move(failure)); },
                        .on_over =
                            [this] {
                              const std::lock_guard lock(mutex);
                              --starting;
                              changed.notify_all();
                            }},
      one->name, operation);
  start->limit(deadline, formatted("it has not come to {} in time", address));
  std::optional<Failure> ended;
  {
    const std::lock_guard lock(mutex);
    ++starting;
    if (one->key) {
      one->start = start;
    } else {
      ended = one->why_ended();
    }
  }
  if (ended) start->fail(*std::move(ended));
  look_for_arrivals();  // the slave may have come before
  return start;
}

/// Completes the starts of those slaves that are in the collection.
void SlaveLauncher::Impl::look_for_arrivals() {
  std::vector<std::pair<std::shared_ptr<SlaveStart>, std::shared_ptr<Slave>>> arrived;
  {
    const std::lock_guard lock(mutex);
    for (const auto& one : launched) {
      if (!one->start) continue;
      if (auto slave = find(*one)) arrived.emplace_back(std::exchange(one->start, nullptr), std::move(slave));
    }
  }
  for (auto& [start, slave] : arrived) start->come(std::move(slave));
}

/// Ends the program of a slave that will not come.
Failure SlaveLauncher::Impl::end_failed(Launched& one, Failure failure) {
  begin_end(one, admissions->loop()->now());
  one.program->wait_for_end();
  if (failure.code == Errc::timeout || failure.code == Errc::cancelled) failure.message += one.program->words();
  return failure;
}

/// Drops the key, so that no slave can come with it any more.
void SlaveLauncher::Impl::end_key(Launched& one) {
  KeyRegistration key;
  std::shared_ptr<SlaveStart> start;
  Failure why;
  {
    const std::lock_guard lock(mutex);
    key = std::move(one.key);
    one.to.reset();
    start = std::exchange(one.start, nullptr);
    why = one.why_ended();
  }
  key.drop();
  if (start) start->fail(std::move(why));
}

/// Ends its connection, its key and its standard input; at `kill_at` kills the program if it has not ended by itself.
void SlaveLauncher::Impl::begin_end(Launched& one, TimePoint kill_at) {
  const bool is_first = [&] {
    const std::lock_guard lock(mutex);
    return !std::exchange(one.is_ending, true);
  }();
  if (is_first) {
    // In this order: the end of a key also ends its connections, with another reason.
    if (const auto slave = find(one)) slave->disconnect("the slave was killed by its master", DisconnectReason::killed);
    end_key(one);
  }
  one.program->end_by(kill_at);
}

void SlaveLauncher::Impl::on_end(const std::shared_ptr<Launched>& one) {
  const std::lock_guard lock(mutex);
  if (launched.remove(one) != 0) names.erase(one->name);
  changed.notify_all();
}

SlaveLauncher::SlaveLauncher(LauncherOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {
  check_slave_command(impl_->command, "make a launcher of slaves");
  if (!impl_->keys) {
    throw Error(Errc::invalid_argument, "", "make a launcher of slaves",
                "the listener has no `keys`, so nobody could come by one: give it a remsh::KeyRing");
  }
  impl_->slaves().listener_comes();  // they must outlive the launcher as well
  impl_->arrivals = impl_->slaves().on_change([weak = std::weak_ptr(impl_)](const SlaveNotice& notice) {
    const auto impl = notice.kind == SlaveNotice::arrived || notice.missed > 0 ? weak.lock() : nullptr;
    if (impl) impl->look_for_arrivals();
  });
}

SlaveLauncher::~SlaveLauncher() {
  if (impl_->admissions->loop()->is_this_thread()) {
    misuse("a launcher is destroyed in a hook of its listener, which runs on the thread that it would wait for");
  }
  std::unique_lock lock(impl_->mutex);
  const auto all = impl_->launched;
  lock.unlock();
  const TimePoint kill_at = impl_->admissions->loop()->now() + impl_->kill_after;  // the same for all
  for (const auto& one : all) impl_->begin_end(*one, kill_at);
  lock.lock();
  impl_->changed.wait(lock, [this] { return impl_->launched.empty() && impl_->starting == 0; });
  lock.unlock();
  std::promise<void> loop_is_through;
  impl_->admissions->loop()->post([&loop_is_through] { loop_is_through.set_value(); });
  loop_is_through.get_future().wait();
  impl_->arrivals.cancel();
  impl_->slaves().listener_goes();
}

Pending<std::shared_ptr<Slave>> SlaveLauncher::launch_slave(const std::string& basedir, StartOptions options) {
  const Deadline deadline = options.deadline.begin();
  const std::string what = basedir.empty() ? "launch" : "launch in " + in_quotes(basedir);
  const SlaveCommand command = command_for(impl_->command, options, basedir, what);
  if (impl_->admissions->is_shutting_down()) {
    throw ConnectionLost(Errc::connection_lost, options.name, what, "the listener of this launcher is gone");
  }
  const std::string address = impl_->master.empty() ? impl_->listener.address() : impl_->master;
  if (address.empty()) {
    throw Error(Errc::invalid_argument, options.name, what,
                "there is no address to which it could connect: start() the listener, or give `master`");
  }
  const auto name = impl_->claim(options.name);
  if (!name) throw_failure(name.failure(), options.name, what);
  std::shared_ptr<Impl::Launched> one;
  try {
    auto launched = impl_->launch(command, *name, basedir, address, options.labels);
    if (!launched) throw_failure(launched.failure(), *name, what);
    one = *std::move(launched);
    impl_->watch(one);
  } catch (...) {
    impl_->give_up(*name);
    throw;
  }
  return SlaveStart::pending(impl_->await(one, what, address, deadline), options.stop);
}

std::shared_ptr<Slave> SlaveLauncher::start_slave(const std::string& basedir, const StartOptions& options) {
  return launch_slave(basedir, options).wait();
}

bool SlaveLauncher::kill_slave(const std::shared_ptr<Slave>& slave) {
  if (!slave) return false;
  const std::string name = slave->name();
  const std::string_view key_id = Admissions::key_id_of(*slave);
  std::unique_lock lock(impl_->mutex);
  const auto is_it = [&](const auto& one) { return one->name == name && one->key_id == key_id; };
  const auto found = std::find_if(impl_->launched.begin(), impl_->launched.end(), is_it);
  if (found == impl_->launched.end()) return false;
  const auto one = *found;
  lock.unlock();
  slave->disconnect("the slave was killed by its master",
                    DisconnectReason::killed);  // even if it was removed from the collection
  impl_->begin_end(*one, impl_->admissions->loop()->now() + impl_->kill_after);
  one->program->wait_for_end();
  return true;
}

}  // namespace remsh

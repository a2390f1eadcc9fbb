#include <remsh/master/slave_launcher.hpp>

#include "auth/derive.hpp"
#include "auth/key_line.hpp"
#include "base/secret_text.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "master/slave_process.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "os/threads.hpp"
#include "os/unique_fd.hpp"
#include "transport/descriptor_watch.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <future>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

namespace {

constexpr std::size_t longest_line = 512;  // of a program's, in the log
constexpr std::size_t kept_lines = 3;      // for the error where it does not become a slave

/// What a program says, line by line. Loop thread only.
class Output {
 public:
  /// Reads what is there, but not for ever. False at the end.
  bool read(int descriptor) {
    std::array<char, 4096> buffer{};
    for (int rounds = 0; rounds < 16; ++rounds) {
      const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
      if (count == 0) return false;
      for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(count))) {
        if (c == '\n') {
          finish();
        } else if (line_.size() < longest_line) {
          line_ += c;
        }
      }
    }
    return true;
  }

  /// What has no end of line is one as well.
  void finish() {
    const std::string line = without_controls(std::exchange(line_, {}));
    if (line.empty()) return;
    news_.push_back(line);
    last_.push_back(line);
    if (last_.size() > kept_lines) last_.pop_front();
  }

  /// The lines since it was asked last.
  [[nodiscard]] std::vector<std::string> take_news() { return std::exchange(news_, {}); }

  [[nodiscard]] std::string last() const {
    std::string text;
    for (const std::string& line : last_) text += (text.empty() ? "" : "; ") + line;
    return text;
  }

 private:
  std::string line_;
  std::vector<std::string> news_;
  std::deque<std::string> last_;
};

/// A program that we started, with what is ours of it.
struct Launched {
  Launched(std::string given_name, SlaveProcess given) : name(std::move(given_name)), process(std::move(given)) {}

  const std::string name;
  std::string kid;
  SlaveProcess process;
  UniqueFd from;          // what it says
  Output output;          // loop only
  std::stop_source over;  // requested: nobody need wait for it to come any more

  // Under the mutex of the launcher.
  KeyRegistration key;
  UniqueFd to;  // its standard input; closed, it is to end
  std::string said;
  std::string ended;        // how; empty: it runs, as far as we know
  bool is_ending = false;   // somebody sees to its end, and takes it out of the list
  bool is_reapable = true;  // false: a killer needs the process as it is

  // Last, so that they go first: their callbacks use the rest.
  std::optional<DescriptorWatch> output_watch;
  std::optional<DescriptorWatch> exit_watch;
};

/// For an error; under the mutex.
std::string words_of(const Launched& one) { return one.said.empty() ? "" : "; it said: " + one.said; }

}  // namespace

/// The programs that were started and not ended. Their watches are on the loop of the listener.
struct SlaveLauncher::Impl {
  explicit Impl(LauncherOptions options)
      : listener(options.listener),
        admissions(options.listener.impl().admissions),
        keys(admissions->options().keys),
        command{std::move(options.command), options.embedded},
        master(std::move(options.master)),
        kill_after(std::clamp<std::chrono::milliseconds>(options.kill_after, std::chrono::milliseconds(0),
                                                         std::chrono::hours(24))) {}

  const SlaveListener& listener;
  const std::shared_ptr<Admissions> admissions;
  std::optional<KeyRing> keys;
  const SlaveCommand command;
  const std::string master;
  const std::chrono::milliseconds kill_after;
  TreeKiller killer;

  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> names;  // of those that are in the list, or on their way there
  std::list<std::shared_ptr<Launched>> launched;
  unsigned count = 0;

  [[nodiscard]] SlaveCollection& slaves() const { return admissions->options().slave_collection; }
  [[nodiscard]] std::shared_ptr<Slave> find(const Launched& one) const;
  Result<std::string> claim(std::string name);
  void give_up(const std::string& name);
  Result<std::shared_ptr<Launched>> launch(const std::string& name, const std::string& basedir,
                                           const std::string& address);
  void watch(const std::shared_ptr<Launched>& one);
  Result<std::shared_ptr<Slave>> wait_for(Launched& one, const std::string& address, Deadline deadline,
                                          const std::stop_token& stop);
  void tell(Launched& one) const;
  void on_output(Launched& one);
  void on_exit(Launched& one);
  bool begin_end(Launched& one);
  void see_to_end(const std::shared_ptr<Launched>& one, TimePoint kill_at);
};

/// The slave that has proven its very key.
std::shared_ptr<Slave> SlaveLauncher::Impl::find(const Launched& one) const {
  auto slave = slaves().find(one.name);
  return slave && slave->info().kid == one.kid ? slave : nullptr;
}

/// A name for one more, which nobody else gets from here meanwhile.
Result<std::string> SlaveLauncher::Impl::claim(std::string name) {
  const std::lock_guard lock(mutex);
  if (name.empty()) name = "launched-" + std::to_string(++count);
  if (slaves().find(name)) return Failure{Errc::in_use, "a slave with the name '" + name + "' is connected", 0};
  if (names.insert(name).second) return name;
  return Failure{Errc::in_use, "a slave with the name '" + name + "' was launched, and not ended", 0};
}

void SlaveLauncher::Impl::give_up(const std::string& name) {
  const std::lock_guard lock(mutex);
  names.erase(name);
}

Result<std::shared_ptr<Launched>> SlaveLauncher::Impl::launch(const std::string& name, const std::string& basedir,
                                                              const std::string& address) {
  std::vector<std::string> more{"--master=" + address, "--name=" + name};
  if (!basedir.empty()) more.push_back("--basedir=" + basedir);
  more.insert(more.end(), {"--key=-", "--until-eof"});
  auto input = open_pipe_to_child();
  if (!input) return std::move(input).failure();
  auto output = open_pipe_from_child();
  if (!output) return std::move(output).failure();
  const Secret secret = make_key();
  auto line = auth::make_key_line(name, secret);
  if (!line) return std::move(line).failure();
  KeyRegistration registration;
  try {
    registration = keys->register_slave(name, secret);  // before it can come
  } catch (const Error& error) {
    return Failure{error.code(), error.message(), 0};
  }
  const int said = output->theirs.get();
  auto process = SlaveProcess::start(command, more, input->theirs.get(), said, said);
  if (!process) return std::move(process).failure();
  auto one = std::make_shared<Launched>(name, std::move(*process));
  one->kid = line->kid;
  one->key = std::move(registration);
  one->to = std::move(input->ours);
  one->from = std::move(output->ours);
  input->theirs.reset();
  SecretText text;
  auth::write_key_line(text, *line);
  SigpipeBlocked sigpipe;
  // It fits in any pipe. Where nobody reads, the program has ended, which is seen soon.
  if (::write(one->to.get(), text.view().data(), text.view().size()) < 0 && errno == EPIPE) sigpipe.consume();
  return one;
}

void SlaveLauncher::Impl::watch(const std::shared_ptr<Launched>& one) {
  {
    const std::lock_guard lock(mutex);
    launched.push_back(one);
  }
  Launched* const raw = one.get();
  Loop& loop = *admissions->loop();
  one->output_watch.emplace(loop, one->from.get(), [this, raw](Ready) { on_output(*raw); });
  one->exit_watch.emplace(loop, one->process.exit_descriptor(), [this, raw](Ready) { on_exit(*raw); });
  one->output_watch->arm(Ready::read);
  one->exit_watch->arm(Ready::read);
}

Result<std::shared_ptr<Slave>> SlaveLauncher::Impl::wait_for(Launched& one, const std::string& address,
                                                             Deadline deadline, const std::stop_token& stop) {
  const std::stop_callback stopped(stop, [&one] { one.over.request_stop(); });
  try {
    for (bool in_time = true;;) {
      const std::uint64_t seen = slaves().version();
      if (auto slave = find(one)) return slave;
      if (!in_time) break;
      in_time = slaves().wait_for_change(seen, deadline, one.over.get_token());
    }
  } catch (const Cancelled&) {
    const std::lock_guard lock(mutex);
    if (!one.ended.empty()) return Failure{Errc::connection_lost, one.ended, 0};
    if (one.is_ending) return Failure{Errc::connection_lost, "it was told to end before it came", 0};
    return Failure{Errc::cancelled, "stopped before it came" + words_of(one), 0};
  }
  const std::lock_guard lock(mutex);
  return Failure{Errc::timeout, "it has not come to " + address + " in time" + words_of(one), 0};
}

void SlaveLauncher::Impl::tell(Launched& one) const {
  for (const std::string& line : one.output.take_news()) {
    admissions->log(LogLevel::info, one.name, "its program says: " + line);
  }
}

void SlaveLauncher::Impl::on_output(Launched& one) {
  const bool goes_on = one.output.read(one.from.get());
  {
    const std::lock_guard lock(mutex);
    one.said = one.output.last();
  }
  tell(one);
  if (goes_on) one.output_watch->arm(Ready::read);
}

void SlaveLauncher::Impl::on_exit(Launched& one) {
  one.output.read(one.from.get());
  one.output.finish();
  std::shared_ptr<Launched> self;
  KeyRegistration key;
  SlaveProcess::End end{"its process was killed", {}};
  {
    const std::lock_guard lock(mutex);
    if (one.is_reapable) {
      one.process.kill();  // what it left in its process group
      end = one.process.take_end();
    }
    const std::string said = one.output.last();
    one.ended = end.how + (said.empty() ? end.hint : "; it said: " + said);
    key = std::move(one.key);
    one.to.reset();
    const auto here = std::find_if(launched.begin(), launched.end(), [&one](const auto& o) { return o.get() == &one; });
    if (!one.is_ending && here != launched.end()) {
      self = *here;
      launched.erase(here);
      names.erase(one.name);
    }
    changed.notify_all();
  }
  key.drop();
  tell(one);
  admissions->log(LogLevel::info, one.name, end.how);
  one.over.request_stop();
}

/// Its key ends, its connection, and what keeps it from ending. False where somebody else sees to it.
bool SlaveLauncher::Impl::begin_end(Launched& one) {
  KeyRegistration key;
  {
    const std::lock_guard lock(mutex);
    if (std::exchange(one.is_ending, true)) return false;
    key = std::move(one.key);
    one.to.reset();
  }
  key.drop();
  if (const auto slave = find(one)) slave->disconnect("the slave was killed by its master");
  one.over.request_stop();
  return true;
}

/// Waits until it is gone, and kills it where that takes longer.
void SlaveLauncher::Impl::see_to_end(const std::shared_ptr<Launched>& one, TimePoint kill_at) {
  std::unique_lock lock(mutex);
  if (!changed.wait_until(lock, kill_at, [&one] { return !one->ended.empty(); })) {
    one->is_reapable = false;
    lock.unlock();
    const auto late_by = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - kill_at);
    one->process.terminate(killer, std::max(kill_after - late_by, std::chrono::milliseconds(0)));
    lock.lock();
  }
  if (launched.remove(one) != 0) names.erase(one->name);  // else the name may be another one's by now
  changed.notify_all();
}

SlaveLauncher::SlaveLauncher(LauncherOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  check_slave_command(impl_->command, "make a launcher of slaves");
  if (!impl_->keys) {
    throw Error(Errc::invalid_argument, "", "make a launcher of slaves",
                "the listener has no `keys`, so nobody could come by one: give it a remsh::KeyRing");
  }
}

SlaveLauncher::~SlaveLauncher() {
  std::unique_lock lock(impl_->mutex);
  auto all = impl_->launched;
  lock.unlock();
  all.remove_if([this](const auto& one) { return !impl_->begin_end(*one); });
  const TimePoint kill_at = std::chrono::steady_clock::now() + impl_->kill_after;  // the same for all
  for (const auto& one : all) impl_->see_to_end(one, kill_at);
  all.clear();
  lock.lock();
  impl_->changed.wait(lock, [this] { return impl_->launched.empty(); });
  lock.unlock();
  std::promise<void> loop_is_through;
  impl_->admissions->loop()->post([&loop_is_through] { loop_is_through.set_value(); });
  loop_is_through.get_future().wait();
}

std::shared_ptr<Slave> SlaveLauncher::start_slave(const std::string& basedir, const std::string& given_name,
                                                  Deadline deadline, const std::stop_token& stop) {
  const std::string what = basedir.empty() ? "launch" : "launch in '" + escaped(basedir) + "'";
  if (!given_name.empty()) check_slave_name(given_name);
  const std::string address = impl_->master.empty() ? impl_->listener.address() : impl_->master;
  if (address.empty()) {
    throw Error(Errc::invalid_argument, given_name, what,
                "there is no address to which it could connect: start() the listener, or give `master`");
  }
  const auto name = impl_->claim(given_name);
  if (!name) throw_failure(name.failure(), given_name, what);
  std::shared_ptr<Launched> one;
  try {
    auto launched = impl_->launch(*name, basedir, address);
    if (!launched) throw_failure(launched.failure(), *name, what);
    one = *std::move(launched);
    impl_->watch(one);
  } catch (...) {
    impl_->give_up(*name);
    throw;
  }
  auto slave = impl_->wait_for(*one, address, deadline, stop);
  if (slave) return *std::move(slave);
  if (impl_->begin_end(*one)) impl_->see_to_end(one, std::chrono::steady_clock::now());
  throw_failure(slave.failure(), *name, what);
}

bool SlaveLauncher::kill_slave(const std::shared_ptr<Slave>& slave) {
  if (!slave) return false;
  const SlaveInfo info = slave->info();
  std::unique_lock lock(impl_->mutex);
  const auto is_it = [&info](const auto& one) { return one->name == info.name && one->kid == info.kid; };
  const auto found = std::find_if(impl_->launched.begin(), impl_->launched.end(), is_it);
  if (found == impl_->launched.end()) return false;
  const auto one = *found;
  lock.unlock();
  if (impl_->begin_end(*one)) {
    slave->disconnect("the slave was killed by its master");  // also where it was taken out of the collection
    impl_->see_to_end(one, std::chrono::steady_clock::now() + impl_->kill_after);
  }
  lock.lock();
  impl_->changed.wait(
      lock, [&] { return std::find(impl_->launched.begin(), impl_->launched.end(), one) == impl_->launched.end(); });
  lock.unlock();  // as it goes, it waits for its callbacks, and they want the mutex
  return true;
}

}  // namespace remsh

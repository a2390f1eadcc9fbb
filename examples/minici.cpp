// minici: runs a list of jobs on whatever slaves there are, each on one that fits. A place to begin for a program of
// your own.
//
//     minici JOBS [ADDRESS KEYS]
//
// JOBS is a file with a job in each line: NAME | LABEL=VALUE or nothing | TREE to send | COMMAND | ARTEFACT or nothing.
// Slaves connect to ADDRESS, and have their keys in the file KEYS; without, three of them are started on this host.
// Each job's output goes to NAME.log, its artefact to NAME.artefact. Ends with 0 if all jobs are done, 1 if one is not.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Job {
  std::string name, label, tree, command, artefact;
  // How it went:
  std::string slave, outcome = "not begun";
  std::chrono::duration<double> took{0};
  bool is_done = false;
};

std::vector<Job> read_jobs(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  std::vector<Job> jobs;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Job job;
    std::istringstream cells(line);
    for (std::string* cell : {&job.name, &job.label, &job.tree, &job.command, &job.artefact}) {
      std::getline(cells >> std::ws, *cell, '|');
      cell->erase(cell->find_last_not_of(' ') + 1);
    }
    if (job.name.empty() || job.command.empty()) throw std::runtime_error(path + ": no job: " + line);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

/// The terminal: lines of all jobs, and below them how far they are. Thread-safe.
class Screen {
 public:
  explicit Screen(std::size_t jobs) : jobs_(jobs) {}

  void line(const std::string& text) {
    const std::lock_guard lock(mutex_);
    std::cout << (has_bar_ ? "\r\033[K" : "") << text << '\n';
    draw();
  }
  void job_over() {
    const std::lock_guard lock(mutex_);
    ++over_;
    draw();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (has_bar_) std::cout << "\r\033[K";
    has_bar_ = false;
  }

 private:
  void draw() {
    if (has_bar_) {
      const std::size_t filled = 40 * over_ / std::max<std::size_t>(jobs_, 1);
      std::cout << "\r[" << std::string(filled, '#') << std::string(40 - filled, '.') << "] " << over_ << '/' << jobs_;
    }
    std::cout.flush();
  }

  std::mutex mutex_;
  const std::size_t jobs_;
  std::size_t over_ = 0;
  bool has_bar_ = ::isatty(STDOUT_FILENO) == 1;
};

remsh::SlaveFilter slaves_for(const Job& job, const std::string& lost) {
  remsh::SlaveFilter filter([lost](const remsh::Slave& slave) { return slave.name() != lost; });
  if (job.label.empty()) return filter;
  const std::size_t split = job.label.find('=');
  return filter && remsh::label(job.label.substr(0, split), job.label.substr(split + 1));
}

/// Runs a job once, on a slave that is reserved for it.
void run_on(remsh::Lease& lease, Job& job, Screen& screen, std::stop_token stop) {
  job.slave = lease->name();
  const auto place = lease->workspace("minici/" + job.name, {.deadline = 1h, .stop = stop, .tag = job.name});
  place->mkdir("work");
  if (!job.tree.empty()) place->send_tree(job.tree, "work", {.exclude = {".git"}, .overwrite = true});
  std::ofstream log(job.name + ".log");
  const auto print = [&](remsh::BytesView line) {
    log << line << std::endl;
    screen.line(job.slave + " " + job.name + ": " + std::string(line));
  };
  const auto result = place->execute(
      {"sh", "-c", job.command},
      {.cwd = "work", .out = remsh::lines(print), .err = remsh::merge, .timeout = 30min, .silence_timeout = 10min});
  job.outcome = to_string(result);
  if (!result.ok()) return;
  if (!job.artefact.empty()) {
    place->fetch("work/" + job.artefact, remsh::Sink::file(job.name + ".artefact"), {.overwrite = true});
  }
  job.is_done = true;
}

/// Runs a job to its end: if its slave is lost, on another one.
void run(remsh::SlaveCollection& slaves, Job& job, Screen& screen, std::stop_token stop) {
  const auto begin = Clock::now();
  std::string lost;
  for (int attempts = 3; attempts > 0; --attempts) {
    try {
      auto lease = slaves.reserve(
          {.filter = slaves_for(job, lost), .owner = job.name, .deadline = 5min, .stop = stop, .explain = true});
      run_on(lease, job, screen, stop);
      break;
    } catch (const remsh::ConnectionLost& error) {
      job.outcome = error.what();
      lost = job.slave;
      screen.line(job.outcome + (attempts > 1 ? "; trying another slave" : "; giving up"));
    } catch (const remsh::Cancelled&) {
      job.outcome = "cancelled";
      break;
    } catch (const remsh::Error& error) {
      job.outcome = error.what();
      break;
    }
  }
  job.took = Clock::now() - begin;
  screen.job_over();
}

}  // namespace

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
  const std::stop_token stop = remsh::stop_on_signals();  // Ctrl-C ends all jobs
  if (argc != 2 && argc != 4) throw std::runtime_error("usage: minici JOBS [ADDRESS KEYS]");
  std::vector<Job> jobs = read_jobs(argv[1]);

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  std::unique_ptr<remsh::SlaveListener> listener;
  if (argc == 4) {
    listener = remsh::make_listener({.slave_collection = slaves, .address = argv[2], .keys = remsh::KeyFile(argv[3])});
    listener->start();
  } else {
    auto local = std::make_unique<remsh::LocalSlaveListener>(
        remsh::LocalListenerOptions{.slave_collection = slaves, .embedded = true});
    for (const std::string name : {"ash", "birch", "cedar"}) {
      local->start_slave(directory / name, {.name = name, .labels = {{"where", "here"}}});
    }
    listener = std::move(local);
  }

  Screen screen(jobs.size());
  {
    std::vector<std::jthread> threads;
    for (Job& job : jobs) threads.emplace_back([&] { run(slaves, job, screen, stop); });
  }
  screen.end();
  for (const Job& job : jobs) {
    std::cout << (job.is_done ? "done    " : "FAILED  ") << job.name << " on "
              << (job.slave.empty() ? "no slave" : job.slave) << ", " << job.took.count() << " s: " << job.outcome
              << '\n';
  }
  return std::all_of(jobs.begin(), jobs.end(), [](const Job& job) { return job.is_done; }) ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "minici: " << error.what() << '\n';
  return 2;
}

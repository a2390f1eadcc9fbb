// BuildbotWorker: a worker of Buildbot as its scripts use it.
#pragma once

#include "buildbot/worker_session.hpp"
#include "master/backend.hpp"
#include "master/buildbot_group.hpp"
#include "master/running_operations.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/value.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace remsh {

class BuildbotScript;

/// What a worker has told about itself when it came.
struct BuildbotInfo {
  std::string basedir;  ///< absolute
  std::string system;   ///< "posix"
  std::string version;
  std::map<Bytes, Bytes> environ = {};
  std::map<Bytes, Bytes> files = {};  ///< of its directory `info`, and what its /etc/os-release says
  bool deletes_directories = false;   ///< its option delete_leftover_dirs
};

/// What the scripts of one worker share. Used under the mutex of its back end.
struct BuildbotWorker {
  using Answer = std::function<void(Result<Value>)>;

  BuildbotGroup& group;
  const BuildbotInfo info;
  RunningOperations& operations;
  /// Releases the worker: no more operations, and its end after this time at the latest.
  std::function<void(std::string why, Duration within)> begin_draining;

  std::unique_ptr<buildbot::WorkerSession> session = {};
  std::string cwd = info.basedir;  // of the session

  std::map<std::uint64_t, std::shared_ptr<BuildbotScript>> scripts = {};  // by the number of the operation
  std::map<std::string, BuildbotScript*> commands = {};  // that run, by id; null: the operation is over
  std::map<std::uint64_t, Answer> requests = {};         // open ones

  // To be done when the mutex is unlocked.
  std::vector<std::shared_ptr<BuildbotScript>> finished = {};
  std::vector<Waker> wakers = {};
  bool has_news = false;  // for the threads that drive
};

}  // namespace remsh

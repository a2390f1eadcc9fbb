#include "master/buildbot_protocol.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "buildbot/msgpack_session.hpp"
#include "buildbot/pb_session.hpp"
#include "master/buildbot_backend.hpp"
#include "os/random.hpp"

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

namespace {

using buildbot::Dialect;
using buildbot::WorkerEvent;
using buildbot::WorkerSession;

/// What is different about the two protocols outside of their sessions.
struct ProtocolTraits {
  Dialect dialect;
  std::string_view name;
  std::string_view seen_as;
  BytesView opening = {};  ///< of a worker; empty: it waits for our greeting
  /// How long a connection may be silent before it is taken for one of a worker that waits.
  std::optional<Duration> silence_before_sending = {};
  bool needs_directories = false;  ///< so that a worker which deletes what it does not know cannot be used
};

constexpr ProtocolTraits msgpack_traits{.dialect = Dialect::msgpack,
                                        .name = "buildbot-msgpack",
                                        .seen_as = "HTTP, as buildbot-msgpack does",
                                        .opening = "GET "};
constexpr ProtocolTraits pb_traits{.dialect = Dialect::pb,
                                   .name = "buildbot-pb",
                                   .seen_as = "buildbot-pb",
                                   .silence_before_sending = std::chrono::seconds(1),
                                   .needs_directories = true};

/// What a worker may send before it is let in, after what its handshake needs.
constexpr std::size_t max_before_entry = std::size_t{64} * 1024;

/// How many variables a worker may have.
constexpr std::size_t max_variables = 10'000;

std::string text_in(const Value& info, const char* key) {
  const Value* const value = info.find(Value::text(key));
  const auto* const text = value != nullptr ? value->get_if<Value::Text>() : nullptr;
  return text != nullptr ? text->text : std::string();
}

/// The answer to read_info(). Besides what is known by name, all texts are files of the worker's directory `info`.
BuildbotInfo info_of(const Value& answer) {
  BuildbotInfo info{.basedir = text_in(answer, "basedir"),
                    .system = text_in(answer, "system"),
                    .version = text_in(answer, "version")};
  const Value* const deletes = answer.find(Value::text("delete_leftover_dirs"));
  const auto* const flag = deletes != nullptr ? deletes->get_if<bool>() : nullptr;
  info.deletes_directories = flag != nullptr && *flag;
  const auto texts_of = [](const Value* value, std::map<Bytes, Bytes>& into) {
    const auto* const dict = value != nullptr ? value->get_if<Value::Dict>() : nullptr;
    for (std::size_t i = 0; dict != nullptr && i < dict->keys.size(); ++i) {
      const auto* const key = dict->keys[i].get_if<Value::Text>();
      const auto* const text = dict->values[i].get_if<Value::Text>();
      if (key != nullptr && text != nullptr) into[key->text] = text->text;
    }
  };
  texts_of(answer.find(Value::text("environ")), info.environ);
  texts_of(&answer, info.files);
  for (const char* key : {"basedir", "system", "version"}) info.files.erase(key);
  return info;
}

/// Why a worker with this info cannot be used; empty if it can.
std::string why_unfit(const BuildbotInfo& info, const ProtocolTraits& protocol) {
  if (info.system != "posix") {
    return formatted("it runs on {}, and only workers on POSIX systems can be used", start_in_quotes(info.system));
  }
  if (!info.basedir.starts_with('/') || info.basedir.size() > 4096 || without_controls(info.basedir) != info.basedir) {
    return "its base directory is not an absolute path of at most 4096 bytes without control characters";
  }
  if (info.environ.size() > max_variables) return formatted("it has more than {} variables", max_variables);
  if (protocol.needs_directories && info.deletes_directories) {
    return "it has delete_leftover_dirs set, and would delete its directories: leave that out of its buildbot.tac, or "
           "give it protocol='msgpack_experimental_v7'";
  }
  return {};
}

/// The handshake of a worker: the login of its protocol, then what it tells about itself. The worker is never given an
/// error of its login but that its name or password is wrong: any other one makes it stop for good.
class BuildbotHandshake final : public WorkerHandshake {
 public:
  BuildbotHandshake(std::shared_ptr<BuildbotGroup> group, NewConnection connection, const ProtocolTraits& protocol)
      : group_(std::move(group)), connection_(std::move(connection)), protocol_(protocol), session_(make_session()) {}

  Bytes start() override { return session_->take_output(); }
  Step feed(BytesView bytes) override;
  [[nodiscard]] Failure at_end() const override {
    return {Errc::connection_lost, "the worker closed the connection while it registered", 0};
  }
  [[nodiscard]] const Registration& registration() const noexcept override { return registration_; }
  [[nodiscard]] Proof proof() const noexcept override {
    return registration_.key_id.empty() ? Proof::none : Proof::key;
  }
  [[nodiscard]] std::map<std::string, std::string> labels() const override { return labels_; }
  [[nodiscard]] std::shared_ptr<AdmittedBackend> make_backend() override {
    auto backend = std::make_shared<BuildbotBackend>(group_, std::move(info_));
    backend_ = backend;
    return backend;
  }
  Bytes open() override {
    session_->admit();
    Bytes last = session_->take_output();
    if (const auto backend = backend_.lock()) backend->take_session(std::move(session_));
    return last;
  }
  // It tries again when the connection ends.
  Bytes refuse(const EntryRefusal& /*refusal*/) override { return {}; }
  Bytes reject() override {
    if (is_in_) return {};  // it has had its answer
    session_->reject();
    return session_->take_output();
  }

 private:
  std::unique_ptr<WorkerSession> make_session() {
    auto check = [this](std::string_view name, const auto& proves) { return is_right(name, proves); };
    if (protocol_.dialect == Dialect::msgpack) return buildbot::make_msgpack_session(std::move(check));
    std::array<char, buildbot::pb_challenge_size> challenge{};
    random_bytes(challenge);
    return buildbot::make_pb_session(std::move(check), Bytes(challenge.data(), challenge.size()));
  }
  bool is_right(std::string_view name, const std::function<bool(std::string_view)>& proves);
  Step take(const WorkerEvent& event);
  Step logged_in();
  Step take_info(const Value& answer);
  Step fail(Errc code, std::string why) {
    return {.action = Step::Action::fail, .bytes = session_->take_output(), .failure = {code, std::move(why), 0}};
  }
  Step send_or_read() {
    Bytes output = session_->take_output();
    return {.action = output.empty() ? Step::Action::read : Step::Action::send, .bytes = std::move(output)};
  }

  const std::shared_ptr<BuildbotGroup> group_;
  const NewConnection connection_;
  const ProtocolTraits& protocol_;
  std::unique_ptr<WorkerSession> session_;  // until open()
  bool is_in_ = false;                      // it has logged in
  bool is_registered_ = false;
  std::uint64_t request_ = 0;  // open
  bool has_info_ = false;
  std::size_t early_ = 0;  // bytes since it has registered
  BuildbotInfo info_;
  Registration registration_;
  std::map<std::string, std::string> labels_;
  std::weak_ptr<BuildbotBackend> backend_;
};

/// A listener without keys accepts any password of a name that has none.
bool BuildbotHandshake::is_right(std::string_view name, const std::function<bool(std::string_view)>& proves) {
  const auto passwords = connection_.passwords ? connection_.passwords(name) : std::vector<auth::PasswordAnswer>();
  if (passwords.empty()) {
    static_cast<void>(proves("a password that nobody has"));  // so that it takes as long
    return connection_.keyless;
  }
  bool is_right = false;
  for (const auto& one : passwords) {
    if (!proves(one.password.bytes())) continue;
    is_right = true;
    registration_.key_id = one.kid;
    labels_ = one.labels;
  }
  return is_right;
}

BuildbotHandshake::Step BuildbotHandshake::feed(BytesView bytes) {
  if (is_registered_) early_ += bytes.size();
  if (early_ > max_before_entry) {
    return {.action = Step::Action::close, .failure = breach("it says too much before it is let in")};
  }
  if (auto fed = session_->feed(bytes); !fed) {
    const Errc code = fed.failure().code;
    std::string why = formatted("{}: {}", start_in_quotes(session_->name()), fed.failure().message);
    if (is_registered_) return {.action = Step::Action::close, .failure = {code, std::move(why), 0}};
    return fail(code, std::move(why));
  }
  if (is_registered_) return {};  // what it says now, the back end takes
  while (const auto event = session_->next()) {
    Step step = take(*event);
    if (step.action != Step::Action::read) return step;
  }
  return send_or_read();
}

BuildbotHandshake::Step BuildbotHandshake::take(const WorkerEvent& event) {
  switch (event.kind) {
    case WorkerEvent::Kind::rejected:
      session_->reject();
      return fail(Errc::auth_failed,
                  formatted("{}: its name or its password is wrong", start_in_quotes(session_->name())));
    case WorkerEvent::Kind::logged_in: return logged_in();
    case WorkerEvent::Kind::asks_release: return fail(Errc::refused, "it asks to be released before it is let in");
    case WorkerEvent::Kind::failed:
      return fail(Errc::refused, formatted("{}: it cannot say what it is: {}", start_in_quotes(session_->name()),
                                           start_in_quotes(event.text)));
    case WorkerEvent::Kind::answered:
      if (event.request != request_) return {};
      if (!has_info_) return take_info(event.value);
      is_registered_ = true;
      return {.action = Step::Action::registered};
    default: return fail(Errc::protocol_error, "it speaks of a command before there is one");
  }
}

BuildbotHandshake::Step BuildbotHandshake::logged_in() {
  is_in_ = true;
  if (!auth::is_slave_name(session_->name())) {
    return fail(Errc::refused, formatted("its name is {}, which no slave can have: [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}",
                                         start_in_quotes(session_->name())));
  }
  registration_.name = session_->name();
  request_ = session_->read_info();
  return {};
}

BuildbotHandshake::Step BuildbotHandshake::take_info(const Value& answer) {
  has_info_ = true;
  info_ = info_of(answer);
  if (std::string why = why_unfit(info_, protocol_); !why.empty()) {
    return fail(Errc::refused, formatted("{}: {}", in_quotes(registration_.name), why));
  }
  registration_.system = info_.system;
  registration_.software = "buildbot-worker " + without_controls(info_.version.substr(0, 64));
  registration_.basedir = info_.basedir;
  request_ = session_->prepare();
  return {};
}

class BuildbotProtocol final : public WorkerProtocol {
 public:
  explicit BuildbotProtocol(const ProtocolTraits& traits) : traits_(traits) {}

  [[nodiscard]] std::string_view name() const noexcept override { return traits_.name; }
  [[nodiscard]] std::string_view seen_as() const noexcept override { return traits_.seen_as; }
  [[nodiscard]] bool has_keys() const noexcept override { return true; }
  [[nodiscard]] bool needs_certificate() const noexcept override { return true; }
  [[nodiscard]] bool does_one_operation_at_a_time() const noexcept override { return false; }
  [[nodiscard]] std::optional<Duration> silence_before_sending() const noexcept override {
    return traits_.silence_before_sending;
  }
  [[nodiscard]] Recognition recognise(BytesView opening) const override {
    const BytesView wanted = traits_.opening;
    if (wanted.empty() || !wanted.starts_with(opening.substr(0, wanted.size()))) return Recognition::no;
    return opening.size() < wanted.size() ? Recognition::need_more : Recognition::yes;
  }
  [[nodiscard]] BeginHandshake serve(WorkerHost host) const override {
    const Keepalive keepalive{host.keepalive, host.keepalive_patience};
    return [&traits = traits_, group = std::make_shared<BuildbotGroup>(
                                   std::move(host.loop), keepalive, std::move(host.owner))](NewConnection connection) {
      return std::make_unique<BuildbotHandshake>(group, std::move(connection), traits);
    };
  }

 private:
  const ProtocolTraits& traits_;  // one of the two above
};

}  // namespace

std::shared_ptr<const WorkerProtocol> buildbot_pb_protocol() { return std::make_shared<BuildbotProtocol>(pb_traits); }

std::shared_ptr<const WorkerProtocol> buildbot_msgpack_protocol() {
  return std::make_shared<BuildbotProtocol>(msgpack_traits);
}

}  // namespace remsh

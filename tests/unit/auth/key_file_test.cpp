// Tests of key files on the disk.
#include "auth/key_file.hpp"

#include "base/utc_time.hpp"
#include "support/child_process.hpp"
#include "support/has.hpp"
#include "support/keys.hpp"
#include "support/mode_of.hpp"
#include "support/temp_dir.hpp"
#include "unit/auth/test_day.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::drop_privileges;
using remsh::test::has;
using remsh::test::key_of;
using remsh::test::line_of;
using remsh::test::mode_of;
using remsh::test::run_in_child;
using remsh::test::skip;
using remsh::test::TempDir;
using remsh::test::test_day;
using remsh::test::unless_skipped;

namespace {

KeyLine key_line(const std::string& name, char fill, const KeyTerms& terms = {}) {
  return *make_key_line(name, key_of(fill), terms);
}

/// A directory with a good key file. One thread at a time.
class KeyDirectory : public TempDir {
 public:
  explicit KeyDirectory(const std::string& text = "# ours\n" + line_of("w1", '1')) { put(text); }

  void put(const std::string& text) const {
    write("slaves.keys", text);
    ::chmod(file().c_str(), 0600);
  }
  [[nodiscard]] std::string file() const { return *this / "slaves.keys"; }
  [[nodiscard]] std::string text() const { return read("slaves.keys"); }

  /// Why it is not read; empty where it is.
  [[nodiscard]] std::string refusal() const {
    const auto content = read_key_file(file());
    if (content) return {};
    // Whatever is wrong, no key is shown.
    CHECK(content.failure().message.find(key_of('1').to_base64().substr(0, 12)) == std::string::npos);
    return content.failure().message;
  }
};

KeyFileEditor adding(const KeyLine& line) {
  return [line](const std::vector<KeyLine>&) -> Result<KeyFileChange> { return KeyFileChange{{}, {}, {line}}; };
}

}  // namespace

TEST_CASE("a key file that only its owner can get at is read") {
  const KeyDirectory keys;
  const auto content = read_key_file(keys.file());
  REQUIRE(content.ok());
  REQUIRE(content->lines.size() == 1);
  CHECK(content->lines[0] == key_line("w1", '1'));
  CHECK(*key_file_stamp(keys.file()) == content->stamp);
  ::chmod(keys.file().c_str(), 0400);
  CHECK(keys.refusal().empty());
}

TEST_CASE("a key file that others can read or write is refused, with the command that mends it") {
  const KeyDirectory keys;
  for (const mode_t mode : {0640U, 0620U, 0604U, 0602U, 0610U, 0644U, 0666U}) {
    CAPTURE(mode);
    ::chmod(keys.file().c_str(), mode);
    CHECK(has(keys.refusal(), "chmod 600 '" + keys.file() + "'"));
  }
}

TEST_CASE("a key file of somebody else is refused") {
  const KeyDirectory keys;
  if (::geteuid() == 0) {
    REQUIRE(::chown(keys.file().c_str(), 65534, 65534) == 0);
    CHECK(has(keys.refusal(), "belongs to user 65534"));
    CHECK(has(keys.refusal(), "chown 0 '"));
  } else {
    skip("only root can give a file away");
  }
}

TEST_CASE("root changes the key file of another user, who stays its owner, and does not trust it") {
  const KeyDirectory keys;
  constexpr uid_t owner = 65534;
  constexpr gid_t group = 65533;
  if (::geteuid() != 0 || ::chown(keys.file().c_str(), owner, group) != 0) {
    skip("only root can give a file away");
    return;
  }
  const KeyFileEditor add = [](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
    return KeyFileChange{{}, {}, {*make_key_line("w9", key_of('9'))}};
  };
  for (const uid_t of_directory : {uid_t{0}, owner}) {  // whichever may put another file there
    CAPTURE(of_directory);
    REQUIRE(::chown(keys.path().c_str(), of_directory, 0) == 0);
    const auto before = read_key_file(keys.file(), KeyFileUse::keep);
    REQUIRE(before.ok());
    const auto changed = change_key_file(keys.file(), true, test_day, [&](const std::vector<KeyLine>& lines) {
      return lines.back().name == "w9" ? Result<KeyFileChange>(KeyFileChange{{lines.size() - 1}, {}, {}}) : add(lines);
    });
    CAPTURE((changed ? "" : changed.failure().message));
    CHECK(changed.ok());
    struct stat what {};
    REQUIRE(::stat(keys.file().c_str(), &what) == 0);
    CHECK(what.st_uid == owner);
    CHECK(what.st_gid == group);
    CHECK((what.st_mode & 0777U) == 0600);
    CHECK(read_key_file(keys.file(), KeyFileUse::keep)->lines.size() != before->lines.size());
  }
  CHECK_FALSE(keys.refusal().empty());
  REQUIRE(::chown(keys.path().c_str(), owner - 1, 0) == 0);  // of a third one, who could have put the file there
  CHECK_FALSE(change_key_file(keys.file(), true, test_day, add).ok());
  CHECK_FALSE(read_key_file(keys.file(), KeyFileUse::keep).ok());
  REQUIRE(::chown(keys.path().c_str(), 0, 0) == 0);
}

TEST_CASE("a key file that is a symbolic link is refused, also one that leads nowhere") {
  const KeyDirectory keys;
  const std::string link = keys / "link";
  REQUIRE(::symlink("slaves.keys", link.c_str()) == 0);
  const auto content = read_key_file(link);
  REQUIRE_FALSE(content.ok());
  CHECK(has(content.failure().message, "is a symbolic link: give the file"));
  const std::string lost = keys / "lost";
  REQUIRE(::symlink("nowhere", lost.c_str()) == 0);
  CHECK(has(read_key_file(lost).failure().message, "is a symbolic link"));
}

TEST_CASE("what is no regular file is refused, and is not waited for") {
  const TempDir dir;
  const std::string fifo = dir / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(has(read_key_file(fifo).failure().message, "is no regular file"));
  REQUIRE(::mkdir((dir / "dir").c_str(), 0700) == 0);
  CHECK(has(read_key_file(dir / "dir").failure().message, "is no regular file"));
  CHECK(has(read_key_file(dir / "dir/").failure().message, "is a directory"));
  const std::string path = dir / "socket";
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof address.sun_path - 1));
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(has(read_key_file(path).failure().message, "is no regular file"));
  ::close(socket);
}

TEST_CASE("a key file that is not there says how to make one") {
  const TempDir dir;
  const auto content = read_key_file(dir / "slaves.keys");
  REQUIRE_FALSE(content.ok());
  CHECK(content.failure().os == ENOENT);
  CHECK(has(content.failure().message, "'remsh-slave keygen add NAME"));
}

TEST_CASE("a key file in a directory where others can replace it is refused") {
  const KeyDirectory keys;
  for (const mode_t mode : {0770U, 0707U, 0777U}) {
    CAPTURE(mode);
    ::chmod(keys.path().c_str(), mode);
    CHECK(has(keys.refusal(), "others can write to the directory"));
    CHECK(has(keys.refusal(), "chmod go-w"));
  }
  // In a sticky one only the owner of the file, or of the directory, can.
  ::chmod(keys.path().c_str(), 01777);
  CHECK(keys.refusal().empty());
  ::chmod(keys.path().c_str(), 0755);
  CHECK(keys.refusal().empty());
}

TEST_CASE("a key file in a directory of somebody else is refused") {
  const KeyDirectory keys;
  if (::geteuid() == 0) {
    REQUIRE(::chown(keys.path().c_str(), 65534, 65534) == 0);
    CHECK(has(keys.refusal(), "belongs to user 65534, who can replace the file"));
    REQUIRE(::chown(keys.path().c_str(), 0, 0) == 0);
  } else {
    skip("only root can give a directory away");
  }
}

TEST_CASE("a key file of root's that this user may not read says so") {
  const KeyDirectory keys;
  CHECK(unless_skipped(run_in_child([&] {
          if (::geteuid() != 0 || ::chmod(keys.path().c_str(), 0755) != 0 || !drop_privileges()) {
            return remsh::test::skipped;
          }
          const auto content = read_key_file(keys.file());
          return !content &&
                         has(content.failure().message, "Permission denied for user 65534: give the file to that user")
                     ? 0
                     : 1;
        })) == 0);
}

TEST_CASE("a key file that is too large is refused before it is read") {
  const KeyDirectory keys;
  REQUIRE(::truncate(keys.file().c_str(), static_cast<off_t>(max_key_file) + 1) == 0);
  CHECK(has(keys.refusal(), "more than 4 MiB"));
}

TEST_CASE("what is wrong within a key file is told with file and line") {
  const KeyDirectory keys("# ours\n" + line_of("w1", '1') + line_of("w2", '1'));
  CHECK(has(keys.refusal(), "slaves.keys:3: the key "));
}

TEST_CASE("a missing key file is made for its owner alone, where it may be made") {
  const TempDir dir;
  const std::string file = dir / "slaves.keys";
  CHECK_FALSE(change_key_file(file, false, test_day, adding(key_line("w1", '1'))).ok());
  CHECK(dir.count() == 0);
  const auto old = ::umask(0);
  CHECK(change_key_file(file, true, test_day, adding(key_line("w1", '1'))).ok());
  ::umask(old);
  CHECK(mode_of(file) == 0600);
  CHECK(dir.count() == 1);
  const auto content = read_key_file(file);
  REQUIRE(content.ok());
  CHECK(content->lines == std::vector<KeyLine>{key_line("w1", '1')});
  CHECK(dir.read("slaves.keys").starts_with("# "));
}

TEST_CASE("a change keeps comments, order, spelling and the mode, and leaves nothing beside the file") {
  const KeyDirectory keys("# ours\n\n" + line_of("w2", '2') + "# of the lab\n" + line_of("  w1 ", '1') +
                          line_of("w3", '3'));
  ::chmod(keys.file().c_str(), 0400);
  CHECK(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
          CHECK(lines.size() == 3);
          return KeyFileChange{{2}, {}, {key_line("w4", '4')}};
        }).ok());
  CHECK(keys.text() ==
        "# ours\n\n" + line_of("w2", '2') + "# of the lab\n" + line_of("  w1 ", '1') + line_of("w4", '4'));
  CHECK(mode_of(keys.file()) == 0400);
  CHECK(keys.count() == 1);
}

TEST_CASE("a change keeps the lines of passwords, spelled as they are") {
  const std::string passwords =
      "  w1   password=%73ecret \tlabel.a=b\r\nw2 password=secret expires=2027-01-31T00:00:00Z\n";
  const std::string invitation = line_of("w1", '1', " expires=2026-11-21T09:00:00Z invite");
  const KeyDirectory keys(passwords + invitation);
  REQUIRE(change_key_file(keys.file(), false, test_day, adding(key_line("w1", '2'))).ok());
  CHECK(keys.text() == passwords + invitation + line_of("w1", '2'));

  // An invitation is used, which has its line written again.
  REQUIRE(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
            REQUIRE(lines.size() == 4);
            return KeyFileChange{{}, {2}, {key_line("w1", '3')}};
          }).ok());
  const std::string used = line_of("w1", '1', " expires=2026-11-21T09:00:00Z invite used=2026-11-21T08:00:00Z");
  CHECK(keys.text() == passwords + used + line_of("w1", '2') + line_of("w1", '3'));

  // There is no room: the used invitation goes, and then nothing more, as no password makes room.
  REQUIRE(change_key_file(keys.file(), false, test_day, adding(key_line("w1", '4'))).ok());
  CHECK(keys.text() == passwords + line_of("w1", '2') + line_of("w1", '3') + line_of("w1", '4'));
  const auto fifth = change_key_file(keys.file(), false, test_day, adding(key_line("w1", '5')));
  REQUIRE_FALSE(fifth.ok());
  CHECK(has(fifth.failure().message, "'w1' has more than four keys"));

  REQUIRE(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
            KeyFileChange change;
            for (std::size_t i = 0; i < lines.size(); ++i) {
              if (!lines[i].password) change.removed.insert(i);
            }
            return change;
          }).ok());
  CHECK(keys.text() == passwords);
  REQUIRE(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
            return KeyFileChange{{1}, {}, {*make_password_line("w3", "a b")}};
          }).ok());
  CHECK(keys.text() == "  w1   password=%73ecret \tlabel.a=b\r\nw3 password=a%20b\n");
}

TEST_CASE("a key file with a password that is wrong elsewhere shows no part of the password") {
  const KeyDirectory keys("w1 password=correct horse\n");
  CHECK(has(keys.refusal(), "slaves.keys:1: unknown option (not shown"));
  CHECK_FALSE(has(keys.refusal(), "horse"));
  const auto changed = change_key_file(keys.file(), false, test_day, adding(key_line("w2", '2')));
  REQUIRE_FALSE(changed.ok());
  CHECK_FALSE(has(changed.failure().message, "horse"));
  CHECK(keys.text() == "w1 password=correct horse\n");
  ::chmod(keys.file().c_str(), 0640);
  CHECK(has(keys.refusal(), "chmod 600"));
  ::chmod(keys.file().c_str(), 0600);
  CHECK(has(read_own_key(keys.file()).failure().message, "slaves.keys:1: "));
  keys.put("w1 password=correct%20horse\n");
  CHECK(keys.refusal().empty());
  const auto own = read_own_key(keys.file());
  REQUIRE_FALSE(own.ok());
  CHECK(has(own.failure().message, "'remsh-slave keygen add NAME' prints"));
}

TEST_CASE("a change that does not go leaves the file as it was") {
  const KeyDirectory keys;
  const std::string before = keys.text();
  SUBCASE("the editor does not want it") {
    const auto changed =
        change_key_file(keys.file(), true, test_day, [](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
          return Failure{Errc::auth_failed, "no", 0};
        });
    REQUIRE_FALSE(changed.ok());
    CHECK(changed.failure().message == "no");
  }
  SUBCASE("the key is there already") {
    CHECK(has(change_key_file(keys.file(), true, test_day, adding(key_line("w2", '1'))).failure().message, "already"));
  }
  SUBCASE("the name has four") {
    for (const char fill : {'2', '3', '4'}) {
      CHECK(change_key_file(keys.file(), true, test_day, adding(key_line("w1", fill))).ok());
    }
    const std::string four = keys.text();
    CHECK(has(change_key_file(keys.file(), true, test_day, adding(key_line("w1", '5'))).failure().message,
              "more than four"));
    CHECK(keys.text() == four);
    keys.put(before);
  }
  SUBCASE("the file is not safe") {
    ::chmod(keys.file().c_str(), 0644);
    CHECK(
        has(change_key_file(keys.file(), true, test_day, adding(key_line("w2", '2'))).failure().message, "chmod 600"));
  }
  SUBCASE("the file is bad") {
    keys.put("w1 x\n");
    CHECK_FALSE(change_key_file(keys.file(), true, test_day, adding(key_line("w2", '2'))).ok());
    CHECK(keys.text() == "w1 x\n");
    keys.put(before);
  }
  CHECK(keys.text() == before);
  CHECK(keys.count() == 1);
}

TEST_CASE("invitations that are used or expired make room for a new key, as far as it is needed") {
  const KeyTerms later{{}, test_day + std::chrono::hours(1), {}, true};
  const KeyTerms expired{{}, test_day, {}, true};
  KeyLine used = key_line("w1", '3', later);
  used.used = test_day;
  SecretText text;
  for (const KeyLine& line : {key_line("w1", '1'), key_line("w1", '2', expired), used, key_line("w1", '4', later)}) {
    write_key_line(text, line);
  }
  const KeyDirectory keys{std::string(text.view())};
  REQUIRE(change_key_file(keys.file(), false, test_day, adding(key_line("w1", '5'))).ok());
  auto content = read_key_file(keys.file());
  REQUIRE(content.ok());
  CHECK(content->lines ==
        std::vector<KeyLine>{key_line("w1", '1'), used, key_line("w1", '4', later), key_line("w1", '5')});
  REQUIRE(change_key_file(keys.file(), false, test_day, adding(key_line("w1", '6'))).ok());
  CHECK_FALSE(change_key_file(keys.file(), false, test_day, adding(key_line("w1", '7'))).ok());

  // One that is taken up now gives its own place, if there is no other.
  REQUIRE(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>&) -> Result<KeyFileChange> {
            return KeyFileChange{{}, {1}, {key_line("w1", '7')}};
          }).ok());
  content = read_key_file(keys.file());
  REQUIRE(content.ok());
  CHECK(content->lines ==
        std::vector<KeyLine>{key_line("w1", '1'), key_line("w1", '5'), key_line("w1", '6'), key_line("w1", '7')});
}

TEST_CASE("processes that change a file at once lose nothing of each other, also where it is not there yet") {
  const TempDir dir;
  const std::string file = dir / "slaves.keys";
  constexpr int processes = 4;
  constexpr int each = 8;
  std::vector<pid_t> children;
  for (int process = 0; process < processes; ++process) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int failures = 0;
      for (int i = 0; i < each; ++i) {
        const auto fill = static_cast<char>('A' + process * each + i);
        if (!change_key_file(file, true, test_day, adding(key_line("w" + std::to_string(fill), fill)))) ++failures;
      }
      ::_exit(failures);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  const auto content = read_key_file(file);
  REQUIRE(content.ok());
  CHECK(content->lines.size() == processes * each);
  CHECK(dir.count() == 1);
}

TEST_CASE("who reads while a file is replaced sees the old one or the new one") {
  const KeyDirectory keys;
  std::atomic<bool> done = false;
  std::atomic<int> bad = 0;
  std::thread reader([&] {
    while (!done) {
      const auto content = read_key_file(keys.file());
      const bool is_either = content && (content->lines.size() == 1 || content->lines.size() == 2);
      // That the old one just lost its name is seen as a change of it.
      if (!is_either && !(!content && content.failure().code == Errc::busy)) ++bad;
    }
  });
  for (int i = 0; i < 50; ++i) {
    CHECK(change_key_file(keys.file(), false, test_day, [](const std::vector<KeyLine>& lines) -> Result<KeyFileChange> {
            if (lines.size() == 2) return KeyFileChange{{1}, {}, {}};
            return KeyFileChange{{}, {}, {key_line("w2", '2')}};
          }).ok());
  }
  done = true;
  reader.join();
  CHECK(bad == 0);
}

TEST_CASE("who waits for the lock of a file that was replaced meanwhile changes the new one") {
  const KeyDirectory keys;
  const int held = ::open(keys.file().c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(::flock(held, LOCK_EX) == 0);
  Result<void> changed = Failure{};
  std::thread other([&] { changed = change_key_file(keys.file(), false, test_day, adding(key_line("w3", '3'))); });
  // As who holds the lock does it: a new file in its place, and then the lock goes with the old one.
  keys.write("new", line_of("w1", '1') + line_of("w2", '2'));
  ::chmod((keys / "new").c_str(), 0600);
  REQUIRE(::rename((keys / "new").c_str(), keys.file().c_str()) == 0);
  ::close(held);
  other.join();
  CHECK(changed.ok());
  CHECK(keys.text() == line_of("w1", '1') + line_of("w2", '2') + line_of("w3", '3'));
}

TEST_CASE("a slave's own key is written for its owner alone, and read again") {
  const TempDir dir;
  const std::string file = dir / "w1.key";
  CHECK(check_new_own_key(file).ok());
  CHECK(dir.count() == 0);
  REQUIRE(write_own_key(file, "w1", key_of('1'), false).ok());
  CHECK(check_new_own_key(file).failure().code == Errc::in_use);
  CHECK(mode_of(file) == 0600);
  CHECK(dir.read("w1.key") == line_of("w1", '1'));
  const auto again = write_own_key(file, "w1", key_of('2'), false);
  REQUIRE_FALSE(again.ok());
  CHECK(again.failure().code == Errc::in_use);
  CHECK(dir.read("w1.key") == line_of("w1", '1'));
  REQUIRE(write_own_key(file, "w1", key_of('2'), true).ok());
  const auto own = read_own_key(file);
  REQUIRE(own.ok());
  CHECK(own->key == key_of('2'));
  CHECK(dir.count() == 1);

  ::chmod(file.c_str(), 0640);
  CHECK(has(read_own_key(file).failure().message, "chmod 600"));
  ::chmod(dir.path().c_str(), 0777);
  CHECK_FALSE(check_new_own_key(dir / "w2.key").ok());
  CHECK_FALSE(write_own_key(dir / "w2.key", "w2", key_of('2'), false).ok());
  CHECK(dir.count() == 1);
}

// KeyTable: entries by name, by kid and by the number of their registration.
#include "auth/key_table.hpp"

#include <doctest/doctest.h>
#include <remsh/base/secret.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace remsh::auth {
namespace {

KeyEntry entry_of_table(const std::string& name, char letter, std::uint64_t number = 0) {
  return key_entry_of(*make_key_line(name, *Secret::from_bytes(Bytes(Secret::size, letter))), number);
}

std::string kid_of_table(char letter) { return entry_of_table("any", letter).line.kid; }

TEST_CASE("an entry of a key table is found by its name, by its kid and by its number") {
  KeyTable table;
  table.add(entry_of_table("w1", 'a', 7));
  table.add(entry_of_table("w1", 'b', 8));
  table.add(entry_of_table("w2", 'c'));
  CHECK(table.of("w1").size() == 2);
  CHECK(table.of("w3").empty());
  REQUIRE(std::as_const(table).find("w1", kid_of_table('b')) != nullptr);
  CHECK(table.find("w2", kid_of_table('b')) == nullptr);
  REQUIRE(table.with_kid(kid_of_table('c')).size() == 1);
  CHECK(table.with_kid(kid_of_table('c')).front()->line.name == "w2");
  CHECK(table.with_kid(kid_of_table('d')).empty());
  REQUIRE(table.registered(8) != nullptr);
  CHECK(table.registered(8)->line.kid == kid_of_table('b'));
  CHECK(table.registered(0) == nullptr);
  CHECK(table.registered(9) == nullptr);
}

TEST_CASE("an entry of a key table that is replaced is found by its new kid alone") {
  KeyTable table;
  table.add(entry_of_table("w1", 'a', 7));
  table.add(entry_of_table("w2", 'a'));  // another slave may not have it, but a table does not judge
  table.replace(entry_of_table("w1", 'b', 7));
  CHECK(table.registered(7)->line.kid == kid_of_table('b'));
  REQUIRE(table.with_kid(kid_of_table('a')).size() == 1);
  CHECK(table.with_kid(kid_of_table('a')).front()->line.name == "w2");
  REQUIRE(table.with_kid(kid_of_table('b')).size() == 1);
  table.replace(entry_of_table("w1", 'b', 7));  // the same again
  CHECK(table.with_kid(kid_of_table('b')).size() == 1);
}

TEST_CASE("an entry of a key table that is dropped is found no more, and the last one takes its name along") {
  KeyTable table;
  table.add(entry_of_table("w1", 'a', 7));
  table.add(entry_of_table("w1", 'b', 8));
  CHECK(table.drop(7));
  CHECK_FALSE(table.drop(7));
  CHECK(table.with_kid(kid_of_table('a')).empty());
  CHECK(table.of("w1").size() == 1);
  CHECK(table.registered(8) == &table.of("w1").front());
  CHECK(table.drop(8));
  CHECK(table.names().empty());
  CHECK_FALSE(table.drop(0));
}

}  // namespace
}  // namespace remsh::auth

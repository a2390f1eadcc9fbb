// The rules for entry, as a table.
#include "master/entry_rules.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace remsh;

TEST_CASE("who is admitted with what it has proven") {
  const Names::Newcomer nothing{"w1", Proof::none};
  const Names::Newcomer key{"w1", Proof::key, "01234567"};
  const Names::Newcomer started{"w1", Proof::started};
  struct Case {
    Names::Newcomer newcomer;
    EntryRules rules;
    const char* why;  // null: it is admitted
  };
  const std::vector<Case> cases{
      {nothing, {.keyless = true}, nullptr},
      {nothing, {.keyless = false}, "set `keyless` as well"},
      {nothing, {.keyless = true, .name_has_key = true}, "there is one for this name"},
      {nothing, {.keyless = true, .tls_identity = "w1:01234567"}, "TLS has proven 'w1:01234567'"},
      {nothing, {.keyless = true, .tls_identity = "w2:01234567"}, "TLS has proven 'w2:01234567'"},
      {key, {.keyless = false}, nullptr},
      {key, {.keyless = true, .name_has_key = true}, nullptr},
      {key, {.tls_identity = "w1:01234567", .name_has_key = true}, nullptr},
      {key, {.tls_identity = "w1:76543210", .name_has_key = true}, "TLS has proven 'w1:76543210'"},
      {key, {.tls_identity = "w2:01234567", .name_has_key = true}, "TLS has proven 'w2:01234567'"},
      {started, {.keyless = false}, nullptr},
      {started, {.keyless = true, .name_has_key = true}, nullptr},
      {started, {.tls_identity = "w1:01234567"}, "TLS has proven"},
  };
  for (const Case& one : cases) {
    CAPTURE(&one - cases.data());
    const auto why = why_rejected(one.newcomer, one.rules);
    CHECK(why.has_value() == (one.why != nullptr));
    if (!why || one.why == nullptr) continue;
    CAPTURE(why->message);
    CHECK(why->code == Errc::auth_failed);
    CHECK(why->message.find("'w1'") == 0);
    CHECK(why->message.find(one.why) != std::string::npos);
  }
}

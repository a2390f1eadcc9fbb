// Runs the test cases that the command line selects, for the main functions of test programs. The file that includes
// this must define DOCTEST_CONFIG_IMPLEMENT.
#pragma once

#include "support/skip.hpp"

#include <doctest/doctest.h>

#include <cstdio>

namespace remsh::test {

/// The test cases that were run in this process.
inline unsigned cases_run = 0;

/// Counts the test cases, and ignores all other reports of doctest.
struct CaseCounter : doctest::IReporter {
  explicit CaseCounter(const doctest::ContextOptions& /*options*/) {}
  void report_query(const doctest::QueryData& /*data*/) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& /*stats*/) override {}
  void test_case_start(const doctest::TestCaseData& /*data*/) override { ++cases_run; }
  void test_case_reenter(const doctest::TestCaseData& /*data*/) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& /*stats*/) override {}
  void test_case_exception(const doctest::TestCaseException& /*exception*/) override {}
  void subcase_start(const doctest::SubcaseSignature& /*subcase*/) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& /*data*/) override {}
  void log_message(const doctest::MessageData& /*data*/) override {}
  void test_case_skipped(const doctest::TestCaseData& /*data*/) override {}
};
REGISTER_LISTENER("remsh-case-counter", 1, CaseCounter);

/// Returns the exit code. A failure takes precedence over a skip, and running no test case at all is a failure.
inline int run_tests(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int code = context.run();
  if (code != 0 || context.shouldExit()) return code;
  if (cases_run == 0) {
    std::fputs("no test case was run: the filters match none\n", stderr);
    return 1;
  }
  return skips > 0 ? skipped : 0;
}

}  // namespace remsh::test

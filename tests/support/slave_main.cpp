// The main function of test programs that are also the slaves of their masters.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support/run_tests.hpp"
#include "support/slaves.hpp"

int main(int argc, char** argv) {
  if (const auto code = remsh::run_embedded_slave(argc, argv, remsh::test::add_test_operations)) return *code;
  return remsh::test::run_tests(argc, argv);
}

// The main function of every test program that is not also a slave.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support/run_tests.hpp"

int main(int argc, char** argv) { return remsh::test::run_tests(argc, argv); }

// remsh-slave: the program that runs on the workers.

#include <remsh/slave/embedded.hpp>

int main(int argc, char** argv) { return remsh::run_slave_program(argc, argv); }

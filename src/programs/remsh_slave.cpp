// remsh-slave: the program that runs on the workers.

#include "programs/program.hpp"

int main(int argc, char** argv) { return remsh::program::run_program(argc, argv); }

#include "check.h"

int main(int argc, char** argv) { return turboclip::test::run_tests(argc, argv); }

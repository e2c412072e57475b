// The C++ tests' small harness: a test is a sentence and a function; a failed CHECK records where and
// why and lets the test go on. A line a failure is printed, and "N passed, N failed" last.
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace turboclip::test {

struct Registry {
  std::vector<std::pair<std::string, std::function<void()>>> tests;
  std::vector<std::string> failures;  // of the running test
  static Registry& instance() {
    static Registry registry;
    return registry;
  }
};

struct Registrar {
  Registrar(std::string name, std::function<void()> body) {
    Registry::instance().tests.emplace_back(std::move(name), std::move(body));
  }
};

inline void record_failure(const char* file, int line, const std::string& text) {
  std::ostringstream out;
  out << file << ":" << line << ": " << text;
  Registry::instance().failures.push_back(out.str());
}

/// Runs one test and prints what failed in it. Returns whether nothing did.
inline bool run_test(const std::string& name, const std::function<void()>& body) {
  std::vector<std::string>& failures = Registry::instance().failures;
  failures.clear();
  try {
    body();
  } catch (const std::exception& error) {
    failures.push_back(std::string("threw: ") + error.what());
  }
  if (failures.empty()) return true;
  std::printf("FAILED %s\n", name.c_str());
  for (const std::string& failure : failures) std::printf("  %s\n", failure.c_str());
  return false;
}

/// Prints the last line. Returns the exit code.
inline int report(int passed, int failed) {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

/// Runs every registered test whose name contains argv[1] (all without it), one after the other. Returns the
/// exit code.
inline int run_tests(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  int passed = 0;
  int failed = 0;
  for (const auto& [name, body] : Registry::instance().tests) {
    if (name.find(filter) == std::string::npos) continue;
    ++(run_test(name, body) ? passed : failed);
  }
  return report(passed, failed);
}

}  // namespace turboclip::test

#define TURBOCLIP_CONCAT_(a, b) a##b
#define TURBOCLIP_CONCAT(a, b) TURBOCLIP_CONCAT_(a, b)
#define TEST(name)                                                                       \
  static void TURBOCLIP_CONCAT(test_body_, __LINE__)();                                  \
  static const ::turboclip::test::Registrar TURBOCLIP_CONCAT(test_registrar_, __LINE__)( \
      name, TURBOCLIP_CONCAT(test_body_, __LINE__));                                     \
  static void TURBOCLIP_CONCAT(test_body_, __LINE__)()

#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) ::turboclip::test::record_failure(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

/// Prints both values when they differ.
#define CHECK_EQUAL(actual, expected)                                            \
  do {                                                                           \
    const auto actual_value = (actual);                                          \
    const auto expected_value = (expected);                                      \
    if (!(actual_value == expected_value)) {                                     \
      std::ostringstream text;                                                   \
      text << #actual " is " << actual_value << ", expected " << expected_value; \
      ::turboclip::test::record_failure(__FILE__, __LINE__, text.str());         \
    }                                                                            \
  } while (false)

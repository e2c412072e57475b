// golden DIR [--out DIR] [--backend cpu|cuda] [--threads N] [--tap NAME[,NAME...]]
// Computes a golden set with this engine and reports how far each tensor is from the reference.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text.h"
#include "tools/golden/set.h"

namespace turboclip {
namespace {

constexpr std::string_view kUsage =
    "usage: golden DIR [--out DIR] [--backend cpu|cuda] [--threads N] [--tap NAME[,NAME...]]";
constexpr int kMaxThreads = 1024;

struct Arguments {
  golden::SetOptions set;
  std::string backend = "cpu";
  CpuOptions cpu;
};

Error usage(const std::string& what) { return Error{ErrorCode::request_invalid, concat(what, "; ", kUsage)}; }

Result<int> parse_threads(std::string_view text) {
  int threads = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (problem != std::errc() || end != text.data() + text.size() || threads < 1 || threads > kMaxThreads) {
    return usage(concat("--threads is ", in_quotes(text), ", expected 1 to ", kMaxThreads));
  }
  return threads;
}

/// The parts between commas, empty ones left out.
std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    if (end > 0) names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

Result<Arguments> parse_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      if (!arguments.set.folder.empty()) return usage(concat("a second folder, ", in_quotes(word)));
      arguments.set.folder = word;
      continue;
    }
    if (word != "--out" && word != "--backend" && word != "--threads" && word != "--tap") {
      return usage(concat("unknown option ", in_quotes(word)));
    }
    if (i + 1 == argc) return usage(concat(word, " lacks its value"));
    const std::string_view value = argv[++i];
    if (word == "--out") {
      arguments.set.out = value;
    } else if (word == "--backend") {
      arguments.backend = value;
    } else if (word == "--tap") {
      arguments.set.taps = split_names(value);
    } else {
      const Result<int> threads = parse_threads(value);
      if (!threads) return threads.error();
      arguments.cpu.threads = threads.value();
    }
  }
  if (arguments.set.folder.empty()) return usage("no folder is given");
  if (!arguments.set.taps.empty() && !arguments.set.out) return usage("--tap needs --out to write to");
  return arguments;
}

Result<std::unique_ptr<Backend>> make_backend(const Arguments& arguments) {
  if (arguments.backend == "cpu") return make_cpu_backend(arguments.cpu);
  if (arguments.backend == "cuda") {
    return Error{ErrorCode::backend_unavailable, "this build holds no CUDA backend; run with --backend cpu"};
  }
  return usage(concat("--backend is ", in_quotes(arguments.backend), ", expected cpu or cuda"));
}

Result<golden::Counts> run(int argc, char** argv) {
  const Result<Arguments> arguments = parse_arguments(argc, argv);
  if (!arguments) return arguments.error();
  const Result<std::unique_ptr<Backend>> backend = make_backend(arguments.value());
  if (!backend) return backend.error();
  const golden::Print print = [](const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  };
  return golden::run_set(arguments.value().set, *backend.value(), print);
}

}  // namespace
}  // namespace turboclip

int main(int argc, char** argv) {
  const turboclip::Result<turboclip::golden::Counts> counts = turboclip::run(argc, argv);
  if (!counts) {
    const turboclip::Error& error = counts.error();
    std::fprintf(stderr, "golden: %s: %s\n", std::string(error_code_name(error.code)).c_str(),
                 error.message.c_str());
    return 2;
  }
  const auto [computed, failed] = counts.value();
  std::printf("%d tensors computed, %d failed\n", computed, failed);
  return computed > 0 && failed == 0 ? 0 : 1;
}

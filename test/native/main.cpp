// native_tests [word]: runs the tests whose names contain the word, on all cores. Each process takes the next
// test that none has taken; one that dies fails that test, and another takes its place.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <thread>

#include "check.h"

namespace turboclip::test {
namespace {

constexpr std::size_t kMostProcesses = 16;

/// In memory that the processes share.
struct Progress {
  std::atomic<std::size_t> next{0};
  std::atomic<int> passed{0};
  std::atomic<int> failed{0};
  std::atomic<std::size_t> at[kMostProcesses]{};  // the test that each process runs
};

class Processes {
 public:
  explicit Processes(const std::string& filter) {
    for (const auto& test : Registry::instance().tests) {
      if (test.first.find(filter) != std::string::npos) tests_.push_back(&test);
    }
    void* memory = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) progress_ = new (memory) Progress;
  }

  int run() {
    if (progress_ == nullptr) {
      std::perror("shared memory");
      return 1;
    }
    const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
    for (std::size_t slot = 0; slot < std::min({cores, kMostProcesses, tests_.size()}); ++slot) start(slot);
    while (!slots_.empty()) {
      int status = 0;
      const auto ended = slots_.find(wait(&status));
      if (ended == slots_.end()) continue;
      const std::size_t slot = ended->second;
      slots_.erase(ended);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      ++progress_->failed;
      std::printf("FAILED %s\n  its process ended, by signal %d\n",
                  tests_[progress_->at[slot]]->first.c_str(), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
      if (progress_->next < tests_.size()) start(slot);
    }
    return report(progress_->passed, progress_->failed);
  }

 private:
  void start(std::size_t slot) {
    std::fflush(stdout);  // or the process would print it again
    const pid_t process = fork();
    if (process < 0) {
      std::perror("fork");
      ++progress_->failed;
    } else if (process == 0) {
      work(slot);
      std::exit(0);
    } else {
      slots_[process] = slot;
    }
  }

  void work(std::size_t slot) {
    for (std::size_t test = progress_->next++; test < tests_.size(); test = progress_->next++) {
      progress_->at[slot] = test;
      ++(run_test(tests_[test]->first, tests_[test]->second) ? progress_->passed : progress_->failed);
      std::fflush(stdout);
    }
  }

  std::vector<const std::pair<std::string, std::function<void()>>*> tests_;
  Progress* progress_ = nullptr;
  std::map<pid_t, std::size_t> slots_;
};

}  // namespace
}  // namespace turboclip::test

int main(int argc, char** argv) { return turboclip::test::Processes(argc > 1 ? argv[1] : "").run(); }

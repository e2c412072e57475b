// A fixed set of worker threads that share out the iterations of one loop at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace turboclip {

/// As many threads as copying and small work on this host is worth: its cores, up to 8.
int host_threads();

class ThreadPool {
 public:
  /// threads counts the caller, which works along: 1 starts no thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(i) once for each i in [0, count), in any order and on any thread, and returns when all are
  /// done. An iteration must compute the same values whichever thread runs it: then a result never depends on
  /// how many threads there are. An exception of a body is thrown here once every thread has stopped. Callers
  /// on several threads take turns; a body must not call it.
  void for_each(std::int64_t count, const std::function<void(std::int64_t)>& body);

 private:
  void work();
  void take_iterations();

  std::mutex callers_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  const std::function<void(std::int64_t)>* body_ = nullptr;
  std::int64_t next_ = 0;
  std::int64_t count_ = 0;
  int busy_ = 0;
  std::uint64_t round_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;
};

}  // namespace turboclip

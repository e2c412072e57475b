// Seconds, best of several runs: other work on the machine only ever makes a run slower.
#pragma once

#include <algorithm>
#include <ctime>
#include <functional>

namespace turboclip::bench {

/// What counts as time. On one thread the processor's time does: while another program has the core, the
/// clock of this one stands. Several threads wait for one another, which only the clock on the wall shows.
inline clockid_t clock_for(int threads) { return threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC; }

inline double seconds_of(clockid_t clock, const std::function<void()>& body) {
  const auto now = [clock] {
    timespec time{};
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double began = now();
  body();
  return now() - began;
}

/// Runs at least `runs` times and for at least `budget` seconds.
inline double best_seconds(clockid_t clock, const std::function<void()>& body, int runs, double budget) {
  double best = seconds_of(clock, body);
  double spent = best;
  for (int i = 1; i < runs || spent < budget; ++i) {
    const double seconds = seconds_of(clock, body);
    best = std::min(best, seconds);
    spent += seconds;
  }
  return best;
}

}  // namespace turboclip::bench

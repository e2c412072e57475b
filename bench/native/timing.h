// Seconds of one call, by a rule that neither a busy machine nor a faulty clock can turn into a record.
#pragma once

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <vector>

namespace turboclip::bench {

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

/// On one thread the median of the processor's time, which stands still while other programs have the core.
/// Not its least: on virtual machines that clock now and then loses time (40% of a sample was seen), and the
/// least of many samples is then one of those. Several threads wait for one another, which only the wall's
/// clock shows; it loses no time, and there the best counts. Each sample lasts a millisecond or more. At
/// least `runs` samples and `budget` seconds.
inline double typical_seconds(int threads, const std::function<void()>& body, int runs, double budget) {
  constexpr double kSample = 1e-3;
  const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  const double once = std::max(1e-7, seconds_of(CLOCK_MONOTONIC, body));
  const int calls = static_cast<int>(std::clamp(std::ceil(kSample / once), 1.0, 1e4));
  const auto batch = [&] {
    for (int i = 0; i < calls; ++i) body();
  };
  std::vector<double> samples;
  for (double spent = 0; static_cast<int>(samples.size()) < runs || spent < budget; spent += samples.back()) {
    samples.push_back(seconds_of(clock, batch));
  }
  std::sort(samples.begin(), samples.end());
  return samples[threads == 1 ? samples.size() / 2 : 0] / calls;
}

}  // namespace turboclip::bench

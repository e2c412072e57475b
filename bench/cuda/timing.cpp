#include "timing.h"

#include <algorithm>
#include <cstdio>

namespace turboclip::bench {

double median_seconds(cuda::Queue& queue, const std::function<void()>& run) {
  constexpr int kWarmUp = 3;
  constexpr int kRuns = 15;
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  queue.check("an event", cudaEventCreate(&begin));
  queue.check("an event", cudaEventCreate(&end));
  for (int i = 0; i < kWarmUp; ++i) run();
  std::vector<float> milliseconds(kRuns);
  for (float& time : milliseconds) {
    queue.check("an event", cudaEventRecord(begin, queue.stream()));
    run();
    queue.check("an event", cudaEventRecord(end, queue.stream()));
    queue.check("the timed run", cudaEventSynchronize(end));
    queue.check("an event", cudaEventElapsedTime(&time, begin, end));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(milliseconds.begin(), milliseconds.end());
  return milliseconds[kRuns / 2] * 1e-3;
}

double floor_seconds(const Ceilings& card, const Work& work) {
  const double e4m3_rate = card.e4m3 > 0 ? card.e4m3 : card.bf16;
  const double products = work.int8 / card.int8 + (work.bf16 - work.e4m3) / card.bf16 + work.e4m3 / e4m3_rate;
  return std::max(products, work.bytes / card.bytes);
}

void print_line(const Ceilings& card, const Ceilings& other, const Work& work, double seconds) {
  const double floor = floor_seconds(card, work);
  const double moved = work.bytes > 0 ? (work.bytes + work.moved) / work.bytes : 0;
  std::printf("| %-28s | %9.3f | %7.0f | %6.2f | %5.2f | %9.3f | %4.0f%% | %9.3f |\n", work.name.c_str(),
              seconds * 1e3, (work.int8 + work.bf16) / seconds * 1e-12, work.bytes / seconds * 1e-12, moved,
              floor * 1e3, 100 * floor / seconds,
              floor > 0 ? floor_seconds(other, work) * seconds / floor * 1e3 : 0.0);
}

}  // namespace turboclip::bench

// Time of work on a device, and the table it goes into.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/queue.h"

namespace turboclip::bench {

/// What the card could do at best: operations a second of INT8 and bf16 mma.sync, bytes a second, operations
/// of e4m3 with sums in halves if it multiplies that itself, and of halves with sums in halves if it
/// multiplies those at another rate than bf16.
struct Ceilings {
  double int8 = 0;
  double bf16 = 0;
  double bytes = 0;
  double e4m3 = 0;
  double half_sums = 0;
};

struct Work {
  std::string name;
  double int8 = 0;  // operations, two a multiply-add
  double bf16 = 0;
  double bytes = 0;  // that must move: every input read once, every output written once
  std::function<void()> run{};
  double moved = 0;  // what the kernels move beside them, by their own count: what they write and read again
  double e4m3 = 0;   // of the operations in bf16, those that a card that multiplies e4m3 does in it
};

/// Median of CUDA events' times of one run, in seconds, after warm-up.
double median_seconds(cuda::Queue& queue, const std::function<void()>& run);

/// The time below which the ceilings let no kernel go.
double floor_seconds(const Ceilings& card, const Work& work);

/// One line: milliseconds, what was reached, bytes moved over bytes needed (as counted, not as measured), the
/// floor and its share of the time, and a prediction for `other`: its floor at the same share.
void print_line(const Ceilings& card, const Ceilings& other, const Work& work, double seconds);

}  // namespace turboclip::bench

// What the benchmark times.
#pragma once

#include <vector>

#include "cpu/context.h"
#include "measure.h"

namespace turboclip::bench {

/// Linear layers, causal convolutions and attention at the shapes of the demo model and of TurboWan 1.3B,
/// each checked against float64 sums.
std::vector<Row> kernel_rows(const cpu::Context& context, double peak);

/// One step of the transformer and one decoding at the demo's size (256 x 192, 33 frames), on random weights.
/// Checked against the same call computed with `reference`, whose instructions are others; when that is the
/// same set, the golden tests alone vouch for it and the error is 0.
std::vector<Row> model_rows(const cpu::Context& context, const cpu::Context& reference);

}  // namespace turboclip::bench

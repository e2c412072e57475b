// What the transformer shows of its inside to whoever compares backends. Nothing here runs without a tap.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/block_linear.h"
#include "cpu/context.h"
#include "cpu/sla.h"
#include "engine/backend.h"

namespace turboclip::cpu {

/// Shows the output of linear layers, x W^T + b, under their checkpoint names. Where the model fuses what
/// follows (activation, gate, residual) the plain product is computed once more.
class LinearTap {
 public:
  LinearTap(const Context& context, const Tap& tap) : context_(context), tap_(tap) {}

  explicit operator bool() const { return static_cast<bool>(tap_); }

  /// x: [rows, in]; shown as [1, rows, out] if the tap wants `prefix` + `name`.
  void show(std::string_view prefix, std::string_view name, const float* x, std::int64_t rows,
            const LinearWeights& weights) const {
    if (tap_) compute(std::string(prefix).append(name), x, rows, weights);
  }
  void show(std::string_view prefix, std::string_view name, const float* x, std::int64_t rows,
            const BlockLinear& weights) const {
    if (!tap_) return;
    std::visit([&](const auto& kind) { compute(std::string(prefix).append(name), x, rows, kind); }, weights);
  }

 private:
  template <class Weights>
  void compute(const std::string& name, const float* x, std::int64_t rows, const Weights& weights) const {
    if (!tap_.wants(name)) return;
    Tensor out({1, rows, weights.out});
    linear(context_, x, rows, weights, out.data());
    tap_.take(name, out);
  }

  Context context_;
  const Tap& tap_;
};

/// Rows of `heads` heads, [tokens, heads * 128], as [1, heads, tokens, 128].
Tensor heads_first(const std::vector<float>& values, std::int64_t heads);

/// The kept key blocks of every head: "block0.lut" and "block0.block_map".
void show_block_maps(const Tap& tap, const std::vector<const BlockMap*>& maps);

}  // namespace turboclip::cpu

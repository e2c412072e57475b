// umT5's blocks on one device: from the embedded tokens of a prompt to its text rows.
#pragma once

#include <cstdint>
#include <functional>

#include "cuda/umt5_passes.h"
#include "cuda/umt5_weights.h"

namespace turboclip::cuda {

/// Device memory of a prompt, in one piece. A pass writes `rows`, a product reads them and leaves `sums`,
/// which the next pass reads: one of each serves all layers.
struct Umt5State {
  float* x = nullptr;  // [tokens, width]: the residual stream, in float32; the text rows at the end
  unsigned char* rows = nullptr;  // [tokens, the widest layer's input] in bfloat16 or INT8
  float* scales = nullptr;        // INT8: [input / 128][scale_stride(tokens)]
  float* sums = nullptr;          // of the layer that has most, by gemm_few_rows.h

  /// Bytes for a prompt of so many tokens; places the arrays if there is memory.
  std::int64_t place(unsigned char* memory, const Device& device, const Umt5Config& config,
                     TextPrecision precision, std::int64_t tokens);
};
inline std::int64_t umt5_prompt_bytes(const Device& device, const Umt5Config& config, TextPrecision precision,
                                      std::int64_t tokens) {
  return Umt5State().place(nullptr, device, config, precision, tokens);
}

/// Asked before each block; true cancels the prompt.
using Stopped = std::function<bool()>;

/// Launches everything for `tokens` rows that are in state.x; their text rows follow them there. False if it
/// was stopped.
bool run_umt5(Queue& queue, const Umt5Weights& weights, const Umt5State& state, std::int64_t tokens,
              const Stopped& stopped);

}  // namespace turboclip::cuda

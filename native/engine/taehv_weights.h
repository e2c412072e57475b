// The convolutions of TAEHV's decoder, read from a checkpoint and put into the form in which every backend
// computes them.
#pragma once

#include <string>
#include <vector>

#include "engine/checkpoint.h"

namespace turboclip {

/// decoder.0, `Clamp`: values beyond a few standard deviations are bent back, z -> kTaehvClamp tanh(z /
/// kTaehvClamp).
inline constexpr float kTaehvClamp = 3;
/// One latent frame makes 4; of the first latent frame's only the last is part of the clip.
inline constexpr std::int64_t kTaehvDroppedFrames = 3;

/// weight [out, in, frames, 3, 3], the last frame being the present one; bias [out].
struct ConvTensors {
  Tensor weight;
  std::vector<float> bias;
};

/// `<name>.weight` [out, in, 3, 3] and `<name>.bias` [out]; sizes of -1 accept any.
Result<ConvTensors> load_taehv_conv(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                    std::int64_t in);

/// The first convolution of a MemBlock, over the frame before and the present one.
Result<ConvTensors> load_taehv_memory_conv(const Checkpoint& checkpoint, const std::string& name,
                                           std::int64_t in);

/// The last convolution, with RGB turned from [0, 1] into [-1, 1].
Result<ConvTensors> load_taehv_rgb_conv(const Checkpoint& checkpoint, const std::string& name,
                                        std::int64_t in);

/// Doubling of height and width, TGrow (`grow`: a 1x1 convolution that makes `stride` frames of one) and a
/// 3x3 convolution without bias (`conv`).
struct TaehvGrow {
  std::string grow;
  std::string conv;
  std::int64_t stride;
};
/// The weights [out, in, 3, 3] after the doubling, by position among the frames made of one.
Result<std::vector<Tensor>> load_taehv_grow_convs(const Checkpoint& checkpoint, const TaehvGrow& names,
                                                  std::int64_t in);

/// The three levels of blocks: the first of three MemBlocks, and what enlarges after them.
struct TaehvLevel {
  int memory;
  int grow;
  std::int64_t stride;
};
inline constexpr TaehvLevel kTaehvLevels[] = {{3, 7, 1}, {9, 13, 2}, {15, 19, 2}};
inline constexpr int kTaehvBlocks = 3;  // of a level

}  // namespace turboclip

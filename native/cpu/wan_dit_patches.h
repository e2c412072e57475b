// Between latents and tokens: a token is a patch of 1 x 2 x 2 latent cells; tokens are in the order (time,
// height, width).
#pragma once

#include <vector>

#include "engine/backend.h"
#include "engine/tensor.h"

namespace turboclip::cpu {

/// x [16, T, h, w] and, after its channels, those of image [in_channels - 16, T, h, w] (may be empty) as
/// [tokens, in_channels * 4]; a patch's values are ordered (channel, row, column).
std::vector<float> to_patches(const Tensor& x, const Tensor& image, std::int64_t in_channels);

/// Tokens of the head, [tokens, 64] ordered (row, column, channel), to [16, T, h, w].
Tensor from_patches(const std::vector<float>& patches, const ModelLatentShape& shape);

}  // namespace turboclip::cpu

// Between a latent and the transformer's tokens: a token is a patch of 1 x 2 x 2 latent pixels.
#pragma once

#include <cstdint>

#include "cpu/floats.h"
#include "engine/backend.h"

namespace turboclip::cpu {

inline constexpr std::int64_t kPatchValues = 4;
inline constexpr std::int64_t kLatentChannels = 16;

/// Tokens of a latent: T (h / 2) (w / 2), in the order (time, row, column).
std::int64_t token_count(const ModelLatentShape& shape);

/// x [16, T, h, w], and after its channels those of image [n, T, h, w] (or empty), as [tokens, (16 + n) * 4];
/// a token's values are ordered (channel, row, column).
Floats patchify(const Tensor& x, const Tensor& image, const ModelLatentShape& shape);

/// patches [tokens, 64], each ordered (row, column, channel), as [16, T, h, w].
Tensor unpatchify(const Floats& patches, const ModelLatentShape& shape);

}  // namespace turboclip::cpu

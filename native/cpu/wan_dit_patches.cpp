#include "cpu/wan_dit_patches.h"

#include "cpu/wan_dit_weights.h"

namespace turboclip::cpu {
namespace {

/// Where cell i of a channel's plane lies.
struct Cell {
  std::int64_t token;
  std::int64_t inside;  // row * 2 + column within its patch
};

Cell locate(std::int64_t i, const ModelLatentShape& shape) {
  const std::int64_t t = i / (shape.height * shape.width);
  const std::int64_t row = i / shape.width % shape.height;
  const std::int64_t column = i % shape.width;
  return {(t * (shape.height / 2) + row / 2) * (shape.width / 2) + column / 2, row % 2 * 2 + column % 2};
}

}  // namespace

std::vector<float> to_patches(const Tensor& x, const Tensor& image, std::int64_t in_channels) {
  const ModelLatentShape shape{x.size(1), x.size(2), x.size(3)};
  const std::int64_t plane = shape.frames * shape.height * shape.width;
  const std::int64_t values = in_channels * kPatchValues;
  std::vector<float> patches(static_cast<std::size_t>(plane / kPatchValues * values));
  for (std::int64_t c = 0; c < in_channels; ++c) {
    const float* source =
        c < kLatentChannels ? x.data() + c * plane : image.data() + (c - kLatentChannels) * plane;
    for (std::int64_t i = 0; i < plane; ++i) {
      const Cell cell = locate(i, shape);
      patches[cell.token * values + c * kPatchValues + cell.inside] = source[i];
    }
  }
  return patches;
}

Tensor from_patches(const std::vector<float>& patches, const ModelLatentShape& shape) {
  Tensor out({kLatentChannels, shape.frames, shape.height, shape.width});
  const std::int64_t plane = shape.frames * shape.height * shape.width;
  for (std::int64_t i = 0; i < plane; ++i) {
    const Cell cell = locate(i, shape);
    const float* patch =
        patches.data() + cell.token * kLatentChannels * kPatchValues + cell.inside * kLatentChannels;
    for (std::int64_t c = 0; c < kLatentChannels; ++c) out.values[c * plane + i] = patch[c];
  }
  return out;
}

}  // namespace turboclip::cpu

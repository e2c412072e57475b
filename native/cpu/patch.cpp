#include "cpu/patch.h"

namespace turboclip::cpu {
namespace {

/// Where pixel i of one channel's [T, h, w] stands among the tokens.
struct Place {
  std::int64_t token;
  std::int64_t inside;  // 2 * row + column inside the patch
};

Place place_of(std::int64_t i, const ModelLatentShape& shape) {
  const std::int64_t time = i / (shape.height * shape.width);
  const std::int64_t row = i / shape.width % shape.height;
  const std::int64_t column = i % shape.width;
  return {(time * (shape.height / 2) + row / 2) * (shape.width / 2) + column / 2, row % 2 * 2 + column % 2};
}

}  // namespace

std::int64_t token_count(const ModelLatentShape& shape) {
  return shape.frames * (shape.height / 2) * (shape.width / 2);
}

Floats patchify(const Tensor& x, const Tensor& image, const ModelLatentShape& shape) {
  const std::int64_t plane = shape.frames * shape.height * shape.width;
  const std::int64_t channels = kLatentChannels + (image.shape.empty() ? 0 : image.size(0));
  Floats patches(static_cast<std::size_t>(plane * channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    const float* source =
        c < kLatentChannels ? x.data() + c * plane : image.data() + (c - kLatentChannels) * plane;
    for (std::int64_t i = 0; i < plane; ++i) {
      const Place place = place_of(i, shape);
      patches[(place.token * channels + c) * kPatchValues + place.inside] = source[i];
    }
  }
  return patches;
}

Tensor unpatchify(const Floats& patches, const ModelLatentShape& shape) {
  const std::int64_t plane = shape.frames * shape.height * shape.width;
  Tensor out({kLatentChannels, shape.frames, shape.height, shape.width});
  for (std::int64_t i = 0; i < plane; ++i) {
    const Place place = place_of(i, shape);
    const float* pixel = patches.data() + (place.token * kPatchValues + place.inside) * kLatentChannels;
    for (std::int64_t c = 0; c < kLatentChannels; ++c) out.values[c * plane + i] = pixel[c];
  }
  return out;
}

}  // namespace turboclip::cpu

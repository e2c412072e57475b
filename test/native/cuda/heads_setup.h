// Device memory of self-attention's stages, for tests that run them one by one.
#pragma once

#include "cuda/device_array.h"
#include "cuda/rotary.h"
#include "cuda/self_attention.h"

namespace turboclip::test {

class HeadBuffers {
 public:
  /// With v in e4m3 if the tiles read it.
  HeadBuffers(cuda::Queue& queue, const cuda::HeadShape& shape, cuda::AttentionTiles tiles) {
    const std::int64_t blocks = shape.heads * shape.key_blocks();
    offset_.allocate(queue, shape.heads * 128);
    q_.allocate(queue, shape.tokens * shape.channels());
    k_.allocate(queue, shape.tokens * shape.channels());
    q_scales_.allocate(queue, shape.heads * cuda::scale_stride(shape.tokens));
    k_scales_.allocate(queue, blocks);
    q_sums_.allocate(queue, blocks * 128);
    k_means_.allocate(queue, blocks * 128);
    if (tiles == cuda::AttentionTiles::e4m3) {
      v_.allocate(queue, blocks * 64 * 128);
      v_scales_.allocate(queue, blocks);
    }
    parts_.allocate(queue, shape.heads * cuda::linear_parts(shape.tokens) * cuda::kPartFloats);
    matrix_.allocate(queue, shape.heads * 128 * 128);
    sums_.allocate(queue, shape.heads * 128);
    angles_.upload(queue, shape);
  }

  cuda::Heads heads() {
    return {offset_.data(), q_.data(),       q_scales_.data(), k_.data(),       k_scales_.data(),
            q_sums_.data(), k_means_.data(), v_.data(),        v_scales_.data()};
  }
  cuda::LinearState state() { return {parts_.data(), matrix_.data(), sums_.data()}; }
  const cuda::DeviceArray<cuda::E4m3>& v() const { return v_; }
  const cuda::DeviceArray<float>& v_scales() const { return v_scales_; }
  cuda::RotaryAngles angles() const { return angles_.view(); }

 private:
  cuda::DeviceArray<float> offset_, q_scales_, k_scales_, q_sums_, k_means_, v_scales_, parts_, sums_;
  cuda::DeviceArray<std::int8_t> q_, k_;
  cuda::DeviceArray<cuda::E4m3> v_;
  cuda::DeviceArray<cuda::Bf16> matrix_;
  cuda::RotaryTables angles_;
};

}  // namespace turboclip::test

#include "cuda/cross_attention.h"

#include "check.h"
#include "cpu/attention.h"
#include "cpu/norm.h"
#include "cuda/norm.h"
#include "cuda/rows.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t tokens, heads, text_rows;
  float last_bias;
};
// Around the tiles of 64 and 128 queries and of 16, 32 and 128 keys; a prompt of 100 tokens; one that leaves
// no row to pad; more heads than a block takes.
constexpr Case kCases[] = {{1, 1, 1, 0},        {127, 2, 31, 6.2f},  {128, 1, 32, 6.1f}, {131, 3, 33, 3},
                           {40, 1, 101, 6.0f},  {64, 2, 16, 6.2f},   {65, 1, 17, 6.2f},  {63, 1, 127, 5.9f},
                           {257, 1, 128, 5.9f}, {130, 1, 129, 5.9f}, {200, 2, 512, 0},   {3, 40, 8, 6.2f}};

/// x over heads of 128, normed over its whole width as the CPU engine does.
std::vector<float> normed(const std::vector<float>& x, std::int64_t rows, const std::vector<float>& weight) {
  cpu::ThreadPool pool(1);
  std::vector<float> out = x;
  cpu::rms_norm({pool, cpu::best_kernels()}, {out.data(), rows, static_cast<std::int64_t>(weight.size())},
                weight.data());
  return out;
}

std::vector<float> inverse_rms(const std::vector<float>& x, std::int64_t width) {
  std::vector<float> out;
  for (std::size_t r = 0; r < x.size() / static_cast<std::size_t>(width); ++r) {
    double squares = 0;
    for (std::int64_t c = 0; c < width; ++c)
      squares += std::pow(x[r * static_cast<std::size_t>(width) + c], 2);
    out.push_back(static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + 1e-6)));
  }
  return out;
}

TEST(
    "cross-attention equals the CPU engine's, a row that stands for all padding counted as often as it "
    "must") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  const std::vector<cuda::AttentionTiles> tiles = cuda::attention_tiles(queue.device());
  for (const Case& size : kCases) {
    const std::int64_t width = size.heads * 128;
    const std::vector<float> q = random_bf16(size.tokens * width, 31);
    const std::vector<float> k = random_bf16(size.text_rows * width, 32);
    const std::vector<float> v = random_bf16(size.text_rows * width, 33);
    std::vector<float> norm_q = random_values(width, 34);
    std::vector<float> norm_k = random_values(width, 35);
    for (float& weight : norm_q) weight = 2 + weight;
    for (float& weight : norm_k) weight = 2 + weight;

    std::vector<float> expected(q.size());
    const std::vector<float> normed_q = normed(q, size.tokens, norm_q);
    const std::vector<float> normed_k = normed(k, size.text_rows, norm_k);
    for (std::int64_t h = 0; h < size.heads; ++h) {
      const cpu::PackedKeys keys = cpu::pack_keys({normed_k.data() + h * 128, size.text_rows, width, 128},
                                                  {v.data() + h * 128, size.text_rows, width, 128});
      for (std::int64_t row = 0; row < size.tokens; row += 128) {
        cpu::AttentionBlock block;
        block.q = normed_q.data() + row * width + h * 128;
        block.q_stride = width;
        block.rows = std::min<std::int64_t>(128, size.tokens - row);
        block.scale = 1 / std::sqrt(128.0f);
        block.last_key_bias = size.last_bias;
        block.out = expected.data() + row * width + h * 128;
        block.out_stride = width;
        cpu::attend(cpu::best_kernels(), keys, block);
      }
    }

    std::vector<float> kv;
    for (std::int64_t r = 0; r < size.text_rows; ++r) {
      kv.insert(kv.end(), k.begin() + r * width, k.begin() + (r + 1) * width);
      kv.insert(kv.end(), v.begin() + r * width, v.begin() + (r + 1) * width);
    }
    cuda::DeviceArray<cuda::Bf16> device_q;
    cuda::DeviceArray<float> q_inverse, k_inverse, device_norm_q, device_norm_k;
    device_q.upload(queue, to_bf16(q));
    q_inverse.upload(queue, inverse_rms(q, width));
    k_inverse.upload(queue, inverse_rms(k, width));
    device_norm_q.upload(queue, norm_q);
    device_norm_k.upload(queue, norm_k);
    in_both_orders([&] {
      cuda::DeviceArray<cuda::Bf16> device_kv;
      cuda::DeviceArray<std::int8_t> y;
      cuda::DeviceArray<float> scales;
      device_kv.upload(queue, to_bf16(kv));
      y.allocate(queue, size.tokens * width);
      scales.allocate(queue, size.heads * cuda::scale_stride(size.tokens));
      const cuda::TextKeys keys{device_kv.data(), size.text_rows, size.last_bias};
      cuda::prepare_text_keys(queue, keys, size.heads, k_inverse.data(), device_norm_k.data(),
                              device_norm_q.data());
      for (const cuda::AttentionTiles taken : tiles) {
        cuda::cross_attention(queue, {device_q.data(), q_inverse.data(), size.tokens, size.heads}, keys,
                              y.data(), scales.data(), taken);
        const QuantizedRows out{size.tokens, width, y.download(queue),
                                download_scales(queue, scales, size.tokens)};
        CHECK(relative_error(out.to_float(), expected) < 1e-2);
      }
    });
    CHECK(queue.finish().ok());
  }
}

}  // namespace
}  // namespace turboclip::test

#include "cuda/self_attention.h"

#include "check.h"
#include "cpu/attention.h"
#include "cpu/linear.h"
#include "cpu/norm.h"
#include "cpu/sla.h"
#include "cuda/heads_setup.h"
#include "cuda/rows.h"

namespace turboclip::test {
namespace {

struct Case {
  std::int64_t heads, frames, height, width;
  double ratio;
};
// Lengths around the tiles of 16, 32, 64 and 128 rows and the linear branch's ranges of 1024; grids narrower
// than a step of 32 rows and wider; one key block to all; a head to 14B's 40.
constexpr Case kCases[] = {
    {1, 1, 1, 1, 0.1},   {2, 1, 7, 9, 0.5},    {1, 1, 8, 8, 1.0},   {5, 1, 5, 13, 0.5},
    {2, 3, 6, 7, 0.3},   {1, 1, 1, 127, 0.5},  {1, 2, 8, 8, 1.0},   {1, 1, 3, 43, 0.34},
    {2, 5, 7, 9, 0.2},   {1, 3, 11, 31, 0.05}, {1, 2, 16, 32, 0.9}, {1, 1, 25, 41, 0.5},
    {12, 15, 1, 1, 1.0}, {40, 11, 3, 1, 1.0},  {1, 33, 2, 1, 0.1},  {3, 1, 1, 33, 0.1}};

struct Problem {
  cuda::HeadShape shape;
  std::int64_t kept;
  std::vector<float> values;            // [L, 3 C]
  std::vector<float> q, k, v;           // [L, C], as attention sees them
  std::vector<float> norm_q, norm_k;    // [C]
  std::vector<float> weight_l, bias_l;  // proj_l

  explicit Problem(const Case& c)
      : shape{c.heads, c.frames * c.height * c.width, c.frames, c.height, c.width},
        values(random_values(shape.tokens * 3 * shape.channels(), seed(c))),
        norm_q(random_values(shape.channels(), seed(c) + 1)),
        norm_k(random_values(shape.channels(), seed(c) + 2)) {
    kept = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(c.ratio * static_cast<double>(shape.key_blocks())));
    const std::int64_t channels = shape.channels();
    for (float& weight : norm_q) weight = 1.5f + weight;
    for (float& weight : norm_k) weight = 1.5f + weight;
    // k has a mean far from zero, as a trained model's has.
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(values.size()); ++i) {
      if (i / channels % 3 == 1) values[i] += static_cast<float>(i % 5) - 2;
    }
    values = from_bf16(to_bf16(values));
    for (std::int64_t r = 0; r < shape.tokens; ++r) {
      const float* row = values.data() + r * 3 * channels;
      q.insert(q.end(), row, row + channels);
      k.insert(k.end(), row + channels, row + 2 * channels);
      v.insert(v.end(), row + 2 * channels, row + 3 * channels);
    }
    weight_l = random_values(128 * 128, seed(c) + 3);
    bias_l = random_values(128, seed(c) + 4);
    cpu::ThreadPool pool(1);
    const cpu::Context context{pool, cpu::best_kernels()};
    const cpu::RotaryTable table = cpu::make_rotary_table(c.frames, c.height, c.width);
    for (auto [x, weight] : {std::pair{&q, &norm_q}, std::pair{&k, &norm_k}}) {
      const cpu::Rows rows{x->data(), shape.tokens, channels};
      cpu::rms_norm(context, rows, weight->data());
      cpu::apply_rotary(context, rows, table);
    }
  }

  /// Other values in every case.
  static std::uint64_t seed(const Case& c) {
    return static_cast<std::uint64_t>((c.heads * 1000 + c.frames * 100 + c.height * 10 + c.width) * 8);
  }

  cpu::HeadRows head(const std::vector<float>& x, std::int64_t index) const {
    return {x.data() + index * 128, shape.tokens, shape.channels(), 128};
  }

  /// Attention over the kept blocks of `lut`, or all; with the linear branch or without.
  std::vector<float> expected(const std::vector<std::int32_t>& lut, bool linear) const {
    std::vector<float> out(q.size());
    const cpu::Kernels& kernels = cpu::best_kernels();
    const std::int64_t channels = shape.channels();
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      const cpu::PackedKeys keys = cpu::pack_keys(head(k, h), head(v, h));
      const cpu::LinearBranch branch = cpu::make_linear_branch(
          kernels, head(k, h), keys, cpu::pack_linear(weight_l.data(), 128, 128, bias_l));
      for (std::int64_t block = 0; block < shape.query_blocks(); ++block) {
        const std::int64_t offset = block * 128 * channels + h * 128;
        cpu::AttentionBlock queries;
        queries.q = q.data() + offset;
        queries.q_stride = channels;
        queries.rows = std::min<std::int64_t>(128, shape.tokens - block * 128);
        queries.scale = 1 / std::sqrt(128.0f);
        queries.out = out.data() + offset;
        queries.out_stride = channels;
        if (!lut.empty()) {
          queries.key_blocks = {lut.data() + (h * shape.query_blocks() + block) * kept,
                                static_cast<std::size_t>(kept)};
        }
        cpu::attend(kernels, keys, queries);
        if (linear) {
          cpu::add_linear_branch(kernels, branch, {queries.q, queries.rows, channels, 128}, queries.out,
                                 channels);
        }
      }
    }
    return out;
  }
};

/// The stages on the device.
struct Device {
  const Problem& problem;
  cuda::Queue& queue;
  cuda::AttentionTiles tiles;
  HeadBuffers buffers;
  cuda::DeviceArray<cuda::Bf16> values;
  cuda::DeviceArray<float> q_inverse, k_inverse, norm_q, norm_k, proj_l, bias, scales;
  cuda::DeviceArray<std::int8_t> y;
  cuda::DeviceArray<std::int32_t> lut;

  /// linear: with the linear branch's state.
  Device(cuda::Queue& on, const Problem& from, cuda::AttentionTiles taken, bool linear = true)
      : problem(from), queue(on), tiles(taken), buffers(on, from.shape, taken) {
    const cuda::HeadShape& shape = problem.shape;
    values.upload(queue, to_bf16(problem.values));
    q_inverse.upload(queue, inverse(0));
    k_inverse.upload(queue, inverse(1));
    norm_q.upload(queue, problem.norm_q);
    norm_k.upload(queue, problem.norm_k);
    proj_l.upload(queue, problem.weight_l);
    bias.upload(queue, problem.bias_l);
    lut.allocate(queue, shape.heads * shape.query_blocks() * problem.kept);
    y.allocate(queue, shape.tokens * shape.channels());
    scales.allocate(queue, shape.heads * cuda::scale_stride(shape.tokens));
    const cuda::LinearState state = linear ? buffers.state() : cuda::LinearState{nullptr, nullptr, nullptr};
    cuda::prepare_heads(queue, shape, projections(), {norm_q.data(), norm_k.data()}, buffers.angles(),
                        buffers.heads(), state);
    cuda::block_map(queue, shape, buffers.heads(), problem.kept, lut.data());
    if (linear) cuda::fold_linear_state(queue, shape, proj_l.data(), state);
  }

  std::vector<float> inverse(std::int64_t part) const {
    const std::int64_t channels = problem.shape.channels();
    std::vector<float> out;
    for (std::int64_t r = 0; r < problem.shape.tokens; ++r) {
      double squares = 0;
      for (std::int64_t c = 0; c < channels; ++c) {
        squares += std::pow(problem.values[(3 * r + part) * channels + c], 2);
      }
      out.push_back(static_cast<float>(1 / std::sqrt(squares / static_cast<double>(channels) + 1e-6)));
    }
    return out;
  }
  cuda::Projections projections() { return {values.data(), q_inverse.data(), k_inverse.data()}; }

  std::vector<float> attend(const cuda::Sparse& sparse) {
    cuda::sparse_attention(queue, problem.shape, projections(), buffers.heads(), sparse, y.data(),
                           scales.data(), tiles);
    return QuantizedRows{problem.shape.tokens, problem.shape.channels(), y.download(queue),
                         download_scales(queue, scales, problem.shape.tokens)}
        .to_float();
  }
};

/// How much more the worst block that was kept should have scored, at most, over all rows of the map.
double worst_miss(const Problem& problem, const std::vector<std::int32_t>& lut) {
  double worst = 0;
  const cuda::HeadShape& shape = problem.shape;
  for (std::int64_t h = 0; h < shape.heads; ++h) {
    const auto mean = [&](const std::vector<float>& x, std::int64_t first, std::int64_t count,
                          std::int64_t d) {
      const std::int64_t end = std::min(shape.tokens, first + count);
      double sum = 0;
      for (std::int64_t r = first; r < end; ++r) sum += x[r * shape.channels() + h * 128 + d];
      return sum / static_cast<double>(end - first);
    };
    for (std::int64_t i = 0; i < shape.query_blocks(); ++i) {
      const std::int32_t* row = lut.data() + (h * shape.query_blocks() + i) * problem.kept;
      std::vector<double> scores(static_cast<std::size_t>(shape.key_blocks()));
      double size = 0;
      for (std::int64_t d = 0; d < 128; ++d) {
        const double q = mean(problem.q, i * 128, 128, d);
        const double all = mean(problem.k, 0, shape.tokens, d);
        for (std::int64_t j = 0; j < shape.key_blocks(); ++j) {
          scores[j] += q * (mean(problem.k, j * 64, 64, d) - all);
        }
        size += std::fabs(q);
      }
      double least_kept = 1e30;
      double most_left = -1e30;
      for (std::int64_t j = 0; j < shape.key_blocks(); ++j) {
        const bool kept = std::find(row, row + problem.kept, j) != row + problem.kept;
        (kept ? least_kept : most_left) =
            kept ? std::min(least_kept, scores[j]) : std::max(most_left, scores[j]);
      }
      CHECK(std::is_sorted(row, row + problem.kept) &&
            std::adjacent_find(row, row + problem.kept) == row + problem.kept);
      worst = std::max(worst, (most_left - least_kept) / size);
    }
  }
  return worst;
}

/// The error allowed of softmax attention over random values. Rounding to e4m3's 3 bits of mantissa is off by
/// 2.6% rms, of weights and of values, and errors of random values shrink no more than their sum does: 3.7%.
/// Measured on the emulated machine: 2.5 to 4.0%, sparse 0.6 to 1.5% beside the linear branch.
double allowed(cuda::AttentionTiles tiles, double error) {
  return tiles == cuda::AttentionTiles::e4m3 ? 5e-2 : error;
}

/// Every case in all tiles that the card can run.
template <class Body>
void in_all_tiles(const cuda::Queue& queue, const Body& body) {
  for (const cuda::AttentionTiles tiles : cuda::attention_tiles(queue.device())) {
    for (const Case& size : kCases) body(tiles, size);
  }
}

TEST(
    "sparse-linear attention on INT8 equals the CPU engine's over the same blocks, at every edge of its "
    "tiles") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  in_all_tiles(queue, [&](cuda::AttentionTiles tiles, const Case& size) {
    const Problem problem(size);
    std::vector<float> first;
    in_both_orders([&] {
      Device device(queue, problem, tiles);
      const std::vector<std::int32_t> lut = device.lut.download(queue);
      CHECK(queue.finish().ok());
      CHECK(worst_miss(problem, lut) < 1e-6);
      const std::vector<float> out =
          device.attend({device.lut.data(), problem.kept, device.buffers.state().matrix,
                         device.buffers.state().sums, device.bias.data()});
      const double error = relative_error(out, problem.expected(lut, true));
      CHECK(error < (tiles == cuda::AttentionTiles::e4m3 ? 2e-2 : 1.5e-2));
      if (first.empty()) first = out;
      CHECK(out == first);
    });
    CHECK(queue.finish().ok());
  });
}

TEST("scores of any size, growing from key to key or falling, are weighed as the CPU engine does") {
  // From block to block the largest score grows, or falls, by so many powers of 2: a row's weights outgrow
  // the reference that its first keys gave, or vanish beside it.
  struct Sizes {
    double first, factor;
  };
  constexpr Sizes kSizes[] = {{1e-5, 1}, {2e-3, 1}, {1e-3, 1.5}, {2e-2, 0.6}, {0.5, 1}, {1e-4, 8}};
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const cuda::AttentionTiles tiles : cuda::attention_tiles(queue.device())) {
    for (const Sizes& size : kSizes) {
      Problem problem({2, 1, 13, 31, 1.0});
      const cuda::HeadShape& shape = problem.shape;
      const std::int64_t stride = cuda::scale_stride(shape.tokens);
      const std::vector<std::int8_t> q = random_int8(shape.tokens * shape.channels(), 51);
      const std::vector<std::int8_t> k = random_int8(shape.tokens * shape.channels(), 52);
      std::vector<float> q_scales = random_values(shape.heads * stride, 53);
      std::vector<float> k_scales;
      for (float& scale : q_scales) scale = 0.02f * (1.5f + scale);
      for (std::int64_t i = 0; i < shape.heads * shape.key_blocks(); ++i) {
        k_scales.push_back(static_cast<float>(
            size.first * std::pow(size.factor, static_cast<double>(i % shape.key_blocks()))));
      }
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        for (std::int64_t r = 0; r < shape.tokens; ++r) {
          for (std::int64_t d = 0; d < 128; ++d) {
            const std::int64_t from = (h * shape.tokens + r) * 128 + d;
            const std::int64_t to = r * shape.channels() + h * 128 + d;
            problem.q[to] = static_cast<float>(q[from]) * q_scales[h * stride + r];
            problem.k[to] = static_cast<float>(k[from]) * k_scales[h * shape.key_blocks() + r / 64];
          }
        }
      }
      Device device(queue, problem, tiles);
      const cuda::Heads heads = device.buffers.heads();
      const auto copy = [&](auto* to, const auto& from) {
        queue.copy("the test's heads", to, from.data(), from.size() * sizeof from[0], cudaMemcpyHostToDevice);
      };
      copy(heads.q, q);
      copy(heads.k, k);
      copy(heads.q_scales, q_scales);
      copy(heads.k_scales, k_scales);
      const std::vector<float> out = device.attend({nullptr, shape.key_blocks(), nullptr, nullptr, nullptr});
      CHECK(relative_error(out, problem.expected({}, false)) < allowed(tiles, 1e-2));
      CHECK(queue.finish().ok());
    }
  }
}

TEST("dense attention is the sparse kernel without a map and without the linear branch") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  in_all_tiles(queue, [&](cuda::AttentionTiles tiles, const Case& size) {
    const Problem problem(size);
    Device device(queue, problem, tiles, false);
    const std::vector<float> out =
        device.attend({nullptr, problem.shape.key_blocks(), nullptr, nullptr, nullptr});
    CHECK(relative_error(out, problem.expected({}, false)) < allowed(tiles, 2.5e-2));
    CHECK(queue.finish().ok());
  });
}

/// A problem whose scores are all zeros: what attention makes of it is the mean of all values.
Problem without_scores(const Case& size) {
  Problem problem(size);
  std::fill(problem.norm_q.begin(), problem.norm_q.end(), 0.0f);
  std::fill(problem.q.begin(), problem.q.end(), 0.0f);
  return problem;
}

std::vector<float> attend_all(cuda::Queue& queue, const Problem& problem, cuda::AttentionTiles tiles) {
  Device device(queue, problem, tiles, false);
  return device.attend({nullptr, problem.shape.key_blocks(), nullptr, nullptr, nullptr});
}

/// Sets v, as attention and as the device see it, to value(row, channel).
template <class Value>
void set_values(Problem& problem, const Value& value) {
  const std::int64_t channels = problem.shape.channels();
  for (std::int64_t r = 0; r < problem.shape.tokens; ++r) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const float rounded = round_to_bf16(value(r, c));
      problem.v[r * channels + c] = rounded;
      problem.values[(3 * r + 2) * channels + c] = rounded;
    }
  }
}

TEST("the largest sums of weights and values stay finite, and blocks of any size of values add up") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const cuda::AttentionTiles tiles : cuda::attention_tiles(queue.device())) {
    // All weights and values of a block at their largest: what 64 products can sum to.
    Problem problem = without_scores({1, 1, 8, 24, 1.0});
    set_values(problem, [](std::int64_t, std::int64_t c) { return c % 2 == 0 ? 3.0f : -3.0f; });
    CHECK(relative_error(attend_all(queue, problem, tiles), problem.expected({}, false)) < 1e-2);
    // From block to block by far: zeros, next to nothing, and what the others vanish beside.
    Problem uneven = without_scores({2, 1, 13, 31, 1.0});
    constexpr float kSizes[] = {0x1p60f, 0, 1e-30f, 1e-3f, 0x1p56f, 1, 0x1p58f};
    set_values(uneven, [&, of = uneven.v](std::int64_t r, std::int64_t c) {
      return of[r * uneven.shape.channels() + c] * kSizes[r / 64];
    });
    CHECK(relative_error(attend_all(queue, uneven, tiles), uneven.expected({}, false)) <
          allowed(tiles, 2e-2));
    CHECK(queue.finish().ok());
  }
}

TEST("rows that weigh a value that is no number come out as none") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const cuda::AttentionTiles tiles : cuda::attention_tiles(queue.device())) {
    for (const std::int64_t bad : {0, 70, 129}) {
      Problem problem = without_scores({1, 1, 10, 13, 1.0});
      problem.values[(3 * bad + 2) * 128 + 5] = std::numeric_limits<float>::quiet_NaN();
      const std::vector<float> out = attend_all(queue, problem, tiles);
      CHECK(std::all_of(out.begin(), out.end(), [](float value) { return std::isnan(value); }));
      CHECK(queue.finish().ok());
    }
  }
}

/// By the format's definition: bias 7, no infinity, NaN where all bits but the sign are set.
double value_of(cuda::E4m3 value) {
  const int exponent = value.bits >> 3 & 15;
  const int mantissa = value.bits & 7;
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return value.bits >> 7 != 0 ? -size : size;
}

/// How far the e4m3 that is nearest to `value` is from it.
double nearest_distance(double value) {
  double least = 1e30;
  for (int bits = 0; bits < 0x7f; ++bits) {
    const double size = value_of({static_cast<std::uint8_t>(bits)});
    least = std::min(least, std::fabs(std::fabs(value) - size));
  }
  return least;
}

TEST(
    "values become the nearest e4m3, transposed in the order in which a lane holds weights, with scales that "
    "take a block's largest to 2.25; rows past the clip's last are zeros") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const bool linear : {false, true}) {
    Problem problem({2, 2, 7, 11, 1.0});
    // Blocks of the second head: zeros, an outlier, a cut one.
    set_values(problem, [&, of = problem.v](std::int64_t r, std::int64_t c) {
      if (c >= 128 && r < 64) return 0.0f;
      return r == 100 && c == 200 ? -50.0f : of[r * 256 + c];
    });
    const Device device(queue, problem, cuda::AttentionTiles::e4m3, linear);
    const std::vector<cuda::E4m3> v = device.buffers.v().download(queue);
    const std::vector<float> scales = device.buffers.v_scales().download(queue);
    CHECK(queue.finish().ok());
    for (std::int64_t block = 0; block < 2 * problem.shape.key_blocks(); ++block) {
      const std::int64_t head = block / problem.shape.key_blocks();
      const std::int64_t first = block % problem.shape.key_blocks() * 64;
      const auto at = [&](std::int64_t key, std::int64_t channel) {
        const std::int64_t r = first + key;
        return r < problem.shape.tokens ? problem.v[r * 256 + head * 128 + channel] : 0.0f;
      };
      float largest = 0;
      for (std::int64_t i = 0; i < 64 * 128; ++i) {
        largest = std::max(largest, std::fabs(at(i / 128, i % 128)));
      }
      const float scale = scales[static_cast<std::size_t>(block)];
      CHECK(largest == 0 ? scale == 1 : std::fabs(scale * 2.25f / largest - 1) < 1e-6f);
      for (std::int64_t i = 0; i < 64 * 128; ++i) {
        const std::int64_t place = i % 16;
        const std::int64_t key = i % 64 / 16 * 16 + place / 4 * 2 + place % 2 + place % 4 / 2 * 8;
        const double expected = static_cast<double>(at(key, i / 64)) / scale;
        const double found = value_of(v[static_cast<std::size_t>(block * 64 * 128 + i)]);
        CHECK(std::fabs(found - expected) <= nearest_distance(expected) + 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace turboclip::test

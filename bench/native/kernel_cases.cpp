#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "cpu/attention.h"
#include "cpu/conv.h"
#include "cpu/linear.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/sampler/noise.h"
#include "native/cases.h"

namespace turboclip::bench {
namespace {

constexpr std::int64_t kHeadWidth = 128;
constexpr int kSamples = 64;

std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  return gaussian_noise(seed, 0, {count}).values;
}

/// Compares `kSamples` outputs spread over [0, count).
double sampled_error(const std::vector<float>& output,
                     const std::function<double(std::int64_t index)>& reference) {
  double difference = 0;
  double size = 0;
  const auto count = static_cast<std::int64_t>(output.size());
  for (int i = 0; i < kSamples; ++i) {
    const std::int64_t index = (count - 1) * i / (kSamples - 1);
    const double expected = reference(index);
    difference += std::pow(output[static_cast<std::size_t>(index)] - expected, 2);
    size += std::pow(expected, 2);
  }
  return std::sqrt(difference / size);
}

/// A checkpoint that holds one convolution, since a convolution is loaded by name.
Checkpoint conv_checkpoint(const ConvShape& shape, const std::vector<float>& weight,
                           const std::vector<float>& bias) {
  const auto named = [](const std::string& name, const Shape& sizes, const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    return NamedBytes{name, DType::f32, sizes, {bytes, bytes + values.size() * sizeof(float)}};
  };
  std::string path = (std::filesystem::temp_directory_path() / "turboclip-bench-XXXXXX").string();
  const int file = ::mkstemp(path.data());
  if (file < 0) throw std::runtime_error("no temporary file " + path);
  ::close(file);
  const Status written = write_safetensors(
      path,
      {named("conv.weight", {shape.out, shape.in, 3, 3, 3}, weight), named("conv.bias", {shape.out}, bias)});
  Result<Checkpoint> checkpoint = Checkpoint::open(path);
  std::filesystem::remove(path);
  if (!written) throw std::runtime_error(written.error().message);
  if (!checkpoint) throw std::runtime_error(checkpoint.error().message);
  return std::move(checkpoint).value();
}

}  // namespace

KernelCase gemm_case(const std::string& name, std::int64_t rows, std::int64_t in, std::int64_t out) {
  struct State {
    std::vector<float> x, w, bias, y;
    cpu::LinearWeights packed;
  };
  auto state = std::make_shared<State>();
  state->x = random_values(rows * in, 1);
  state->w = random_values(out * in, 2);
  state->bias = random_values(out, 3);
  state->packed = cpu::pack_linear(state->w.data(), out, in, state->bias);
  state->y.resize(static_cast<std::size_t>(rows * out));
  return {name, 2.0 * static_cast<double>(rows * in * out),
          [=](const cpu::Context& context) {
            cpu::linear(context, state->x.data(), rows, state->packed, state->y.data());
          },
          [=] {
            return sampled_error(state->y, [&](std::int64_t index) {
              const float* x = state->x.data() + index / out * in;
              const float* w = state->w.data() + index % out * in;
              double sum = state->bias[static_cast<std::size_t>(index % out)];
              for (std::int64_t i = 0; i < in; ++i) sum += double{x[i]} * double{w[i]};
              return sum;
            });
          }};
}

KernelCase attention_case(const std::string& name, std::int64_t tokens) {
  struct State {
    std::vector<float> q, k, v, out;
  };
  auto state = std::make_shared<State>();
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadWidth));
  state->q = random_values(tokens * kHeadWidth, 1);
  state->k = random_values(tokens * kHeadWidth, 2);
  state->v = random_values(tokens * kHeadWidth, 3);
  state->out.resize(state->q.size());
  const auto run = [=](const cpu::Context& context) {
    const cpu::PackedKeys keys = cpu::pack_keys({state->k.data(), tokens, kHeadWidth, kHeadWidth},
                                                {state->v.data(), tokens, kHeadWidth, kHeadWidth});
    context.pool.for_each(cpu::ceil_div(tokens, cpu::kQueryBlock), [&](std::int64_t task) {
      const std::int64_t row = task * cpu::kQueryBlock;
      cpu::AttentionBlock block;
      block.q = state->q.data() + row * kHeadWidth;
      block.q_stride = kHeadWidth;
      block.rows = std::min(cpu::kQueryBlock, tokens - row);
      block.scale = scale;
      block.out = state->out.data() + row * kHeadWidth;
      block.out_stride = kHeadWidth;
      cpu::attend(context.kernels, keys, block);
    });
  };
  const auto reference = [=](std::int64_t index) {
    const float* q = state->q.data() + index / kHeadWidth * kHeadWidth;
    double total = 0;
    double sum = 0;
    for (std::int64_t key = 0; key < tokens; ++key) {
      double score = 0;
      for (std::int64_t d = 0; d < kHeadWidth; ++d) {
        score += double{q[d]} * double{state->k[static_cast<std::size_t>(key * kHeadWidth + d)]};
      }
      const double weight = std::exp(score * double{scale});
      total += weight;
      sum += weight * double{state->v[static_cast<std::size_t>(key * kHeadWidth + index % kHeadWidth)]};
    }
    return sum / total;
  };
  return {name, 4.0 * static_cast<double>(tokens * tokens * kHeadWidth), run,
          [=] { return sampled_error(state->out, reference); }};
}

KernelCase conv_case(const std::string& name, const ConvShape& shape) {
  struct State {
    std::vector<float> weight, bias, x, y;
    cpu::CausalConv conv;
    cpu::CausalConv::Input input;
  };
  const auto [in, out, count, height, width] = shape;
  std::vector<float> weight = random_values(out * in * 27, 1);
  std::vector<float> bias = random_values(out, 2);
  Result<cpu::CausalConv> conv = cpu::CausalConv::load(conv_checkpoint(shape, weight, bias), "conv", in);
  if (!conv) throw std::runtime_error(conv.error().message);
  cpu::CausalConv::Input input = conv->make_input(count, height, width);
  std::vector<float> x = random_values(count * height * width * in, 3);
  for (std::int64_t row = 0; row < count * height; ++row) {
    std::copy_n(x.data() + row * width * in, width * in,
                input.frame(row / height) + row % height * input.row_stride());
  }
  auto state = std::make_shared<State>(
      State{std::move(weight), std::move(bias), std::move(x), {}, std::move(conv).value(), std::move(input)});
  const auto reference = [=](std::int64_t index) {
    const std::int64_t o = index % out;
    const std::int64_t pixel = index / out;
    double sum = state->bias[static_cast<std::size_t>(o)];
    for (std::int64_t tap = 0; tap < 27; ++tap) {
      const std::int64_t t = pixel / (height * width) + tap / 9 - 2;
      const std::int64_t row = pixel / width % height + tap / 3 % 3 - 1;
      const std::int64_t column = pixel % width + tap % 3 - 1;
      if (t < 0 || row < 0 || row >= height || column < 0 || column >= width) continue;
      const float* from = state->x.data() + ((t * height + row) * width + column) * in;
      for (std::int64_t i = 0; i < in; ++i) {
        sum += double{from[i]} * double{state->weight[static_cast<std::size_t>((o * in + i) * 27 + tap)]};
      }
    }
    return sum;
  };
  return {name, 2.0 * 27 * static_cast<double>(in * out * count * height * width),
          [=](const cpu::Context& context) { state->y = state->conv.run(context, state->input).values; },
          [=] { return sampled_error(state->y, reference); }};
}

}  // namespace turboclip::bench

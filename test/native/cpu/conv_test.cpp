#include "cpu/conv.h"

#include <array>
#include <span>

#include "check.h"
#include "cpu/reference.h"
#include "engine/checkpoint/safetensors.h"
#include "support.h"

namespace turboclip::test {
namespace {

using cpu::Context;
using cpu::Frames;
using cpu::Kernels;
using cpu::ThreadPool;

NamedBytes named(const std::string& name, const Shape& shape, const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {name, DType::f32, shape, {bytes.begin(), bytes.end()}};
}

/// A checkpoint with one convolution, "conv", of random weights.
struct ConvFile {
  std::vector<float> weight;
  std::vector<float> bias;
  TemporaryFolder folder;
  Checkpoint checkpoint;

  explicit ConvFile(const Shape& shape)
      : weight(random_values(element_count(shape), 1)), bias(random_values(shape[0], 2)), checkpoint([&] {
          const auto path = folder.path() / "conv.safetensors";
          CHECK(write_safetensors(path,
                                  {named("conv.weight", shape, weight), named("conv.bias", {shape[0]}, bias)})
                    .ok());
          return std::move(Checkpoint::open(path)).value();
        }()) {}
};

/// The whole clip at once, from the definition: two frames of zeros before, side / 2 pixels of zeros around.
std::vector<double> whole_clip(const ConvFile& file, const Frames& x, std::int64_t out, std::int64_t side) {
  std::vector<double> y;
  const std::int64_t border = side / 2;
  for (std::int64_t t = 0; t < x.count; ++t) {
    for (std::int64_t row = 0; row < x.height; ++row) {
      for (std::int64_t column = 0; column < x.width; ++column) {
        for (std::int64_t o = 0; o < out; ++o) {
          double sum = file.bias[o];
          for (std::int64_t i = 0; i < x.channels; ++i) {
            for (std::int64_t k = 0; k < 3 * side * side; ++k) {
              const std::int64_t tt = t + k / (side * side) - 2;
              const std::int64_t yy = row + k / side % side - border;
              const std::int64_t xx = column + k % side - border;
              if (tt < 0 || yy < 0 || yy >= x.height || xx < 0 || xx >= x.width) continue;
              const double value = x.values[((tt * x.height + yy) * x.width + xx) * x.channels + i];
              sum += value * file.weight[(o * x.channels + i) * 3 * side * side + k];
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return y;
}

/// Feeds the clip in pieces of these many frames.
std::vector<float> streamed(const Context& context, cpu::CausalConv& conv, const Frames& x,
                            std::span<const std::int64_t> pieces) {
  std::vector<float> y;
  std::int64_t first = 0;
  const std::int64_t frame_size = x.height * x.width * x.channels;
  for (const std::int64_t count : pieces) {
    cpu::CausalConv::Input input = conv.make_input(count, x.height, x.width);
    for (std::int64_t f = 0; f < count; ++f) {
      for (std::int64_t row = 0; row < x.height; ++row) {
        std::copy_n(x.values.data() + (first + f) * frame_size + row * x.width * x.channels,
                    x.width * x.channels, input.frame(f) + row * input.row_stride());
      }
    }
    const Frames piece = conv.run(context, input);
    y.insert(y.end(), piece.values.begin(), piece.values.end());
    first += count;
  }
  return y;
}

Frames random_frames(std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels) {
  Frames frames(count, height, width, channels);
  const auto values = random_values(static_cast<std::int64_t>(frames.values.size()), 3);
  frames.values.assign(values.begin(), values.end());
  return frames;
}

TEST("a causal convolution equals the whole clip's, however the frames are cut") {
  ThreadPool pool(2);
  for (const std::int64_t side : {3, 1}) {
    for (const auto& [in, out] : {std::array<std::int64_t, 2>{5, 3}, {16, 24}}) {
      const ConvFile file({out, in, 3, side, side});
      const Frames x = random_frames(5, 3, 19, in);
      for (const Kernels* kernels : all_kernels()) {
        Result<cpu::CausalConv> conv = cpu::CausalConv::load(file.checkpoint, "conv", in);
        CHECK(conv.ok());
        for (const auto& pieces : {std::vector<std::int64_t>{5}, {1, 4}, {1, 1, 2, 1}}) {
          conv->reset();
          CHECK(relative_error(streamed({pool, *kernels}, *conv, x, pieces), whole_clip(file, x, out, side)) <
                2e-6);
        }
      }
    }
  }
}

TEST("doubling folded into four 2x2 convolutions equals nearest-neighbour doubling and a 3x3 one") {
  ThreadPool pool(2);
  const std::int64_t in = 6;
  const std::int64_t out = 5;
  const ConvFile file({out, in, 3, 3});
  const Frames x = random_frames(2, 3, 4, in);
  std::vector<double> expected;
  for (std::int64_t t = 0; t < x.count; ++t) {
    for (std::int64_t row = 0; row < 2 * x.height; ++row) {
      for (std::int64_t column = 0; column < 2 * x.width; ++column) {
        for (std::int64_t o = 0; o < out; ++o) {
          double sum = file.bias[o];
          for (std::int64_t k = 0; k < 9; ++k) {
            const std::int64_t yy = row + k / 3 - 1;
            const std::int64_t xx = column + k % 3 - 1;
            if (yy < 0 || yy >= 2 * x.height || xx < 0 || xx >= 2 * x.width) continue;
            for (std::int64_t i = 0; i < in; ++i) {
              sum += double{x.values[((t * x.height + yy / 2) * x.width + xx / 2) * in + i]} *
                     file.weight[(o * in + i) * 9 + k];
            }
          }
          expected.push_back(sum);
        }
      }
    }
  }
  const Result<cpu::UpsampleConv> conv = cpu::UpsampleConv::load(file.checkpoint, "conv", in);
  CHECK(conv.ok());
  for (const Kernels* kernels : all_kernels()) {
    CHECK(relative_error(conv.value().run({pool, *kernels}, x).values, expected) < 2e-6);
  }
}

}  // namespace
}  // namespace turboclip::test

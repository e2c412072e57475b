// The video decoders' kernels one by one, against the CPU engine and plain float64 loops.
#include "cpu/conv.h"

#include <cmath>

#include "check.h"
#include "cuda/conv_tiles.h"
#include "cuda/conv_weights.h"
#include "cuda/frame_attention.h"
#include "cuda/half.h"
#include "cuda/rows.h"
#include "cuda/video_passes.h"

namespace turboclip::test {
namespace {

using cuda::F16;

std::vector<F16> to_f16(const std::vector<float>& values) {
  std::vector<F16> out;
  out.reserve(values.size());
  for (const float value : values) out.push_back(cuda::to_f16(value));
  return out;
}
std::vector<float> from_f16(const std::vector<F16>& values) {
  std::vector<float> out;
  out.reserve(values.size());
  for (const F16 value : values) out.push_back(cuda::to_float(value));
  return out;
}
/// Random values that are halves already.
std::vector<float> random_f16(std::int64_t count, std::uint64_t seed) {
  return from_f16(to_f16(random_values(count, seed)));
}

/// Rows of `channels` values, each with zeros up to the stored channels.
std::vector<F16> stored(const std::vector<float>& values, std::int64_t channels) {
  const std::int64_t width = cuda::stored_channels(channels);
  std::vector<F16> out(values.size() / static_cast<std::size_t>(channels) * static_cast<std::size_t>(width));
  for (std::size_t i = 0; i < values.size(); ++i) {
    out[i / channels * width + i % channels] = cuda::to_f16(values[i]);
  }
  return out;
}
/// The reverse; what was added must be zeros.
std::vector<float> unstored(const std::vector<F16>& values, std::int64_t channels) {
  const std::int64_t width = cuda::stored_channels(channels);
  std::vector<float> out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (static_cast<std::int64_t>(i) % width < channels) {
      out.push_back(cuda::to_float(values[i]));
    } else {
      CHECK_EQUAL(cuda::to_float(values[i]), 0.0f);
    }
  }
  return out;
}

struct Case {
  std::int64_t frames, side, in, out, height, width;
};
// Around the tiles of 16 and 32 x 16 pixels, the 32 channels of a step, and tiles of 16, 64, 96, 128 and 192
// columns.
constexpr Case kCases[] = {{3, 3, 16, 96, 15, 17},  {3, 3, 33, 8, 16, 16},  {3, 3, 8, 100, 1, 1},
                           {1, 3, 5, 64, 17, 3},    {2, 3, 4, 6, 3, 33},    {3, 1, 32, 64, 5, 16},
                           {1, 1, 96, 104, 16, 15}, {1, 3, 40, 130, 2, 18}, {3, 3, 40, 192, 17, 33}};

/// y = the causal convolution's last frame, from the CPU engine, of `seen` frames.
std::vector<float> last_frame(cpu::CausalConv& conv, const std::vector<std::vector<float>>& seen,
                              const Case& size) {
  cpu::ThreadPool pool(1);
  conv.reset();
  const auto count = static_cast<std::int64_t>(seen.size());
  cpu::CausalConv::Input input = conv.make_input(count, size.height, size.width);
  for (std::int64_t f = 0; f < count; ++f) {
    for (std::int64_t row = 0; row < size.height; ++row) {
      std::copy_n(seen[static_cast<std::size_t>(f)].data() + row * size.width * size.in, size.width * size.in,
                  input.frame(f) + row * input.row_stride());
    }
  }
  const cpu::Frames y = conv.run({pool, cpu::best_kernels()}, std::move(input));
  const std::int64_t frame = size.height * size.width * size.out;
  return {y.values.end() - frame, y.values.end()};
}

TEST("a convolution equals the CPU engine's at every edge of its tiles, at the clip's start and later") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  ThreadPool threads(2);
  std::uint64_t seed = 500;
  for (const Case& size : kCases) {
    Tensor weight({size.out, size.in, size.frames, size.side, size.side});
    weight.values = random_f16(element_count(weight.shape), ++seed);
    const std::vector<float> bias = random_values(size.out, ++seed);
    cpu::CausalConv expected(weight, bias);
    const cuda::PackedConv packed = cuda::pack_conv(queue, threads, weight, bias);
    std::vector<std::vector<float>> seen;
    std::vector<cuda::DeviceArray<F16>> frames;
    for (std::int64_t f = 0; f < size.frames; ++f) {
      seen.push_back(random_f16(size.height * size.width * size.in, ++seed));
      frames.emplace_back().upload(queue, stored(seen.back(), size.in));
      cuda::ConvInput x{
          {}, static_cast<int>(size.height), static_cast<int>(size.width), cuda::stored_channels(size.in)};
      for (std::int64_t i = 0; i <= f; ++i) {
        x.frames[size.frames - 1 - f + i] = frames[static_cast<std::size_t>(i)].data();
      }
      for (const cuda::ConvTiles tiles : cuda::conv_tiles(queue.device(), packed.shape)) {
        in_both_orders([&] {
          cuda::DeviceArray<F16> y;
          y.allocate(queue, size.height * size.width * cuda::stored_channels(size.out));
          cuda::convolve(queue, x, packed.shape, {y.data()}, tiles);
          CHECK(relative_error(unstored(y.download(queue), size.out), last_frame(expected, seen, size)) <
                5e-4);
        });
      }
    }
  }
  CHECK(queue.finish().ok());
}

/// One of a pair's planes: a frame plus or minus another, of a, b, c, d.
struct PlaneOf {
  std::size_t left, right;
  float sign;
};
constexpr PlaneOf kPlanes[cuda::kConvPlanes] = {{1, 2, 1}, {2, 1, -1}, {0, 2, -1}, {3, 1, -1}};

TEST("a pair's convolution equals the CPU engine's of each frame, at every edge of its tiles, with a sum") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  ThreadPool threads(2);
  std::uint64_t seed = 300;
  for (const Case& size : {Case{3, 3, 16, 96, 7, 17}, Case{3, 3, 33, 8, 8, 16}, Case{3, 3, 8, 100, 1, 1},
                           Case{3, 3, 5, 64, 9, 3}, Case{3, 3, 40, 192, 17, 15}}) {
    Tensor weight({size.out, size.in, 3, 3, 3});
    weight.values = random_f16(element_count(weight.shape), ++seed);
    const std::vector<float> bias = random_values(size.out, ++seed);
    cpu::CausalConv conv(weight, bias);
    const cuda::PackedConv packed = cuda::pack_pair_conv(queue, threads, weight, bias);
    const std::int64_t pixels = size.height * size.width;
    std::vector<std::vector<float>> seen;
    for (int i = 0; i < 4; ++i) seen.push_back(random_f16(pixels * size.in, ++seed));
    cuda::DeviceArray<F16> planes[cuda::kConvPlanes];
    for (std::size_t plane = 0; plane < cuda::kConvPlanes; ++plane) {
      const PlaneOf& of = kPlanes[plane];
      std::vector<float> values(seen[0].size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = seen[of.left][i] + of.sign * seen[of.right][i];
      }
      planes[plane].upload(queue, stored(values, size.in));
    }
    const std::vector<float> skip = random_f16(pixels * size.out, ++seed);
    std::vector<float> expected[2] = {last_frame(conv, {seen[0], seen[1], seen[2]}, size),
                                      last_frame(conv, {seen[1], seen[2], seen[3]}, size)};
    for (std::size_t i = 0; i < skip.size(); ++i) expected[1][i] += skip[i];
    for (const cuda::PairTiles tiles : cuda::pair_tiles(queue.device(), packed.shape)) {
      in_both_orders([&] {
        cuda::DeviceArray<F16> first, second;
        first.allocate(queue, pixels * cuda::stored_channels(size.out));
        second.upload(queue, stored(skip, size.out));
        const cuda::ConvPlanes x{{planes[0].data(), planes[1].data(), planes[2].data(), planes[3].data()},
                                 static_cast<int>(size.height),
                                 static_cast<int>(size.width),
                                 cuda::stored_channels(size.in)};
        cuda::convolve_pair(queue, x, packed.shape, {first.data()}, {second.data(), second.data()}, tiles);
        // The weights' and the planes' sums are rounded to halves.
        CHECK(relative_error(unstored(first.download(queue), size.out), expected[0]) < 1e-3);
        CHECK(relative_error(unstored(second.download(queue), size.out), expected[1]) < 1e-3);
      });
    }
    // The clip's first frame, alone.
    cuda::DeviceArray<F16> frame, y;
    frame.upload(queue, stored(seen[0], size.in));
    y.allocate(queue, pixels * cuda::stored_channels(size.out));
    cuda::convolve(queue,
                   {{frame.data()},
                    static_cast<int>(size.height),
                    static_cast<int>(size.width),
                    cuda::stored_channels(size.in)},
                   cuda::first_of_pair(packed.shape), {y.data()});
    CHECK(relative_error(unstored(y.download(queue), size.out), last_frame(conv, {seen[0]}, size)) < 5e-4);
  }
  CHECK(queue.finish().ok());
}

TEST(
    "a pair's norm makes the planes of its frames and the two before, or of one and zeros, and keeps the "
    "frames") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const std::int64_t channels : {8, 40, 96}) {
    constexpr std::int64_t kPixels = 67;
    const std::int64_t count = kPixels * channels;
    std::vector<float> frames[4];
    for (std::uint64_t i = 0; i < 4; ++i) frames[i] = random_f16(count, 130 + i);
    const std::vector<float> gamma = random_values(channels, 140);
    cuda::DeviceArray<float> gains;
    gains.upload(queue, gamma);
    for (const bool first : {true, false}) {
      cuda::DeviceArray<F16> before[2], now[2], normed[2], planes[cuda::kConvPlanes];
      for (std::size_t i = 0; i < 2; ++i) {
        before[i].upload(queue, to_f16(frames[i]));
        now[i].upload(queue, to_f16(frames[2 + i]));
        normed[i].allocate(queue, count);
        cuda::pixel_norm(queue, {now[i].data(), kPixels, static_cast<int>(channels)}, gains.data(),
                         cuda::NormTail::silu, normed[i].data());
      }
      for (auto& plane : planes) plane.allocate(queue, count);
      cuda::pair_norm(queue,
                      {{now[0].data(), now[1].data()},
                       kPixels,
                       static_cast<int>(channels),
                       {before[0].data(), before[1].data()},
                       first,
                       {planes[0].data(), planes[1].data(), planes[2].data(), planes[3].data()}},
                      gains.data());
      const std::vector<float> c = from_f16(normed[0].download(queue));
      const std::vector<float> d = from_f16(normed[1].download(queue));
      CHECK(relative_error(from_f16(before[0].download(queue)), c) < 5e-4);
      CHECK(relative_error(from_f16(before[1].download(queue)), d) < 5e-4);
      std::vector<float> expected[cuda::kConvPlanes];
      for (std::size_t i = 0; i < c.size(); ++i) {
        const float a = first ? 0 : frames[0][i];
        const float b = frames[1][i];
        const float values[cuda::kConvPlanes] = {b + c[i], c[i] - b, a - c[i], d[i] - b};
        for (std::size_t plane = 0; plane < 4; ++plane) expected[plane].push_back(values[plane]);
      }
      for (std::size_t plane = 0; plane < 4; ++plane) {
        CHECK(relative_error(from_f16(planes[plane].download(queue)), expected[plane]) < 5e-4);
      }
    }
  }
  CHECK(queue.finish().ok());
}

TEST("a convolution adds what it is told, in place too, bends at zero, and writes three channels as RGB") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  ThreadPool threads(2);
  const Case size{1, 3, 8, 3, 17, 15};
  Tensor weight({3, 8, 1, 3, 3});
  weight.values = random_f16(element_count(weight.shape), 61);
  const std::vector<float> bias = random_values(3, 62);
  const std::vector<float> x = random_f16(size.height * size.width * 8, 63);
  const std::vector<float> skip = random_f16(size.height * size.width * 3, 64);
  cpu::CausalConv reference(weight, bias);
  const std::vector<float> plain = last_frame(reference, {x}, size);
  const cuda::PackedConv packed = cuda::pack_conv(queue, threads, weight, bias);
  std::vector<float> expected(plain.size());
  for (std::size_t i = 0; i < plain.size(); ++i) expected[i] = std::max(plain[i] + skip[i], 0.0f);
  cuda::DeviceArray<F16> frame;
  frame.upload(queue, to_f16(x));
  const cuda::ConvInput input{{frame.data()}, 17, 15, 8};
  for (const cuda::ConvTiles tiles : cuda::conv_tiles(queue.device(), packed.shape)) {
    cuda::DeviceArray<F16> sum;
    cuda::DeviceArray<float> rgb;
    sum.upload(queue, stored(skip, 3));
    rgb.allocate(queue, static_cast<std::int64_t>(plain.size()));
    cuda::convolve(queue, input, packed.shape, {sum.data(), sum.data(), true}, tiles);
    cuda::convolve(queue, input, packed.shape, {nullptr, nullptr, false, rgb.data()}, tiles);
    CHECK(relative_error(unstored(sum.download(queue), 3), expected) < 5e-4);
    CHECK(relative_error(rgb.download(queue), plain) < (tiles == cuda::ConvTiles::half_sums ? 5e-4 : 1e-6));
  }
  CHECK(queue.finish().ok());
}

TEST("doubling and a 3x3 convolution equal the CPU engine's at the edges of tiles") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  ThreadPool threads(2);
  cpu::ThreadPool pool(1);
  for (const Case& size : {Case{1, 3, 40, 20, 15, 17}, Case{1, 3, 3, 96, 1, 2}, Case{1, 3, 8, 5, 16, 16}}) {
    Tensor weight({size.out, size.in, 3, 3});
    weight.values = random_f16(element_count(weight.shape), 71);
    const std::vector<float> bias = random_values(size.out, 72);
    cpu::Frames x(1, size.height, size.width, size.in);
    x.values = random_f16(x.pixels() * size.in, 73);
    const cpu::Frames expected = cpu::UpsampleConv(weight, bias).run({pool, cpu::best_kernels()}, x);
    const cuda::PackedConv packed = cuda::pack_doubling_conv(queue, threads, weight, bias);
    cuda::DeviceArray<F16> frame, y;
    frame.upload(queue, stored(x.values, size.in));
    for (const cuda::ConvTiles tiles : cuda::conv_tiles(queue.device(), packed.shape)) {
      y.allocate(queue, 4 * x.pixels() * cuda::stored_channels(size.out));
      cuda::convolve(queue,
                     {{frame.data()},
                      static_cast<int>(size.height),
                      static_cast<int>(size.width),
                      cuda::stored_channels(size.in)},
                     packed.shape, {y.data()}, tiles);
      // The sums of weights are rounded to halves.
      CHECK(relative_error(unstored(y.download(queue), size.out), expected.values) < 1e-3);
    }
  }
  CHECK(queue.finish().ok());
}

TEST("the pixel norm is x / |x| sqrt(C) gamma at any width, zeros stay zeros, with SiLU and without") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const std::int64_t channels : {8, 40, 96, 384}) {
    constexpr std::int64_t kPixels = 67;
    std::vector<float> x = random_f16(kPixels * channels, 81);
    std::fill_n(x.begin(), channels, 0.0f);
    const std::vector<float> gamma = random_values(channels, 82);
    std::vector<double> plain(x.size()), bent(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      double squares = 0;
      for (std::int64_t c = 0; c < channels; ++c) squares += std::pow(x[i / channels * channels + c], 2);
      plain[i] = x[i] / std::max(std::sqrt(squares), 1e-12) * gamma[i % channels];
      bent[i] = plain[i] / (1 + std::exp(-plain[i]));
    }
    cuda::DeviceArray<F16> values, y;
    cuda::DeviceArray<float> gains;
    values.upload(queue, to_f16(x));
    gains.upload(queue, gamma);
    y.allocate(queue, kPixels * channels);
    const cuda::Pixels pixels{values.data(), kPixels, static_cast<int>(channels)};
    cuda::pixel_norm(queue, pixels, gains.data(), cuda::NormTail::none, y.data());
    CHECK(relative_error(from_f16(y.download(queue)), plain) < 5e-4);
    cuda::pixel_norm(queue, pixels, gains.data(), cuda::NormTail::silu, y.data());
    CHECK(relative_error(from_f16(y.download(queue)), bent) < 5e-4);
  }
  CHECK(queue.finish().ok());
}

TEST("attention over a frame's pixels equals its definition at odd numbers of pixels") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const std::int64_t pixels : {1, 63, 131}) {
    constexpr std::int64_t kChannels = 40;
    const std::vector<float> x = random_f16(pixels * kChannels, 91);
    std::vector<float> qk = random_f16(pixels * 2 * kChannels, 92);
    for (float& value : qk) value *= 2;  // so that weights differ
    const std::vector<float> weight = random_f16(kChannels * kChannels, 93);
    const std::vector<float> bias = random_values(kChannels, 94);
    const double scale = 1 / std::sqrt(40.0);
    std::vector<double> expected(x.size());
    for (std::int64_t q = 0; q < pixels; ++q) {
      std::vector<double> shares(static_cast<std::size_t>(pixels));
      double total = 0;
      for (std::int64_t k = 0; k < pixels; ++k) {
        double score = 0;
        for (std::int64_t c = 0; c < kChannels; ++c) {
          score += double{qk[q * 2 * kChannels + c]} * double{qk[(k * 2 + 1) * kChannels + c]};
        }
        total += shares[k] = std::exp(score * scale);
      }
      for (std::int64_t k = 0; k < pixels; ++k) {
        for (std::int64_t c = 0; c < kChannels; ++c) {
          double value = bias[c];
          for (std::int64_t i = 0; i < kChannels; ++i) {
            value += double{x[k * kChannels + i]} * double{weight[c * kChannels + i]};
          }
          expected[q * kChannels + c] += shares[k] / total * value;
        }
      }
    }
    cuda::DeviceArray<F16> rows, queries, values, out;
    cuda::DeviceArray<float> shift;
    cuda::DeviceArray<unsigned char> scratch;
    rows.upload(queue, to_f16(x));
    queries.upload(queue, to_f16(qk));
    values.upload(queue, to_f16(weight));
    shift.upload(queue, bias);
    scratch.allocate(queue, cuda::AttentionScratch(pixels, kChannels).bytes());
    out.allocate(queue, pixels * kChannels);
    in_both_orders([&] {
      cuda::frame_attention(queue,
                            {rows.data(), queries.data(), values.data(), shift.data(), pixels,
                             static_cast<int>(kChannels), static_cast<float>(scale)},
                            scratch.data(), out.data());
      CHECK(relative_error(from_f16(out.download(queue)), expected) < 1e-3);
    });
  }
  CHECK(queue.finish().ok());
}

TEST("halves on the host are rounded to the nearest, ties to even, over their whole range") {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const F16 half{static_cast<std::uint16_t>(bits)};
    const float value = cuda::to_float(half);
    const float next = cuda::to_float({static_cast<std::uint16_t>(bits + 1)});
    if (cuda::to_f16(value).bits != bits) CHECK_EQUAL(cuda::to_f16(value).bits, bits);
    if (bits == 0x7bff) break;
    const auto middle = static_cast<float>((double{value} + double{next}) / 2);
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    if (cuda::to_f16(middle).bits != even) CHECK_EQUAL(cuda::to_f16(middle).bits, even);
    if (cuda::to_f16(-middle).bits != (even | 0x8000u)) CHECK_EQUAL(cuda::to_f16(-middle).bits, even);
  }
  CHECK_EQUAL(cuda::to_f16(65519.0f).bits, 0x7bff);
  CHECK_EQUAL(cuda::to_f16(65520.0f).bits, 0x7c00);
  CHECK(std::isnan(cuda::to_float(cuda::to_f16(NAN))));
  CHECK(std::isinf(cuda::to_float(cuda::to_f16(1e30f))));
}

}  // namespace
}  // namespace turboclip::test

#include "decoders.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "cuda/conv_tiles.h"
#include "cuda/conv_weights.h"
#include "cuda/frame_decoder.h"
#include "cuda/half.h"
#include "cuda/video_passes.h"
#include "engine/checkpoint/random_checkpoint.h"
#include "engine/sampler/philox.h"
#include "engine/text.h"
#include "support.h"

namespace turboclip::bench {
namespace {

constexpr std::int64_t kLatentFrames = 21;

std::vector<float> random_floats(std::int64_t count, float size) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); i += 4) {
    const auto words = philox4x32({static_cast<std::uint32_t>(i / 4), 0, 0, 0}, {1, 2});
    for (std::size_t e = 0; e < 4 && i + e < values.size(); ++e) {
      values[i + e] = size * (static_cast<float>(words[e]) * 0x1p-31f - 1.0f);
    }
  }
  return values;
}

/// A convolution at one of the decoder's sizes.
struct ConvCase {
  const char* name;
  std::int64_t in, out, height, width;
  bool doubling;
};
constexpr ConvCase kConvs[] = {{"conv 384, 60 x 104", 384, 384, 60, 104, false},
                               {"conv 384, 120 x 208", 384, 384, 120, 208, false},
                               {"conv 192, 240 x 416", 192, 192, 240, 416, false},
                               {"conv 96, 480 x 832", 96, 96, 480, 832, false},
                               {"conv 96 to RGB, 480 x 832", 96, 3, 480, 832, false},
                               {"doubling 192 to 96, 240 x 416", 192, 96, 240, 416, true}};

/// Halves count as bf16 (Work), at the rate of the tiles' sums.
template <class Tiles>
Ceilings ceilings_of(const Ceilings& card, Tiles tiles) {
  Ceilings out = card;
  if (tiles == Tiles::half_sums && card.half_sums > 0) out.bf16 = card.half_sums;
  return out;
}

void time_conv(cuda::Queue& queue, const Ceilings& card, const Ceilings& other, const ConvCase& one) {
  const std::int64_t pixels = one.height * one.width;
  Tensor weight(one.doubling ? Shape{one.out, one.in, 3, 3} : Shape{one.out, one.in, 3, 3, 3});
  weight.values = random_floats(element_count(weight.shape), 0.02f);
  const std::vector<float> bias(static_cast<std::size_t>(one.out));
  ThreadPool threads(host_threads());
  const cuda::PackedConv conv = one.doubling ? cuda::pack_doubling_conv(queue, threads, weight, bias)
                                             : cuda::pack_conv(queue, threads, weight, bias);
  std::vector<cuda::F16> values;
  for (const float value : random_floats(pixels * one.in, 1)) values.push_back(cuda::to_f16(value));
  cuda::DeviceArray<cuda::F16> frames[3], y;
  for (auto& frame : frames) frame.upload(queue, values);
  cuda::DeviceArray<float> rgb;
  const std::int64_t out_pixels = pixels * (one.doubling ? 4 : 1);
  y.allocate(queue, out_pixels * conv.shape.out);
  rgb.allocate(queue, out_pixels * 3);
  const cuda::ConvInput input{{frames[0].data(), frames[1].data(), frames[2].data()},
                              static_cast<int>(one.height),
                              static_cast<int>(one.width),
                              static_cast<int>(one.in)};
  const auto taps = static_cast<double>(one.doubling ? 4 : 27);
  const auto outputs = static_cast<double>(out_pixels * one.out);
  const double operations = 2 * taps * outputs * static_cast<double>(one.in);
  const double bytes =
      2 * (static_cast<double>((one.doubling ? 1 : 3) * pixels * one.in) + outputs * (one.out == 3 ? 2 : 1));
  const cuda::ConvOutput output =
      one.out == 3 ? cuda::ConvOutput{nullptr, nullptr, false, rgb.data()} : cuda::ConvOutput{y.data()};
  for (const cuda::ConvTiles tiles : cuda::conv_tiles(queue.device(), conv.shape)) {
    const auto run = [&] { cuda::convolve(queue, input, conv.shape, output, tiles); };
    print_line(ceilings_of(card, tiles), ceilings_of(other, tiles),
               {concat(one.name, ", ", cuda::name(tiles)), 0, operations, bytes, run},
               median_seconds(queue, run));
  }
}

/// Two frames at once: their norms and planes, and the convolution, whose operations are counted as done.
void time_pair(cuda::Queue& queue, const Ceilings& card, const Ceilings& other, const ConvCase& one) {
  const std::int64_t pixels = one.height * one.width;
  Tensor weight(Shape{one.out, one.in, 3, 3, 3});
  weight.values = random_floats(element_count(weight.shape), 0.02f);
  ThreadPool threads(host_threads());
  const cuda::PackedConv conv =
      cuda::pack_pair_conv(queue, threads, weight, std::vector<float>(static_cast<std::size_t>(one.out)));
  std::vector<cuda::F16> values;
  for (const float value : random_floats(pixels * one.in, 1)) values.push_back(cuda::to_f16(value));
  cuda::DeviceArray<cuda::F16> frames[2], before[2], planes[cuda::kConvPlanes], y[2];
  for (auto& frame : frames) frame.upload(queue, values);
  for (auto& frame : before) frame.upload(queue, values);
  for (auto& plane : planes) plane.upload(queue, values);
  for (auto& frame : y) frame.allocate(queue, pixels * one.out);
  cuda::DeviceArray<float> gamma;
  gamma.upload(queue, std::vector<float>(static_cast<std::size_t>(one.in), 1.0f));
  const auto channels = static_cast<int>(one.in);
  const auto norm = [&] {
    cuda::pair_norm(queue,
                    {{frames[0].data(), frames[1].data()},
                     pixels,
                     channels,
                     {before[0].data(), before[1].data()},
                     false,
                     {planes[0].data(), planes[1].data(), planes[2].data(), planes[3].data()}},
                    gamma.data());
  };
  const auto frame_bytes = static_cast<double>(2 * pixels * one.in);
  print_line(card, other, {concat(one.name, ", norm of a pair"), 0, 0, 10 * frame_bytes, norm},
             median_seconds(queue, norm));
  const cuda::ConvPlanes x{{planes[0].data(), planes[1].data(), planes[2].data(), planes[3].data()},
                           static_cast<int>(one.height),
                           static_cast<int>(one.width),
                           channels};
  const double operations = 2.0 * 4 * 9 * static_cast<double>(pixels * one.out * one.in);
  for (const cuda::PairTiles tiles : cuda::pair_tiles(queue.device(), conv.shape)) {
    const auto run = [&] { cuda::convolve_pair(queue, x, conv.shape, {y[0].data()}, {y[1].data()}, tiles); };
    print_line(ceilings_of(card, tiles), ceilings_of(other, tiles),
               {concat(one.name, ", ", cuda::name(tiles)), 0, operations, 6 * frame_bytes, run},
               median_seconds(queue, run));
  }
}

void time_norm(cuda::Queue& queue, const Ceilings& card, const Ceilings& other) {
  constexpr std::int64_t kPixels = 480 * 832;
  constexpr int kChannels = 96;
  cuda::DeviceArray<cuda::F16> x, y;
  cuda::DeviceArray<float> gamma;
  std::vector<cuda::F16> values;
  for (const float value : random_floats(kPixels * kChannels, 1)) values.push_back(cuda::to_f16(value));
  x.upload(queue, values);
  y.allocate(queue, kPixels * kChannels);
  gamma.upload(queue, random_floats(kChannels, 1));
  const auto run = [&] {
    cuda::pixel_norm(queue, {x.data(), kPixels, kChannels}, gamma.data(), cuda::NormTail::silu, y.data());
  };
  print_line(card, other, {"norm, SiLU 96, 480 x 832", 0, 0, 4.0 * kPixels * kChannels, run},
             median_seconds(queue, run));
}

/// Operations of the whole clip as the layers are defined, before any are folded.
struct ClipCase {
  const char* name;
  ModelLatentShape shape;
  double operations;
};

Status time_clips(RandomCheckpoint weights, const Ceilings& card, std::initializer_list<ClipCase> clips) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "decoder.safetensors";
  const Status written = std::move(weights).save(path);
  if (!written) return written;
  const Result<Checkpoint> file = Checkpoint::open(path);
  if (!file) return file.error();
  Result<std::unique_ptr<cuda::FrameDecoder>> loaded = cuda::FrameDecoder::load(0, file.value());
  if (!loaded) return loaded.error();
  cuda::FrameDecoder& decoder = *loaded.value();
  for (const ClipCase& clip : clips) {
    const auto decode = [&](std::int64_t frames) {
      const ModelLatentShape shape{frames, clip.shape.height, clip.shape.width};
      const std::vector<float> z = random_floats(16 * frames * shape.height * shape.width, 2);
      const auto take = [](std::int64_t, const Shape&, const float*, double) { return success(); };
      const auto begin = std::chrono::steady_clock::now();
      const Status status = decoder.decode({z.data(), shape, take, [] { return false; }});
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
      return std::pair(status, taken.count());
    };
    const auto warmed = decode(2);
    if (!warmed.first) return warmed.first;
    const auto first = decode(clip.shape.frames);
    if (!first.first) return first.first;
    const auto second = decode(clip.shape.frames);
    if (!second.first) return second.first;
    const double seconds = std::min(first.second, second.second);
    constexpr double kGibibyte = 1 << 30;
    std::printf("| %-12s | %6.3f s | %5.0f | %3.0f%% | %6.2f | %6.2f |\n", clip.name, seconds,
                clip.operations / seconds * 1e-12, 100 * clip.operations / seconds / card.bf16,
                static_cast<double>(decoder.weight_bytes()) / kGibibyte,
                static_cast<double>(decoder.clip_bytes(clip.shape)) / kGibibyte);
  }
  return success();
}

}  // namespace

Status time_decoders(cuda::Queue& queue, const Ceilings& card, const Ceilings& other) {
  queue.enter("decoders");
  std::printf("\nvideo decoders, halves with float32 sums (taken to be as fast as bf16)\n\n");
  std::printf(
      "| kernel, one frame or a pair | ms | Tops/s | TB/s | moved / needed | floor, ms | share | RTX 5090, "
      "predicted "
      "ms |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  for (const ConvCase& one : kConvs) time_conv(queue, card, other, one);
  for (const ConvCase& one : kConvs) {
    if (one.in == one.out) time_pair(queue, card, other, one);
  }
  time_norm(queue, card, other);
  const Status timed = queue.finish();
  if (!timed) return timed;
  std::printf(
      "\n| clip of 81 frames | time | TFLOP/s as defined | of the ceiling | weights, GiB | frames, GiB |\n");
  std::printf("|---|---|---|---|---|---|\n");
  const ModelLatentShape small{kLatentFrames, 60, 104};
  const ModelLatentShape large{kLatentFrames, 90, 160};
  const Status vae =
      time_clips(random_vae(96), card, {{"VAE 480p", small, 275e12}, {"VAE 720p", large, 639e12}});
  if (!vae) return vae;
  return time_clips(random_taehv({256, 128, 64, 64}), card,
                    {{"TAEHV 480p", small, 11e12}, {"TAEHV 720p", large, 26e12}});
}

}  // namespace turboclip::bench

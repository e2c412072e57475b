#include "decoders.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "cuda/conv_tiles.h"
#include "cuda/conv_weights.h"
#include "cuda/frame_decoder.h"
#include "cuda/half.h"
#include "cuda/video_passes.h"
#include "engine/checkpoint/safetensors.h"
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
    print_line(card, other, {concat(one.name, ", ", cuda::name(tiles)), 0, operations, bytes, run},
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
    print_line(card, other, {concat(one.name, ", ", cuda::name(tiles)), 0, operations, 6 * frame_bytes, run},
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

/// A checkpoint of random weights, as large as they are for values to keep their size.
class RandomFile {
 public:
  void conv(const std::string& name, const Shape& shape, bool bias = true) {
    const auto inputs = static_cast<float>(element_count(shape) / shape[0]);
    add(name + ".weight", shape, random_floats(element_count(shape), std::sqrt(3.0f / inputs)));
    if (bias) add(name + ".bias", {shape[0]}, random_floats(shape[0], 0.1f));
  }
  void gamma(const std::string& name, const Shape& shape) {
    add(name, shape, std::vector<float>(static_cast<std::size_t>(element_count(shape)), 1.0f));
  }
  Result<Checkpoint> save(const test::TemporaryFolder& folder) {
    const std::filesystem::path path = folder.path() / "decoder.safetensors";
    const Status written = write_safetensors(path, std::move(tensors_));
    if (!written) return written.error();
    return Checkpoint::open(path);
  }

 private:
  void add(const std::string& name, const Shape& shape, const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensors_.push_back({name, DType::f32, shape, {bytes, bytes + 4 * values.size()}});
  }
  std::vector<NamedBytes> tensors_;
};

void add_residual(RandomFile& file, const std::string& name, std::int64_t in, std::int64_t out) {
  file.gamma(name + ".residual.0.gamma", {in, 1, 1, 1});
  file.conv(name + ".residual.2", {out, in, 3, 3, 3});
  file.gamma(name + ".residual.3.gamma", {out, 1, 1, 1});
  file.conv(name + ".residual.6", {out, out, 3, 3, 3});
  if (in != out) file.conv(name + ".shortcut", {out, in, 1, 1, 1});
}

/// The decoder of Wan2.1_VAE.pth.
RandomFile random_vae() {
  RandomFile file;
  file.conv("conv2", {16, 16, 1, 1, 1});
  file.conv("decoder.conv1", {384, 16, 3, 3, 3});
  add_residual(file, "decoder.middle.0", 384, 384);
  file.gamma("decoder.middle.1.norm.gamma", {384, 1, 1});
  file.conv("decoder.middle.1.to_qkv", {3 * 384, 384, 1, 1});
  file.conv("decoder.middle.1.proj", {384, 384, 1, 1});
  add_residual(file, "decoder.middle.2", 384, 384);
  struct Level {
    std::int64_t in, width;
    bool space, time;
  };
  int at = 0;
  const auto next = [&] { return "decoder.upsamples." + std::to_string(at++); };
  for (const Level& level : {Level{384, 384, true, true}, Level{192, 384, true, true},
                             Level{192, 192, true, false}, Level{96, 96, false, false}}) {
    for (int i = 0; i < 3; ++i) add_residual(file, next(), i == 0 ? level.in : level.width, level.width);
    if (!level.space) continue;
    const std::string name = next();
    file.conv(name + ".resample.1", {level.width / 2, level.width, 3, 3});
    if (level.time) file.conv(name + ".time_conv", {2 * level.width, level.width, 3, 1, 1});
  }
  file.gamma("decoder.head.0.gamma", {96, 1, 1, 1});
  file.conv("decoder.head.2", {3, 96, 3, 3, 3});
  return file;
}

/// The decoder of taew2_1.
RandomFile random_taehv() {
  RandomFile file;
  const auto name = [](int number) { return "decoder." + std::to_string(number); };
  file.conv(name(1), {256, 16, 3, 3});
  struct Level {
    int memory, grow;
    std::int64_t width, stride, out;
  };
  for (const Level& level : {Level{3, 7, 256, 1, 128}, Level{9, 13, 128, 2, 64}, Level{15, 19, 64, 2, 64}}) {
    for (int i = level.memory; i < level.memory + 3; ++i) {
      file.conv(name(i) + ".conv.0", {level.width, 2 * level.width, 3, 3});
      file.conv(name(i) + ".conv.2", {level.width, level.width, 3, 3});
      file.conv(name(i) + ".conv.4", {level.width, level.width, 3, 3});
    }
    file.conv(name(level.grow) + ".conv", {level.stride * level.width, level.width, 1, 1}, false);
    file.conv(name(level.grow + 1), {level.out, level.width, 3, 3}, false);
  }
  file.conv(name(22), {3, 64, 3, 3});
  return file;
}

/// Operations of the whole clip as the layers are defined, before any are folded.
struct ClipCase {
  const char* name;
  ModelLatentShape shape;
  double operations;
};

Status time_clips(RandomFile weights, const Ceilings& card, std::initializer_list<ClipCase> clips) {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> file = weights.save(folder);
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
      time_clips(random_vae(), card, {{"VAE 480p", small, 275e12}, {"VAE 720p", large, 639e12}});
  if (!vae) return vae;
  return time_clips(random_taehv(), card, {{"TAEHV 480p", small, 11e12}, {"TAEHV 720p", large, 26e12}});
}

}  // namespace turboclip::bench

#include "cuda/frame_decoder.h"

#include <cmath>

#include "check.h"
#include "cuda/rows.h"
#include "engine/backend.h"
#include "support.h"
#include "taehv_file.h"

namespace turboclip::test {
namespace {

struct Decoded {
  Status status = success();
  std::vector<float> values;
  std::vector<std::int64_t> firsts;
  std::vector<Shape> shapes;
  std::vector<double> progress;
};

Decoded on_device(cuda::FrameDecoder& decoder, const Tensor& z, const std::function<bool()>& stopped = {}) {
  Decoded out;
  const auto take = [&](std::int64_t first, const Shape& shape, const float* rgb) {
    out.firsts.push_back(first);
    out.shapes.push_back(shape);
    out.values.insert(out.values.end(), rgb, rgb + element_count(shape));
    return success();
  };
  out.status = decoder.decode({z.data(), {z.size(1), z.size(2), z.size(3)}, take, stopped,
                               [&](double fraction) { out.progress.push_back(fraction); }});
  return out;
}

Decoded on_host(const Checkpoint& file, const Tensor& z) {
  Decoded out;
  auto decoder = make_cpu_backend({1})->load_video_decoder(file);
  CHECK(decoder.ok());
  const FrameSink sink = [&](std::int64_t first, const Tensor& rgb) {
    out.firsts.push_back(first);
    out.shapes.push_back(rgb.shape);
    out.values.insert(out.values.end(), rgb.values.begin(), rgb.values.end());
    return success();
  };
  out.status = decoder.value()->decode(z, sink, {}, {});
  return out;
}

std::unique_ptr<cuda::FrameDecoder> load(const Checkpoint& file) {
  Result<std::unique_ptr<cuda::FrameDecoder>> loaded = cuda::FrameDecoder::load(0, file);
  CHECK(loaded.ok());
  return std::move(loaded).value();
}

Tensor random_latent(std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor z({kLatentChannels, frames, height, width});
  z.values = random_values(element_count(z.shape), 81);
  return z;
}

Checkpoint golden(const char* name) {
  Result<Checkpoint> file = Checkpoint::open(fixture(std::string("golden/") + name));
  CHECK(file.ok());
  return std::move(file).value();
}

/// In dB, of values of a range of 2.
double psnr(const std::vector<float>& actual, const std::vector<float>& expected) {
  double squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    squares += std::pow(double{actual[i]} - double{expected[i]}, 2);
  }
  return 10 * std::log10(4 / (squares / static_cast<double>(expected.size())));
}

TEST("the VAE decoder on a device is within 55 dB of the golden set") {
  const Checkpoint io = golden("wan_vae.io.safetensors");
  Tensor z = to_float(*io.find("z"));
  Tensor video = to_float(*io.find("video"));
  std::printf("z %s video %s\n", shape_text(z.shape).c_str(), shape_text(video.shape).c_str());
  z.shape.erase(z.shape.begin());
  const auto decoder = load(golden("wan_vae.pth"));
  const Decoded decoded = on_device(*decoder, z);
  CHECK(decoded.status.ok());
  // [1, 3, frames, height, width] to channels last.
  const std::int64_t pixels = video.size(2) * video.size(3) * video.size(4);
  std::vector<float> expected(video.values.size());
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t i = 0; i < pixels; ++i) expected[i * 3 + c] = video.values[c * pixels + i];
  }
  CHECK_EQUAL(decoded.values.size(), expected.size());
  const double closeness = psnr(decoded.values, expected);
  std::printf("psnr %f\n", closeness);
  CHECK(closeness > 55);
}

}  // namespace
}  // namespace turboclip::test

#include "cuda/frame_decoder.h"

#include <cmath>

#include "check.h"
#include "cuda/rows.h"
#include "engine/backend.h"
#include "engine/text.h"
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

Decoded on_device(
    cuda::FrameDecoder& decoder, const Tensor& z,
    const std::function<bool()>& stopped = [] { return false; }) {
  Decoded out;
  const auto take = [&](std::int64_t first, const Shape& shape, const float* rgb, double done) {
    out.progress.push_back(done);
    out.firsts.push_back(first);
    out.shapes.push_back(shape);
    out.values.insert(out.values.end(), rgb, rgb + element_count(shape));
    return success();
  };
  out.status = decoder.decode({z.data(), {z.size(1), z.size(2), z.size(3)}, take, stopped});
  return out;
}

Decoded on_host(const Checkpoint& file, const Tensor& z) {
  Decoded out;
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(file);
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

TEST("the VAE decoder on a device is 60 dB from the golden set or closer") {
  const Checkpoint io = golden("wan_vae.io.safetensors");
  Tensor z = to_float(*io.find("z"));
  const Tensor video = to_float(*io.find("video"));
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
  CHECK(psnr(decoded.values, expected) > 60);
}

TEST("the VAE on a device is the CPU engine's at odd sizes, streams one frame and then four, and repeats") {
  const Checkpoint file = golden("wan_vae.pth");
  const auto decoder = load(file);
  for (const Tensor& z : {random_latent(1, 1, 1), random_latent(2, 2, 3)}) {
    const Decoded actual = on_device(*decoder, z);
    const Decoded expected = on_host(file, z);
    CHECK(actual.status.ok() && expected.status.ok());
    CHECK(actual.shapes == expected.shapes);
    CHECK(actual.firsts == expected.firsts);
    CHECK(psnr(actual.values, expected.values) > 55);
    CHECK_EQUAL(actual.progress.size(), static_cast<std::size_t>(z.size(1)));
    CHECK_EQUAL(actual.progress.back(), 1.0);
    CHECK(on_device(*decoder, z).values == actual.values);
  }
}

TEST("TAEHV on a device is the CPU engine's at odd sizes, without the first three frames, and repeats") {
  for (const std::int64_t spare : {0, 4}) {
    const TemporaryFolder folder;
    const Checkpoint file = save_taehv(random_taehv(spare), folder);
    const auto decoder = load(file);
    Tensor z = random_latent(3, spare == 0 ? 1 : 3, 5);
    for (float& value : z.values) value *= 6;  // the clamp must matter
    const Decoded actual = on_device(*decoder, z);
    const Decoded expected = on_host(file, z);
    CHECK(actual.status.ok() && expected.status.ok());
    CHECK(actual.firsts == (std::vector<std::int64_t>{0, 1, 5}));
    CHECK(actual.shapes == expected.shapes);
    CHECK(relative_error(actual.values, expected.values) < 2e-3);
    CHECK(on_device(*decoder, z).values == actual.values);
  }
}

TEST("a decoder on a device stops between latent frames, hands on what the sink says, and then goes on") {
  const TemporaryFolder folder;
  const auto decoder = load(save_taehv(random_taehv(0), folder));
  const Tensor z = random_latent(3, 1, 2);
  int asked = 0;
  const Decoded stopped = on_device(*decoder, z, [&] { return ++asked == 3; });
  CHECK(!stopped.status.ok() && stopped.status.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(stopped.firsts.size(), 1u);
  const auto refuse = [](std::int64_t, const Shape&, const float*, double) -> Status {
    return Error{ErrorCode::io, "the disk is full"};
  };
  const Status refused = decoder->decode({z.data(), {3, 1, 2}, refuse, [] { return false; }});
  CHECK(!refused.ok() && refused.error().message == "the disk is full");
  CHECK(on_device(*decoder, z).status.ok());
}

TEST("a latent without frames, or too large for the kernels' numbers, is refused by its shape") {
  const TemporaryFolder folder;
  const auto decoder = load(save_taehv(random_taehv(0), folder));
  for (const ModelLatentShape& shape :
       {ModelLatentShape{0, 2, 2}, ModelLatentShape{1, 0, 2}, ModelLatentShape{1, 1 << 10, 1 << 10}}) {
    const Status refused = decoder->decode({nullptr, shape, {}, {}});
    CHECK(!refused.ok() && refused.error().code == ErrorCode::request_invalid);
    CHECK(mentions(refused.error().message, {concat(shape.frames, " frames of ", shape.height)}));
  }
}

TEST("a file that is no video decoder, or lacks a tensor of one, is refused by name") {
  const auto wrong = cuda::FrameDecoder::load(0, golden("umt5.pth"));
  CHECK(!wrong.ok() && wrong.error().code == ErrorCode::architecture_unknown);
  const TemporaryFolder folder;
  TaehvWeights weights = random_taehv(0);
  weights.erase("decoder.16.conv.2.bias");
  const auto missing = cuda::FrameDecoder::load(0, save_taehv(weights, folder));
  CHECK(!missing.ok() && missing.error().code == ErrorCode::tensor_missing);
  CHECK(mentions(missing.error().message, {"decoder.16.conv.2.bias"}));
}

}  // namespace
}  // namespace turboclip::test

#include "cuda/backend.h"

#include "check.h"
#include "cpu/reference.h"
#include "golden_engine.h"
#include "support.h"

namespace turboclip::test {
namespace {

/// The backend over the emulated library.
Result<std::unique_ptr<Backend>> emulated(int device = 0) {
  return make_cuda_backend({TURBOCLIP_EMULATED_LIBRARY, device}, make_cpu_backend({1}));
}

TEST("without the CUDA library, or with a file that is none, the backend says so and what it looked for") {
  for (const char* path : {"/nowhere/libturboclip_cuda.so", "/etc/hostname"}) {
    const Result<std::unique_ptr<Backend>> backend = make_cuda_backend({path, 0}, make_cpu_backend({1}));
    CHECK(!backend.ok());
    CHECK(backend.error().code == ErrorCode::backend_unavailable);
    CHECK(mentions(backend.error().message, {"does not open", path}));
  }
}

TEST("a device that is not there is refused by its number") {
  const Result<std::unique_ptr<Backend>> backend = emulated(3);
  CHECK(!backend.ok());
  CHECK(mentions(backend.error().message, {"no CUDA device 3", "shows 1"}));
}

TEST("a whole engine with its transformer behind the CUDA library makes the clip of the CPU's, nearly") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(backend.ok());
  CHECK_EQUAL(backend.value()->name(), "cuda");
  Result<std::unique_ptr<Engine>> on_device = Engine::load(paths, std::move(backend).value());
  Result<std::unique_ptr<Engine>> on_host = Engine::load(paths, make_cpu_backend({1}));
  CHECK(on_device.ok() && on_host.ok());
  const ClipRequest request = small_request();
  const Result<Clip> clip = on_device.value()->generate(request, {}, {});
  const Result<Clip> expected = on_host.value()->generate(request, {}, {});
  CHECK(clip.ok() && expected.ok());
  double difference = 0;
  for (std::size_t i = 0; i < expected.value().rgb.size(); ++i) {
    difference += std::pow(static_cast<double>(clip.value().rgb[i]) - expected.value().rgb[i], 2);
  }
  const double rms = std::sqrt(difference / static_cast<double>(expected.value().rgb.size()));
  CHECK(rms < 2.5);  // levels of 255: 40 dB
}

TEST("the product of INT8 blocks is the CPU engine's, and sizes that the device does not take are refused") {
  Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(backend.ok());
  const std::vector<float> x = random_values(150 * 256, 71);
  const std::vector<float> w = random_values(128 * 256, 72);
  const Int8Blocks left = quantize_int8_blocks(x.data(), 150, 256);
  const Int8Blocks right = quantize_int8_blocks(w.data(), 128, 256);
  const Result<Tensor> product = backend.value()->int8_product(left, right);
  const Result<Tensor> expected = make_cpu_backend({1})->int8_product(left, right);
  CHECK(product.ok() && expected.ok());
  CHECK(relative_error(product.value().values, expected.value().values) < 3e-3);
  const Result<Tensor> odd = backend.value()->int8_product(left, quantize_int8_blocks(w.data(), 64, 256));
  CHECK(!odd.ok());
  CHECK(mentions(odd.error().message, {"[64, 256]", "128"}));
}

TEST("what the device's model refuses comes back over the C interface with its code and sentence") {
  Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(backend.ok());
  const Result<Checkpoint> encoder = Checkpoint::open(fixture("golden/umt5.pth"));
  const Result<std::unique_ptr<Denoiser>> wrong = backend.value()->load_denoiser(encoder.value());
  CHECK(!wrong.ok());
  CHECK(wrong.error().code == ErrorCode::architecture_unknown);
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  Result<std::unique_ptr<Denoiser>> model = backend.value()->load_denoiser(file.value());
  CHECK(model.ok());
  CHECK(backend.value()->resident_bytes() > 0);
  Conditioning conditioning;
  conditioning.text = Tensor({3, model.value()->config().text_width});
  const Status odd = model.value()->begin_clip({1, 3, 4}, conditioning, {}, {});
  CHECK(!odd.ok());
  CHECK(odd.error().code == ErrorCode::request_invalid);
  CHECK(mentions(odd.error().message, {"1 x 3 x 4", "even"}));
}

}  // namespace
}  // namespace turboclip::test

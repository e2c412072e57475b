#include "cuda/backend.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "check.h"
#include "cpu/reference.h"
#include "cuda/device_plan.h"
#include "cuda/self_test.h"
#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
#include "cuda/umt5_stack.h"
#include "engine/memory_plan.h"
#include "engine/nv12.h"
#include "engine/text.h"
#include "golden_engine.h"
#include "support.h"

namespace turboclip::test {
namespace {

/// The backend over the emulated library.
Result<std::unique_ptr<Backend>> emulated(int device = 0, std::int64_t memory_limit = 0) {
  return make_cuda_backend({TURBOCLIP_EMULATED_LIBRARY, device, memory_limit}, make_cpu_backend({1}));
}

TEST("without the CUDA library, or with a file that is none, the backend says so and what it looked for") {
  for (const char* path : {"/nowhere/libturboclip_cuda.so", "/etc/hostname"}) {
    const Result<std::unique_ptr<Backend>> backend = make_cuda_backend({path, 0}, make_cpu_backend({1}));
    CHECK(!backend.ok());
    CHECK(backend.error().code == ErrorCode::backend_unavailable);
    CHECK(mentions(backend.error().message, {"does not open", path, "nvcc", "TURBOCLIP_CUDA_LIBRARY"}));
    CHECK(find_cuda_device({path, 0}, make_cpu_backend({1})).error().message == backend.error().message);
  }
}

TEST("a device that is not there is refused by its number") {
  const Result<std::unique_ptr<Backend>> backend = emulated(3);
  CHECK(!backend.ok());
  CHECK(mentions(backend.error().message, {"no CUDA device 3", "shows 2"}));
}

TEST("a device is told by its name, its driver and its memory once it has multiplied rightly") {
  const Result<CudaDevice> device = find_cuda_device({TURBOCLIP_EMULATED_LIBRARY, 0}, make_cpu_backend({1}));
  CHECK(device.ok());
  CHECK_EQUAL(device.value().name, "emulated");
  CHECK_EQUAL(device.value().driver, "13.0");
  CHECK_EQUAL(device.value().total_bytes, std::int64_t{8} << 30);
  CHECK(device.value().free_bytes > 0 && device.value().free_bytes <= device.value().total_bytes);
}

/// A fault that the library of the tests takes at its next call (emulator/library_entry.cpp).
class Fault {
 public:
  explicit Fault(const char* what) {
    ::setenv("TURBOCLIP_EMULATED_FAULT", folder_.write("fault", what).c_str(), 1);
  }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  ~Fault() { ::unsetenv("TURBOCLIP_EMULATED_FAULT"); }

 private:
  TemporaryFolder folder_;
};

TEST(
    "a device that multiplies wrongly is refused by its name and driver, and is taken once it does it "
    "rightly") {
  const Fault fault("wrong");
  const Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(!backend.ok());
  CHECK(backend.error().code == ErrorCode::backend_unavailable);
  CHECK(mentions(backend.error().message,
                 {"device 0", "emulated", "CUDA 13.0", "not fit", "at [129, 127]", "reset the card"}));
  CHECK(emulated().ok());
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
  for (std::size_t i = 0; i < expected.value().pixels->size(); ++i) {
    difference += std::pow(static_cast<double>((*clip.value().pixels)[i]) - (*expected.value().pixels)[i], 2);
  }
  const double rms = std::sqrt(difference / static_cast<double>(expected.value().pixels->size()));
  CHECK(rms < 2.5);  // levels of 255: 40 dB
}

TEST("a prompt is encoded on the device in bfloat16 or INT8, or on the host, as the options say") {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/umt5.pth"));
  const std::vector<std::int32_t> ids{7, 300, 1};
  const std::unique_ptr<Backend> cpu = make_cpu_backend({1});
  const Result<Tensor> expected = cpu->load_text_encoder(file.value()).value()->encode(ids, {}, {});
  CHECK(expected.ok());
  for (const auto& [encoding, error] :
       {std::pair(TextEncoding::host, 0.0), std::pair(TextEncoding::bf16, 2e-2),
        std::pair(TextEncoding::int8, 1e-1)}) {
    CudaOptions options{TURBOCLIP_EMULATED_LIBRARY};
    options.text_encoding = encoding;
    Result<std::unique_ptr<Backend>> backend = make_cuda_backend(options, make_cpu_backend({1}));
    CHECK(backend.ok());
    CHECK_EQUAL(backend.value()->encodes_on_host(), encoding == TextEncoding::host);
    Result<std::unique_ptr<TextEncoder>> encoder = backend.value()->load_text_encoder(file.value());
    CHECK(encoder.ok());
    CHECK(backend.value()->resident_bytes() > 0);
    CHECK_EQUAL(encoder.value()->width(), 128);
    CHECK_EQUAL(encoder.value()->vocabulary(), 600);
    double done = 0;
    const Result<Tensor> rows = encoder.value()->encode(ids, {}, [&](double fraction) { done = fraction; });
    CHECK(rows.ok());
    CHECK_EQUAL(done, 1.0);
    CHECK(relative_error(rows.value().values, expected.value().values) <= error);
    CancelFlag cancel;
    cancel.requested = true;
    CHECK(encoder.value()->encode(ids, cancel, {}).error().code == ErrorCode::cancelled);
    const Result<Tensor> odd = encoder.value()->encode(std::vector<std::int32_t>{7, 600}, {}, {});
    CHECK(!odd.ok() && odd.error().code == ErrorCode::request_invalid);
  }
}

/// A denoiser of the golden weights on the emulated device, and on the CPU.
Result<std::unique_ptr<Denoiser>> golden_denoiser(Backend& backend) {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  Result<std::unique_ptr<Denoiser>> model = backend.load_denoiser(file.value());
  CHECK(model.ok());
  Conditioning conditioning;
  const std::int64_t width = model.value()->config().text_width;
  conditioning.text = Tensor({3, width});
  conditioning.text.values = random_values(static_cast<std::size_t>(3 * width), 5);
  CHECK(model.value()->begin_clip({2, 4, 4}, conditioning, {Attention::sla, 0.3}, {}).ok());
  return model;
}

TEST(
    "a clip that is sampled whole on the device is the one of velocity step by step, and tells of each "
    "step") {
  Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(backend.ok());
  Result<std::unique_ptr<Denoiser>> model = golden_denoiser(*backend.value());
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    const SamplerSettings settings{method, 3, 80, ModelInput::bf16};
    std::vector<int> steps;
    const auto note = [&](int step, double fraction) {
      CHECK_EQUAL(fraction, 1.0);
      steps.push_back(step);
    };
    const std::optional<Result<Tensor>> whole = model.value()->sample_clip(settings, 11, {}, note);
    CHECK(whole.has_value() && whole->ok());
    CHECK(steps == (std::vector<int>{1, 2, 3}));
    const Result<Tensor> stepwise = sample(*model.value(), {2, 4, 4}, settings, seeded_noise(11), {}, {});
    CHECK(stepwise.ok());
    CHECK(whole->value().shape == stepwise.value().shape);
    CHECK(relative_error(whole->value().values, stepwise.value().values) < 1e-6);
  }
  const SamplerSettings exact{SamplerMethod::sde, 1, 80, ModelInput::exact};
  CHECK(!model.value()->sample_clip(exact, 11, {}, {}).has_value());
}

TEST("a clip that is sampled whole stops between two steps when it is cancelled, and the next one runs") {
  Result<std::unique_ptr<Backend>> backend = emulated();
  CHECK(backend.ok());
  Result<std::unique_ptr<Denoiser>> model = golden_denoiser(*backend.value());
  CancelFlag cancel;
  int last = 0;
  const auto cancel_at_two = [&](int step, double) {
    last = step;
    if (step == 2) cancel.requested = true;
  };
  const std::optional<Result<Tensor>> stopped = model.value()->sample_clip({}, 11, cancel, cancel_at_two);
  CHECK(stopped.has_value() && !stopped->ok());
  CHECK(stopped->error().code == ErrorCode::cancelled);
  CHECK_EQUAL(last, 2);
  const std::optional<Result<Tensor>> next = model.value()->sample_clip({}, 11, {}, {});
  CHECK(next.has_value() && next->ok());
}

TEST("a model on the second device makes its clip on another thread than the one that loaded it") {
  Result<std::unique_ptr<Backend>> backend = emulated(1);
  CHECK(backend.ok());
  Result<std::unique_ptr<Denoiser>> model = golden_denoiser(*backend.value());
  std::thread other([&] {
    const std::optional<Result<Tensor>> clip = model.value()->sample_clip({}, 11, {}, {});
    CHECK(clip.has_value() && clip->ok());
  });
  other.join();
}

TEST("a model or a clip over its share of the device is refused before it is loaded, with what would fit") {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  const DenoiserConfig config = cuda::read_config(file.value()).value();
  const std::int64_t least = cuda::embedding_bytes(config) + cuda::ring_bytes(config, config.layers);
  const Result<std::unique_ptr<Denoiser>> refused =
      emulated(0, least - 1).value()->load_denoiser(file.value());
  CHECK(!refused.ok());
  CHECK(refused.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(refused.error().message,
                 {"the transformer", gibibytes(least), "TURBOCLIP_DEVICE_MEMORY_GIB"}));

  const DenoiserSettings settings{Attention::sla, 0.3};
  const ModelLatentShape shape{20, 16, 16};
  const std::int64_t share = least + cuda::clip_bytes(config, shape, settings, 3, cuda::AttentionTiles::e4m3);
  Result<std::unique_ptr<Backend>> backend = emulated(0, share);
  Result<std::unique_ptr<Denoiser>> model = backend.value()->load_denoiser(file.value());
  CHECK(model.ok());
  Conditioning conditioning;
  conditioning.text = Tensor({3, config.text_width});
  CHECK(model.value()->begin_clip(shape, conditioning, settings, {}).ok());
  const Status larger = model.value()->begin_clip({21, 16, 16}, conditioning, settings, {});
  CHECK(!larger.ok());
  CHECK(larger.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(larger.error().message, {"128 x 128 and 81 frames", "what fits: 77 frames"}));
  CHECK(model.value()->begin_clip(shape, conditioning, settings, {}).ok());
  // What would be missing after the steps is told before them.
  model.value()->expect_stage(share);
  const Status later = model.value()->begin_clip({1, 2, 2}, conditioning, settings, {});
  CHECK(!later.ok() && later.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(later.error().message, {"decoding a clip of 16 x 16", "TAEHV"}));
}

TEST("a set is planned to the byte before it is loaded, from its files' headers and without a device") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  const LargestClip clip{64, 32, 5, false, {Attention::sla, 0.3}};
  CudaOptions options{TURBOCLIP_EMULATED_LIBRARY};
  options.text_encoding = TextEncoding::bf16;
  const Result<DevicePlan> plan = plan_on_device(options, paths, clip);
  CHECK(plan.ok());
  CHECK(plan.value().fits);
  CHECK(plan.value().text_encoding == TextEncoding::bf16);
  CHECK_EQUAL(plan.value().streamed, 0);
  CHECK(plan.value().denoise > 0 && plan.value().decode > 0 && plan.value().decoders > 0);
  Result<std::unique_ptr<Backend>> backend = emulated();
  const std::shared_ptr<Backend> device = std::move(backend).value();
  Result<std::unique_ptr<Engine>> engine = Engine::load(paths, device, clip);
  CHECK(engine.ok());
  CHECK_EQUAL(device->device_bytes()->held,
              plan.value().transformer + plan.value().decoders + plan.value().text_encoder);
  ClipRequest request = small_request();
  request.denoiser = clip.settings;
  request.token_ids.assign(512, 1);
  CHECK(engine.value()->generate(request, {}, {}).ok());
  CHECK_EQUAL(device->device_bytes()->held, plan.value().peak);
  engine.value().reset();
  CHECK_EQUAL(device->device_bytes()->held, 0);

  options.device = -1;  // from here on
  const Result<DevicePlan> none = plan_on_device(options, paths, clip, 1000);
  CHECK(none.ok() && !none.value().fits);
  CHECK(mentions(none.value().remedy, {"no clip fits"}));
  const Result<DevicePlan> less = plan_on_device(options, paths, {640, 640, 5, false, {}}, plan.value().peak);
  CHECK(less.ok() && !less.value().fits);
  CHECK(mentions(less.value().remedy, {"what fits: ", " x "}));
  paths.vae = paths.text_encoder;
  CHECK(!plan_on_device(options, paths, clip, 1000).ok());
}

TEST(
    "prompts are encoded in bfloat16 where a set has room for it, else in INT8, and on the host where there "
    "is room for neither") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  const LargestClip clip{64, 32, 5, false, {Attention::sla, 0.3}};
  const auto peak = [&](TextEncoding encoding, std::int64_t most_resident) {
    CudaOptions options{TURBOCLIP_EMULATED_LIBRARY};
    options.text_encoding = encoding;
    options.most_resident = most_resident;
    const Result<DevicePlan> plan = plan_on_device(options, paths, clip);
    CHECK(plan.ok() && plan.value().fits);
    return plan.value().peak;
  };
  struct Share {
    std::int64_t bytes;
    TextEncoding expected;
  };
  for (const auto& [bytes, expected] : {Share{peak(TextEncoding::bf16, -1), TextEncoding::bf16},
                                        Share{peak(TextEncoding::bf16, -1) - 1, TextEncoding::int8},
                                        Share{peak(TextEncoding::int8, 0), TextEncoding::int8},
                                        Share{peak(TextEncoding::int8, 0) - 1, TextEncoding::host}}) {
    CudaOptions options{TURBOCLIP_EMULATED_LIBRARY};
    options.memory_limit = bytes;
    CHECK(plan_on_device(options, paths, clip).value().text_encoding == expected);
    Result<std::unique_ptr<Backend>> made = make_cuda_backend(options, make_cpu_backend({1}));
    CHECK(made.ok());
    const std::shared_ptr<Backend> backend = std::move(made).value();
    const Result<std::unique_ptr<Engine>> engine = Engine::load(paths, backend, clip);
    CHECK(engine.ok());
    CHECK_EQUAL(backend->encodes_on_host(), expected == TextEncoding::host);
    CHECK(engine.value()->generate(small_request(), {}, {}).ok());
    CHECK(backend->device_bytes()->held <= bytes);
  }
  // Beside another model the host does not encode: that one goes.
  CudaOptions beside{TURBOCLIP_EMULATED_LIBRARY};
  beside.memory_limit = peak(TextEncoding::int8, 0) - 1;
  beside.whole = true;
  Result<std::unique_ptr<Backend>> refusing = make_cuda_backend(beside, make_cpu_backend({1}));
  const Result<std::unique_ptr<Engine>> refused = Engine::load(paths, std::move(refusing).value(), clip);
  CHECK(!refused.ok() && refused.error().code == ErrorCode::out_of_memory);
}

TEST("a clip whose decoding is the device's needs no memory of the host for it") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  const CpuOptions little{1, [] { return std::int64_t{100'000}; }};
  Result<std::unique_ptr<Backend>> backend =
      make_cuda_backend({TURBOCLIP_EMULATED_LIBRARY}, make_cpu_backend(little));
  CHECK(backend.ok());
  const Result<std::unique_ptr<Engine>> engine = Engine::load(paths, std::move(backend).value());
  CHECK(engine.ok());
  CHECK(engine.value()->generate(small_request(), {}, {}).ok());
}

TEST("a set that does not fit with its largest clip is refused before it is loaded, with what would fit") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  Result<std::unique_ptr<Backend>> backend = emulated(0, 40'000'000);
  const Result<std::unique_ptr<Engine>> engine =
      Engine::load(paths, std::move(backend).value(), LargestClip{1024, 1024, 81, false, {}});
  CHECK(!engine.ok() && engine.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(engine.error().message, {"1024 x 1024 and 81 frames", "may be taken", "what fits: "}));
}

TEST("two engines of one device have their text encoder and decoder in common, and each its transformer") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  const auto load = [&] {
    Result<std::unique_ptr<Backend>> backend = emulated();
    Result<std::unique_ptr<Engine>> engine = Engine::load(paths, std::move(backend).value());
    CHECK(engine.ok());
    return std::move(engine).value();
  };
  std::unique_ptr<Engine> first = load();
  const std::int64_t one = first->info().device->held;
  std::unique_ptr<Engine> second = load();
  const std::int64_t both = second->info().device->held;
  const Result<Checkpoint> file = Checkpoint::open(paths.denoiser);
  CHECK_EQUAL(both - one, cuda::weight_bytes(cuda::read_config(file.value()).value()));
  const Result<Clip> from_first = first->generate(small_request(), {}, {});
  const Result<Clip> from_second = second->generate(small_request(), {}, {});
  first.reset();  // it has loaded what the second uses
  const Result<Clip> again = second->generate(small_request(), {}, {});
  CHECK(from_first.ok() && from_second.ok() && again.ok());
  CHECK(*from_first.value().pixels == *from_second.value().pixels);
  CHECK(*from_second.value().pixels == *again.value().pixels);
  second.reset();
  CHECK_EQUAL(load()->info().device->held, one);
}

TEST("frames leave the device as the NV12 bytes that the host makes of them, a latent frame at a time") {
  const TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  Result<std::unique_ptr<Backend>> backend = emulated();
  Result<std::unique_ptr<Engine>> engine = Engine::load(paths, std::move(backend).value());
  CHECK(engine.ok());
  ClipRequest request = small_request();
  request.pixels = PixelFormat::nv12;
  std::vector<std::int64_t> firsts;
  const Result<Clip> clip =
      engine.value()->generate(request, {}, {}, [&](const auto& pixels, std::int64_t first, std::int64_t) {
        CHECK_EQUAL(pixels->size(), 5u * 32 * 64 * 3 / 2);
        firsts.push_back(first);
      });
  CHECK(clip.ok());
  CHECK(firsts == (std::vector<std::int64_t>{0, 1}));
  request.pixels = PixelFormat::rgb24;
  const Result<Clip> rgb = engine.value()->generate(request, {}, {});
  CHECK(rgb.ok());
  // The levels of rgb24 as values that have those levels.
  std::vector<float> values(rgb.value().pixels->size());
  std::transform(rgb.value().pixels->begin(), rgb.value().pixels->end(), values.begin(),
                 [](std::uint8_t level) { return (static_cast<float>(level) - 127.5f) / 127.5f; });
  std::vector<std::uint8_t> expected(clip.value().pixels->size());
  to_nv12(values.data(), 5, 32, 64, expected.data());
  CHECK(*clip.value().pixels == expected);
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

TEST("the product of known numbers passes the CPU engine, and any one wrong element is found") {
  const std::unique_ptr<Backend> cpu = make_cpu_backend({1});
  const Int8Product right = [&](const Int8Blocks& x, const Int8Blocks& w) { return cpu->int8_product(x, w); };
  CHECK(check_int8_product(right).ok());
  for (const std::size_t index : {std::size_t{0}, std::size_t{128 * 64 + 3}, std::size_t{130 * 128 - 1}}) {
    const Status status = check_int8_product([&](const Int8Blocks& x, const Int8Blocks& w) {
      Result<Tensor> y = right(x, w);
      y.value().values[index] *= 1.01f;
      return y;
    });
    CHECK(!status.ok());
    CHECK(mentions(status.error().message, {concat("[", index / 128, ", ", index % 128, "]")}));
  }
  const Status failed = check_int8_product([](const Int8Blocks&, const Int8Blocks&) -> Result<Tensor> {
    return Error{ErrorCode::device_lost, "gone"};
  });
  CHECK(failed.error().code == ErrorCode::device_lost);
  const Status zeros = check_int8_product([](const Int8Blocks& x, const Int8Blocks& w) -> Result<Tensor> {
    return Tensor({x.rows, w.rows});
  });
  CHECK(!zeros.ok());
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

#include "cuda/latent.h"

#include "check.h"
#include "cpu/wan_dit_patches.h"
#include "cuda/rows.h"
#include "engine/sampler/noise.h"

namespace turboclip::test {
namespace {

constexpr cuda::LatentShape kShapes[] = {{1, 2, 2}, {3, 6, 10}, {2, 34, 18}};

TEST(
    "a latent becomes the CPU engine's tokens on the device, with a picture's channels and without, and "
    "back") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const cuda::LatentShape& shape : kShapes) {
    for (const std::int64_t channels : {16, 36}) {
      Tensor x({16, shape.frames, shape.height, shape.width});
      x.values = random_bf16(16 * shape.plane(), 51);
      Tensor image({channels - 16, shape.frames, shape.height, shape.width});
      image.values = random_bf16((channels - 16) * shape.plane(), 52);
      cuda::DeviceArray<float> device_x, device_image, head, v;
      cuda::DeviceArray<double> state;
      cuda::DeviceArray<cuda::Bf16> tokens, from_state;
      device_x.upload(queue, x.values);
      device_image.upload(queue, image.values);
      state.upload(queue, std::vector<double>(x.values.begin(), x.values.end()));
      tokens.allocate(queue, shape.tokens() * channels * 4);
      from_state.allocate(queue, shape.tokens() * channels * 4);
      cuda::patchify(queue, shape, device_x.data(), device_image.data(), channels, tokens.data());
      cuda::patchify(queue, shape, state.data(), device_image.data(), channels, from_state.data());
      const std::vector<float> expected = cpu::to_patches(x, image, channels);
      CHECK(from_bf16(tokens.download(queue)) == expected);
      CHECK(from_bf16(from_state.download(queue)) == expected);

      const std::vector<float> outputs = random_values(shape.tokens() * 64, 53);
      head.upload(queue, outputs);
      v.allocate(queue, 16 * shape.plane());
      cuda::unpatchify(queue, shape, head.data(), v.data());
      CHECK(v.download(queue) ==
            cpu::from_patches(outputs, {shape.frames, shape.height, shape.width}).values);
      CHECK(queue.finish().ok());
    }
  }
}

/// The state after noise times `time`, on the device.
std::vector<double> started(cuda::Queue& queue, const cuda::LatentShape& shape, std::uint64_t seed,
                            double time) {
  cuda::DeviceArray<cuda::SamplerStep> step;
  cuda::DeviceArray<double> x;
  step.upload(queue, {{time, 0, seed, 0, 1}});
  x.allocate(queue, 16 * shape.plane());
  cuda::start_sampling(queue, shape, step.data(), x.data());
  return x.download(queue);
}

TEST("noise on the device has the bits of the CPU engine's, for any seed") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  for (const std::uint64_t seed :
       {std::uint64_t{0}, std::uint64_t{7}, ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    const cuda::LatentShape shape{21, 30, 52};
    const Tensor noise = gaussian_noise(seed, 0, {16, shape.frames, shape.height, shape.width});
    CHECK(started(queue, shape, seed, 1.0) == std::vector<double>(noise.values.begin(), noise.values.end()));
  }
}

/// A model whose velocity is given: what is left of sample() is the sampler's own arithmetic.
class GivenVelocity : public Denoiser {
 public:
  explicit GivenVelocity(Tensor v) : v_(std::move(v)) {}
  const DenoiserConfig& config() const override { return config_; }
  Status begin_clip(const ModelLatentShape&, const Conditioning&, const DenoiserSettings&,
                    const CancelFlag&) override {
    return success();
  }
  Result<Tensor> velocity(const Tensor&, double, const CancelFlag&, const Progress&, const Tap&) override {
    return v_;
  }

 private:
  DenoiserConfig config_;
  Tensor v_;
};

TEST("every step of the rCM sampler on the device has the bits of the engine's, sde and ode") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  const cuda::LatentShape shape{2, 6, 10};
  const std::vector<float> outputs = random_values(shape.tokens() * 64, 54);
  GivenVelocity model(cpu::from_patches(outputs, {shape.frames, shape.height, shape.width}));
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    const SamplerSettings settings{method, 4, 200, ModelInput::bf16};
    std::vector<std::vector<float>> states;
    SamplerHooks hooks;
    hooks.observer = [&](int, const Tensor& state) { states.push_back(state.values); };
    CHECK(
        sample(model, {shape.frames, shape.height, shape.width}, settings, seeded_noise(9), {}, hooks).ok());

    const std::vector<double> times = flow_times(settings.steps, settings.sigma_max);
    cuda::DeviceArray<double> x;
    cuda::DeviceArray<float> tokens;
    tokens.upload(queue, outputs);
    x.upload(queue, started(queue, shape, 9, times[0]));
    for (std::size_t i = 0; i < 4; ++i) {
      cuda::DeviceArray<cuda::SamplerStep> step;
      step.upload(queue, {{times[i], times[i + 1], 9, static_cast<std::uint32_t>(i) + 1,
                           method == SamplerMethod::sde ? 1u : 0u}});
      cuda::advance_sampling(queue, shape, step.data(), tokens.data(), x.data());
      const std::vector<double> state = x.download(queue);
      CHECK(std::vector<float>(state.begin(), state.end()) == states[i]);
    }
    CHECK(queue.finish().ok());
  }
}

}  // namespace
}  // namespace turboclip::test

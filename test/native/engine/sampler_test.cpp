#include <cmath>
#include <fstream>

#include "check.h"
#include "engine/json.h"
#include "engine/sampler/rcm.h"
#include "fakes.h"
#include "support.h"

namespace turboclip {
namespace {

const ModelLatentShape kShape{1, 2, 2};

TEST("the flow times are the reference's for every number of steps and sigma_max") {
  const Result<Json> meta = Json::parse(test::read_bytes(test::fixture("golden/meta.json")));
  CHECK(meta.ok());
  if (!meta) return;
  int compared = 0;
  for (const auto& [key, times] : *meta.value().find("t_steps")->object()) {
    const std::size_t comma = key.find(',');
    const std::vector<double> ours = flow_times(std::stoi(key), std::stod(key.substr(comma + 1)));
    CHECK_EQUAL(ours.size(), times.array()->size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      double expected = 0;
      CHECK((*times.array())[i].number(expected));
      CHECK(std::abs(ours[i] - expected) < 1e-15);
      ++compared;
    }
  }
  CHECK_EQUAL(compared, 3 * (2 + 3 + 4 + 5));
}

TEST("the model is given the rounded timesteps that the weights were used with") {
  test::FakeDenoiser model;
  const Result<Tensor> latent = sample(model, kShape, {}, seeded_noise(1), CancelFlag{}, {});
  CHECK(latent.ok());
  CHECK(model.timesteps == (std::vector<double>{988, 932, 852, 608}));
}

TEST("with exact input the model is given the unrounded state and timestep") {
  test::FakeDenoiser model;
  SamplerSettings settings;
  settings.model_input = ModelInput::exact;
  settings.steps = 1;
  const NoiseSource ones = [](std::uint32_t, const Shape& shape) -> Result<Tensor> {
    Tensor noise(shape);
    for (float& value : noise.values) value = 1.0f;
    return noise;
  };
  CHECK(sample(model, kShape, settings, ones, CancelFlag{}, {}).ok());
  CHECK(std::abs(model.timesteps.at(0) - 987.6543209876543) < 1e-9);
  CHECK_EQUAL(model.states.at(0).values[0], 0.98765433f);
}

TEST("one step takes the state straight to x - s v, without fresh noise") {
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    test::FakeDenoiser model;
    std::vector<std::uint32_t> draws;
    const NoiseSource noise = [&](std::uint32_t draw, const Shape& shape) -> Result<Tensor> {
      draws.push_back(draw);
      return Tensor(shape);
    };
    const Result<Tensor> latent =
        sample(model, kShape, {method, 1, 80, ModelInput::exact}, noise, CancelFlag{}, {});
    CHECK(latent.ok() && draws == std::vector<std::uint32_t>{0});
    // From zero noise and the fake's velocity of 0.5 x + 0.25.
    CHECK(latent.ok() && std::abs(latent.value().values[0] + 0.25f * 0.98765433f) < 1e-7f);
  }
}

TEST("the SDE draws fresh noise after every step but the last, the ODE none") {
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    test::FakeDenoiser model;
    std::vector<std::uint32_t> draws;
    const NoiseSource noise = [&](std::uint32_t draw, const Shape& shape) -> Result<Tensor> {
      draws.push_back(draw);
      return Tensor(shape);
    };
    CHECK(sample(model, kShape, {method, 3, 80, ModelInput::bf16}, noise, CancelFlag{}, {}).ok());
    CHECK_EQUAL(draws.size(), method == SamplerMethod::sde ? 3u : 1u);
  }
}

TEST("noise of another shape is refused with both shapes") {
  test::FakeDenoiser model;
  const NoiseSource wrong = [](std::uint32_t, const Shape&) -> Result<Tensor> { return Tensor({3}); };
  const Result<Tensor> latent = sample(model, kShape, {}, wrong, CancelFlag{}, {});
  CHECK(!latent.ok() && test::mentions(latent.error().message, {"[3]", "[16, 1, 2, 2]"}));
}

TEST("a model's error ends the sampling with that error") {
  test::FakeDenoiser model;
  model.fail_at_step = 2;
  const Result<Tensor> latent = sample(model, kShape, {}, seeded_noise(1), CancelFlag{}, {});
  CHECK(!latent.ok() && latent.error().code == ErrorCode::internal);
  CHECK_EQUAL(model.timesteps.size(), 2u);
}

}  // namespace
}  // namespace turboclip

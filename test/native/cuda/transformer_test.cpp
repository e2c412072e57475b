#include "cuda/transformer.h"

#include "check.h"
#include "cuda/rows.h"
#include "engine/sampler/noise.h"
#include "support.h"

namespace turboclip::test {
namespace {

const CancelFlag kNever;

Checkpoint golden(const char* name) {
  Result<Checkpoint> file = Checkpoint::open(fixture(std::string("golden/") + name));
  CHECK(file.ok());
  return std::move(file).value();
}

Tensor tensor(const Checkpoint& file, const char* name) { return to_float(*file.find(name)); }

Tensor without_batch(Tensor values) {
  values.shape.erase(values.shape.begin());
  return values;
}

/// The golden model on the device, and a clip of the golden input begun.
struct Golden {
  Checkpoint io = golden("wan_t2v.io.safetensors");
  std::unique_ptr<cuda::Transformer> model;
  Tensor x = without_batch(tensor(io, "x"));
  Conditioning conditioning;

  explicit Golden(const DenoiserSettings& settings) {
    Result<std::unique_ptr<cuda::Transformer>> loaded = cuda::Transformer::load(0, golden("wan_t2v.pth"));
    CHECK(loaded.ok());
    model = std::move(loaded).value();
    conditioning.text = without_batch(tensor(io, "ctx"));
    CHECK(begin(settings).ok());
  }
  Status begin(const DenoiserSettings& settings) {
    return model->begin_clip({x.size(1), x.size(2), x.size(3)}, conditioning, settings, kNever);
  }
  double timestep() const { return tensor(io, "t").values[0]; }
};

TEST(
    "the transformer on the device is as close to the golden set as an INT8 engine must be, sparse and "
    "dense") {
  Golden dense({Attention::original, 0.3});
  const Result<Tensor> v_dense = dense.model->velocity(dense.x, dense.timestep(), kNever, {}, {});
  CHECK(v_dense.ok());
  CHECK(relative_error(v_dense.value().values, tensor(dense.io, "v_dense").values) < 5e-2);
  Golden sla({Attention::sla, 0.3});
  const Result<Tensor> v_sla = sla.model->velocity(sla.x, sla.timestep(), kNever, {}, {});
  CHECK(v_sla.ok());
  CHECK(relative_error(v_sla.value().values, tensor(sla.io, "v_sla").values) < 5e-2);
}

TEST(
    "sampling on the device is the engine's sampler over the device's transformer, and repeats to the byte") {
  Golden golden({Attention::sla, 0.3});
  const SamplerSettings settings{SamplerMethod::sde, 2, 80, ModelInput::bf16};
  const ModelLatentShape shape{golden.x.size(1), golden.x.size(2), golden.x.size(3)};
  std::vector<int> steps;
  const Result<Tensor> first =
      golden.model->sample(settings, 5, kNever, [&](int step, double) { steps.push_back(step); });
  CHECK(first.ok());
  CHECK(steps == std::vector<int>({1, 2}));
  const Result<Tensor> expected = sample(*golden.model, shape, settings, seeded_noise(5), kNever, {});
  CHECK(expected.ok());
  CHECK(first.value().values == expected.value().values);
  CHECK(golden.begin({Attention::sla, 0.3}).ok());
  const Result<Tensor> again = golden.model->sample(settings, 5, kNever, {});
  CHECK(again.ok());
  CHECK(first.value().values == again.value().values);
}

TEST("the transformer on the device shows its residual stream after each block, near the golden set's") {
  Golden golden({Attention::sla, 0.3});
  std::vector<std::string> names;
  std::vector<double> errors;
  Tap tap;
  tap.take = [&](const std::string& name, const Tensor& shown) {
    names.push_back(name);
    errors.push_back(relative_error(shown.values, tensor(golden.io, ("sla." + name).c_str()).values));
  };
  CHECK(golden.model->velocity(golden.x, golden.timestep(), kNever, {}, tap).ok());
  CHECK(names == std::vector<std::string>({"block0", "block1"}));
  for (const double error : errors) CHECK(error < 2e-2);
}

TEST("the device's transformer refuses what does not fit, naming it, and a cancelled clip stops") {
  Golden golden({Attention::sla, 0.3});
  const auto message = [](const auto& result) { return result.ok() ? "" : result.error().message; };
  Conditioning wrong = golden.conditioning;
  wrong.text.shape = {2, 7};
  CHECK(mentions(message(golden.model->begin_clip({1, 4, 4}, wrong, {}, kNever)), {"[2, 7]", "512"}));
  CHECK(mentions(message(golden.model->begin_clip({1, 3, 4}, golden.conditioning, {}, kNever)),
                 {"3 x 4", "even"}));
  CHECK(mentions(message(golden.begin({Attention::sla, 1.5})), {"1.5"}));
  wrong = golden.conditioning;
  wrong.image = Tensor({20, 1, 4, 4});
  CHECK(mentions(message(golden.model->begin_clip({1, 4, 4}, wrong, {}, kNever)), {"no picture"}));
  CHECK(mentions(message(golden.model->velocity(Tensor({16, 1, 2, 2}), 988, kNever, {}, {})),
                 {"[16, 1, 2, 2]"}));
  CancelFlag stop;
  stop.requested = true;
  const Result<Tensor> cancelled = golden.model->sample({}, 1, stop, {});
  CHECK(!cancelled.ok());
  CHECK(cancelled.error().code == ErrorCode::cancelled);
}

TEST("a CUDA error at any call of a clip is an error value, and the next clip runs") {
  Golden golden({Attention::sla, 0.3});
  const Tensor small({16, 1, 2, 2});
  const auto clip = [&]() -> Status {
    const Status begun =
        golden.model->begin_clip({1, 2, 2}, golden.conditioning, {Attention::sla, 0.3}, kNever);
    if (!begun) return begun;
    const Result<Tensor> v = golden.model->velocity(small, 988, kNever, {}, {});
    if (!v) return v.error();
    return success();
  };
  CHECK(clip().ok());
  const std::size_t allocated = emulator::allocated_bytes();
  int failures = 0;
  for (int call = 0; call < 2000; ++call) {
    emulator::fail_runtime_call(call, cudaErrorMemoryAllocation);
    const Status failed = clip();
    if (failed.ok()) break;  // past the last call of a clip
    std::printf("%d %s\n", call, failed.error().message.c_str());
    ++failures;
    CHECK(failed.error().code == ErrorCode::out_of_memory);
    CHECK(mentions(failed.error().message, {"CUDA", "out of memory"}));
  }
  CHECK(failures > 100);
  CHECK(clip().ok());
  CHECK_EQUAL(emulator::allocated_bytes(), allocated);
}

}  // namespace
}  // namespace turboclip::test

#include "cuda/transformer.h"

#include "check.h"
#include "cuda/rows.h"
#include "engine/quant/quantize_checkpoint.h"
#include "engine/sampler/noise.h"
#include "support.h"

namespace turboclip::test {
namespace {

const CancelFlag kNever;
constexpr DenoiserSettings kSla{Attention::sla, 0.3};
constexpr ModelLatentShape kSmall{1, 4, 6};

Checkpoint golden(const char* name) {
  Result<Checkpoint> file = Checkpoint::open(fixture(std::string("golden/") + name));
  CHECK(file.ok());
  return std::move(file).value();
}

Tensor without_batch(const Checkpoint& file, const char* name) {
  Tensor values = to_float(*file.find(name));
  values.shape.erase(values.shape.begin());
  return values;
}

/// The golden model on the device, and the golden input.
struct Golden {
  Checkpoint io = golden("wan_t2v.io.safetensors");
  std::unique_ptr<cuda::Transformer> model;
  Tensor x = without_batch(io, "x");
  Conditioning conditioning;

  Golden() {
    Result<std::unique_ptr<cuda::Transformer>> loaded = cuda::Transformer::load(0, golden("wan_t2v.pth"));
    CHECK(loaded.ok());
    model = std::move(loaded).value();
    // The rows past the prompt are zeros, and not given.
    conditioning.text = without_batch(io, "ctx");
    conditioning.text.shape[0] = 37;
    conditioning.text.values.resize(static_cast<std::size_t>(37 * conditioning.text.size(1)));
  }

  double error(const DenoiserSettings& settings, const char* expected) {
    CHECK(model->begin_clip({x.size(1), x.size(2), x.size(3)}, conditioning, settings, kNever).ok());
    const Result<Tensor> v = model->velocity(x, without_batch(io, "t").values[0], kNever, {}, {});
    CHECK(v.ok());
    return v.ok() ? relative_error(v.value().values, without_batch(io, expected).values) : 1;
  }
};

TEST(
    "the INT8 transformer is within 2% of the golden set, dense and sparse, attention's values in e4m3 or "
    "bfloat16") {
  Golden golden;
  const auto check = [&] {
    CHECK(golden.error({Attention::original, 0.3}, "v_dense") < 2e-2);
    CHECK(golden.error(kSla, "v_sla") < 2e-2);
  };
  check();
  cuda::leave_out_tiles("e4m3");
  check();
  cuda::take_tiles_again("e4m3");
}

TEST("sampling in graphs on the device is the engine's sampler to the bit, and repeats") {
  Golden golden;
  const SamplerSettings settings{SamplerMethod::sde, 2, 80, ModelInput::bf16};
  const auto begin = [&] { CHECK(golden.model->begin_clip(kSmall, golden.conditioning, kSla, kNever).ok()); };
  begin();
  std::vector<int> steps;
  const Result<Tensor> first =
      golden.model->sample(settings, 5, kNever, [&](int step, double) { steps.push_back(step); });
  CHECK(first.ok());
  CHECK(steps == std::vector<int>({1, 2}));
  const Result<Tensor> expected = sample(*golden.model, kSmall, settings, seeded_noise(5), kNever, {});
  CHECK(expected.ok());
  CHECK(first.value().values == expected.value().values);
  begin();
  const Result<Tensor> again = golden.model->sample(settings, 5, kNever, {});
  CHECK(again.ok());
  CHECK(first.value().values == again.value().values);
}

/// The residual stream after each block, of a small random input.
std::vector<std::vector<float>> shown_blocks(Denoiser& model, const Conditioning& conditioning) {
  CHECK(model.begin_clip(kSmall, conditioning, {Attention::original, 0.3}, kNever).ok());
  Tensor x({16, kSmall.frames, kSmall.height, kSmall.width});
  x.values = random_bf16(element_count(x.shape), 61);
  std::vector<std::vector<float>> shown;
  Tap tap;
  tap.take = [&](const std::string& name, const Tensor& tensor) {
    if (name == "block0" || name == "block1") shown.push_back(tensor.values);
  };
  CHECK(model.velocity(x, 900, kNever, {}, tap).ok());
  return shown;
}

TEST("the residual stream after each block is the CPU engine's, up to the INT8 layers") {
  Golden golden;
  const std::unique_ptr<Backend> cpu = make_cpu_backend({1});
  const Checkpoint file = turboclip::test::golden("wan_t2v.pth");
  Result<std::unique_ptr<Denoiser>> model = cpu->load_denoiser(file);
  CHECK(model.ok());
  const std::vector<std::vector<float>> expected = shown_blocks(*model.value(), golden.conditioning);
  const std::vector<std::vector<float>> actual = shown_blocks(*golden.model, golden.conditioning);
  CHECK_EQUAL(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) CHECK(relative_error(actual[i], expected[i]) < 2e-2);
}

TEST("a -quant checkpoint and the float one that it was made of give the same bytes on the device") {
  const TemporaryFolder folder;
  const std::filesystem::path quantised = folder.path() / "quant.pth";
  CHECK(quantize_checkpoint(fixture("golden/wan_t2v.pth"), quantised, Existing::refuse, kNever, {}).ok());
  Golden golden;
  const Result<Checkpoint> file = Checkpoint::open(quantised);
  CHECK(file.ok());
  Result<std::unique_ptr<cuda::Transformer>> other = cuda::Transformer::load(0, file.value());
  CHECK(other.ok());
  const auto velocity = [&](cuda::Transformer& model) {
    CHECK(model.begin_clip(kSmall, golden.conditioning, kSla, kNever).ok());
    Tensor x({16, kSmall.frames, kSmall.height, kSmall.width});
    x.values = random_values(element_count(x.shape), 62);
    const Result<Tensor> v = model.velocity(x, 932, kNever, {}, {});
    CHECK(v.ok());
    return v.value().values;
  };
  CHECK(velocity(*golden.model) == velocity(*other.value()));
}

TEST("the transformer on a device refuses what does not fit, naming it, and a cancelled clip stops") {
  Golden golden;
  const auto message = [](const auto& result) {
    return result.ok() ? std::string() : result.error().message;
  };
  const auto begin = [&](const ModelLatentShape& shape, const DenoiserSettings& settings) {
    return message(golden.model->begin_clip(shape, golden.conditioning, settings, kNever));
  };
  CHECK(mentions(begin({1, 3, 4}, kSla), {"3 x 4", "even"}));
  CHECK(mentions(begin(kSmall, {Attention::sla, 1.5}), {"1.5"}));
  golden.conditioning.text.shape = {2, 7};
  CHECK(mentions(begin(kSmall, kSla), {"[2, 7]", "512"}));
  golden.conditioning.text.shape = {37, 48};
  golden.conditioning.image = Tensor({20, 1, 4, 4});
  CHECK(mentions(begin(kSmall, kSla), {"no picture"}));
  golden.conditioning.image = {};
  CHECK_EQUAL(begin(kSmall, kSla), "");
  CHECK(mentions(message(golden.model->velocity(Tensor({16, 1, 2, 2}), 988, kNever, {}, {})),
                 {"[16, 1, 2, 2]"}));
  CancelFlag stop;
  stop.requested = true;
  const Result<Tensor> cancelled = golden.model->sample({}, 1, stop, {});
  CHECK(!cancelled.ok());
  CHECK(cancelled.error().code == ErrorCode::cancelled);
}

}  // namespace
}  // namespace turboclip::test

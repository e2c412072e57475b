// Blocks that stay in the host's memory and come to the device while others compute.
#include "check.h"
#include "cpu/reference.h"
#include "cuda/transformer.h"
#include "cuda/transformer_weights.h"
#include "engine/checkpoint/random_checkpoint.h"
#include "engine/quant/quantize_checkpoint.h"
#include "machine.h"
#include "support.h"

namespace turboclip::test {
namespace {

constexpr DenoiserSettings kSla{Attention::sla, 0.3};
constexpr ModelLatentShape kShape{1, 4, 6};
/// More than the ring has places, so that one is filled again.
constexpr std::int64_t kLayers = 5;
/// Graphs run their streams in either order in turn: two steps show both.
constexpr SamplerSettings kTwoSteps{SamplerMethod::sde, 2, 80, ModelInput::bf16};

/// As narrow as the device takes them; no two blocks have weights in common, so that none may stand for
/// another.
Checkpoint deep_model(const TemporaryFolder& folder, std::int64_t layers) {
  DenoiserConfig config;
  config.width = 128;
  config.heads = 1;
  config.ffn = 128;
  config.layers = layers;
  config.text_width = 64;
  config.in_channels = cuda::kLatentChannels;
  config.has_sla = true;
  const std::filesystem::path path = folder.path() / "deep.safetensors";
  CHECK(random_transformer(config, false).save(path).ok());
  Result<Checkpoint> written = Checkpoint::open(path);
  CHECK(written.ok());
  return std::move(written).value();
}

Conditioning some_text(const DenoiserConfig& config) {
  Conditioning conditioning;
  conditioning.text = Tensor({5, config.text_width});
  conditioning.text.values = random_values(element_count(conditioning.text.shape), 91);
  return conditioning;
}

std::vector<float> sampled(cuda::Transformer& model, const ModelLatentShape& shape = kShape) {
  CHECK(model.begin_clip(shape, some_text(model.config()), kSla, {}).ok());
  const Result<Tensor> latent = model.sample(kTwoSteps, 7, {}, {});
  CHECK(latent.ok());
  return latent.ok() ? latent.value().values : std::vector<float>{};
}

std::unique_ptr<cuda::Transformer> load(const Checkpoint& file, const cuda::TransformerPlacement& placement) {
  Result<std::unique_ptr<cuda::Transformer>> model = cuda::Transformer::load(0, file, placement);
  CHECK(model.ok());
  return std::move(model).value();
}

TEST(
    "blocks that come from the host's memory give the bytes of blocks on the device, however many they are") {
  const TemporaryFolder folder;
  const Checkpoint file = deep_model(folder, kLayers);
  const std::vector<float> expected = sampled(*load(file, {}));
  for (const std::int64_t resident : {4, 3, 2, 0}) {
    const auto model = load(file, {0, resident});
    CHECK_EQUAL(model->streamed(), kLayers - resident);
    CHECK(sampled(*model) == expected);
    if (resident == 0) CHECK(sampled(*model) == expected);
  }
}

TEST("blocks of a -quant file come from the host's memory as they do from the device's") {
  const TemporaryFolder folder;
  const std::filesystem::path quantised = folder.path() / "quant.pth";
  const Checkpoint file = deep_model(folder, 2);
  CHECK(quantize_checkpoint(file.path(), quantised, Existing::refuse, {}, {}).ok());
  const Result<Checkpoint> quant = Checkpoint::open(quantised);
  CHECK(quant.ok());
  CHECK(sampled(*load(quant.value(), {0, 0})) == sampled(*load(file, {})));
}

TEST("as many blocks stay on the device as fit the share beside the clip, and the plan is what is taken") {
  const TemporaryFolder folder;
  const Checkpoint file = deep_model(folder, kLayers);
  const DenoiserConfig config = cuda::read_config(file).value();
  const std::int64_t clip = cuda::clip_bytes(config, kShape, kSla, 5, cuda::AttentionTiles::e4m3);
  const std::int64_t block = cuda::block_bytes(config).all();
  const std::vector<float> expected = sampled(*load(file, {}));
  const std::size_t before = emulator::allocated_bytes();
  for (const std::int64_t streamed : {std::int64_t{1}, std::int64_t{3}, kLayers}) {
    const std::int64_t share = cuda::embedding_bytes(config) + (kLayers - streamed) * block +
                               cuda::ring_bytes(config, streamed) + clip;
    const auto model = load(file, {share, -1, clip});
    CHECK_EQUAL(model->streamed(), streamed);
    CHECK(sampled(*model) == expected);
    CHECK_EQUAL(static_cast<std::int64_t>(emulator::allocated_bytes() - before), share);
  }
}

TEST("blocks leave the device when a larger clip needs their room, and the clips stay the same") {
  const TemporaryFolder folder;
  const Checkpoint file = deep_model(folder, kLayers);
  const DenoiserConfig config = cuda::read_config(file).value();
  const ModelLatentShape large{3, 8, 10};
  const auto all = load(file, {});
  const std::vector<float> small_clip = sampled(*all);
  const std::vector<float> large_clip = sampled(*all, large);
  const std::int64_t share = cuda::embedding_bytes(config) + 2 * cuda::block_bytes(config).all() +
                             cuda::ring_bytes(config, 3) +
                             cuda::clip_bytes(config, large, kSla, 5, cuda::AttentionTiles::e4m3);
  // With no word of the clip the weights take all that they can.
  const std::int64_t held = all->weight_bytes();
  const auto model = load(file, {held + share});
  CHECK_EQUAL(model->streamed(), 0);
  CHECK(sampled(*model) == small_clip);
  const std::int64_t before = model->streamed();
  CHECK(sampled(*model, large) == large_clip);
  CHECK(model->streamed() >= before);
  CHECK(model->weight_bytes() <= share);
  CHECK(sampled(*model) == small_clip);
}

TEST("an error while blocks are read for the host's memory leaves the model as it was") {
  const TemporaryFolder folder;
  const Checkpoint file = deep_model(folder, 4);
  const DenoiserConfig config = cuda::read_config(file).value();
  const ModelLatentShape large{3, 8, 10};
  const std::vector<float> expected = sampled(*load(file, {}));
  const std::int64_t share =
      cuda::weight_bytes(config) + cuda::clip_bytes(config, kShape, kSla, 5, cuda::AttentionTiles::e4m3);
  const auto model = load(file, {share});
  CHECK(sampled(*model) == expected);
  for (int call = 0; call < 12; call += 3) {
    emulator::fail_runtime_call(call, cudaErrorMemoryAllocation);
    const Status failed = model->begin_clip(large, some_text(config), kSla, {});
    emulator::fail_runtime_call(-1, cudaSuccess);
    if (failed.ok()) break;
    CHECK(failed.error().code == ErrorCode::out_of_memory);
    CHECK(sampled(*model) == expected);
  }
}

TEST("a clip whose memory another model has taken is refused, and begins anew") {
  const TemporaryFolder folder;
  const Checkpoint file = deep_model(folder, 2);
  const auto first = load(file, {});
  const auto second = load(file, {});
  CHECK(first->begin_clip(kShape, some_text(first->config()), kSla, {}).ok());
  const std::vector<float> expected = sampled(*second);
  const Result<Tensor> stale = first->sample({}, 7, {}, {});
  CHECK(!stale.ok() && stale.error().code == ErrorCode::request_invalid);
  CHECK(mentions(stale.error().message, {"another stage has its memory"}));
  CHECK(sampled(*first) == expected);
}

}  // namespace
}  // namespace turboclip::test

// Text encoders and a device that has too little memory, fails, or lacks a part of the file.
#include "check.h"
#include "cuda/transformer.h"
#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
#include "cuda/umt5_encoder.h"
#include "engine/memory_plan.h"
#include "machine.h"
#include "support.h"
#include "umt5_file.h"

namespace turboclip::test {
namespace {

using cuda::TextPrecision;

constexpr Umt5Config kSizes{300, 256, 128, 2, 384, 2};
const std::vector<std::int32_t> kPrompt{5, 9, 44, 1};

bool never() { return false; }

Result<std::unique_ptr<cuda::Umt5Encoder>> load(const Checkpoint& file, TextPrecision precision,
                                                std::int64_t limit = 0) {
  return cuda::Umt5Encoder::load(0, file, precision, limit);
}

TEST("a text encoder's weights take what was planned for them, to the byte, and are given back") {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5(kSizes).save(folder);
  const std::size_t before = emulator::allocated_bytes();
  for (const TextPrecision precision : {TextPrecision::bf16, TextPrecision::int8}) {
    Result<std::unique_ptr<cuda::Umt5Encoder>> encoder = load(file, precision);
    CHECK(encoder.ok());
    const auto taken = static_cast<std::int64_t>(emulator::allocated_bytes() - before);
    CHECK_EQUAL(taken, cuda::umt5_weight_bytes(kSizes, precision));
    CHECK_EQUAL(taken, encoder.value()->weight_bytes());
    CHECK(encoder.value()->encode(kPrompt, never).ok());
    // The prompt's memory is the scratch, and as large as planned.
    const std::vector<std::int32_t> longest(512, 7);
    CHECK(encoder.value()->encode(longest, never).ok());
    CHECK_EQUAL(static_cast<std::int64_t>(emulator::allocated_bytes() - before),
                taken + encoder.value()->prompt_bytes(512));
    CHECK_EQUAL(cuda::holdings_of(0).scratch.bytes(), encoder.value()->prompt_bytes(512));
    encoder.value().reset();
    CHECK_EQUAL(emulator::allocated_bytes(), before);
  }
}

TEST("a text encoder over its share of the device is refused before it is loaded, with what would fit") {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5(kSizes).save(folder);
  const auto needed = [&](TextPrecision precision) {
    return cuda::umt5_weight_bytes(kSizes, precision) + cuda::umt5_loading_bytes(kSizes, precision);
  };
  const std::int64_t bf16 = needed(TextPrecision::bf16);
  const std::int64_t int8 = needed(TextPrecision::int8);
  CHECK(int8 < bf16);
  const std::size_t before = emulator::allocated_bytes();
  const auto large = load(file, TextPrecision::bf16, bf16 - 1);
  CHECK(!large.ok() && large.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(large.error().message, {"the text encoder", gibibytes(bf16), "TURBOCLIP_TEXT_ENCODER=int8",
                                         gibibytes(int8), "TURBOCLIP_TEXT_ENCODER=host"}));
  const auto small = load(file, TextPrecision::int8, int8 - 1);
  CHECK(!small.ok() && small.error().message.find("int8") == std::string::npos);
  CHECK(mentions(small.error().message, {gibibytes(int8), "TURBOCLIP_TEXT_ENCODER=host"}));
  CHECK_EQUAL(emulator::allocated_bytes(), before);
  CHECK(load(file, TextPrecision::bf16, bf16).ok());
}

TEST("a loaded text encoder counts against the share of the transformer, and of its own prompts") {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5(kSizes).save(folder);
  const Result<Checkpoint> dit = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  const DenoiserConfig config = cuda::read_config(dit.value()).value();
  // At the least, with its blocks in the host's memory.
  const std::int64_t transformer = cuda::embedding_bytes(config) + cuda::ring_bytes(config, config.layers);
  const std::int64_t weights = cuda::umt5_weight_bytes(kSizes, TextPrecision::bf16);
  Result<std::unique_ptr<cuda::Umt5Encoder>> encoder =
      load(file, TextPrecision::bf16, weights + cuda::umt5_loading_bytes(kSizes, TextPrecision::bf16));
  CHECK(encoder.ok());
  const auto beside = [&](std::int64_t limit) {
    return cuda::Transformer::load(0, dit.value(), {limit}).ok();
  };
  CHECK(!beside(weights + transformer - 1));
  CHECK(beside(weights + transformer));
  // 512 tokens take more than loading did.
  const std::vector<std::int32_t> longest(512, 7);
  const Result<Tensor> rows = encoder.value()->encode(longest, never);
  CHECK(!rows.ok() && rows.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(rows.error().message, {"512 tokens", gibibytes(encoder.value()->prompt_bytes(512))}));
  CHECK(encoder.value()->encode(kPrompt, never).ok());
  encoder.value().reset();
  CHECK(beside(transformer));
}

TEST("a CUDA error at any call of a load or a prompt is an error value, and the next one runs") {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5({300, 128, 128, 2, 128, 1}).save(folder);
  const std::size_t before = emulator::allocated_bytes();
  int failures = 0;
  for (int call = 0; call < 80; call += 3) {
    emulator::fail_runtime_call(call, cudaErrorMemoryAllocation);
    const auto loaded = load(file, TextPrecision::int8);
    if (loaded.ok()) continue;
    ++failures;
    CHECK(loaded.error().code == ErrorCode::out_of_memory);
    CHECK(mentions(loaded.error().message, {"CUDA", "out of memory"}));
    CHECK_EQUAL(emulator::allocated_bytes(), before);
  }
  CHECK(failures > 10);
  emulator::fail_runtime_call(-1, cudaSuccess);
  Result<std::unique_ptr<cuda::Umt5Encoder>> encoder = load(file, TextPrecision::int8);
  CHECK(encoder.ok());
  const Result<Tensor> expected = encoder.value()->encode(kPrompt, never);
  CHECK(expected.ok());
  const std::size_t allocated = emulator::allocated_bytes();
  failures = 0;
  for (int call = 0; call < 24; ++call) {
    emulator::fail_runtime_call(call, cudaErrorIllegalAddress);
    const Result<Tensor> rows = encoder.value()->encode(kPrompt, never);
    if (rows.ok()) continue;
    ++failures;
    CHECK(rows.error().code == ErrorCode::device_lost);
    CHECK(mentions(rows.error().message, {"CUDA, encode", "illegal memory access"}));
  }
  CHECK(failures > 12);
  emulator::fail_runtime_call(-1, cudaSuccess);
  const Result<Tensor> again = encoder.value()->encode(kPrompt, never);
  CHECK(again.ok() && again.value().values == expected.value().values);
  CHECK_EQUAL(emulator::allocated_bytes(), allocated);
}

TEST("a text encoder's file that ends too early is refused, wherever it is cut") {
  const TemporaryFolder folder;
  (void)RandomUmt5({300, 128, 128, 2, 128, 1}).save(folder);
  const std::string whole = read_bytes(folder.path() / "umt5.safetensors");
  for (const double share : {0.0001, 0.2, 0.7, 0.999}) {
    const auto bytes = static_cast<std::size_t>(share * static_cast<double>(whole.size()));
    const Result<Checkpoint> file = Checkpoint::open(folder.write("cut", whole.substr(0, bytes)));
    CHECK(!file.ok());
  }
}

TEST("a prompt is cancelled between two blocks, and the next one runs") {
  const TemporaryFolder folder;
  Result<std::unique_ptr<cuda::Umt5Encoder>> encoder =
      load(RandomUmt5(kSizes).save(folder), TextPrecision::bf16);
  CHECK(encoder.ok());
  int asked = 0;
  const Result<Tensor> stopped = encoder.value()->encode(kPrompt, [&] { return ++asked == 2; });
  CHECK(!stopped.ok() && stopped.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(asked, 2);
  CHECK(encoder.value()->encode(kPrompt, never).ok());
}

}  // namespace
}  // namespace turboclip::test

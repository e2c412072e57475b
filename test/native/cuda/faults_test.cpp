// CUDA calls that fail, which only the emulated runtime does on demand.
#include "check.h"
#include "cuda/device_array.h"
#include "cuda/device_plan.h"
#include "cuda/frame_decoder.h"
#include "cuda/norm.h"
#include "cuda/transformer.h"
#include "machine.h"
#include "support.h"
#include "taehv_file.h"

namespace turboclip::test {
namespace {

TEST("a launch that fails is an error value with the stage and the kernel, and what follows it is skipped") {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  cuda::DeviceArray<cuda::Bf16> x;
  cuda::DeviceArray<std::int8_t> y;
  cuda::DeviceArray<float> scales;
  x.allocate(queue, 128);
  y.allocate(queue, 128);
  scales.allocate(queue, 4);
  queue.enter("denoise");
  emulator::fail_runtime_call(0, cudaErrorIllegalAddress);
  cuda::quantize_rows(queue, {x.data(), 1, 128}, y.data(), scales.data());
  cuda::quantize_rows(queue, {x.data(), 1, 128}, y.data(), scales.data());
  const Status status = queue.finish();
  CHECK(!status.ok());
  CHECK(status.error().code == ErrorCode::device_lost);
  CHECK(mentions(status.error().message, {"denoise", "quantize_rows", "illegal memory access", "restart"}));
  queue.enter("denoise");
  emulator::fail_runtime_call(0, cudaErrorInvalidValue);
  cuda::quantize_rows(queue, {x.data(), 1, 128}, y.data(), scales.data());
  CHECK(queue.finish().error().code == ErrorCode::internal);  // of this launch alone
  queue.enter("denoise");
  emulator::fail_runtime_call(0, cudaErrorMemoryAllocation);
  cuda::DeviceArray<float> large;
  large.allocate(queue, 100);
  CHECK(large.data() == nullptr);
  CHECK(queue.status().error().code == ErrorCode::out_of_memory);
}

TEST("the plan of weights and of a clip is what they take, to the byte") {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  const std::size_t before = emulator::allocated_bytes();
  Result<std::unique_ptr<cuda::Transformer>> model = cuda::Transformer::load(0, file.value());
  CHECK(model.ok());
  const auto taken = [&] { return static_cast<std::int64_t>(emulator::allocated_bytes() - before); };
  const DenoiserConfig config = model.value()->config();
  CHECK_EQUAL(taken(), cuda::weight_bytes(config));
  Conditioning conditioning;
  conditioning.text = Tensor({3, config.text_width});
  // The scratch grows and does not shrink: the smaller ones, without SLA and without v in e4m3, come first.
  for (const Attention attention : {Attention::original, Attention::sla}) {
    for (const cuda::AttentionTiles tiles : {cuda::AttentionTiles::portable, cuda::AttentionTiles::e4m3}) {
      const DenoiserSettings settings{attention, 0.3};
      const ModelLatentShape shape{2, 4, 6};
      if (tiles == cuda::AttentionTiles::portable) cuda::leave_out_tiles("e4m3");
      CHECK(model.value()->begin_clip(shape, conditioning, settings, {}).ok());
      CHECK_EQUAL(taken(), cuda::weight_bytes(config) + cuda::clip_bytes(config, shape, settings, 3, tiles));
      if (tiles == cuda::AttentionTiles::portable) cuda::take_tiles_again("e4m3");
    }
  }
  model.value().reset();
  CHECK_EQUAL(taken(), 0);
}

TEST("a CUDA error at any kind of call is an error value, and the next clip runs") {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  Result<std::unique_ptr<cuda::Transformer>> model = cuda::Transformer::load(0, file.value());
  CHECK(model.ok());
  Conditioning conditioning;
  conditioning.text = Tensor({3, model.value()->config().text_width});
  const auto clip = [&]() -> Status {
    const Status begun = model.value()->begin_clip({1, 2, 2}, conditioning, {Attention::sla, 0.3}, {});
    if (!begun) return begun;
    const Result<Tensor> v = model.value()->velocity(Tensor({16, 1, 2, 2}), 988, {}, {}, {});
    if (!v) return v.error();
    return success();
  };
  CHECK(clip().ok());
  const std::size_t allocated = emulator::allocated_bytes();
  int failures = 0;
  // Every seventh call or so, and each about the beginning and the end of a graph's capture.
  for (const int call : {0, 1, 3, 7, 10, 14, 17, 21, 24, 28, 31, 32, 33, 34, 35, 42, 49, 56, 63, 70, 77}) {
    emulator::fail_runtime_call(call, cudaErrorMemoryAllocation);
    const Status failed = clip();
    if (failed.ok()) continue;
    ++failures;
    CHECK(failed.error().code == ErrorCode::out_of_memory);
    CHECK(mentions(failed.error().message, {"CUDA", "out of memory"}));
  }
  CHECK(failures > 15);
  emulator::fail_runtime_call(-1, cudaSuccess);
  CHECK(clip().ok());
  CHECK_EQUAL(emulator::allocated_bytes(), allocated);
}

TEST(
    "a decoder that the card has no room for says what the clip takes, and any later fault is an error "
    "value") {
  const TemporaryFolder folder;
  Result<std::unique_ptr<cuda::FrameDecoder>> decoder =
      cuda::FrameDecoder::load(0, save_taehv(random_taehv(0), folder));
  CHECK(decoder.ok());
  const Tensor z({16, 2, 1, 2});
  const auto clip = [&] {
    const auto take = [](std::int64_t, const Shape&, const float*, double) { return success(); };
    return decoder.value()->decode({z.data(), {2, 1, 2}, take, [] { return false; }});
  };
  CHECK(clip().ok());
  const std::size_t allocated = emulator::allocated_bytes();
  decoder =
      cuda::FrameDecoder::load(0, save_taehv(random_taehv(0), folder), decoder.value()->weight_bytes() + 100);
  CHECK(decoder.ok());
  const Status full = clip();
  CHECK(!full.ok() && full.error().code == ErrorCode::out_of_memory);
  CHECK(mentions(full.error().message, {"16 x 8", "GiB", "smaller size"}));
  decoder = cuda::FrameDecoder::load(0, save_taehv(random_taehv(0), folder));
  CHECK(clip().ok());
  for (const int call : {1, 2, 3, 4, 5, 6, 7, 8, 20, 60, 90}) {
    emulator::fail_runtime_call(call, cudaErrorIllegalAddress);
    const Status failed = clip();
    CHECK(!failed.ok() && failed.error().code == ErrorCode::device_lost);
    CHECK(mentions(failed.error().message, {"CUDA, decode", "illegal memory access"}));
  }
  emulator::fail_runtime_call(-1, cudaSuccess);
  CHECK(clip().ok());
  CHECK_EQUAL(emulator::allocated_bytes(), allocated);
}

}  // namespace
}  // namespace turboclip::test

// The part of the C interface that says what a model set takes, and what is taken.
#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "cuda/library_errors.h"
#include "cuda/set_plan.h"

namespace {

using turboclip::cuda::guarded;

/// Stands for a card that is not there: an RTX 5090. Of what is planned a prompt's sums depend on its
/// multiprocessors, which other stages outweigh, and the scales of a clip's values on what it multiplies.
constexpr turboclip::cuda::Device kAbsent{12, 170, turboclip::cuda::kSharedLimit};

turboclip::Status answer_plan(const turboclip_cuda_plan_request& request,
                              turboclip_cuda_plan_answer& answer) {
  turboclip::cuda::Queue queue;
  if (request.device >= 0) {
    const turboclip::Status opened = queue.open(request.device);
    if (!opened) return opened;
  }
  turboclip::Result<turboclip::cuda::SetPlanner> read = turboclip::cuda::SetPlanner::read(
      {request.denoiser, request.decoder, request.tiny_decoder, request.text_encoder},
      static_cast<turboclip::TextEncoding>(request.text_encoding),
      request.device < 0 ? kAbsent : queue.device());
  if (!read) return read.error();
  turboclip::cuda::SetPlanner planner = std::move(read).value();
  planner.set_there({request.decoder_there != 0, request.tiny_there != 0, request.bf16_there != 0,
                     request.int8_there != 0});
  const turboclip::cuda::PlannedClip clip{
      {request.frames, request.height, request.width},
      request.text_rows,
      {request.sla != 0 ? turboclip::Attention::sla : turboclip::Attention::original, request.topk_ratio},
      request.tiny != 0};
  const turboclip::cuda::SetPlan plan =
      planner.plan(clip, request.available, request.most_resident, request.whole != 0);
  answer = {};
  answer.text_encoding = static_cast<std::int32_t>(plan.text_encoding);
  answer.layers = plan.layers;
  answer.streamed = plan.blocks.streamed;
  answer.transformer = plan.blocks.weights;
  answer.text_encoder = plan.text_encoder;
  answer.decoders = plan.decoders;
  answer.denoise = plan.blocks.denoise;
  answer.ring = plan.ring;
  answer.decode = plan.decode;
  answer.text = plan.text;
  answer.peak = plan.peak;
  answer.host = plan.host;
  answer.fits = plan.blocks.fits ? 1 : 0;
  if (plan.blocks.fits) return turboclip::success();
  const std::string remedy = planner.remedy(clip, request.available);
  const std::size_t length = std::min(remedy.size(), sizeof answer.remedy - 1);
  std::copy_n(remedy.data(), length, answer.remedy);
  return turboclip::success();
}

}  // namespace

std::int32_t turboclip_cuda_plan(const turboclip_cuda_plan_request* request,
                                 turboclip_cuda_plan_answer* answer, turboclip_cuda_error* error) {
  return guarded(error, [&] { return answer_plan(*request, *answer); });
}

std::int32_t turboclip_cuda_available(std::int32_t device, std::int64_t memory_limit, std::int64_t* bytes,
                                      turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    turboclip::cuda::Queue queue;
    const turboclip::Status opened = queue.open(device);
    if (!opened) return opened;
    const turboclip::Result<std::int64_t> available =
        turboclip::cuda::MemoryShare(memory_limit, device).available(queue);
    if (!available) return available.error();
    *bytes = available.value();
    return turboclip::success();
  });
}

void turboclip_cuda_held(std::int32_t device, std::int64_t* held, std::int64_t* peak) {
  turboclip::cuda::DeviceHoldings& holdings = turboclip::cuda::holdings_of(device);
  *held = holdings.weights + holdings.scratch.bytes();
  *peak = holdings.peak;
}

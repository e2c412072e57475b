#include "engine/request.h"

#include <cmath>

#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::size_t kMaxTokens = 512;
constexpr std::int64_t kSideStep = 16;  // 8 pixels a latent cell, 2 cells a token
constexpr std::int64_t kMaxSide = 2048;
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 20;  // 720p is 921,600
constexpr std::int64_t kMaxFrames = 161;                    // 10 seconds at 16 frames a second
constexpr int kMaxSteps = 4;
constexpr double kMaxSigma = 1e6;

Error invalid(const std::string& what) { return Error{ErrorCode::request_invalid, what}; }

Status check_tokens(const std::vector<std::int32_t>& ids, std::int64_t vocabulary) {
  if (ids.empty() || ids.size() > kMaxTokens) {
    return invalid(concat("token_ids holds ", ids.size(), " tokens; send 1 to ", kMaxTokens,
                          ", the closing </s> included"));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary) {
      return invalid(concat("token_ids[", i, "] is ", ids[i], ", but the text encoder knows 0 to ",
                            vocabulary - 1, "; use the tokenizer that belongs to it"));
    }
  }
  return success();
}

Status check_side(std::string_view name, std::int64_t pixels) {
  if (pixels < kSideStep || pixels > kMaxSide || pixels % kSideStep != 0) {
    return invalid(concat(name, " is ", pixels, "; send a multiple of ", kSideStep, " from ", kSideStep,
                          " to ", kMaxSide));
  }
  return success();
}

Status check_sampler(const SamplerSettings& sampler) {
  if (sampler.steps < 1 || sampler.steps > kMaxSteps) {
    return invalid(concat("steps is ", sampler.steps, "; send 1 to ", kMaxSteps));
  }
  if (!std::isfinite(sampler.sigma_max) || sampler.sigma_max <= 0 || sampler.sigma_max > kMaxSigma) {
    return invalid(concat("sigma_max is ", sampler.sigma_max, "; send a number above 0 and up to ", kMaxSigma,
                          " (80 for text to video)"));
  }
  return success();
}

Status check_attention(const DenoiserSettings& settings, const DenoiserConfig& model) {
  if (settings.attention == Attention::sla && !model.has_sla) {
    return invalid("attention is 'sla', but the checkpoint has no proj_l tensors; send 'original'");
  }
  if (!(settings.topk_ratio > 0 && settings.topk_ratio <= 1)) {
    return invalid(concat("topk_ratio is ", settings.topk_ratio,
                          "; send a number above 0 and up to 1 (0.1 for speed, "
                          "0.15 for quality)"));
  }
  return success();
}

}  // namespace

Status check_request(const ClipRequest& request, const EngineInfo& info) {
  for (const Status& status :
       {check_tokens(request.token_ids, info.vocabulary), check_side("width", request.width),
        check_side("height", request.height), check_sampler(request.sampler),
        check_attention(request.denoiser, info.denoiser)}) {
    if (!status) return status.error();
  }
  if (request.decoder == Decoder::taehv && !info.has_tiny_decoder) {
    return invalid(
        "decoder is 'taehv', but the engine was loaded without one; load it with the path of a TAEHV "
        "file (taew2_1.pth) or send 'vae'");
  }
  if (request.width * request.height > kMaxPixels) {
    return invalid(concat("width x height is ", request.width, " x ", request.height, ", above ", kMaxPixels,
                          " pixels; send a smaller size, such as 1280 x 720"));
  }
  if (request.frames < 1 || request.frames > kMaxFrames || request.frames % 4 != 1) {
    return invalid(
        concat("frames is ", request.frames, "; send 4 n + 1, from 1 to ", kMaxFrames, " (81 is 5 seconds)"));
  }
  return success();
}

ModelLatentShape latent_shape(const ClipRequest& request) {
  return {1 + (request.frames - 1) / 4, request.height / 8, request.width / 8};
}

}  // namespace turboclip

#include "cuda/set_plan.h"

#include <algorithm>
#include <utility>

#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
#include "cuda/umt5_stack.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

Result<VideoModel> count_decoder(const std::filesystem::path& path) {
  const Result<Checkpoint> file = Checkpoint::open(path);
  if (!file) return file.error();
  Queue counting;
  counting.count_only();
  return load_video_model(counting, file.value());
}

/// As clips are named, in pixels and frames.
std::string size_words(const ModelLatentShape& shape) {
  return concat(8 * shape.width, " x ", 8 * shape.height);
}

}  // namespace

Result<SetPlanner> SetPlanner::read(const SetFiles& files, TextEncoding encoding, const Device& device) {
  SetPlanner planner;
  planner.encoding_ = encoding;
  planner.device_ = device;
  const Result<Checkpoint> file = Checkpoint::open(files.denoiser);
  if (!file) return file.error();
  const Result<DenoiserConfig> config = read_config(file.value());
  if (!config) return config.error();
  planner.config_ = config.value();
  if (encoding != TextEncoding::host) {
    const Result<Checkpoint> text = Checkpoint::open(files.text_encoder);
    if (!text) return text.error();
    const Result<Umt5Config> umt5 = read_umt5_config(text.value());
    if (!umt5) return umt5.error();
    const Status taken = check_umt5(text.value(), umt5.value());
    if (!taken && encoding != TextEncoding::automatic) return taken.error();
    if (taken) planner.umt5_ = umt5.value();
  }
  Result<VideoModel> decoder = count_decoder(files.vae);
  if (!decoder) return decoder.error();
  planner.vae_ = std::move(decoder).value();
  if (files.tiny.empty()) return planner;
  decoder = count_decoder(files.tiny);
  if (!decoder) return decoder.error();
  planner.tiny_ = std::move(decoder).value();
  return planner;
}

OtherModels SetPlanner::text_bytes(TextEncoding encoding) const {
  if (encoding == TextEncoding::host) return {};
  const bool int8 = encoding == TextEncoding::int8;
  const TextPrecision precision = int8 ? TextPrecision::int8 : TextPrecision::bf16;
  const std::int64_t prompt = umt5_prompt_bytes(device_, *umt5_, precision, kMaxPromptTokens);
  if (int8 ? there_.int8 : there_.bf16) return {0, prompt};
  return {umt5_weight_bytes(*umt5_, precision), std::max(prompt, umt5_loading_bytes(*umt5_, precision))};
}

SetPlan SetPlanner::plan_with(TextEncoding encoding, const PlannedClip& clip, std::int64_t available,
                              std::int64_t most_resident) const {
  const OtherModels text = text_bytes(encoding);
  SetPlan plan;
  plan.text_encoding = encoding;
  plan.layers = config_.layers;
  plan.text_encoder = text.weights;
  plan.text = text.scratch;
  plan.decoders =
      (there_.vae ? 0 : vae_.weight_bytes()) + (tiny_ && !there_.tiny ? tiny_->weight_bytes() : 0);
  plan.decode = decoding_bytes(clip.tiny && tiny_ ? *tiny_ : vae_, clip.shape);
  const OtherModels beside{plan.text_encoder + plan.decoders, std::max(plan.text, plan.decode)};
  const std::int64_t steps =
      clip_bytes(config_, clip.shape, clip.settings, clip.text_rows, best_attention_tiles(device_));
  plan.blocks = plan_blocks(config_, steps, beside, available, most_resident);
  plan.ring = ring_bytes(config_, plan.blocks.streamed);
  plan.peak = plan.blocks.weights + beside.weights + std::max(plan.blocks.denoise, beside.scratch);
  plan.host = plan.blocks.streamed * block_bytes(config_).all();
  return plan;
}

SetPlan SetPlanner::plan(const PlannedClip& clip, std::int64_t available, std::int64_t most_resident,
                         bool whole) const {
  const auto with = [&](TextEncoding encoding) {
    return plan_with(encoding, clip, available, most_resident);
  };
  if (encoding_ != TextEncoding::automatic) return with(encoding_);
  if (!umt5_) return with(TextEncoding::host);
  const std::int64_t off = most_resident < 0 ? 0 : std::max<std::int64_t>(0, config_.layers - most_resident);
  const bool int8_first = there_.int8 && !there_.bf16;
  const SetPlan int8 = with(TextEncoding::int8);
  const SetPlan bf16 = with(TextEncoding::bf16);
  for (const SetPlan& plan : {int8_first ? int8 : bf16, int8_first ? bf16 : int8}) {
    if (plan.blocks.fits && plan.blocks.streamed <= off) return plan;
  }
  return whole || int8.blocks.fits ? int8 : with(TextEncoding::host);
}

std::string SetPlanner::remedy(const PlannedClip& clip, std::int64_t available) const {
  const auto fits = [&](const PlannedClip& other) { return plan(other, available, -1).blocks.fits; };
  std::string words;
  const auto offer = [&](const std::string& what) {
    words += (words.empty() ? "what fits: " : ", or ") + what;
  };
  PlannedClip other = clip;
  if (!clip.tiny && tiny_) {
    other.tiny = true;
    if (fits(other)) offer("decoder 'taehv'");
    other = clip;
  }
  const auto encoded = [&](TextEncoding encoding) {
    return plan_with(encoding, clip, available, -1).blocks.fits;
  };
  if (encoding_ == TextEncoding::bf16 && encoded(TextEncoding::int8)) {
    offer("the text encoder in INT8 (TURBOCLIP_TEXT_ENCODER=int8)");
  } else if (encoding_ != TextEncoding::host && encoding_ != TextEncoding::automatic &&
             encoded(TextEncoding::host)) {
    offer("the text encoder on the host (TURBOCLIP_TEXT_ENCODER=host)");
  }
  while (other.shape.frames > 1 && !fits(other)) --other.shape.frames;
  if (other.shape.frames < clip.shape.frames && fits(other)) {
    offer(concat(1 + 4 * (other.shape.frames - 1), " frames"));
  }
  other = clip;
  while (other.shape.width > 2 && !fits(other)) {
    other.shape.width -= 2;
    other.shape.height =
        std::max<std::int64_t>(2, clip.shape.height * other.shape.width / clip.shape.width / 2 * 2);
  }
  if (other.shape.width < clip.shape.width && fits(other)) offer(size_words(other.shape));
  if (words.empty()) words = "no clip fits; give the engine more of the card, or load a smaller model";
  return words;
}

}  // namespace turboclip::cuda

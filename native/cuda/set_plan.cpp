#include "cuda/set_plan.h"

#include <algorithm>
#include <utility>

#include "cuda/transformer_blocks.h"
#include "cuda/transformer_weights.h"
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

Result<SetPlanner> SetPlanner::read(const std::filesystem::path& denoiser, const std::filesystem::path& vae,
                                    const std::filesystem::path& tiny, const OtherModels& text) {
  SetPlanner planner;
  planner.text_ = text;
  const Result<Checkpoint> file = Checkpoint::open(denoiser);
  if (!file) return file.error();
  const Result<DenoiserConfig> config = read_config(file.value());
  if (!config) return config.error();
  planner.config_ = config.value();
  Result<VideoModel> decoder = count_decoder(vae);
  if (!decoder) return decoder.error();
  planner.vae_ = std::move(decoder).value();
  if (tiny.empty()) return planner;
  decoder = count_decoder(tiny);
  if (!decoder) return decoder.error();
  planner.tiny_ = std::move(decoder).value();
  return planner;
}

OtherModels SetPlanner::others(const PlannedClip& clip) {
  const std::int64_t decoders =
      (vae_there_ ? 0 : vae_.weight_bytes()) + (tiny_ && !tiny_there_ ? tiny_->weight_bytes() : 0);
  VideoModel& decoder = clip.tiny && tiny_ ? *tiny_ : vae_;
  return {text_.weights + decoders, std::max(text_.scratch, decoding_bytes(decoder, clip.shape))};
}

SetPlan SetPlanner::plan(const PlannedClip& clip, std::int64_t available, std::int64_t most_resident) {
  const OtherModels beside = others(clip);
  SetPlan plan;
  plan.layers = config_.layers;
  plan.blocks = plan_blocks(config_, clip_bytes(config_, clip.shape, clip.settings, clip.text_rows), beside,
                            available, most_resident);
  plan.ring = ring_bytes(config_, plan.blocks.streamed);
  plan.decoders = beside.weights - text_.weights;
  plan.decode = decoding_bytes(clip.tiny && tiny_ ? *tiny_ : vae_, clip.shape);
  plan.peak = plan.blocks.weights + beside.weights + std::max(plan.blocks.denoise, beside.scratch);
  plan.host = plan.blocks.streamed * block_bytes(config_).all();
  return plan;
}

std::string SetPlanner::remedy(const PlannedClip& clip, std::int64_t available) {
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
  if (text_.weights > 0) {
    words +=
        "; the text encoder in INT8 (TURBOCLIP_TEXT_ENCODER=int8), or on the host "
        "(TURBOCLIP_TEXT_ENCODER=host), "
        "leaves more room";
  }
  return words;
}

}  // namespace turboclip::cuda

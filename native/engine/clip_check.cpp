#include "engine/clip_check.h"

#include "engine/text.h"

namespace turboclip {

Status check_clip(const DenoiserConfig& config, const ModelLatentShape& shape,
                  const Conditioning& conditioning, const DenoiserSettings& settings) {
  const auto invalid = [](const std::string& what) { return Error{ErrorCode::request_invalid, what}; };
  if (shape.frames < 1 || shape.height < 2 || shape.width < 2 || shape.height % 2 != 0 ||
      shape.width % 2 != 0) {
    return invalid(concat("a latent of ", shape.frames, " x ", shape.height, " x ", shape.width,
                          " has no whole patches; height and width must be even"));
  }
  const Shape& text = conditioning.text.shape;
  if (text.size() != 2 || text[0] < 1 || text[0] > kTextRows || text[1] != config.text_width) {
    return invalid(concat("text rows have shape ", shape_text(text), ", expected 1 to ", kTextRows,
                          " rows of ", config.text_width));
  }
  const std::int64_t image_channels = config.in_channels - kLatentChannels;
  const Shape image{image_channels, shape.frames, shape.height, shape.width};
  if (image_channels == 0 ? !conditioning.image.shape.empty() : conditioning.image.shape != image) {
    return invalid(image_channels == 0
                       ? "this model takes no picture"
                       : concat("the picture's latent has shape ", shape_text(conditioning.image.shape),
                                ", expected ", shape_text(image)));
  }
  if (settings.attention == Attention::sla && !config.has_sla) {
    return invalid("this checkpoint has no proj_l, so it cannot run with sparse-linear attention");
  }
  if (!(settings.topk_ratio > 0 && settings.topk_ratio <= 1)) {
    return invalid(
        concat("the share of kept key blocks is ", settings.topk_ratio, ", expected above 0 and up to 1"));
  }
  return success();
}

}  // namespace turboclip

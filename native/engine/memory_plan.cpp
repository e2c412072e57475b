#include "engine/memory_plan.h"

#include <algorithm>
#include <array>
#include <iomanip>

#include "engine/checkpoint/architecture.h"
#include "engine/quant/int8_blocks.h"
#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::int64_t kFloat = 4;
constexpr std::int64_t kPanel = 16;  // outputs of a weight are padded to whole panels
constexpr std::int64_t kHeadWidth = 128;
constexpr std::int64_t kKeyBlock = 64;

std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

std::string_view leaf(std::string_view name, std::size_t parts) {
  std::size_t at = name.size();
  for (; parts > 0 && at != std::string_view::npos; --parts) at = name.rfind('.', at - 1);
  return at == std::string_view::npos ? name : name.substr(at + 1);
}

/// A stored tensor as the engine keeps it: float32 with its outputs in whole panels, or INT8 with its inputs
/// in whole blocks besides.
WeightMemory stored(const TensorView& view) {
  const std::int64_t count = element_count(view.shape);
  const bool is_int8 = view.dtype == DType::i8;
  const std::int64_t each = is_int8 ? 1 : kFloat;
  if (view.shape.size() < 2 || view.shape[0] == 0) return {count * each, count * each};
  const std::int64_t in = round_up(count / view.shape[0], is_int8 ? kInt8Block : 1);
  return {in * round_up(view.shape[0], kPanel) * each, count * each};
}

/// A 3x3 convolution after nearest-neighbour doubling, kept as four 2x2 ones.
WeightMemory folded(const TensorView& view) {
  const std::int64_t count = element_count(view.shape);
  const std::int64_t out = std::max<std::int64_t>(1, view.shape[0]);
  return {count / out * round_up(out, kPanel) * 16 / 9 * kFloat, 2 * count * kFloat};
}

/// A convolution whose outputs fill less than a panel computes several pixels of a row at once.
WeightMemory convolution(const TensorView& view) {
  const std::int64_t out = std::max<std::int64_t>(1, view.shape[0]);
  const std::int64_t side = std::max<std::int64_t>(1, view.shape.back());
  const std::int64_t together = std::max<std::int64_t>(1, kPanel / out);
  const std::int64_t row = element_count(view.shape) / out * (side + together - 1) / side;
  return {row * round_up(out * together, kPanel) * kFloat,
          (row + element_count(view.shape) / out) * out * 2 * kFloat};
}

std::int64_t dimension(const Checkpoint& checkpoint, std::string_view name, std::size_t dim) {
  const TensorView* view = checkpoint.find(name);
  return view == nullptr || view->shape.size() <= dim ? 0 : view->shape[dim];
}

Error too_little(const std::string& what, std::int64_t need, std::int64_t have, const std::string& remedy) {
  return Error{ErrorCode::out_of_memory, concat(what, " needs ", gibibytes(need), " of memory and ",
                                                gibibytes(have), " are available; ", remedy)};
}

std::int64_t tokens_of(const ModelLatentShape& latent) {
  return latent.frames * (latent.height / 2) * (latent.width / 2);
}

/// What stays from step to step and while decoding: the prompt's keys and values in every block, the rotary
/// table, the latent.
std::int64_t clip_state_memory(const ModelSizes& sizes, const ClipSize& clip,
                               const ModelLatentShape& latent) {
  const DenoiserConfig& model = sizes.denoiser;
  const std::int64_t text_rows = std::min(kTextRows, clip.tokens + 1);
  const std::int64_t cross_keys = model.layers * 2 * round_up(text_rows, kKeyBlock) * model.width;
  const std::int64_t rotary = tokens_of(latent) * kHeadWidth;
  return kFloat * (cross_keys + rotary + kLatentChannels * latent.frames * latent.height * latent.width);
}

/// Activations as the INT8 layers take them in, of the widest layer: bytes, and a scale and a sum for each
/// block.
std::int64_t int8_rows_memory(const ModelSizes& sizes, std::int64_t tokens) {
  if (!sizes.int8_weights) return 0;
  const std::int64_t width = round_up(std::max(sizes.denoiser.ffn, sizes.denoiser.width), kInt8Block);
  return tokens * (width + width / kInt8Block * 2 * kFloat);
}

/// Of the transformer's steps.
std::int64_t denoise_memory(const ModelSizes& sizes, const ClipSize& clip, const ModelLatentShape& latent) {
  const DenoiserConfig& model = sizes.denoiser;
  const std::int64_t tokens = tokens_of(latent);
  const std::int64_t streams = tokens * (6 * model.width + model.ffn);
  const std::int64_t self_keys = 2 * round_up(tokens, kKeyBlock) * model.width;
  // Of every head the summary and, while it is made, two partial sums, one in float64, and a block's
  // features.
  const std::int64_t linear_branches = 6 * model.width * kHeadWidth;
  // The sampler: state in float64; first noise, input and velocity in float32.
  const std::int64_t sampler = 5 * kLatentChannels * latent.frames * latent.height * latent.width;
  return clip_state_memory(sizes, clip, latent) + int8_rows_memory(sizes, tokens) +
         kFloat * (streams + self_keys + linear_branches + sampler);
}

std::int64_t encode_memory(const ModelSizes& sizes, std::int64_t tokens) {
  return kFloat * tokens * (6 * sizes.text_width + 2 * sizes.text_ffn);
}

ModelLatentShape latent_of(const ClipSize& clip) {
  return {1 + (clip.frames - 1) / 4, clip.height / 8, clip.width / 8};
}

/// The longest clip of the same size that fits, or nothing.
std::optional<ClipSize> shorter(const ModelSizes& sizes, ClipSize clip,
                                const std::vector<DecoderStage>& stages, std::int64_t available) {
  for (clip.frames -= 4; clip.frames >= 1; clip.frames -= 4) {
    if (clip_memory(sizes, clip, stages) <= available) return clip;
  }
  return std::nullopt;
}

/// The largest size of about the same shape and the same length that fits, or nothing.
std::optional<ClipSize> smaller(const ModelSizes& sizes, const ClipSize& clip,
                                const std::vector<DecoderStage>& stages, std::int64_t available) {
  constexpr std::int64_t kStep = 16;
  ClipSize tried = clip;
  for (tried.width -= kStep; tried.width >= kStep; tried.width -= kStep) {
    tried.height = std::max(kStep, clip.height * tried.width / clip.width / kStep * kStep);
    if (clip_memory(sizes, tried, stages) <= available) return tried;
  }
  return std::nullopt;
}

}  // namespace

std::string gibibytes(std::int64_t bytes) {
  return concat(std::fixed, std::setprecision(bytes < 100'000'000 ? 3 : 1),
                static_cast<double>(bytes) * 0x1p-30, " GiB");
}

void WeightMemory::add(const WeightMemory& other) {
  resident += other.resident;
  scratch = std::max(scratch, other.scratch);
}

void add_denoiser(ModelSizes& sizes, const Checkpoint& checkpoint) {
  for (const auto& [name, view] : checkpoint.tensors()) sizes.weights.add(stored(view));
  DenoiserConfig& config = sizes.denoiser;
  config.width = dimension(checkpoint, "patch_embedding.weight", 0);
  config.ffn = std::max(dimension(checkpoint, "blocks.0.ffn.0.weight", 0),
                        dimension(checkpoint, "blocks.0.ffn.0.int8_weight", 0));
  config.layers = count_blocks(checkpoint);
  sizes.int8_weights = checkpoint.find("blocks.0.ffn.0.int8_weight") != nullptr;
}

void add_text_encoder(ModelSizes& sizes, const Checkpoint& checkpoint) {
  for (const auto& [name, view] : checkpoint.tensors()) {
    // Rows of the embedding are looked up, not multiplied: they stay as they are.
    WeightMemory memory = stored(view);
    if (name == "token_embedding.weight") memory.resident = memory.scratch;
    sizes.weights.add(memory);
  }
  sizes.text_width = dimension(checkpoint, "token_embedding.weight", 1);
  sizes.text_ffn = dimension(checkpoint, "blocks.0.ffn.fc1.weight", 0);
}

void add_decoder(ModelSizes& sizes, const Checkpoint& checkpoint, std::vector<DecoderStage>& stages) {
  using Kind = DecoderStage::Kind;
  const bool tiny = is_architecture(checkpoint, Architecture::taehv);
  for (const auto& [name, view] : checkpoint.tensors()) {
    if (!name.starts_with("decoder.") && !name.starts_with("conv2.")) continue;  // the encoder is not kept
    const bool space = leaf(name, 3) == "resample.1.weight";
    if (space && view.shape.size() == 4) {
      sizes.weights.add(folded(view));
    } else if (tiny &&
               (name == "decoder.8.weight" || name == "decoder.14.weight" || name == "decoder.20.weight")) {
      const std::int64_t stride = name == "decoder.8.weight" ? 1 : 2;
      for (std::int64_t i = 0; i < stride; ++i) sizes.weights.add(folded(view));
    } else if (view.shape.size() >= 4 && view.shape.back() == 3) {
      sizes.weights.add(convolution(view));
    } else {
      sizes.weights.add(stored(view));
    }
  }
  if (tiny) {
    for (const auto& [memory, conv, stride] :
         {std::array<std::int64_t, 3>{3, 8, 1}, {9, 14, 2}, {15, 20, 2}}) {
      const std::string grown = concat("decoder.", conv, ".weight");
      const std::int64_t in = dimension(checkpoint, grown, 1);
      for (int block = 0; block < 3; ++block) stages.push_back({Kind::memory, in, in});
      stages.push_back({Kind::grow, in, dimension(checkpoint, grown, 0), stride});
    }
    stages.push_back({Kind::output, dimension(checkpoint, "decoder.22.weight", 1), 3});
    return;
  }
  const std::int64_t width = dimension(checkpoint, "decoder.conv1.weight", 0);
  stages.push_back({Kind::residual, width, width});
  stages.push_back({Kind::attention, width, width});
  for (int i = 0;; ++i) {
    const std::string name = concat("decoder.upsamples.", i, ".");
    const std::string first = name + "residual.2.weight";
    const std::string space = name + "resample.1.weight";
    if (checkpoint.find(first) != nullptr) {
      stages.push_back({Kind::residual, dimension(checkpoint, first, 1), dimension(checkpoint, first, 0)});
    } else if (checkpoint.find(space) != nullptr) {
      const bool time = checkpoint.find(name + "time_conv.weight") != nullptr;
      stages.push_back(
          {Kind::upsample, dimension(checkpoint, space, 1), dimension(checkpoint, space, 0), time ? 2 : 1});
    } else {
      break;
    }
  }
  stages.push_back({Kind::head, dimension(checkpoint, "decoder.head.2.weight", 1), 3});
}

std::int64_t decode_memory(const std::vector<DecoderStage>& stages, const ModelLatentShape& latent) {
  using Kind = DecoderStage::Kind;
  std::int64_t kept = 0;  // frames remembered from one latent frame to the next, by all layers at once
  std::int64_t peak = 0;  // what one layer needs besides
  std::int64_t height = latent.height;
  std::int64_t width = latent.width;
  std::int64_t frames = 1;
  for (const auto& [kind, in, out, stride] : stages) {
    const std::int64_t bordered = (height + 2) * (width + 2);
    const std::int64_t x = frames * height * width * in;
    const std::int64_t y = frames * height * width * out;
    std::int64_t here = 0;
    switch (kind) {
      case Kind::residual:
        kept += 2 * bordered * (in + out);
        here = x + 2 * y + (2 + frames) * bordered * std::max(in, out);
        break;
      case Kind::attention:
        here = 7 * x;  // itself, normed, q, k and v, and k and v packed
        break;
      case Kind::upsample:
        if (stride > 1) kept += 2 * height * width * in;
        here = stride * (x + frames * bordered * in + 4 * y);
        break;
      case Kind::head:
        kept += 2 * bordered * in;
        here = x + y + (2 + frames) * bordered * in;
        break;
      case Kind::memory:
        kept += bordered * in;
        here = 3 * x + (1 + frames) * bordered * in;
        break;
      case Kind::grow:
        // Every moment's frames are made by themselves and then put in their places.
        here = x + frames * bordered * in + (stride > 1 ? stride + 1 : 1) * 4 * y;
        break;
      case Kind::output:
        here = x + y + frames * bordered * in;
        break;
    }
    peak = std::max(peak, here);
    if (kind == Kind::upsample || kind == Kind::grow) {
      height *= 2;
      width *= 2;
      if (latent.frames > 1 || kind == Kind::grow) frames *= stride;
    }
  }
  return kFloat * (kept + peak);
}

std::int64_t clip_memory(const ModelSizes& sizes, const ClipSize& clip,
                         const std::vector<DecoderStage>& stages) {
  const ModelLatentShape latent = latent_of(clip);
  const std::int64_t pictures = clip.frames * clip.height * clip.width * 3;
  const std::int64_t denoise = denoise_memory(sizes, clip, latent);
  const std::int64_t decode =
      pictures + clip_state_memory(sizes, clip, latent) + decode_memory(stages, latent);
  // Small tables, and what the allocator rounds up.
  constexpr double kMargin = 1.05;
  return static_cast<std::int64_t>(
      kMargin * static_cast<double>(std::max({encode_memory(sizes, clip.tokens), denoise, decode})));
}

Status check_load_memory(const ModelSizes& sizes, std::int64_t available) {
  const std::int64_t need = sizes.weights.resident + sizes.weights.scratch;
  if (need <= available) return success();
  return too_little(
      "the model set", need, available,
      "free memory, or load a smaller model: the -quant file of the transformer, or the 1.3B one");
}

Status check_clip_memory(const ModelSizes& sizes, const ClipSize& clip, bool tiny, std::int64_t available) {
  const std::vector<DecoderStage>& stages = tiny ? sizes.tiny : sizes.vae;
  const std::int64_t need = clip_memory(sizes, clip, stages);
  if (need <= available) return success();
  std::string fits;
  const auto offer = [&](const std::string& what) { fits += (fits.empty() ? "" : ", or ") + what; };
  if (const auto found = shorter(sizes, clip, stages, available)) offer(concat(found->frames, " frames"));
  if (const auto found = smaller(sizes, clip, stages, available)) {
    offer(concat(found->width, " x ", found->height));
  }
  if (!tiny && !sizes.tiny.empty() && clip_memory(sizes, clip, sizes.tiny) <= available) {
    offer("decoder 'taehv'");
  }
  return too_little(
      concat("a clip of ", clip.width, " x ", clip.height, " and ", clip.frames, " frames"), need, available,
      fits.empty() ? "free memory or load a smaller model; no clip fits" : concat("what fits: ", fits));
}

}  // namespace turboclip

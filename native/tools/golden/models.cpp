#include "tools/golden/models.h"

#include <algorithm>

#include "engine/sampler/rcm.h"
#include "engine/text.h"

namespace turboclip::golden {
namespace {

constexpr std::int64_t kLatentChannels = 16;
constexpr std::int64_t kTextRows = 512;
constexpr int kMaxSteps = 4;

const CancelFlag kNeverCancelled;

/// Text rows without the zeros at their end, as the engine keeps them.
Tensor without_padding(Tensor text) {
  const std::int64_t width = text.size(1);
  auto rows = static_cast<std::int64_t>(text.values.size()) / width;
  const auto is_zero_row = [&](std::int64_t row) {
    const float* begin = text.data() + row * width;
    return std::all_of(begin, begin + width, [](float value) { return value == 0.0f; });
  };
  while (rows > 1 && is_zero_row(rows - 1)) --rows;
  text.shape[0] = rows;
  text.values.resize(static_cast<std::size_t>(rows * width));
  return text;
}

/// What every run of one denoiser's golden file shares.
struct DenoiserInputs {
  Tensor x;
  double timestep = 0;
  Conditioning conditioning;
  ModelLatentShape shape;
};

Result<DenoiserInputs> read_inputs(const Denoiser& denoiser, const IoFile& io) {
  const DenoiserConfig& config = denoiser.config();
  Result<Tensor> x = io.input("x", {kLatentChannels, -1, -1, -1});
  if (!x) return x.error();
  const Result<Tensor> t = io.input("t", {1});
  if (!t) return t.error();
  Result<Tensor> text = io.input("ctx", {-1, config.text_width});
  if (!text) return text.error();
  DenoiserInputs inputs;
  inputs.shape = {x->size(1), x->size(2), x->size(3)};
  if (config.in_channels > kLatentChannels) {
    Result<Tensor> image = io.input("y", {config.in_channels - kLatentChannels, inputs.shape.frames,
                                          inputs.shape.height, inputs.shape.width});
    if (!image) return image.error();
    inputs.conditioning.image = std::move(image).value();
  }
  inputs.x = std::move(x).value();
  inputs.timestep = static_cast<double>(t.value().values[0]);
  inputs.conditioning.text = without_padding(std::move(text).value());
  return inputs;
}

/// One evaluation with its taps. In production the taps are off.
Status run_velocity(Denoiser& denoiser, const DenoiserInputs& inputs, const DenoiserSettings& settings,
                    IoFile& io, Counts& counts) {
  const bool dense = settings.attention == Attention::original;
  const Status begun = denoiser.begin_clip(inputs.shape, inputs.conditioning, settings, kNeverCancelled);
  if (!begun) return begun;
  const Tap tap = [&](const std::string& name, const Tensor& tensor) {
    const bool wanted = dense ? name.starts_with("dense.") : name.starts_with("sla.block0.");
    if (wanted) io.result(name, tensor, counts);
  };
  Result<Tensor> v = denoiser.velocity(inputs.x, inputs.timestep, kNeverCancelled, {}, tap);
  if (!v) return v.error();
  io.result(dense ? "v_dense" : "v_sla", std::move(v).value(), counts);
  return success();
}

/// The trace's number of steps: as many as it has states or, when the set holds inputs only, noises after the
/// first; the ODE draws one noise only and then goes by the SDE's.
int trace_steps(const IoFile& io, const std::string& prefix) {
  for (int steps = kMaxSteps; steps >= 1; --steps) {
    if (io.has(concat(prefix, ".x", steps))) return steps;
  }
  for (const std::string& noises : {prefix, std::string("sampler.sde")}) {
    for (int steps = kMaxSteps; steps >= 1; --steps) {
      if (io.has(concat(noises, ".noise", steps))) return steps;
    }
  }
  return kMaxSteps;
}

Status run_trace(Denoiser& denoiser, const DenoiserInputs& inputs, SamplerSettings settings, IoFile& io,
                 Counts& counts) {
  const std::string prefix = settings.method == SamplerMethod::sde ? "sampler.sde" : "sampler.ode";
  settings.steps = trace_steps(io, prefix);
  const Status begun =
      denoiser.begin_clip(inputs.shape, inputs.conditioning, {Attention::original, 1.0}, kNeverCancelled);
  if (!begun) return begun;
  const NoiseSource given = [&](std::uint32_t draw, const Shape& shape) {
    return io.input(concat(prefix, ".noise", draw), shape);
  };
  SamplerHooks hooks;
  hooks.observer = [&](int step, const Tensor& state) {
    io.result(concat(prefix, ".x", step), state, counts);
  };
  const Result<Tensor> last = sample(denoiser, inputs.shape, settings, given, kNeverCancelled, hooks);
  return last ? success() : Status(last.error());
}

}  // namespace

Status run_denoiser(const Checkpoint& weights, Backend& backend, const DenoiserCase& settings, IoFile& io,
                    const Print& print, Counts& counts) {
  const Result<std::unique_ptr<Denoiser>> denoiser = backend.load_denoiser(weights);
  if (!denoiser) return denoiser.error();
  Denoiser& model = *denoiser.value();
  const Result<DenoiserInputs> inputs = read_inputs(model, io);
  if (!inputs) return inputs.error();

  Status status = run_velocity(model, inputs.value(), {Attention::original, 1.0}, io, counts);
  if (!status) return status;
  if (model.config().has_sla) {
    status = run_velocity(model, inputs.value(), {Attention::sla, settings.topk_ratio}, io, counts);
    if (!status) return status;
  } else {
    print("not computed: v_sla (the checkpoint has no proj_l)");
  }
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    const std::string_view name = method == SamplerMethod::sde ? "sampler.sde" : "sampler.ode";
    if (!io.has(concat(name, ".noise0"))) {
      print(concat("not computed: ", name, " (the set holds no ", name, ".noise0)"));
      continue;
    }
    status = run_trace(model, inputs.value(), {method, kMaxSteps, settings.sigma_max, ModelInput::exact}, io,
                       counts);
    if (!status) return status;
  }
  return success();
}

Status run_vae(const Checkpoint& weights, Backend& backend, IoFile& io, const Print& print, Counts& counts) {
  const Result<std::unique_ptr<VideoDecoder>> decoder = backend.load_video_decoder(weights);
  if (!decoder) return decoder.error();
  const Result<Tensor> z = io.input("z", {kLatentChannels, -1, -1, -1});
  if (!z) return z.error();
  const std::int64_t frames = 1 + 4 * (z.value().size(1) - 1);
  const std::int64_t pixels = 64 * z.value().size(2) * z.value().size(3);
  Tensor video({3, frames, 8 * z.value().size(2), 8 * z.value().size(3)});
  const FrameSink sink = [&](std::int64_t first, const Tensor& rgb) -> Status {
    for (std::int64_t i = 0; i < rgb.size(0) * pixels * 3; ++i) {
      const std::int64_t channel = i % 3;
      video.values[static_cast<std::size_t>(channel * frames * pixels + first * pixels + i / 3)] =
          rgb.values[static_cast<std::size_t>(i)];
    }
    return success();
  };
  const Status decoded = decoder.value()->decode(z.value(), sink, kNeverCancelled, {});
  if (!decoded) return decoded;
  io.result("video", std::move(video), counts);
  if (io.has("video_in")) print("not computed: z_out (encoding a video is no part of text to video)");
  return success();
}

Status run_umt5(const Checkpoint& weights, Backend& backend, IoFile& io, Counts& counts) {
  const Result<std::unique_ptr<TextEncoder>> encoder = backend.load_text_encoder(weights);
  if (!encoder) return encoder.error();
  const Result<Tensor> ids = io.input("ids", {-1});
  if (!ids) return ids.error();
  const Result<Tensor> mask = io.input("mask", {ids.value().size(0)});
  if (!mask) return mask.error();
  std::vector<std::int32_t> prompt;
  for (std::size_t i = 0; i < mask.value().values.size() && mask.value().values[i] != 0; ++i) {
    prompt.push_back(static_cast<std::int32_t>(ids.value().values[i]));
  }
  Result<Tensor> rows = encoder.value()->encode(prompt, kNeverCancelled, {});
  if (!rows) return rows.error();
  Tensor embedding = std::move(rows).value();
  embedding.shape[0] = std::max(kTextRows, ids.value().size(0));
  embedding.values.resize(static_cast<std::size_t>(element_count(embedding.shape)), 0.0f);
  io.result("embedding", std::move(embedding), counts);
  return success();
}

}  // namespace turboclip::golden

#include "tools/golden/models.h"

#include <algorithm>
#include <map>

#include "engine/sampler/rcm.h"
#include "engine/text.h"
#include "tools/golden/block_list.h"

namespace turboclip::golden {
namespace {

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
struct ClipInputs {
  Conditioning conditioning;
  ModelLatentShape shape;
};

/// The latent's shape is that of x or, when the set holds no x, of a trace's first noise.
Result<ClipInputs> read_clip_inputs(const DenoiserConfig& config, const IoFile& io) {
  std::string shaped = "x";
  for (const char* noise : {"sampler.sde.noise0", "sampler.ode.noise0"}) {
    if (!io.has(shaped)) shaped = noise;
  }
  const Result<Tensor> latent = io.input(shaped, {kLatentChannels, -1, -1, -1});
  if (!latent) return latent.error();
  Result<Tensor> text = io.input("ctx", {-1, config.text_width});
  if (!text) return text.error();
  ClipInputs inputs;
  inputs.shape = {latent.value().size(1), latent.value().size(2), latent.value().size(3)};
  inputs.conditioning.text = without_padding(std::move(text).value());
  if (config.in_channels > kLatentChannels) {
    Result<Tensor> image = io.input("y", {config.in_channels - kLatentChannels, inputs.shape.frames,
                                          inputs.shape.height, inputs.shape.width});
    if (!image) return image.error();
    inputs.conditioning.image = std::move(image).value();
  }
  return inputs;
}

/// The tensors that a denoiser shows while it runs, without their batch dimension.
using Taps = std::map<std::string, Tensor>;

Result<Tensor> run_velocity(Denoiser& denoiser, const ClipInputs& inputs, const DenoiserSettings& settings,
                            const DenoiserCase& wanted, const IoFile& io, Taps& taps) {
  const Result<Tensor> x = io.input("x", {kLatentChannels, -1, -1, -1});
  if (!x) return x.error();
  const Result<Tensor> t = io.input("t", {1});
  if (!t) return t.error();
  const Status begun = denoiser.begin_clip(inputs.shape, inputs.conditioning, settings, kNeverCancelled);
  if (!begun) return begun.error();
  const auto is_wanted = [&](const std::string& name) {
    return std::find(wanted.taps.begin(), wanted.taps.end(), name) != wanted.taps.end();
  };
  const Tap tap{[&](const std::string& name, const Tensor& tensor) {
                  Tensor kept = tensor;
                  kept.shape.erase(kept.shape.begin());
                  taps[name] = std::move(kept);
                },
                is_wanted};
  Result<Tensor> v =
      denoiser.velocity(x.value(), static_cast<double>(t.value().values[0]), kNeverCancelled, {}, tap);
  for (const std::string& name : wanted.taps) {
    if (v && !taps.contains(name)) {
      return Error{ErrorCode::request_invalid,
                   concat("tap ", in_quotes(name), " is no linear layer of ", io.model(),
                          "; name it as in the checkpoint, less '.weight': blocks.0.self_attn.q")};
    }
  }
  return v;
}

/// v_dense, and each block's output.
Status run_dense(Denoiser& denoiser, const ClipInputs& inputs, const DenoiserCase& wanted, IoFile& io,
                 Counts& counts) {
  Taps taps;
  Result<Tensor> v = run_velocity(denoiser, inputs, {Attention::original, 1.0}, wanted, io, taps);
  if (!v) return v.error();
  for (auto& [name, tensor] : taps) io.result("dense." + name, std::move(tensor), counts);
  io.result("v_dense", std::move(v).value(), counts);
  return success();
}

/// v_sla, and what the first block's attention is made of.
Status run_sla(Denoiser& denoiser, const ClipInputs& inputs, const DenoiserCase& wanted, IoFile& io,
               Counts& counts) {
  Taps taps;
  Result<Tensor> v = run_velocity(denoiser, inputs, {Attention::sla, wanted.topk_ratio}, wanted, io, taps);
  if (!v) return v.error();
  if (taps.contains("block0.lut")) rank_block_list(taps["block0.lut"], taps["block0.q"], taps["block0.k"]);
  for (auto& [name, tensor] : taps) {
    const bool block_output = name.starts_with("block") && name.find('.') == std::string::npos;
    if (!block_output) io.result("sla." + name, std::move(tensor), counts);
  }
  io.result("v_sla", std::move(v).value(), counts);
  return success();
}

std::string trace_prefix(SamplerMethod method) {
  return method == SamplerMethod::sde ? "sampler.sde" : "sampler.ode";
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

Status run_trace(Denoiser& denoiser, const ClipInputs& inputs, SamplerSettings settings, IoFile& io,
                 Counts& counts) {
  const std::string prefix = trace_prefix(settings.method);
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
  const Result<ClipInputs> inputs = read_clip_inputs(model.config(), io);
  if (!inputs) return inputs.error();

  const std::string name = io.model();
  Status status = success();
  if (!io.has("x") || !io.has("t")) {
    print(concat("not computed: ", name, " v_dense, v_sla (the set holds no x and t)"));
  } else {
    status = run_dense(model, inputs.value(), settings, io, counts);
    if (!status) return status;
    if (model.config().has_sla) {
      status = run_sla(model, inputs.value(), settings, io, counts);
      if (!status) return status;
    } else {
      print(concat("not computed: ", name, " v_sla (the checkpoint has no proj_l)"));
    }
  }
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    const std::string prefix = trace_prefix(method);
    if (!io.has(prefix + ".noise0")) {
      print(concat("not computed: ", name, " ", prefix, " (the set holds no ", prefix, ".noise0)"));
      continue;
    }
    status = run_trace(model, inputs.value(), {method, kMaxSteps, settings.sigma_max, ModelInput::exact}, io,
                       counts);
    if (!status) return status;
  }
  return success();
}

Status run_int8_denoiser(const Checkpoint& weights, Backend& backend, const DenoiserCase& settings,
                         IoFile& io, const Print& print, Counts& counts) {
  const Result<std::unique_ptr<Denoiser>> denoiser = backend.load_denoiser(weights);
  if (!denoiser) return denoiser.error();
  Denoiser& model = *denoiser.value();
  if (!io.has("x") || !io.has("t")) {
    print(concat("not computed: ", io.model(), " v_sla (the set holds no x and t)"));
    return success();
  }
  const Result<ClipInputs> inputs = read_clip_inputs(model.config(), io);
  if (!inputs) return inputs.error();
  Taps taps;
  Result<Tensor> v =
      run_velocity(model, inputs.value(), {Attention::sla, settings.topk_ratio}, settings, io, taps);
  if (!v) return v.error();
  for (const std::string& name : settings.taps) io.result("sla." + name, std::move(taps[name]), counts);
  io.result("v_sla", std::move(v).value(), counts);
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

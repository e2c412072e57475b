#include "cuda/transformer.h"

#include <bit>
#include <cmath>
#include <utility>

#include "cuda/norm.h"
#include "engine/clip_check.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

/// Rows of a block's modulation.
enum ModulationRow { kAttnShift, kAttnGain, kAttnGate, kFfnShift, kFfnGain, kFfnGate, kModulationRows };

Error cancelled() { return Error{ErrorCode::cancelled, "cancelled while denoising"}; }

}  // namespace

Result<std::unique_ptr<Transformer>> Transformer::load(int device, const Checkpoint& checkpoint,
                                                       MemoryShare memory) {
  auto queue = std::make_unique<Queue>();
  const Status opened = queue->open(device);
  if (!opened) return opened.error();
  const Result<DenoiserConfig> config = read_config(checkpoint);
  if (!config) return config.error();
  const Result<std::int64_t> available = memory.available(*queue, 0);
  if (!available) return available.error();
  const Status fits = check_weights(config.value(), available.value());
  if (!fits) return fits.error();
  queue->enter("load");
  Result<TransformerWeights> weights = load_transformer(*queue, checkpoint, config.value());
  if (!weights) return weights.error();
  Result<TimeModulation> time = TimeModulation::load(checkpoint, weights->config);
  if (!time) return time.error();
  return std::unique_ptr<Transformer>(
      new Transformer(std::move(queue), memory, std::move(weights).value(), std::move(time).value()));
}

Status Transformer::begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                               const DenoiserSettings& settings, const CancelFlag& cancel) {
  const Status valid = check_clip(config(), shape, conditioning, settings);
  if (!valid) return valid;
  if (cancel.requested) return cancelled();
  queue_->enter("begin_clip");
  velocity_graph_.clear();
  step_graph_.clear();
  run_ = {};  // the last clip's memory goes before this one's comes
  latent_ = {};
  const Result<std::int64_t> available = memory_.available(*queue_, weight_bytes());
  if (!available) return available.error();
  const Status fits =
      check_clip_bytes(config(), shape, settings, conditioning.text.size(0), available.value());
  if (!fits) return fits;
  settings_ = settings;
  latent_ = {shape.frames, shape.height, shape.width};
  run_.allocate(*queue_, config(), latent_, settings);
  run_.image.upload(*queue_, conditioning.image.values);
  prepare_text(conditioning.text);
  return queue_->finish();
}

/// Text rows through text_embedding, then keys and values of every block. The rows past the prompt are all
/// the same: one of zeros stands for them.
void Transformer::prepare_text(const Tensor& text) {
  const std::int64_t padded = kTextRows - text.size(0);
  run_.text_rows = text.size(0) + (padded > 0 ? 1 : 0);
  run_.last_bias = padded > 0 ? std::log(static_cast<float>(padded)) : 0;
  std::vector<Bf16> values(static_cast<std::size_t>(run_.text_rows * config().text_width));
  for (std::size_t i = 0; i < text.values.size(); ++i) {
    values[i].bits =
        static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bf16(text.values[i])) >> 16);
  }
  const std::int64_t width = config().width;
  DeviceArray<Bf16> rows, hidden, embedded;
  DeviceArray<std::int8_t> quantised;
  DeviceArray<float> scales, squares, inverse;
  rows.upload(*queue_, values);
  hidden.allocate(*queue_, run_.text_rows * width);
  embedded.allocate(*queue_, run_.text_rows * width);
  quantised.allocate(*queue_, run_.text_rows * width);
  scales.allocate(*queue_, config().heads * scale_stride(run_.text_rows));
  squares.allocate(*queue_, 2 * config().heads * scale_stride(run_.text_rows));
  inverse.allocate(*queue_, run_.text_rows);
  linear_gelu(*queue_, {rows.data(), run_.text_rows, config().text_width}, weights_.text_in.view(),
              hidden.data());
  linear(*queue_, {hidden.data(), run_.text_rows, width}, weights_.text_out.view(), embedded.data());
  quantize_rows(*queue_, {embedded.data(), run_.text_rows, width}, quantised.data(), scales.data());
  run_.cross_keys.resize(weights_.blocks.size());
  for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
    const BlockWeights& block = weights_.blocks[i];
    run_.cross_keys[i].allocate(*queue_, run_.text_rows * 2 * width);
    linear_bf16(*queue_, {quantised.data(), scales.data(), run_.text_rows, width}, block.cross_kv.view(),
                run_.cross_keys[i].data(), squares.data());
    inverse_rms(*queue_, squares.data(), config().heads, run_.text_rows, inverse.data());
    prepare_text_keys(*queue_, run_.text_keys(i), config().heads, inverse.data(), block.cross_norm_k.data(),
                      block.cross_norm_q.data());
  }
  (void)queue_->finish();  // before the temporaries go
}

Int8Rows Transformer::rows(std::int64_t width) const {
  return {run_.rows.data(), run_.row_scales.data(), run_.heads.tokens, width};
}

Modulation Transformer::modulation(std::size_t block, int shift_row) const {
  const float* table =
      run_.modulation.data() + static_cast<std::int64_t>(block) * kModulationRows * config().width;
  return {table + (shift_row + 1) * config().width, table + shift_row * config().width};
}

const float* Transformer::gate(std::size_t block, int row) const {
  return run_.modulation.data() + (static_cast<std::int64_t>(block) * kModulationRows + row) * config().width;
}

void Transformer::self_attention(std::size_t index) {
  const BlockWeights& block = weights_.blocks[index];
  const HeadShape& shape = run_.heads;
  linear_bf16(*queue_, rows(config().width), block.qkv.view(), run_.projections.data(), run_.squares.data());
  inverse_rms(*queue_, run_.squares.data(), shape.heads, shape.tokens, run_.q_inverse.data());
  inverse_rms(*queue_, run_.squares.data() + shape.heads * scale_stride(shape.tokens), shape.heads,
              shape.tokens, run_.k_inverse.data());
  const Projections projections = run_.head_projections();
  const Heads heads = run_.head_views();
  // Without the linear branch all of the state is nullptr.
  prepare_heads(*queue_, shape, projections, {block.norm_q.data(), block.norm_k.data()}, run_.angles.view(),
                heads, run_.linear_state());
  Sparse sparse{nullptr, run_.kept, nullptr, nullptr, nullptr};
  if (run_.sla) {
    block_map(*queue_, shape, heads, run_.kept, run_.lut.data());
    fold_linear_state(*queue_, shape, block.proj_l.data(), run_.linear_state());
    sparse = {run_.lut.data(), run_.kept, run_.matrix.data(), run_.sums.data(), block.bias_l.data()};
  }
  sparse_attention(*queue_, shape, projections, heads, sparse, run_.rows.data(), run_.row_scales.data());
}

void Transformer::cross_attention(std::size_t index) {
  const std::int64_t tokens = run_.heads.tokens;
  Bf16* q = run_.projections.data();
  linear_bf16(*queue_, rows(config().width), weights_.blocks[index].cross_q.view(), q, run_.squares.data());
  inverse_rms(*queue_, run_.squares.data(), config().heads, tokens, run_.q_inverse.data());
  cuda::cross_attention(*queue_, {q, run_.q_inverse.data(), tokens, config().heads}, run_.text_keys(index),
                        run_.rows.data(), run_.row_scales.data());
}

void Transformer::run_block(std::size_t index) {
  const BlockWeights& block = weights_.blocks[index];
  const std::int64_t width = config().width;
  const std::int64_t tokens = run_.heads.tokens;
  const Bf16Rows stream{run_.stream.data(), tokens, width};
  Bf16* sum = run_.stream.data();
  layer_norm_int8(*queue_, stream, modulation(index, kAttnShift), run_.rows.data(), run_.row_scales.data());
  self_attention(index);
  linear_add(*queue_, rows(width), block.o.view(), sum, gate(index, kAttnGate));

  layer_norm_int8(*queue_, stream, {block.gain3.data(), block.shift3.data()}, run_.rows.data(),
                  run_.row_scales.data());
  cross_attention(index);
  linear_add(*queue_, rows(width), block.cross_o.view(), sum, nullptr);

  layer_norm_int8(*queue_, stream, modulation(index, kFfnShift), run_.rows.data(), run_.row_scales.data());
  linear_gelu_int8(*queue_, rows(width), block.ffn_in.view(), run_.hidden.data(), run_.hidden_scales.data());
  linear_add(*queue_, {run_.hidden.data(), run_.hidden_scales.data(), tokens, config().ffn},
             block.ffn_out.view(), sum, gate(index, kFfnGate));
}

/// From run_.tokens to run_.outputs.
void Transformer::run_blocks(const Tap& tap) {
  const std::int64_t tokens = run_.heads.tokens;
  linear(*queue_, {run_.tokens.data(), tokens, config().in_channels * kPatchValues},
         weights_.patch_embedding.view(), run_.stream.data());
  for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
    run_block(i);
    if (tap) show_block(i, tap);
  }
  const Bf16Rows stream{run_.stream.data(), tokens, config().width};
  layer_norm_bf16(*queue_, stream, modulation(weights_.blocks.size(), 0), run_.projections.data());
  linear_float(*queue_, {run_.projections.data(), tokens, config().width}, weights_.head.view(),
               run_.outputs.data());
}

void Transformer::show_block(std::size_t index, const Tap& tap) {
  Tensor out({1, run_.heads.tokens, config().width});
  const std::vector<Bf16> values = run_.stream.download(*queue_);
  if (!queue_->status()) return;
  for (std::size_t i = 0; i < values.size(); ++i) {
    out.values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(values[i].bits) << 16);
  }
  tap.take(concat("block", index), out);
}

void Transformer::set_timestep(double timestep) {
  const std::vector<float>& table = time_.table(timestep);
  queue_->copy("modulation", run_.modulation.data(), table.data(), table.size() * sizeof(float),
               cudaMemcpyHostToDevice);
}

Result<Tensor> Transformer::velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                                     const Progress& progress, const Tap& tap) {
  const Shape expected{kLatentChannels, latent_.frames, latent_.height, latent_.width};
  if (x.shape != expected) {
    return Error{ErrorCode::request_invalid, concat("the state has shape ", shape_text(x.shape),
                                                    ", expected that of the clip that was begun")};
  }
  if (cancel.requested) return cancelled();
  queue_->enter("velocity");
  set_timestep(timestep);
  queue_->copy("state", run_.x.data(), x.data(), x.values.size() * sizeof(float), cudaMemcpyHostToDevice);
  const auto enqueue = [&](const Tap& shown) {
    patchify(*queue_, latent_, run_.x.data(), run_.image.data(), config().in_channels, run_.tokens.data());
    run_blocks(shown);
    unpatchify(*queue_, latent_, run_.outputs.data(), run_.v.data());
  };
  if (tap) {
    enqueue(tap);
  } else {
    if (!velocity_graph_.recorded()) velocity_graph_.record(*queue_, [&] { enqueue({}); });
    velocity_graph_.launch(*queue_);
  }
  Tensor v(expected);
  v.values = run_.v.download(*queue_);
  const Status status = queue_->finish();
  if (!status) return status.error();
  if (progress) progress(1);
  return v;
}

Result<Tensor> Transformer::sample(const SamplerSettings& settings, std::uint64_t seed,
                                   const CancelFlag& cancel, const StepProgress& progress) {
  if (latent_.frames == 0) return Error{ErrorCode::request_invalid, "no clip was begun"};
  if (settings.model_input != ModelInput::bf16) {
    return Error{ErrorCode::request_invalid, "on the device the model's input is rounded to bfloat16"};
  }
  queue_->enter("sample");
  const std::vector<double> times = flow_times(settings.steps, settings.sigma_max);
  SamplerStep step{times[0], 0, seed, 0, settings.method == SamplerMethod::sde ? 1u : 0u};
  const auto set_step = [&] {
    queue_->copy("the step", run_.step.data(), &step, sizeof step, cudaMemcpyHostToDevice);
  };
  set_step();
  start_sampling(*queue_, latent_, run_.step.data(), run_.state.data());
  for (int i = 0; i < settings.steps && queue_->status(); ++i) {
    if (cancel.requested) return cancelled();
    step.time = times[static_cast<std::size_t>(i)];
    step.next = times[static_cast<std::size_t>(i) + 1];
    step.draw = static_cast<std::uint32_t>(i) + 1;
    set_step();
    set_timestep(round_to_bf16(static_cast<float>(step.time * 1000)));
    if (!step_graph_.recorded()) {
      step_graph_.record(*queue_, [&] {
        patchify(*queue_, latent_, run_.state.data(), run_.image.data(), config().in_channels,
                 run_.tokens.data());
        run_blocks({});
        advance_sampling(*queue_, latent_, run_.step.data(), run_.outputs.data(), run_.state.data());
      });
    }
    step_graph_.launch(*queue_);
    const Status done = queue_->finish();
    if (!done) return done.error();
    if (progress) progress(i + 1, 1);
  }
  const std::vector<double> state = run_.state.download(*queue_);
  const Status status = queue_->finish();
  if (!status) return status.error();
  Tensor latent({kLatentChannels, latent_.frames, latent_.height, latent_.width});
  for (std::size_t i = 0; i < state.size(); ++i) latent.values[i] = static_cast<float>(state[i]);
  return latent;
}

}  // namespace turboclip::cuda

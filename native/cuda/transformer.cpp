#include "cuda/transformer.h"

#include <algorithm>
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
                                                       const TransformerPlacement& placement) {
  auto queue = std::make_unique<Queue>();
  const Status opened = queue->open(device);
  if (!opened) return opened.error();
  const Result<DenoiserConfig> config = read_config(checkpoint);
  if (!config) return config.error();
  const MemoryShare memory(placement.memory_limit, device);
  memory.drop_scratch();
  const Result<std::int64_t> available = memory.available(*queue);
  if (!available) return available.error();
  const BlockPlan plan = plan_blocks(config.value(), placement.clip, placement.others, available.value(),
                                     placement.most_resident);
  if (!plan.fits) {
    return too_little(
        "the transformer, with its blocks in the host's memory,",
        plan.weights + placement.others.weights + std::max(plan.denoise, placement.others.scratch),
        available.value(), "load a smaller one, or give the engine more of the card");
  }
  queue->enter("load");
  Result<TransformerWeights> weights = load_transformer(*queue, checkpoint, config.value());
  if (!weights) return weights.error();
  Result<TransformerBlocks> blocks =
      TransformerBlocks::load(*queue, checkpoint, config.value(), plan.streamed);
  if (!blocks) return blocks.error();
  Result<TimeModulation> time = TimeModulation::load(checkpoint, weights->config);
  if (!time) return time.error();
  return std::unique_ptr<Transformer>(new Transformer(std::move(queue), memory, std::move(weights).value(),
                                                      std::move(blocks).value(), std::move(time).value()));
}

Status Transformer::check_begun() const {
  if (latent_.frames > 0 && owner_ == memory_.holdings().owner) return success();
  return Error{ErrorCode::request_invalid,
               latent_.frames == 0 ? "no clip was begun"
                                   : "the clip that was begun has ended: another stage has its memory"};
}

/// The scratch for a clip; blocks leave the device if it needs their room.
Result<unsigned char*> Transformer::make_room(const ModelLatentShape& shape, std::int64_t text_rows) {
  const Result<std::int64_t> available = memory_.available(*queue_);
  if (!available) return available.error();
  // What this model has on the device already is its own to divide.
  const std::int64_t room = available.value() + held_.bytes();
  const auto plan = [&](const ModelLatentShape& of) {
    const std::int64_t steps =
        clip_bytes(config(), of, settings_, text_rows, best_attention_tiles(queue_->device()));
    return plan_blocks(config(), steps, {0, other_stage_}, room, blocks_.count() - blocks_.streamed());
  };
  const BlockPlan needed = plan(shape);
  if (!needed.fits) {
    ModelLatentShape fits = shape;
    while (fits.frames > 0 && !plan(fits).fits) --fits.frames;
    if (other_stage_ > needed.denoise) {
      return too_little(concat("decoding ", clip_words(shape)), needed.weights + other_stage_, room,
                        "ask for a smaller size, decode by TAEHV, or give the engine more of the card");
    }
    return too_little(clip_words(shape), needed.weights + needed.denoise, room,
                      fits.frames > 0
                          ? concat("what fits: ", 1 + 4 * (fits.frames - 1), " frames, or a smaller size")
                          : "ask for a smaller size, or give the engine more of the card");
  }
  if (needed.streamed > blocks_.streamed()) {
    memory_.drop_scratch();
    const Status moved = blocks_.stream(*queue_, needed.streamed);
    if (!moved) return moved.error();
    held_.change(embedding_bytes(config()) + blocks_.device_bytes() - held_.bytes());
  }
  unsigned char* base = memory_.take_scratch(*queue_, std::max(needed.denoise, other_stage_));
  if (base == nullptr) return queue_->status().error();
  return base;
}

Status Transformer::begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                               const DenoiserSettings& settings, const CancelFlag& cancel) {
  const Status valid = check_clip(config(), shape, conditioning, settings);
  if (!valid) return valid;
  if (cancel.requested) return cancelled();
  queue_->enter("begin_clip");
  velocity_graph_.clear();
  step_graph_.clear();
  latent_ = {};
  settings_ = settings;
  const Result<unsigned char*> base = make_room(shape, conditioning.text.size(0));
  if (!base) return base.error();
  const LatentShape latent{shape.frames, shape.height, shape.width};
  run_ = {};
  run_.text_rows = key_rows(conditioning.text.size(0));
  ring_ = base.value() + run_.place(base.value(), config(), latent, settings, run_.text_rows,
                                    best_attention_tiles(queue_->device()));
  owner_ = memory_.holdings().owner;
  run_.angles.fill(*queue_, run_.heads);
  run_.image.fill(*queue_, conditioning.image.values);
  prepare_text(conditioning.text);
  const Status begun = queue_->finish();
  if (begun) latent_ = latent;
  return begun;
}

/// Text rows through text_embedding, then keys and values of every block. The rows past the prompt are all
/// the same: one of zeros stands for them.
void Transformer::prepare_text(const Tensor& text) {
  const std::int64_t padded = kTextRows - text.size(0);
  run_.last_bias = padded > 0 ? std::log(static_cast<float>(padded)) : 0;
  std::vector<Bf16> values(static_cast<std::size_t>(run_.text_rows * config().text_width));
  for (std::size_t i = 0; i < text.values.size(); ++i) {
    values[i].bits =
        static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bf16(text.values[i])) >> 16);
  }
  const std::int64_t width = config().width;
  run_.text_in.fill(*queue_, values);
  linear_gelu(*queue_, {run_.text_in.data(), run_.text_rows, config().text_width}, weights_.text_in.view(),
              run_.text_hidden.data());
  linear(*queue_, {run_.text_hidden.data(), run_.text_rows, width}, weights_.text_out.view(),
         run_.text_embedded.data());
  quantize_rows(*queue_, {run_.text_embedded.data(), run_.text_rows, width}, run_.text_values.data(),
                run_.text_scales.data());
  blocks_.begin(*queue_, BlockPass::once, ring_);
  for (std::int64_t i = 0; i < blocks_.count(); ++i) {
    const BlockWeights block = blocks_.take(*queue_, i);
    const auto index = static_cast<std::size_t>(i);
    linear_bf16(*queue_, {run_.text_values.data(), run_.text_scales.data(), run_.text_rows, width},
                block.cross_kv, run_.cross_keys[index].data(), run_.text_squares.data());
    inverse_rms(*queue_, run_.text_squares.data(), config().heads, run_.text_rows, run_.text_inverse.data());
    prepare_text_keys(*queue_, run_.text_keys(index), config().heads, run_.text_inverse.data(),
                      block.cross_norm_k, block.cross_norm_q);
    blocks_.leave(*queue_, i);
  }
  (void)queue_->finish();  // before the host's values go
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

void Transformer::self_attention(const BlockWeights& block) {
  const HeadShape& shape = run_.heads;
  linear_bf16(*queue_, rows(config().width), block.qkv, run_.projections.data(), run_.squares.data());
  inverse_rms(*queue_, run_.squares.data(), shape.heads, shape.tokens, run_.q_inverse.data());
  inverse_rms(*queue_, run_.squares.data() + shape.heads * scale_stride(shape.tokens), shape.heads,
              shape.tokens, run_.k_inverse.data());
  const Projections projections = run_.head_projections();
  const Heads heads = run_.head_views();
  const LinearState state = run_.sla ? run_.linear_state() : LinearState{nullptr, nullptr, nullptr};
  prepare_heads(*queue_, shape, projections, {block.norm_q, block.norm_k}, run_.angles.view(), heads, state);
  Sparse sparse{nullptr, run_.kept, nullptr, nullptr, nullptr};
  if (run_.sla) {
    block_map(*queue_, shape, heads, run_.kept, run_.lut.data());
    fold_linear_state(*queue_, shape, block.proj_l, state);
    sparse = {run_.lut.data(), run_.kept, run_.matrix.data(), run_.sums.data(), block.bias_l};
  }
  sparse_attention(*queue_, shape, projections, heads, sparse, run_.rows.data(), run_.row_scales.data());
}

void Transformer::cross_attention(std::size_t index, const BlockWeights& block) {
  const std::int64_t tokens = run_.heads.tokens;
  Bf16* q = run_.projections.data();
  linear_bf16(*queue_, rows(config().width), block.cross_q, q, run_.squares.data());
  inverse_rms(*queue_, run_.squares.data(), config().heads, tokens, run_.q_inverse.data());
  cuda::cross_attention(*queue_, {q, run_.q_inverse.data(), tokens, config().heads}, run_.text_keys(index),
                        run_.rows.data(), run_.row_scales.data());
}

void Transformer::run_block(std::size_t index, const BlockWeights& block) {
  const std::int64_t width = config().width;
  const std::int64_t tokens = run_.heads.tokens;
  const Bf16Rows stream{run_.stream.data(), tokens, width};
  Bf16* sum = run_.stream.data();
  layer_norm_int8(*queue_, stream, modulation(index, kAttnShift), run_.rows.data(), run_.row_scales.data());
  self_attention(block);
  linear_add(*queue_, rows(width), block.o, sum, gate(index, kAttnGate));

  layer_norm_int8(*queue_, stream, {block.gain3, block.shift3}, run_.rows.data(), run_.row_scales.data());
  cross_attention(index, block);
  linear_add(*queue_, rows(width), block.cross_o, sum, nullptr);

  layer_norm_int8(*queue_, stream, modulation(index, kFfnShift), run_.rows.data(), run_.row_scales.data());
  linear_gelu_int8(*queue_, rows(width), block.ffn_in, run_.hidden.data(), run_.hidden_scales.data());
  linear_add(*queue_, {run_.hidden.data(), run_.hidden_scales.data(), tokens, config().ffn}, block.ffn_out,
             sum, gate(index, kFfnGate));
}

/// From run_.tokens to run_.outputs.
void Transformer::run_blocks(const Tap& tap) {
  const std::int64_t tokens = run_.heads.tokens;
  linear(*queue_, {run_.tokens.data(), tokens, config().in_channels * kPatchValues},
         weights_.patch_embedding.view(), run_.stream.data());
  const auto blocks = static_cast<std::size_t>(blocks_.count());
  blocks_.begin(*queue_, BlockPass::step, ring_);
  for (std::size_t i = 0; i < blocks; ++i) {
    const auto number = static_cast<std::int64_t>(i);
    run_block(i, blocks_.take(*queue_, number));
    blocks_.leave(*queue_, number);
    if (tap) show_block(i, tap);
  }
  const Bf16Rows stream{run_.stream.data(), tokens, config().width};
  layer_norm_bf16(*queue_, stream, modulation(blocks, 0), run_.projections.data());
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
  const Status begun = check_begun();
  if (!begun) return begun.error();
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
  const Status begun = check_begun();
  if (!begun) return begun.error();
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

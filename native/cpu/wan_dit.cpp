#include "cpu/wan_dit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "cpu/attention.h"
#include "cpu/norm.h"
#include "cpu/sla.h"
#include "cpu/wan_dit_patches.h"
#include "cpu/wan_dit_taps.h"
#include "cpu/wan_dit_weights.h"
#include "engine/clip_check.h"
#include "engine/text.h"

namespace turboclip::cpu {
namespace {

const float kScale = 1.0f / std::sqrt(static_cast<float>(kHeadWidth));

/// Keys and values of the prompt for one block's cross-attention, by head. The rows past the prompt are all
/// the same row: it stands once, last, and counts as often as it is repeated.
using CrossKeys = std::vector<PackedKeys>;

/// What stays the same over the steps of one clip.
struct ClipState {
  ModelLatentShape shape;
  DenoiserSettings settings;
  std::vector<float> text_rows;  // [rows, text_width], one of zeros last for all that are padded
  std::vector<float> text;       // [rows, C], the same through text_embedding
  Tensor image;                  // [in_channels - 16, T, h, w] or empty
  RotaryTable rotary;            // [L, 64] twice
  std::vector<CrossKeys> cross;  // by block
  float padding_bias = 0;        // log of how often the last text row counts
  std::int64_t tokens = 0;       // L
};

/// Activations of one call, row-major.
struct RunState {
  std::vector<float> x;        // [L, C], the residual stream
  std::vector<float> normed;   // [L, C]
  std::vector<float> q, k, v;  // [L, C]
  std::vector<float> mixed;    // [L, C]
  std::vector<float> hidden;   // [L, ffn]
};

/// The six rows of one block's modulation: shift, 1 + gain and gate of attention, then of the feed-forward
/// part.
enum ModulationRow : std::size_t { kAttnShift, kAttnGain, kAttnGate, kFfnShift, kFfnGain, kFfnGate };

Error cancelled() { return Error{ErrorCode::cancelled, "cancelled while denoising"}; }

class WanDit : public Denoiser {
 public:
  WanDit(const Context& context, DitModel model)
      : context_(context), config_(model.config), weights_(std::move(model.weights)) {}

  const DenoiserConfig& config() const override { return config_; }

  Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                    const DenoiserSettings& settings, const CancelFlag& cancel) override;
  Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                          const Progress& progress, const Tap& tap) override;

 private:
  std::int64_t text_count() const {
    return static_cast<std::int64_t>(clip_.text.size()) / std::max<std::int64_t>(1, config_.width);
  }
  std::vector<float> embed_text(const std::vector<float>& text, std::int64_t rows) const;
  void show_text(const LinearTap& tap) const;
  CrossKeys cross_keys(const AttentionWeights& weights, const std::vector<float>& text,
                       std::int64_t rows) const;
  std::pair<std::vector<float>, std::vector<float>> embed_time(double timestep, const LinearTap& tap) const;
  Status run_block(std::size_t index, const std::vector<float>& time_modulation, const CancelFlag& cancel,
                   const Tap& tap);
  Status self_attention(const DitBlockWeights& block, const CancelFlag& cancel, const Tap& tap);
  Status cross_attention(const DitBlockWeights& block, const CrossKeys& keys, const CancelFlag& cancel);
  Status sparse_linear_attention(const DitBlockWeights& block, const CancelFlag& cancel, const Tap& tap);
  template <class Body>
  Status for_query_blocks(const CancelFlag& cancel, const Body& body);

  Rows stream(std::vector<float>& values) const { return {values.data(), clip_.tokens, config_.width}; }
  HeadRows head(const std::vector<float>& values, std::int64_t index) const {
    return {values.data() + index * kHeadWidth, clip_.tokens, config_.width, kHeadWidth};
  }
  AttentionBlock query_block(std::int64_t head_index, std::int64_t block);

  Context context_;
  DenoiserConfig config_;
  DitWeights weights_;
  ClipState clip_;
  RunState run_;
};

Status WanDit::begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                          const DenoiserSettings& settings, const CancelFlag& cancel) {
  const Status valid = check_clip(config_, shape, conditioning, settings);
  if (!valid) return valid;
  clip_ = {};
  clip_.shape = shape;
  clip_.settings = settings;
  clip_.image = conditioning.image;
  clip_.tokens = shape.frames * (shape.height / 2) * (shape.width / 2);
  clip_.rotary = make_rotary_table(shape.frames, shape.height / 2, shape.width / 2);
  const std::int64_t real = conditioning.text.size(0);
  const std::int64_t padded = kTextRows - real;
  const std::int64_t rows = real + (padded > 0 ? 1 : 0);
  if (padded > 0) clip_.padding_bias = std::log(static_cast<float>(padded));
  clip_.text_rows = conditioning.text.values;
  clip_.text_rows.resize(static_cast<std::size_t>(rows * config_.text_width), 0.0f);
  clip_.text = embed_text(clip_.text_rows, rows);
  for (const DitBlockWeights& block : weights_.blocks) {
    if (cancel.requested) return cancelled();
    clip_.cross.push_back(cross_keys(block.cross_attn, clip_.text, rows));
  }
  return success();
}

/// Text rows through text_embedding: [rows, C].
std::vector<float> WanDit::embed_text(const std::vector<float>& text, std::int64_t rows) const {
  std::vector<float> hidden(static_cast<std::size_t>(rows * config_.width));
  std::vector<float> out(hidden.size());
  linear(context_, text.data(), rows, weights_.text_in, hidden.data(), Activation::gelu);
  linear(context_, hidden.data(), rows, weights_.text_out, out.data());
  return out;
}

/// text_embedding's layers were computed when the clip began: once more for who wants to see them.
void WanDit::show_text(const LinearTap& tap) const {
  if (!tap) return;
  std::vector<float> hidden(clip_.text.size());
  linear(context_, clip_.text_rows.data(), text_count(), weights_.text_in, hidden.data(), Activation::gelu);
  tap.show("text_embedding.", "0", clip_.text_rows.data(), text_count(), weights_.text_in);
  tap.show("text_embedding.", "2", hidden.data(), text_count(), weights_.text_out);
}

CrossKeys WanDit::cross_keys(const AttentionWeights& weights, const std::vector<float>& text,
                             std::int64_t rows) const {
  std::vector<float> k(static_cast<std::size_t>(rows * config_.width));
  std::vector<float> v(k.size());
  linear(context_, text.data(), rows, weights.k, k.data());
  linear(context_, text.data(), rows, weights.v, v.data());
  rms_norm(context_, {k.data(), rows, config_.width}, weights.norm_k.data());
  CrossKeys keys;
  for (std::int64_t h = 0; h < config_.heads; ++h) {
    const std::int64_t offset = h * kHeadWidth;
    keys.push_back(pack_keys({k.data() + offset, rows, config_.width, kHeadWidth},
                             {v.data() + offset, rows, config_.width, kHeadWidth}));
  }
  return keys;
}

/// e [C] and e0 [6, C] of a timestep (s * 1000).
std::pair<std::vector<float>, std::vector<float>> WanDit::embed_time(double timestep,
                                                                     const LinearTap& tap) const {
  constexpr std::int64_t kHalf = kFrequencies / 2;
  std::vector<float> waves(static_cast<std::size_t>(kFrequencies));
  for (std::int64_t i = 0; i < kHalf; ++i) {
    const double angle = timestep * std::pow(10'000.0, -static_cast<double>(i) / kHalf);
    waves[i] = static_cast<float>(std::cos(angle));
    waves[kHalf + i] = static_cast<float>(std::sin(angle));
  }
  std::vector<float> hidden(static_cast<std::size_t>(config_.width));
  std::vector<float> e(hidden.size());
  std::vector<float> e0(6 * hidden.size());
  tap.show("time_embedding.", "0", waves.data(), 1, weights_.time_in);
  linear(context_, waves.data(), 1, weights_.time_in, hidden.data(), Activation::silu);
  tap.show("time_embedding.", "2", hidden.data(), 1, weights_.time_out);
  linear(context_, hidden.data(), 1, weights_.time_out, e.data());
  hidden = e;
  context_.kernels.silu(hidden.data(), config_.width);
  tap.show("time_projection.", "1", hidden.data(), 1, weights_.time_projection);
  linear(context_, hidden.data(), 1, weights_.time_projection, e0.data());
  return {std::move(e), std::move(e0)};
}

Result<Tensor> WanDit::velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                                const Progress& progress, const Tap& tap) {
  const auto [frames, height, width] = clip_.shape;
  if (x.shape != Shape{kLatentChannels, frames, height, width}) {
    return Error{ErrorCode::request_invalid, concat("the state has shape ", shape_text(x.shape),
                                                    ", expected that of the clip that was begun")};
  }
  const auto rows = [&](std::int64_t columns) {
    return std::vector<float>(static_cast<std::size_t>(clip_.tokens * columns));
  };
  const std::int64_t c = config_.width;
  run_ = {};  // or the last step's would live beside this one's
  run_ = {rows(c), rows(c), rows(c), rows(c), rows(c), rows(c), rows(config_.ffn)};
  const LinearTap linears(context_, tap);
  std::vector<float> patches = to_patches(x, clip_.image, config_.in_channels);
  linears.show("", "patch_embedding", patches.data(), clip_.tokens, weights_.patch_embedding);
  linear(context_, patches.data(), clip_.tokens, weights_.patch_embedding, run_.x.data());
  const auto [e, e0] = embed_time(timestep, linears);
  show_text(linears);
  for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
    const Status done = run_block(i, e0, cancel, tap);
    if (!done) return done.error();
    if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(weights_.blocks.size()));
  }
  std::vector<float> modulation = weights_.head_modulation;
  for (std::int64_t row = 0; row < 2; ++row)
    context_.kernels.axpy(modulation.data() + row * c, e.data(), 1.0f, c);
  modulated_layer_norm(context_, stream(run_.x), modulation.data() + c, modulation.data(),
                       run_.normed.data());
  patches = rows(kLatentChannels * kPatchValues);
  linears.show("head.", "head", run_.normed.data(), clip_.tokens, weights_.head);
  linear(context_, run_.normed.data(), clip_.tokens, weights_.head, patches.data());
  run_ = {};  // the decoder needs the room
  return from_patches(patches, clip_.shape);
}

Status WanDit::run_block(std::size_t index, const std::vector<float>& time_modulation,
                         const CancelFlag& cancel, const Tap& tap) {
  const DitBlockWeights& block = weights_.blocks[index];
  std::vector<float> modulation = block.modulation;
  context_.kernels.axpy(modulation.data(), time_modulation.data(), 1.0f, 6 * config_.width);
  const auto row = [&](ModulationRow r) { return modulation.data() + r * config_.width; };
  const std::int64_t tokens = clip_.tokens;
  const LinearTap linears(context_, tap);
  const std::string prefix = tap ? concat("blocks.", index, ".") : std::string();

  modulated_layer_norm(context_, stream(run_.x), row(kAttnGain), row(kAttnShift), run_.normed.data());
  linears.show(prefix, "self_attn.q", run_.normed.data(), tokens, block.self_attn.q);
  linears.show(prefix, "self_attn.k", run_.normed.data(), tokens, block.self_attn.k);
  linears.show(prefix, "self_attn.v", run_.normed.data(), tokens, block.self_attn.v);
  Status status = self_attention(block, cancel, index == 0 ? tap : Tap{});
  if (!status) return status;
  linears.show(prefix, "self_attn.o", run_.mixed.data(), tokens, block.self_attn.o);
  linear_add(context_, run_.mixed.data(), tokens, block.self_attn.o, run_.x.data(), row(kAttnGate));

  modulated_layer_norm(context_, stream(run_.x), block.norm3_gain.data(), block.norm3_shift.data(),
                       run_.normed.data());
  linears.show(prefix, "cross_attn.q", run_.normed.data(), tokens, block.cross_attn.q);
  linears.show(prefix, "cross_attn.k", clip_.text.data(), text_count(), block.cross_attn.k);
  linears.show(prefix, "cross_attn.v", clip_.text.data(), text_count(), block.cross_attn.v);
  status = cross_attention(block, clip_.cross[index], cancel);
  if (!status) return status;
  linears.show(prefix, "cross_attn.o", run_.mixed.data(), tokens, block.cross_attn.o);
  linear_add(context_, run_.mixed.data(), tokens, block.cross_attn.o, run_.x.data(), nullptr);

  modulated_layer_norm(context_, stream(run_.x), row(kFfnGain), row(kFfnShift), run_.normed.data());
  linears.show(prefix, "ffn.0", run_.normed.data(), tokens, block.ffn_in);
  linear(context_, run_.normed.data(), tokens, block.ffn_in, run_.hidden.data(), Activation::gelu);
  if (cancel.requested) return cancelled();
  linears.show(prefix, "ffn.2", run_.hidden.data(), tokens, block.ffn_out);
  linear_add(context_, run_.hidden.data(), tokens, block.ffn_out, run_.x.data(), row(kFfnGate));
  if (tap) {
    Tensor out({1, tokens, config_.width});
    out.values = run_.x;
    tap.take(concat("block", index), out);
  }
  return success();
}

/// Runs body(head, query block) for all, and stops between them when asked to.
template <class Body>
Status WanDit::for_query_blocks(const CancelFlag& cancel, const Body& body) {
  const std::int64_t blocks = ceil_div(clip_.tokens, kQueryBlock);
  context_.pool.for_each(config_.heads * blocks, [&](std::int64_t task) {
    if (!cancel.requested) body(task / blocks, task % blocks);
  });
  if (cancel.requested) return cancelled();
  return success();
}

/// Queries of one head and block, from run_.q into run_.mixed.
AttentionBlock WanDit::query_block(std::int64_t head_index, std::int64_t block) {
  const std::int64_t row = block * kQueryBlock;
  const std::int64_t offset = row * config_.width + head_index * kHeadWidth;
  AttentionBlock out;
  out.q = run_.q.data() + offset;
  out.q_stride = config_.width;
  out.rows = std::min(kQueryBlock, clip_.tokens - row);
  out.scale = kScale;
  out.out = run_.mixed.data() + offset;
  out.out_stride = config_.width;
  return out;
}

Status WanDit::self_attention(const DitBlockWeights& block, const CancelFlag& cancel, const Tap& tap) {
  const AttentionWeights& weights = block.self_attn;
  linear(context_, run_.normed.data(), clip_.tokens, weights.q, run_.q.data());
  linear(context_, run_.normed.data(), clip_.tokens, weights.k, run_.k.data());
  linear(context_, run_.normed.data(), clip_.tokens, weights.v, run_.v.data());
  rms_norm(context_, stream(run_.q), weights.norm_q.data());
  rms_norm(context_, stream(run_.k), weights.norm_k.data());
  apply_rotary(context_, stream(run_.q), clip_.rotary);
  apply_rotary(context_, stream(run_.k), clip_.rotary);
  if (clip_.settings.attention == Attention::sla) return sparse_linear_attention(block, cancel, tap);
  std::vector<PackedKeys> keys(static_cast<std::size_t>(config_.heads));
  context_.pool.for_each(config_.heads,
                         [&](std::int64_t h) { keys[h] = pack_keys(head(run_.k, h), head(run_.v, h)); });
  return for_query_blocks(
      cancel, [&](std::int64_t h, std::int64_t q) { attend(context_.kernels, keys[h], query_block(h, q)); });
}

Status WanDit::sparse_linear_attention(const DitBlockWeights& block, const CancelFlag& cancel,
                                       const Tap& tap) {
  struct Head {
    PackedKeys keys;
    BlockMap map;
    LinearBranch branch;
  };
  std::vector<Head> heads(static_cast<std::size_t>(config_.heads));
  context_.pool.for_each(config_.heads, [&](std::int64_t h) {
    const HeadRows k = head(run_.k, h);
    heads[h].keys = pack_keys(k, head(run_.v, h));
    heads[h].map = make_block_map(head(run_.q, h), k, clip_.settings.topk_ratio);
    heads[h].branch = make_linear_branch(context_.kernels, k, heads[h].keys, block.proj_l);
  });
  const auto sparse = [&](std::int64_t h, std::int64_t q) {
    AttentionBlock queries = query_block(h, q);
    queries.key_blocks = heads[h].map.row(q);
    attend(context_.kernels, heads[h].keys, queries);
  };
  const auto add_linear = [&](std::int64_t h, std::int64_t q) {
    const AttentionBlock queries = query_block(h, q);
    add_linear_branch(context_.kernels, heads[h].branch,
                      {queries.q, queries.rows, queries.q_stride, kHeadWidth}, queries.out,
                      queries.out_stride);
  };
  if (!tap) {
    return for_query_blocks(cancel, [&](std::int64_t h, std::int64_t q) {
      sparse(h, q);
      add_linear(h, q);
    });
  }
  // The same, with the branches one after the other, so that each can be shown.
  Status status = for_query_blocks(cancel, sparse);
  if (!status) return status;
  const std::vector<float> sparse_only = run_.mixed;
  std::fill(run_.mixed.begin(), run_.mixed.end(), 0.0f);
  status = for_query_blocks(cancel, add_linear);
  if (!status) return status;
  std::vector<const BlockMap*> maps;
  for (const Head& one : heads) maps.push_back(&one.map);
  show_block_maps(tap, maps);
  tap.take("block0.q", heads_first(run_.q, config_.heads));
  tap.take("block0.k", heads_first(run_.k, config_.heads));
  tap.take("block0.v", heads_first(run_.v, config_.heads));
  tap.take("block0.o_sparse", heads_first(sparse_only, config_.heads));
  tap.take("block0.o_linear", heads_first(run_.mixed, config_.heads));
  context_.kernels.axpy(run_.mixed.data(), sparse_only.data(), 1.0f,
                        static_cast<std::int64_t>(sparse_only.size()));
  return success();
}

Status WanDit::cross_attention(const DitBlockWeights& block, const CrossKeys& keys,
                               const CancelFlag& cancel) {
  linear(context_, run_.normed.data(), clip_.tokens, block.cross_attn.q, run_.q.data());
  rms_norm(context_, stream(run_.q), block.cross_attn.norm_q.data());
  return for_query_blocks(cancel, [&](std::int64_t h, std::int64_t q) {
    AttentionBlock queries = query_block(h, q);
    queries.last_key_bias = clip_.padding_bias;
    attend(context_.kernels, keys[h], queries);
  });
}

}  // namespace

Result<std::unique_ptr<Denoiser>> load_wan_dit(const Checkpoint& checkpoint, const Context& context,
                                               std::int64_t& resident_bytes) {
  Result<DitModel> model = load_dit_weights(checkpoint);
  if (!model) return model.error();
  resident_bytes += model->weights.bytes();
  return std::unique_ptr<Denoiser>(std::make_unique<WanDit>(context, std::move(model).value()));
}

}  // namespace turboclip::cpu

// What a backend must compute. The CPU engine (native/cpu) is the oracle; the CUDA engine stands
// behind the same three interfaces. The sampler and the pipeline know only these.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/error.h"
#include "engine/quant/int8_blocks.h"
#include "engine/sampler/settings.h"
#include "engine/tensor.h"

namespace turboclip {

/// Set from any thread; checked at least once a transformer block, convolution layer and VAE frame.
struct CancelFlag {
  std::atomic<bool> requested{false};
};

/// Called with the work done so far inside the present call, in [0, 1]. May be empty.
using Progress = std::function<void(double fraction)>;

/// Shows tensors of a model's inside, batch 1, so that backends can be compared. Empty in production, where
/// it costs one branch a layer.
///
/// Always shown, under the names of golden sets less the prefix that tells the attention: "block0" [1, L, C]
/// after each block; in SLA, of the first block, "block0.q" "k" "v" "o_sparse" "o_linear" [1, H, L, 128],
/// "block0.lut" [1, H, query blocks, kept] and "block0.block_map" [1, H, query blocks, key blocks].
/// Shown if wanted: the output [1, rows, out] of any linear layer, under its checkpoint name less ".weight",
/// such as "blocks.0.self_attn.q" or "blocks.0.ffn.0": before any activation, norm, gate or residual.
struct Tap {
  std::function<void(const std::string& name, const Tensor& tensor)> take{};
  std::function<bool(const std::string& name)> wants = [](const std::string&) { return false; };

  explicit operator bool() const { return static_cast<bool>(take); }
};

struct ModelLatentShape {
  std::int64_t frames = 0;  // T = 1 + (frames - 1) / 4
  std::int64_t height = 0;  // pixels / 8
  std::int64_t width = 0;
};

enum class Attention { original, sla };

/// umT5: token ids to text rows.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  virtual std::int64_t width() const = 0;
  virtual std::int64_t vocabulary() const = 0;
  /// ids: 1 to 512 tokens, </s> included, no padding. Returns [ids, width] float32: the real rows
  /// only (rows past the prompt are zero by definition and never stored).
  virtual Result<Tensor> encode(std::span<const std::int32_t> ids, const CancelFlag& cancel,
                                const Progress& progress) = 0;
};

struct DenoiserConfig {
  std::int64_t width = 0;  // C
  std::int64_t heads = 0;  // C / 128
  std::int64_t ffn = 0;
  std::int64_t layers = 0;
  std::int64_t text_width = 0;   // umT5 width
  std::int64_t in_channels = 0;  // 16, or 36 for image-to-video
  bool has_sla = false;          // proj_l present
};

struct DenoiserSettings {
  Attention attention = Attention::sla;
  double topk_ratio = 0.1;
};

inline constexpr std::int64_t kLatentChannels = 16;
/// Rows of text that a model reads; those past the prompt are zeros.
inline constexpr std::int64_t kTextRows = 512;

/// What stays the same over the steps of one clip.
struct Conditioning {
  Tensor text;   // [rows, text_width], rows <= 512; the missing rows up to 512 are zeros
  Tensor image;  // [in_channels - 16, T, height, width] or empty
};

/// TurboWan's transformer.
class Denoiser {
 public:
  virtual ~Denoiser() = default;
  virtual const DenoiserConfig& config() const = 0;
  /// Fixes shape, conditioning and attention of the clip's steps: text rows through text_embedding,
  /// cross-attention k and v computed once. Must precede velocity().
  virtual Status begin_clip(const ModelLatentShape& shape, const Conditioning& conditioning,
                            const DenoiserSettings& settings, const CancelFlag& cancel) = 0;
  /// x: [16, T, height, width]; timestep = s * 1000, rounded by the caller if at all.
  /// Returns the velocity, of x's shape.
  virtual Result<Tensor> velocity(const Tensor& x, double timestep, const CancelFlag& cancel,
                                  const Progress& progress, const Tap& tap) = 0;
  /// All steps of the clip that was begun, from the noise of `seed` (docs/noise.md): what sample() of rcm.h
  /// makes of velocity(), for a backend that keeps the state where it computes. `cancel` is looked at between
  /// steps. Nothing where there is no such way.
  virtual std::optional<Result<Tensor>> sample_clip(const SamplerSettings&, std::uint64_t /*seed*/,
                                                    const CancelFlag&, const StepProgress&) {
    return std::nullopt;
  }
  /// Bytes of the device that another stage of the next clip takes, after its steps: begin_clip() sees to it
  /// that they will be there, or refuses the clip.
  virtual void expect_stage(std::int64_t /*bytes*/) {}
};

/// Frames [first, first + count) of a clip, as produced: rgb is [count, height, width, 3], nominally in
/// [-1, 1] and not clamped.
using FrameSink = std::function<Status(std::int64_t first, const Tensor& rgb)>;

/// The same as `bytes` of NV12 (nv12.h), valid during the call.
using Nv12Sink =
    std::function<Status(std::int64_t first, std::int64_t count, std::span<const std::uint8_t> bytes)>;

/// Latent to frames: Wan's VAE, or TAEHV, which is small and a likeness of it.
class VideoDecoder {
 public:
  virtual ~VideoDecoder() = default;
  /// z: [16, T, height, width] as the sampler leaves it (normalised). Streams 1 + 4 (T - 1) frames
  /// of (8 height) x (8 width) pixels to sink, one latent frame at a time.
  virtual Status decode(const Tensor& z, const FrameSink& sink, const CancelFlag& cancel,
                        const Progress& progress) = 0;
  /// The same, with the bytes that to_nv12() makes of decode()'s frames. Nothing where there is no better way
  /// than that.
  virtual std::optional<Status> decode_nv12(const Tensor& /*z*/, const Nv12Sink&, const CancelFlag&,
                                            const Progress&) {
    return std::nullopt;
  }
  /// Bytes of the device that decoding such a latent takes beside the weights.
  virtual std::int64_t device_bytes(const ModelLatentShape&) const { return 0; }
};

/// Files of a model set.
struct EnginePaths {
  std::filesystem::path denoiser;
  std::filesystem::path text_encoder;
  std::filesystem::path vae;
  std::filesystem::path tiny_decoder{};  // TAEHV; empty: none
};

/// The largest clip that a set is going to make, as far as its memory goes.
struct LargestClip {
  std::int64_t width = 0;   // pixels
  std::int64_t height = 0;  // pixels
  std::int64_t frames = 0;
  bool tiny = false;  // decoded by TAEHV
  DenoiserSettings settings{};
};

struct DeviceBytes {
  std::int64_t held = 0;
  std::int64_t peak = 0;
};

/// Opens models on one device. A model that borrows weights from the checkpoint's mapping keeps a copy of the
/// Checkpoint; otherwise the caller may close it after the load.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "cpu", "cuda"
  virtual Result<std::unique_ptr<TextEncoder>> load_text_encoder(const Checkpoint& checkpoint) = 0;
  virtual Result<std::unique_ptr<Denoiser>> load_denoiser(const Checkpoint& checkpoint) = 0;
  virtual Result<std::unique_ptr<VideoDecoder>> load_video_decoder(const Checkpoint& checkpoint) = 0;
  /// x w^T of two matrices in the INT8 form, each slice of 128 summed exactly: the product inside the models'
  /// W8A8 layers on its own, so that it can be judged. x: [rows, in], w: [out, in]; returns [rows, out].
  virtual Result<Tensor> int8_product(const Int8Blocks& x, const Int8Blocks& w) = 0;
  /// Bytes of host and device memory that the loaded models hold.
  virtual std::int64_t resident_bytes() const = 0;
  /// Whether denoisers and video decoders keep their weights and compute in host memory.
  virtual bool draws_on_host() const { return true; }
  /// The same of text encoders.
  virtual bool encodes_on_host() const { return true; }
  /// Decides where the models of a set go, before the first of them is loaded: on the device, or partly in
  /// the host's memory. out_of_memory, with need, have and what would fit, when there is no room for them and
  /// the clip, if one is named.
  virtual Status plan_load(const EnginePaths&, const std::optional<LargestClip>&) { return success(); }
  /// Bytes of the device that the process holds, and the most that it held; nothing where models compute on
  /// the host.
  virtual std::optional<DeviceBytes> device_bytes() const { return std::nullopt; }
  /// Where models of this backend compute, in words that tell it from others: engines of one process that
  /// name the same place share what they read of one file. Empty: never.
  virtual std::string place() const { return {}; }
  /// The same of the text encoder, whose weights may be kept in several ways.
  virtual std::string text_place() const { return place(); }
  /// Bytes of host memory that loads and clips may still take; nothing when the backend does not compute
  /// there, or the system does not tell.
  virtual std::optional<std::int64_t> available_memory() const { return std::nullopt; }
};

struct CpuOptions {
  int threads = 0;  // 0: one per core
  /// Bytes that may still be allocated, 0 for unknown; empty asks the system.
  std::function<std::int64_t()> available_memory{};
};
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);

}  // namespace turboclip

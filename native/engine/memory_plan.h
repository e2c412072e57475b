// What a model set and a clip take of the host's memory when the CPU computes, known from the checkpoints'
// headers before any weight is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/checkpoint.h"

namespace turboclip {

/// Weights as the engine keeps them, and the largest piece of scratch that loading one tensor takes.
struct WeightMemory {
  std::int64_t resident = 0;
  std::int64_t scratch = 0;

  void add(const WeightMemory& other);
};

/// One layer of a decoder that matters for memory.
struct DecoderStage {
  /// `head` is the VAE's last convolution, over three frames; `output` TAEHV's, over one.
  enum class Kind { residual, attention, upsample, head, memory, grow, output };
  Kind kind;
  std::int64_t in;
  std::int64_t out;
  std::int64_t stride = 1;  // frames made of one, from the second latent frame on
};

/// What is needed of the headers to plan any clip.
struct ModelSizes {
  WeightMemory weights;
  DenoiserConfig denoiser;
  bool int8_weights = false;    // of the denoiser's blocks
  std::int64_t text_width = 0;  // umT5
  std::int64_t text_ffn = 0;
  std::vector<DecoderStage> vae;
  std::vector<DecoderStage> tiny;  // empty without TAEHV
};

/// Adds what the file's tensors tell. Files that are not of the expected kind add nothing: the loader says
/// what is wrong with them.
void add_denoiser(ModelSizes& sizes, const Checkpoint& checkpoint);
void add_text_encoder(ModelSizes& sizes, const Checkpoint& checkpoint);
void add_decoder(ModelSizes& sizes, const Checkpoint& checkpoint, std::vector<DecoderStage>& stages);

struct ClipSize {
  std::int64_t width = 0;   // pixels
  std::int64_t height = 0;  // pixels
  std::int64_t frames = 0;
  std::int64_t tokens = 0;  // of the prompt
};

/// "1.7 GiB", the unit of TURBOCLIP_DEVICE_MEMORY_GIB.
std::string gibibytes(std::int64_t bytes);

/// Bytes at the peak of making a clip, over and above the loaded weights.
std::int64_t clip_memory(const ModelSizes& sizes, const ClipSize& clip,
                         const std::vector<DecoderStage>& stages);
/// Of its decoding alone, without the finished pictures.
std::int64_t decode_memory(const std::vector<DecoderStage>& stages, const ModelLatentShape& latent);

/// out_of_memory with need, have and what would help, unless the weights fit `available`.
Status check_load_memory(const ModelSizes& sizes, std::int64_t available);
/// The same for a clip: what would fit is a shorter clip, a smaller one, or TAEHV in place of the VAE.
Status check_clip_memory(const ModelSizes& sizes, const ClipSize& clip, bool tiny, std::int64_t available);

}  // namespace turboclip

// Checkpoints of one model go by three sets of names: the official ones, those of Diffusers and Transformers,
// and ComfyUI's. This is the one place that knows all three; everything else knows the official names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/tensor.h"

namespace turboclip {

/// The tensors under their official names, as thu-ml/TurboDiffusion and Wan-AI publish them. A patch
/// embedding that is kept as a convolution [C, in, 1, 2, 2] becomes the linear layer [C, in * 4] that it is.
/// Tensors that are of no model with names in the table are handed back as they are.
///
/// architecture_unknown names the first tensor that the recognised model does not have; format_invalid one
/// that stands there twice. `path` is for messages only.
Result<std::map<std::string, TensorView, std::less<>>> with_official_names(
    std::map<std::string, TensorView, std::less<>> tensors, const std::filesystem::path& path);

/// The official names, "blocks.0.ffn.0" and others, of the linear layers of a transformer's block that -quant
/// checkpoints hold as INT8.
std::vector<std::string> int8_layers(std::int64_t block);

}  // namespace turboclip

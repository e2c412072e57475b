// What is timed: single kernels at the shapes of real models, and whole models of the demo set.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cpu/context.h"
#include "engine/error.h"

namespace turboclip::bench {

/// A kernel with its inputs. run() computes; error() then compares a sample of the output with float64
/// arithmetic written out: ||output - reference|| / ||reference||.
struct KernelCase {
  std::string name;
  double flop;  // of the definition: what a padded or folded form computes besides does not count
  std::function<void(const cpu::Context&)> run;
  std::function<double()> error;
};

/// y = x W^T + b; rows x in -> out.
KernelCase gemm_case(const std::string& name, std::int64_t rows, std::int64_t in, std::int64_t out);
/// One head of 128 over `tokens` rows, dense.
KernelCase attention_case(const std::string& name, std::int64_t tokens);
/// A causal 3x3x3 convolution of `count` frames.
struct ConvShape {
  std::int64_t in, out, count, height, width;
};
KernelCase conv_case(const std::string& name, const ConvShape& shape);

/// Files of one model set.
struct ModelFiles {
  std::filesystem::path denoiser, text_encoder, vae;
};

struct ModelSeconds {
  double text_encode = 0;  // one prompt
  double step = 0;         // one step of the transformer
  double decode = 0;       // the whole clip
};

/// The demo's clip (256 x 192, 33 frames) stage by stage.
Result<ModelSeconds> time_models(const ModelFiles& files, int threads);

}  // namespace turboclip::bench

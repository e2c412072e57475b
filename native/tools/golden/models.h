// Runs each model of a golden set on its inputs.
#pragma once

#include <string>
#include <vector>

#include "engine/backend.h"
#include "tools/golden/io_file.h"

namespace turboclip::golden {

struct DenoiserCase {
  double topk_ratio = 0.1;
  double sigma_max = 80;
  std::vector<std::string> taps{};  // linear layers to show, by checkpoint name
};

/// x, t, ctx (and y) -> v_dense, dense.block*, v_sla, sla.block0.*, dense.NAME and sla.NAME of each tap;
/// sampler.*.noise* -> sampler.*.x*.
Status run_denoiser(const Checkpoint& weights, Backend& backend, const DenoiserCase& settings, IoFile& io,
                    const Print& print, Counts& counts);

/// x, t, ctx (and y) -> v_sla and sla.NAME of each tap, by the same model with INT8 weights.
Status run_int8_denoiser(const Checkpoint& weights, Backend& backend, const DenoiserCase& settings,
                         IoFile& io, const Print& print, Counts& counts);

/// z -> video.
Status run_vae(const Checkpoint& weights, Backend& backend, IoFile& io, const Print& print, Counts& counts);

/// ids, mask -> embedding, 512 rows, zero past the prompt.
Status run_umt5(const Checkpoint& weights, Backend& backend, IoFile& io, Counts& counts);

}  // namespace turboclip::golden

// The reference's W8A8 product on its own: int8_linear.safetensors.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/backend.h"
#include "tools/golden/report.h"

namespace turboclip::golden {

/// x [rows, in], w [out, in] -> x_q, x_scale, w_q, w_scale in blocks of 128 x 128, and y = x w^T of them.
/// Scales must be within 1e-6 of the reference, at most one INT8 value in 10,000 differ, by one, and y be
/// within 2e-3. Writes them, y as bf16, under the file's name in `out`.
Status run_int8_linear(const Checkpoint& file, Backend& backend,
                       const std::optional<std::filesystem::path>& out, const Print& print, Counts& counts);

}  // namespace turboclip::golden

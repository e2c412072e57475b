// Where a prompt is encoded, and in what weights: a name on both sides of the C interface.
#pragma once

namespace turboclip {

/// On the device in bfloat16 or INT8, or on the host; automatic: what the plan of a set says
/// (cuda/set_plan.h).
enum class TextEncoding { bf16, int8, host, automatic };

}  // namespace turboclip

// umT5-xxl: its kernels at the shapes of a prompt, and whole prompts on random weights.
#pragma once

#include "timing.h"

namespace turboclip::bench {

/// Prints a table of the kernels and one of the prompts; an error of the device as a status.
Status time_text_encoder(cuda::Queue& queue, const Ceilings& card, const Ceilings& other);

}  // namespace turboclip::bench

// The video decoders: their convolutions at the VAE's shapes, and whole clips on random weights.
#pragma once

#include "timing.h"

namespace turboclip::bench {

/// Prints a table of the kernels and one of the clips; an error of the device as a status.
Status time_decoders(cuda::Queue& queue, const Ceilings& card, const Ceilings& other);

}  // namespace turboclip::bench

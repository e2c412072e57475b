// The ceiling that the kernels are measured against: multiply-adds that never leave the registers.
#pragma once

#include "cpu/context.h"

namespace turboclip::bench {

/// Floating-point operations a second (two a multiply-add) of all of the pool's threads together, with the
/// vector width of `context.kernels`. The best of a few short runs, since other work only ever slows one.
double fma_peak(const cpu::Context& context);

}  // namespace turboclip::bench

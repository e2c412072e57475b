// The ceiling that a kernel is measured against: multiply-adds on registers alone.
#pragma once

#include "cpu/context.h"

namespace turboclip::bench {

/// FLOP a second (a multiply-add counts 2) of independent multiply-adds in the registers of this kernel set's
/// instructions, on every thread of the pool at once, timed as the kernels are.
double register_peak(const cpu::Kernels& kernels, cpu::ThreadPool& pool);

}  // namespace turboclip::bench

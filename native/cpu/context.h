// What every operation needs: threads to spread over, and the instruction set's kernels.
#pragma once

#include "cpu/kernels.h"
#include "engine/thread_pool.h"

namespace turboclip::cpu {

using turboclip::ThreadPool;

struct Context {
  ThreadPool& pool;
  const Kernels& kernels;
};

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace turboclip::cpu

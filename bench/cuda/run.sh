#!/bin/bash
# Builds the kernels, checks them on this machine's card and times them: bench/cuda/run.sh [folder for the report].
# Needs nvcc, cmake, a C++20 compiler and a GPU; neither Node nor a network. Leaves report.md, and the logs of
# compute-sanitizer where it is installed, unless TURBOCLIP_SANITIZE=no.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${1:-build/cuda-bench}"
mkdir -p "$out"
cmake -S native -B build/cuda -DCMAKE_BUILD_TYPE=Release -DTURBOCLIP_TESTS=OFF -DTURBOCLIP_CUDA_BENCH=ON
cmake --build build/cuda --target turboclip_cuda_bench -j "$(nproc)"
bench=build/cuda/cuda/cuda_bench
# cuBLAS is timed beside our products where PyTorch brought it.
cublas=$(python3 -c 'import pathlib, site
found = [p.parent for s in site.getsitepackages() for p in pathlib.Path(s).glob("nvidia/*/lib/libcublasLt.so*")]
print(found[0] if found else "")' 2>/dev/null || true)
export LD_LIBRARY_PATH="$cublas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
{
  echo "# CUDA kernels"
  echo
  echo "$(git rev-parse --short HEAD 2>/dev/null || echo 'no commit'), $(date -u +%F)"
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv,noheader || true
  # A fault in Hopper's own kernels shall not cost the figures of the others.
  timeout 180 "$bench" || timeout 180 "$bench" --without "wgmma attention" || timeout 180 "$bench" --without wgmma
  timeout 300 "$bench" --clips || echo "the clips were not timed to their end"
  if python3 -c 'import torch' 2> /dev/null; then python3 bench/cuda/libraries.py; fi
  # The same PTX, compiled by the driver: what a card does for which there is no machine code.
  CUDA_FORCE_PTX_JIT=1 timeout 180 "$bench" --without wgmma --check > "$out/jit.log" 2>&1 \
    && echo "checks on the driver's own machine code: passed" || echo "checks on the driver's machine code: see jit.log"
} | tee "$out/report.md"
if [ "${TURBOCLIP_SANITIZE:-yes}" != no ] && command -v compute-sanitizer > /dev/null; then
  for tool in memcheck synccheck initcheck racecheck; do
    # racecheck knows neither the order that barriers of tensor copies give (gemm_wgmma.cu), nor initcheck what they
    # write to memory: tiles without for them.
    tiles=()
    [ "$tool" = racecheck ] && tiles=(--without wgmma --without "tensor copies")
    [ "$tool" = initcheck ] && tiles=(--without wgmma)
    timeout 300 compute-sanitizer --tool "$tool" --print-limit 1000 --error-exitcode 1 "$bench" "${tiles[@]}" --check \
      > "$out/$tool.log" 2>&1 && echo "$tool: clean" || echo "$tool: see $out/$tool.log"
  done | tee -a "$out/report.md"
fi

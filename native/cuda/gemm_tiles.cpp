#include "cuda/gemm_tiles.h"

#include <cstring>

namespace turboclip::cuda {
namespace {

constexpr GemmTiles kAll[] = {GemmTiles::rows128,     GemmTiles::rows192,     GemmTiles::rows192_deep,
                              GemmTiles::wgmma,       GemmTiles::wgmma_turns, GemmTiles::wgmma_origin,
                              GemmTiles::wgmma_pairs, GemmTiles::wgmma_all};

std::vector<const char*> left_out;

bool runs_on(GemmTiles tiles, const Device& device) {
  for (const char* word : left_out) {
    if (std::strstr(name(tiles), word) != nullptr) return false;
  }
  switch (tiles) {
    case GemmTiles::rows128:
    case GemmTiles::rows192:
      return true;
    case GemmTiles::rows192_deep:
      return device.shared_bytes >= kDeepSharedBytes;
    default:
      return device.major == 9;
  }
}

}  // namespace

void leave_out_tiles(const char* word) { left_out.push_back(word); }

const char* name(GemmTiles tiles) {
  switch (tiles) {
    case GemmTiles::rows128:
      return "128x128, 3 stages";
    case GemmTiles::rows192:
      return "192x128, 2 stages";
    case GemmTiles::rows192_deep:
      return "192x128, 3 stages";
    case GemmTiles::wgmma:
      return "wgmma";
    case GemmTiles::wgmma_turns:
      return "wgmma, turns";
    case GemmTiles::wgmma_origin:
      return "wgmma, origin";
    case GemmTiles::wgmma_pairs:
      return "wgmma, pairs";
    case GemmTiles::wgmma_all:
      return "wgmma, turns, origin, pairs";
  }
  return "";
}

std::vector<GemmTiles> gemm_tiles(const Device& device) {
  std::vector<GemmTiles> out;
  for (const GemmTiles tiles : kAll) {
    if (runs_on(tiles, device)) out.push_back(tiles);
  }
  return out;
}

GemmTiles best_gemm_tiles(const Device& device, std::int64_t rows) {
  constexpr std::int64_t kFewRows = 1024;  // as the text's: a smaller tile wastes less of its rows
  if (rows < kFewRows) return GemmTiles::rows128;
  // Not wgmma's before one of them has passed on a card and been timed: bench/results/cuda-log.md.
  return runs_on(GemmTiles::rows192_deep, device) ? GemmTiles::rows192_deep : GemmTiles::rows192;
}

}  // namespace turboclip::cuda

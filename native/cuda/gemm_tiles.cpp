#include "cuda/gemm_tiles.h"

#include <cstring>

namespace turboclip::cuda {
namespace {

std::vector<const char*> left_out;

bool runs_on(GemmTiles tiles, const Device& device) {
  for (const char* word : left_out) {
    if (std::strstr(name(tiles), word) != nullptr) return false;
  }
  return tiles == GemmTiles::portable || device.major == 9;
}

}  // namespace

void leave_out_tiles(const char* word) { left_out.push_back(word); }

const char* name(GemmTiles tiles) { return tiles == GemmTiles::wgmma ? "wgmma" : "portable"; }

std::vector<GemmTiles> gemm_tiles(const Device& device) {
  std::vector<GemmTiles> out;
  for (const GemmTiles tiles : {GemmTiles::portable, GemmTiles::wgmma}) {
    if (runs_on(tiles, device)) out.push_back(tiles);
  }
  return out;
}

GemmTiles best_gemm_tiles(const Device& device) {
  return runs_on(GemmTiles::wgmma, device) ? GemmTiles::wgmma : GemmTiles::portable;
}

}  // namespace turboclip::cuda

#include "cuda/gemm_tiles.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace turboclip::cuda {
namespace {

std::vector<const char*> words_left_out;

bool runs_on(GemmTiles tiles, const Device& device) {
  return tiles == GemmTiles::portable || device.major == 9 ||
         (tiles == GemmTiles::tensor_copies && device.major > 9);
}
bool runs_on(AttentionTiles tiles, const Device& device) {
  return tiles != AttentionTiles::wgmma || device.major == 9;
}

template <class Tiles>
std::vector<Tiles> tiles_on(const Device& device, std::initializer_list<Tiles> all) {
  std::vector<Tiles> out;
  for (const Tiles tiles : all) {
    if (!left_out(name(tiles)) && runs_on(tiles, device)) out.push_back(tiles);
  }
  if (out.empty()) out.push_back(Tiles::portable);  // where words leave out all
  return out;
}

}  // namespace

void leave_out_tiles(const char* word) { words_left_out.push_back(word); }
void take_tiles_again(const char* word) {
  const auto last = std::find_if(words_left_out.rbegin(), words_left_out.rend(),
                                 [&](const char* other) { return std::strcmp(other, word) == 0; });
  if (last != words_left_out.rend()) words_left_out.erase(std::next(last).base());
}
bool left_out(const char* name) {
  for (const char* word : words_left_out) {
    if (std::strstr(name, word) != nullptr) return true;
  }
  return false;
}

const char* name(GemmTiles tiles) {
  if (tiles == GemmTiles::tensor_copies) return "tensor copies";
  return tiles == GemmTiles::wgmma ? "wgmma" : "portable";
}
const char* name(AttentionTiles tiles) {
  if (tiles == AttentionTiles::e4m3) return "e4m3 attention";
  return tiles == AttentionTiles::wgmma ? "wgmma attention" : "portable attention";
}

// The best is last, by what cards have shown (bench/results/cuda-log.md).
std::vector<GemmTiles> gemm_tiles(const Device& device) {
  return tiles_on(device, {GemmTiles::portable, GemmTiles::tensor_copies, GemmTiles::wgmma});
}
std::vector<AttentionTiles> attention_tiles(const Device& device) {
  // Hopper has no e4m3 for mma.sync: ptxas makes it of halves there, right and slow. Others multiply it four
  // times as fast as bfloat16 with float32 sums (decision 143), by their rates: none has run it yet.
  if (device.major == 9) {
    return tiles_on(device, {AttentionTiles::e4m3, AttentionTiles::portable, AttentionTiles::wgmma});
  }
  return tiles_on(device, {AttentionTiles::portable, AttentionTiles::e4m3});
}

GemmTiles best_gemm_tiles(const Device& device) { return gemm_tiles(device).back(); }
AttentionTiles best_attention_tiles(const Device& device) { return attention_tiles(device).back(); }

}  // namespace turboclip::cuda

#include "cuda/conv_tiles.h"

#include <limits>

#include "cuda/gemm_tiles.h"

namespace turboclip::cuda {
namespace {

/// One of Hopper's.
template <class Tiles>
struct Choice {
  Tiles tiles;
  const char* name;
  int columns;
  int width, height;  // pixels
  double rate;        // that it multiplies at, of the fastest's
};
constexpr Choice<ConvTiles> kConvs[] = {
    {ConvTiles::wgmma_128, "wgmma convolution, 128", 128, 16, 16, 1},
    {ConvTiles::wgmma_96, "wgmma convolution, 96", 96, 32, 16, 1},
    {ConvTiles::wgmma_96_small, "wgmma convolution, 96 small", 96, 16, 16, 0.98},
    {ConvTiles::wgmma_64, "wgmma convolution, 64", 64, 32, 16, 0.9}};
constexpr Choice<PairTiles> kPairs[] = {
    {PairTiles::wgmma, "wgmma convolution of pairs", 96, 16, 16, 1},
    {PairTiles::wgmma_small, "wgmma convolution of pairs, small", 96, 16, 8, 0.9}};

constexpr const char* kPortable[] = {"portable convolution", "half-sum convolution"};
constexpr const char* kPortableOfPairs[] = {"portable convolution of pairs", "half-sum convolution of pairs"};

/// A GeForce card multiplies halves at half the rate where the sums are float32 (RTX 5090: 209 and 419
/// TFLOP/s by its datasheet).
bool half_sums_pay(const Device& device) {
  return !left_out(kPortable[1]) && (device.major == 8 || device.major == 12 || left_out(kPortable[0]));
}

template <class Tiles>
bool fits(const Choice<Tiles>& choice, const Device& device, const ConvWeight& weight) {
  // Narrow outputs, such as RGB, stay with the portable kernels.
  return device.major == 9 && !left_out(choice.name) && choice.columns % weight.columns == 0 &&
         weight.columns >= 64 && weight.column_blocks * weight.columns % choice.columns == 0;
}

template <class Tiles, std::size_t Count>
std::vector<Tiles> fitting(const Choice<Tiles> (&choices)[Count], const Device& device,
                           const ConvWeight& weight) {
  std::vector<Tiles> out{Tiles::portable, Tiles::half_sums};
  for (const Choice<Tiles>& choice : choices) {
    if (fits(choice, device, weight)) out.push_back(choice.tiles);
  }
  return out;
}

/// The one whose rounds take least: the last round is as long as the others. tiles: of a width and height in
/// pixels, in the output.
template <class Tiles, std::size_t Count, class Size>
Tiles best(const Choice<Tiles> (&choices)[Count], const Device& device, const Size& x,
           const ConvWeight& weight, int phases) {
  Tiles best = half_sums_pay(device) ? Tiles::half_sums : Tiles::portable;
  double least = std::numeric_limits<double>::infinity();
  for (const Choice<Tiles>& choice : choices) {
    if (!fits(choice, device, weight)) continue;
    const std::int64_t tiles = ceil_div(x.height, choice.height) * ceil_div(x.width, choice.width) *
                               (weight.column_blocks * weight.columns / choice.columns) * phases;
    const double cost = static_cast<double>(ceil_div(tiles, device.multiprocessors) * choice.columns *
                                            choice.width * choice.height) /
                        choice.rate;
    if (cost >= least) continue;
    best = choice.tiles;
    least = cost;
  }
  return best;
}

template <class Tiles, std::size_t Count>
const char* name_of(const Choice<Tiles> (&choices)[Count], Tiles tiles, const char* const (&portable)[2]) {
  for (const Choice<Tiles>& choice : choices) {
    if (choice.tiles == tiles) return choice.name;
  }
  return portable[tiles == Tiles::half_sums ? 1 : 0];
}

}  // namespace

const char* name(ConvTiles tiles) { return name_of(kConvs, tiles, kPortable); }
const char* name(PairTiles tiles) { return name_of(kPairs, tiles, kPortableOfPairs); }

bool is_wgmma(ConvTiles tiles) { return tiles != ConvTiles::portable && tiles != ConvTiles::half_sums; }
bool is_wgmma(PairTiles tiles) { return tiles != PairTiles::portable && tiles != PairTiles::half_sums; }

std::vector<ConvTiles> conv_tiles(const Device& device, const ConvWeight& weight) {
  return fitting(kConvs, device, weight);
}
std::vector<PairTiles> pair_tiles(const Device& device, const ConvWeight& weight) {
  return fitting(kPairs, device, weight);
}

bool pairs_pay_at_full_size(const Device& device) { return device.major == 9 && !left_out(kPairs[0].name); }

ConvTiles best_conv_tiles(const Device& device, const ConvInput& x, const ConvWeight& weight) {
  return best(kConvs, device, x, weight, weight.phases);
}
PairTiles best_pair_tiles(const Device& device, const ConvPlanes& x, const ConvWeight& weight) {
  return best(kPairs, device, x, weight, 1);
}

}  // namespace turboclip::cuda

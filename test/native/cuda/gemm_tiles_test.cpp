#include "cuda/gemm_tiles.h"

#include "check.h"
#include "cuda/conv_tiles.h"

namespace turboclip::test {
namespace {

TEST("attention multiplies e4m3 where the card does, which Hopper does not") {
  using cuda::AttentionTiles;
  CHECK(cuda::best_attention_tiles({.major = 8}) == AttentionTiles::e4m3);
  CHECK(cuda::best_attention_tiles({.major = 9}) == AttentionTiles::wgmma);
  CHECK(cuda::best_attention_tiles({.major = 12}) == AttentionTiles::e4m3);
  CHECK_EQUAL(cuda::attention_tiles({.major = 9}).size(), 3u);
  cuda::leave_out_tiles("wgmma");
  CHECK(cuda::best_attention_tiles({.major = 9}) == AttentionTiles::portable);
  cuda::leave_out_tiles("e4m3");
  CHECK(cuda::best_attention_tiles({.major = 12}) == AttentionTiles::portable);
  cuda::take_tiles_again("wgmma");
  CHECK(cuda::best_attention_tiles({.major = 12}) == AttentionTiles::portable);
  cuda::take_tiles_again("e4m3");
  CHECK(cuda::best_attention_tiles({.major = 12}) == AttentionTiles::e4m3);
  cuda::leave_out_tiles("attention");
  CHECK(cuda::best_attention_tiles({.major = 12}) == AttentionTiles::portable);
  cuda::take_tiles_again("attention");
}

TEST("INT8 products take tensor copies where a card has them, and Hopper its own") {
  using cuda::GemmTiles;
  CHECK(cuda::best_gemm_tiles({.major = 8}) == GemmTiles::portable);
  CHECK(cuda::best_gemm_tiles({.major = 9}) == GemmTiles::wgmma);
  CHECK(cuda::best_gemm_tiles({.major = 12}) == GemmTiles::tensor_copies);
}

TEST("convolutions add up in halves on GeForce cards, and in float32 where that costs nothing") {
  using cuda::ConvTiles;
  cuda::ConvWeight weight{};
  weight.columns = 16;  // too few for Hopper's own
  weight.column_blocks = 1;
  weight.phases = 1;
  const cuda::ConvInput x{{}, 16, 16, 16};
  CHECK(cuda::best_conv_tiles({.major = 8}, x, weight) == ConvTiles::half_sums);
  CHECK(cuda::best_conv_tiles({.major = 9}, x, weight) == ConvTiles::portable);
  CHECK(cuda::best_conv_tiles({.major = 10}, x, weight) == ConvTiles::portable);
  CHECK(cuda::best_conv_tiles({.major = 12}, x, weight) == ConvTiles::half_sums);
  CHECK(cuda::best_pair_tiles({.major = 12}, {{}, 16, 16, 16}, weight) == cuda::PairTiles::half_sums);
}

}  // namespace
}  // namespace turboclip::test

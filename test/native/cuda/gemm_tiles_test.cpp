#include "cuda/gemm_tiles.h"

#include "check.h"

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
}

}  // namespace
}  // namespace turboclip::test

// One transformer block's kernels at the true shapes, on random operands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/gemm_w8a8.h"
#include "timing.h"

namespace turboclip::bench {

struct ModelShape {
  std::string name;
  std::int64_t heads, ffn, layers;
  std::int64_t frames, height, width;  // of the grid of tokens
  std::int64_t text_rows;

  std::int64_t tokens() const { return frames * height * width; }
};

/// Owns the operands of the cases.
class BlockCases {
 public:
  BlockCases(cuda::Queue& queue, const ModelShape& shape);
  ~BlockCases();
  /// In the order of a block. `times` of a case: how often a block runs it.
  struct Case {
    Work work;
    int times = 1;
  };
  std::vector<Case> cases();

  /// A linear layer of the block, in any tiles.
  struct Product {
    std::string name;
    cuda::Int8Rows x;
    cuda::Int8Weight weight;
    double bytes;  // that must move
    int times;
    std::function<void(cuda::ChosenTiles)> run;

    double operations() const {
      return 2.0 * static_cast<double>(x.rows) * static_cast<double>(weight.out) *
             static_cast<double>(weight.in);
    }
  };
  std::vector<Product> products();

  /// Sparse attention in any tiles.
  void attend(cuda::ChosenAttention tiles);

 private:
  struct Operands;
  cuda::Queue& queue_;
  ModelShape shape_;
  std::unique_ptr<Operands> operands_;
};

}  // namespace turboclip::bench

// A TAEHV checkpoint of random weights, with every tensor of the decoder and small widths.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "cpu/reference.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint/safetensors.h"
#include "support.h"

namespace turboclip::test {

/// Channels of the three levels of blocks and of decoder.20; odd ones, since no size is special.
inline constexpr std::int64_t kTaehvWidths[] = {5, 4, 3, 6};
using TaehvWeights = std::map<std::string, Tensor>;

/// Random weights. `spare` more rows stand before the ones that count in the second TGrow.
inline TaehvWeights random_taehv(std::int64_t spare) {
  const auto [a, b, c, d] = kTaehvWidths;
  std::vector<std::pair<std::string, Shape>> shapes{
      {"1", {a, 16, 3, 3}}, {"7.conv", {a, a, 1, 1}},
      {"8", {b, a, 3, 3}},  {"13.conv", {spare + 2 * b, b, 1, 1}},
      {"14", {c, b, 3, 3}}, {"19.conv", {2 * c, c, 1, 1}},
      {"20", {d, c, 3, 3}}, {"22", {3, d, 3, 3}},
  };
  for (int block = 0; block < 9; ++block) {
    const std::int64_t width = kTaehvWidths[block / 3];
    const std::string name = std::to_string(3 + block + 3 * (block / 3)) + ".conv.";
    shapes.push_back({name + "0", {width, 2 * width, 3, 3}});
    shapes.push_back({name + "2", {width, width, 3, 3}});
    shapes.push_back({name + "4", {width, width, 3, 3}});
  }
  TaehvWeights weights;
  std::uint64_t seed = 100;
  for (const auto& [name, shape] : shapes) {
    Tensor weight(shape);
    weight.values = random_values(element_count(shape), ++seed);
    const auto fan_in = static_cast<float>(element_count(shape) / std::max<std::int64_t>(shape[0], 1));
    for (float& value : weight.values) value *= 2 / std::sqrt(fan_in);
    weights["decoder." + name + ".weight"] = weight;
    const bool has_bias = shape[3] == 3 && name != "8" && name != "14" && name != "20";
    if (!has_bias) continue;
    Tensor bias({shape[0]});
    bias.values = random_values(shape[0], ++seed);
    weights["decoder." + name + ".bias"] = bias;
  }
  return weights;
}

inline Checkpoint save_taehv(const TaehvWeights& weights, const TemporaryFolder& folder) {
  std::vector<NamedBytes> tensors;
  for (const auto& [name, tensor] : weights) {
    const auto* bytes = reinterpret_cast<const std::byte*>(tensor.data());
    tensors.push_back({name, DType::f32, tensor.shape, {bytes, bytes + 4 * tensor.values.size()}});
  }
  const auto path = folder.path() / "taew2_1.safetensors";
  CHECK(write_safetensors(path, std::move(tensors)).ok());
  return std::move(Checkpoint::open(path)).value();
}

}  // namespace turboclip::test

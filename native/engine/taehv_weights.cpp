#include "engine/taehv_weights.h"

#include <algorithm>
#include <utility>

namespace turboclip {
namespace {

constexpr std::int64_t kTaps = 9;

/// The 3x3 convolution after rows [first, first + in of conv) of the 1x1 one, as one 3x3 convolution: nothing
/// that is not linear stands between them, and without biases the border's zeros stay zeros. Summed in
/// float64.
Tensor compose(const Tensor& conv, const Tensor& grow, std::int64_t first) {
  const std::int64_t out = conv.size(0);
  const std::int64_t middle = conv.size(1);
  const std::int64_t in = grow.size(1);
  Tensor composed({out, in, 3, 3});
  std::vector<double> sums(static_cast<std::size_t>(in * kTaps));
  for (std::int64_t o = 0; o < out; ++o) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::int64_t m = 0; m < middle; ++m) {
      const float* taps = conv.data() + (o * middle + m) * kTaps;
      const float* row = grow.data() + (first + m) * in;
      for (std::int64_t i = 0; i < in; ++i) {
        for (std::int64_t tap = 0; tap < kTaps; ++tap)
          sums[i * kTaps + tap] += double{taps[tap]} * double{row[i]};
      }
    }
    std::copy(sums.begin(), sums.end(), composed.values.begin() + o * in * kTaps);
  }
  return composed;
}

}  // namespace

Result<ConvTensors> load_taehv_conv(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                    std::int64_t in) {
  Result<Tensor> weight = checkpoint.require_float(name + ".weight", {out, in, 3, 3});
  if (!weight) return weight.error();
  Result<Tensor> bias = checkpoint.require_float(name + ".bias", {weight->size(0)});
  if (!bias) return bias.error();
  weight->shape.insert(weight->shape.begin() + 2, 1);
  return ConvTensors{std::move(weight).value(), std::move(bias->values)};
}

Result<ConvTensors> load_taehv_memory_conv(const Checkpoint& checkpoint, const std::string& name,
                                           std::int64_t in) {
  Result<ConvTensors> stored = load_taehv_conv(checkpoint, name, in, 2 * in);
  if (!stored) return stored.error();
  // Stored channels are [x, past]; as a convolution over time the past comes first.
  Tensor over_time({in, in, 2, 3, 3});
  for (std::int64_t i = 0; i < element_count(over_time.shape); ++i) {
    const std::int64_t tap = i % kTaps;
    const std::int64_t moment = i / kTaps % 2;
    const std::int64_t channel = i / (2 * kTaps) % in;
    const std::int64_t o = i / (2 * kTaps * in);
    over_time.values[i] = stored->weight.values[(o * 2 * in + (1 - moment) * in + channel) * kTaps + tap];
  }
  return ConvTensors{std::move(over_time), std::move(stored->bias)};
}

Result<ConvTensors> load_taehv_rgb_conv(const Checkpoint& checkpoint, const std::string& name,
                                        std::int64_t in) {
  Result<ConvTensors> weights = load_taehv_conv(checkpoint, name, 3, in);
  if (!weights) return weights.error();
  for (float& value : weights->weight.values) value *= 2;
  for (float& value : weights->bias) value = 2 * value - 1;
  return weights;
}

Result<std::vector<Tensor>> load_taehv_grow_convs(const Checkpoint& checkpoint, const TaehvGrow& names,
                                                  std::int64_t in) {
  const std::int64_t needed = names.stride * in;
  const TensorView* stored = checkpoint.find(names.grow + ".conv.weight");
  // A file made for more frames a step holds more rows; the last are those of fewer.
  const bool longer = stored != nullptr && stored->shape.size() == 4 && stored->shape[0] > needed;
  const Result<Tensor> grow =
      checkpoint.require_float(names.grow + ".conv.weight", {longer ? -1 : needed, in, 1, 1});
  if (!grow) return grow.error();
  const Result<Tensor> conv = checkpoint.require_float(names.conv + ".weight", {-1, in, 3, 3});
  if (!conv) return conv.error();
  std::vector<Tensor> moments;
  for (std::int64_t moment = 0; moment < names.stride; ++moment) {
    moments.push_back(compose(conv.value(), grow.value(), grow.value().size(0) - needed + moment * in));
  }
  return moments;
}

}  // namespace turboclip

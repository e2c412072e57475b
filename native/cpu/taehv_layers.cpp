#include "cpu/taehv_layers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cpu/conv.h"

namespace turboclip::cpu {
namespace {

constexpr std::int64_t kTaps = 9;

float relu(float value) { return std::max(value, 0.0f); }
float as_is(float value) { return value; }

/// The frames, each value through `change`, with the convolution's border.
CausalConv::Input bordered(const Context& context, const CausalConv& conv, const Frames& x,
                           float (*change)(float)) {
  CausalConv::Input input = conv.make_input(x.count, x.height, x.width);
  context.pool.for_each(x.count * x.height, [&](std::int64_t task) {
    const float* from = x.values.data() + task * x.width * x.channels;
    float* to = input.frame(task / x.height) + task % x.height * input.row_stride();
    std::transform(from, from + x.width * x.channels, to, change);
  });
  return input;
}

Frames convolve(const Context& context, CausalConv& conv, const Frames& x, float (*change)(float)) {
  return conv.run(context, bordered(context, conv, x, change));
}

/// `<name>.weight` [out, in, 3, 3] and `<name>.bias` [out]; sizes of -1 accept any.
struct PlaneWeights {
  Tensor weight;
  std::vector<float> bias;

  /// Over one frame: [out, in, 1, 3, 3].
  CausalConv conv() const {
    Tensor over_frames = weight;
    over_frames.shape.insert(over_frames.shape.begin() + 2, 1);
    return CausalConv(over_frames, bias);
  }
};

Result<PlaneWeights> load_plane(const Checkpoint& checkpoint, const std::string& name, std::int64_t out,
                                std::int64_t in) {
  Result<Tensor> weight = checkpoint.require_float(name + ".weight", {out, in, 3, 3});
  if (!weight) return weight.error();
  Result<Tensor> bias = checkpoint.require_float(name + ".bias", {weight->size(0)});
  if (!bias) return bias.error();
  return PlaneWeights{std::move(weight).value(), std::move(bias->values)};
}

class InputLayer : public VaeLayer {
 public:
  explicit InputLayer(CausalConv conv) : conv_(std::move(conv)) {}
  Frames run(const Context& context, Frames x) override {
    Frames y = convolve(context, conv_, x, as_is);
    std::transform(y.values.begin(), y.values.end(), y.values.begin(), relu);
    return y;
  }
  void reset() override { conv_.reset(); }
  std::int64_t out() const override { return conv_.out(); }
  std::int64_t bytes() const override { return conv_.bytes(); }

 private:
  CausalConv conv_;
};

class MemoryLayer : public VaeLayer {
 public:
  MemoryLayer(CausalConv first, CausalConv second, CausalConv third)
      : first_(std::move(first)), second_(std::move(second)), third_(std::move(third)) {}

  Frames run(const Context& context, Frames x) override {
    Frames y = convolve(context, first_, x, as_is);
    y = convolve(context, second_, y, relu);
    y = convolve(context, third_, y, relu);
    const std::int64_t row = y.width * y.channels;
    context.pool.for_each(y.count * y.height, [&](std::int64_t task) {
      const float* skip = x.values.data() + task * row;
      float* out = y.values.data() + task * row;
      for (std::int64_t i = 0; i < row; ++i) out[i] = relu(out[i] + skip[i]);
    });
    return y;
  }
  void reset() override {
    for (CausalConv* conv : {&first_, &second_, &third_}) conv->reset();
  }
  std::int64_t out() const override { return third_.out(); }
  std::int64_t bytes() const override { return first_.bytes() + second_.bytes() + third_.bytes(); }

 private:
  CausalConv first_;  // over the frame before and the present one
  CausalConv second_;
  CausalConv third_;
};

class GrowLayer : public VaeLayer {
 public:
  explicit GrowLayer(std::vector<UpsampleConv> moments) : moments_(std::move(moments)) {}

  Frames run(const Context& context, Frames x) override {
    if (moments_.size() == 1) return moments_.front().run(context, x);
    const auto stride = static_cast<std::int64_t>(moments_.size());
    Frames out(x.count * stride, 2 * x.height, 2 * x.width, this->out());
    const auto frame_size = static_cast<std::ptrdiff_t>(out.values.size()) / out.count;
    for (std::int64_t moment = 0; moment < stride; ++moment) {
      const Frames y = moments_[static_cast<std::size_t>(moment)].run(context, x);
      for (std::int64_t f = 0; f < x.count; ++f) {
        std::copy_n(y.values.begin() + f * frame_size, frame_size,
                    out.values.begin() + (f * stride + moment) * frame_size);
      }
    }
    return out;
  }
  void reset() override {}
  std::int64_t out() const override { return moments_.front().out(); }
  std::int64_t bytes() const override {
    std::int64_t total = 0;
    for (const UpsampleConv& moment : moments_) total += moment.bytes();
    return total;
  }

 private:
  std::vector<UpsampleConv> moments_;  // by position among the frames made of one
};

class OutputLayer : public VaeLayer {
 public:
  explicit OutputLayer(CausalConv conv) : conv_(std::move(conv)) {}
  Frames run(const Context& context, Frames x) override { return convolve(context, conv_, x, relu); }
  void reset() override { conv_.reset(); }
  std::int64_t out() const override { return conv_.out(); }
  std::int64_t bytes() const override { return conv_.bytes(); }

 private:
  CausalConv conv_;
};

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
      for (std::int64_t i = 0; i < in * kTaps; ++i)
        sums[i] += double{taps[i % kTaps]} * double{row[i / kTaps]};
    }
    std::copy(sums.begin(), sums.end(), composed.values.begin() + o * in * kTaps);
  }
  return composed;
}

template <class Layer, class... Parts>
LoadedTaehvLayer made(Parts&&... parts) {
  return std::unique_ptr<VaeLayer>(std::make_unique<Layer>(std::forward<Parts>(parts)...));
}

}  // namespace

LoadedTaehvLayer load_taehv_input(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  const Result<PlaneWeights> weights = load_plane(checkpoint, name, -1, in);
  if (!weights) return weights.error();
  return made<InputLayer>(weights.value().conv());
}

LoadedTaehvLayer load_taehv_memory(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in) {
  const Result<PlaneWeights> first = load_plane(checkpoint, prefix + ".conv.0", in, 2 * in);
  if (!first) return first.error();
  const Result<PlaneWeights> second = load_plane(checkpoint, prefix + ".conv.2", in, in);
  if (!second) return second.error();
  const Result<PlaneWeights> third = load_plane(checkpoint, prefix + ".conv.4", in, in);
  if (!third) return third.error();
  // Stored channels are [x, past]; as a convolution over time the past comes first.
  Tensor over_time({in, in, 2, 3, 3});
  for (std::int64_t i = 0; i < element_count(over_time.shape); ++i) {
    const std::int64_t tap = i % kTaps;
    const std::int64_t moment = i / kTaps % 2;
    const std::int64_t channel = i / (2 * kTaps) % in;
    const std::int64_t o = i / (2 * kTaps * in);
    over_time.values[i] =
        first.value().weight.values[(o * 2 * in + (1 - moment) * in + channel) * kTaps + tap];
  }
  return made<MemoryLayer>(CausalConv(over_time, first.value().bias), second.value().conv(),
                           third.value().conv());
}

LoadedTaehvLayer load_taehv_grow(const Checkpoint& checkpoint, const GrowNames& names, std::int64_t in) {
  const std::int64_t needed = names.stride * in;
  const TensorView* stored = checkpoint.find(names.grow + ".conv.weight");
  // A file made for more frames a step holds more rows; the last are those of fewer.
  const bool longer = stored != nullptr && stored->shape.size() == 4 && stored->shape[0] > needed;
  const Result<Tensor> grow =
      checkpoint.require_float(names.grow + ".conv.weight", {longer ? -1 : needed, in, 1, 1});
  if (!grow) return grow.error();
  const Result<Tensor> conv = checkpoint.require_float(names.conv + ".weight", {-1, in, 3, 3});
  if (!conv) return conv.error();
  const std::vector<float> no_bias(static_cast<std::size_t>(conv.value().size(0)));
  std::vector<UpsampleConv> moments;
  for (std::int64_t moment = 0; moment < names.stride; ++moment) {
    const std::int64_t first = grow.value().size(0) - needed + moment * in;
    moments.emplace_back(compose(conv.value(), grow.value(), first), no_bias);
  }
  return made<GrowLayer>(std::move(moments));
}

LoadedTaehvLayer load_taehv_output(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  Result<PlaneWeights> weights = load_plane(checkpoint, name, 3, in);
  if (!weights) return weights.error();
  for (float& value : weights->weight.values) value *= 2;
  for (float& value : weights->bias) value = 2 * value - 1;
  return made<OutputLayer>(weights.value().conv());
}

}  // namespace turboclip::cpu

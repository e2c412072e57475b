#include "cpu/taehv_layers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cpu/conv.h"

namespace turboclip::cpu {
namespace {

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

CausalConv conv(const ConvTensors& tensors) { return CausalConv(tensors.weight, tensors.bias); }

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

template <class Layer, class... Parts>
LoadedTaehvLayer made(Parts&&... parts) {
  return std::unique_ptr<VaeLayer>(std::make_unique<Layer>(std::forward<Parts>(parts)...));
}

}  // namespace

LoadedTaehvLayer load_taehv_input(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  const Result<ConvTensors> weights = load_taehv_conv(checkpoint, name, -1, in);
  if (!weights) return weights.error();
  return made<InputLayer>(conv(weights.value()));
}

LoadedTaehvLayer load_taehv_memory(const Checkpoint& checkpoint, const std::string& prefix, std::int64_t in) {
  const Result<ConvTensors> first = load_taehv_memory_conv(checkpoint, prefix + ".conv.0", in);
  if (!first) return first.error();
  const Result<ConvTensors> second = load_taehv_conv(checkpoint, prefix + ".conv.2", in, in);
  if (!second) return second.error();
  const Result<ConvTensors> third = load_taehv_conv(checkpoint, prefix + ".conv.4", in, in);
  if (!third) return third.error();
  return made<MemoryLayer>(conv(first.value()), conv(second.value()), conv(third.value()));
}

LoadedTaehvLayer load_taehv_grow(const Checkpoint& checkpoint, const TaehvGrow& names, std::int64_t in) {
  const Result<std::vector<Tensor>> weights = load_taehv_grow_convs(checkpoint, names, in);
  if (!weights) return weights.error();
  std::vector<UpsampleConv> moments;
  for (const Tensor& weight : weights.value()) {
    moments.emplace_back(weight, std::vector<float>(static_cast<std::size_t>(weight.size(0))));
  }
  return made<GrowLayer>(std::move(moments));
}

LoadedTaehvLayer load_taehv_output(const Checkpoint& checkpoint, const std::string& name, std::int64_t in) {
  const Result<ConvTensors> weights = load_taehv_rgb_conv(checkpoint, name, in);
  if (!weights) return weights.error();
  return made<OutputLayer>(conv(weights.value()));
}

}  // namespace turboclip::cpu

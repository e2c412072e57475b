#include "text_encoder.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda/graph.h"
#include "cuda/umt5_attention.h"
#include "cuda/umt5_stack.h"
#include "engine/sampler/philox.h"

namespace turboclip::bench {
namespace {

using cuda::TextPrecision;

constexpr Umt5Config kXxl{256384, 4096, 4096, 64, 10240, 24};

/// Random bytes that are bfloat16 values of up to 2^-5 in size, and as INT8 any.
class RandomBytes {
 public:
  explicit RandomBytes(cuda::Queue& queue) {
    std::vector<std::uint32_t> words;
    while (words.size() < (std::size_t{4} << 20)) {
      for (const std::uint32_t word :
           philox4x32({static_cast<std::uint32_t>(words.size()), 0, 0, 0}, {3, 4})) {
        words.push_back((word & 0x80ff80ffu) | 0x3c003c00u);
      }
    }
    bytes_.upload(queue, words);
    (void)queue.finish();
  }

  void fill(cuda::Queue& queue, void* to, std::int64_t bytes) const {
    for (std::int64_t done = 0; done < bytes; done += bytes_.bytes()) {
      queue.copy("random weights", static_cast<unsigned char*>(to) + done, bytes_.data(),
                 static_cast<std::size_t>(std::min(bytes - done, bytes_.bytes())), cudaMemcpyDeviceToDevice);
    }
  }

 private:
  cuda::DeviceArray<std::uint32_t> bytes_;
};

/// Weights of the true shapes.
cuda::Umt5Weights random_weights(cuda::Queue& queue, const RandomBytes& random, TextPrecision precision) {
  cuda::Umt5Weights weights = cuda::Umt5Weights::allocate(queue, kXxl, precision);
  const auto fill = [&](auto& array, float value) {
    const std::vector<float> values(static_cast<std::size_t>(array.count()), value);
    queue.copy("weights", array.data(), values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice);
    (void)queue.finish();
  };
  fill(weights.norm, 1);
  for (cuda::Umt5Block& block : weights.blocks) {
    fill(block.norm1, 1);
    fill(block.norm2, 1);
    fill(block.bias, 0);
    for (cuda::PackedLayer* layer : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
      random.fill(queue, layer->values.data(), layer->values.bytes());
      fill(layer->scales, 1e-4f);
    }
  }
  return weights;
}

/// The kernels of a block, each time on the next block's weights, so that none are found in L2.
class BlockKernels {
 public:
  BlockKernels(cuda::Queue& queue, const cuda::Umt5Weights& weights, const cuda::Umt5State& state,
               std::int64_t tokens)
      : queue_(queue), weights_(weights), state_(state), tokens_(tokens) {}

  std::vector<Work> all() {
    const auto sums = [&](cuda::PackedLayer cuda::Umt5Block::*layer) {
      return multiply(weights_.blocks.front().*layer);
    };
    const cuda::PartialSums qkv = sums(&cuda::Umt5Block::qkv);
    const cuda::PartialSums o = sums(&cuda::Umt5Block::o);
    const cuda::PartialSums gate_up = sums(&cuda::Umt5Block::gate_up);
    return {
        {"add, norm", 0, 0, 0,
         [this, o] {
           cuda::add_and_norm(queue_, o, state_.x, tokens_, kXxl.width, next().norm1.data(), rows());
         }},
        product("linear qkv", &cuda::Umt5Block::qkv),
        {"attention", 0, 0, 0,
         [this, qkv] {
           cuda::text_attention(queue_, qkv, {kXxl.heads, 64}, next().bias.data(), rows());
         }},
        product("linear o", &cuda::Umt5Block::o),
        product("linear gate, up", &cuda::Umt5Block::gate_up),
        {"GELU, gate", 0, 0, 0, [this, gate_up] { cuda::gate(queue_, gate_up, kXxl.ffn, rows()); }},
        product("linear down", &cuda::Umt5Block::down),
    };
  }

 private:
  const cuda::Umt5Block& next() { return weights_.blocks[turn_++ % weights_.blocks.size()]; }

  cuda::TextRows rows() const {
    if (weights_.precision == TextPrecision::bf16) {
      return {reinterpret_cast<cuda::Bf16*>(state_.rows), nullptr, nullptr};
    }
    return {nullptr, reinterpret_cast<std::int8_t*>(state_.rows), state_.scales};
  }

  cuda::PartialSums multiply(const cuda::PackedLayer& layer) {
    const cuda::TextRows x = rows();
    if (x.bf16 != nullptr) {
      return cuda::multiply_few_rows(queue_, cuda::Bf16Rows{x.bf16, tokens_, layer.in}, layer.view(),
                                     state_.sums);
    }
    return cuda::multiply_few_rows(queue_, cuda::Int8Rows{x.int8, x.scales, tokens_, layer.in}, layer.view(),
                                   state_.sums);
  }

  Work product(const std::string& name, cuda::PackedLayer cuda::Umt5Block::*layer) {
    const cuda::PackedLayer& shape = weights_.blocks.front().*layer;
    const double operations =
        2.0 * static_cast<double>(tokens_) * static_cast<double>(shape.out) * static_cast<double>(shape.in);
    const bool int8 = weights_.precision == TextPrecision::int8;
    return {name, int8 ? operations : 0, int8 ? 0 : operations,
            static_cast<double>(shape.values.bytes() + shape.scales.bytes()),
            [this, layer] { multiply(next().*layer); }};
  }

  cuda::Queue& queue_;
  const cuda::Umt5Weights& weights_;
  const cuda::Umt5State& state_;
  std::int64_t tokens_;
  std::size_t turn_ = 0;
};

struct Prompt {
  std::int64_t tokens;
  Work work;
  double seconds;
  std::int64_t bytes;  // of device memory besides the weights
};

Prompt time_prompt(cuda::Queue& queue, const cuda::Umt5Weights& weights, std::int64_t tokens,
                   const Ceilings& card, const Ceilings& other) {
  const bool int8 = weights.precision == TextPrecision::int8;
  const std::string name = std::string("umT5-xxl, ") + (int8 ? "INT8" : "bf16");
  cuda::Umt5State state;
  const std::int64_t bytes =
      cuda::umt5_prompt_bytes(queue.device(), weights.config, weights.precision, tokens);
  cuda::DeviceArray<unsigned char> memory;
  memory.allocate(queue, bytes);
  if (queue.status())
    queue.check("the state", cudaMemsetAsync(memory.data(), 0, memory.bytes(), queue.stream()));
  state.place(memory.data(), queue.device(), weights.config, weights.precision, tokens);
  std::printf("\n%s, %lld tokens\n\n", name.c_str(), static_cast<long long>(tokens));
  std::printf("| kernel, of a block | ms | Tops/s | TB/s | floor, ms | share | RTX 5090, predicted ms |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  BlockKernels kernels(queue, weights, state, tokens);
  const auto never = [] { return false; };
  cuda::run_umt5(queue, weights, state, tokens, never);
  Work whole{name, 0, 0, 0, [&] { cuda::run_umt5(queue, weights, state, tokens, never); }};
  for (const Work& work : kernels.all()) {
    print_line(card, other, work, median_seconds(queue, work.run));
    whole.int8 += work.int8 * kXxl.layers;
    whole.bf16 += work.bf16 * kXxl.layers;
    whole.bytes += work.bytes * kXxl.layers;
  }
  const double seconds = median_seconds(queue, whole.run);
  cuda::Graph graph;
  graph.record(queue, whole.run);
  const double recorded = median_seconds(queue, [&] { graph.launch(queue); });
  std::printf("\nthe prompt %.3f ms, recorded as one graph %.3f ms\n", seconds * 1e3, recorded * 1e3);
  whole.name += ", " + std::to_string(tokens) + " tokens";
  return {tokens, whole, seconds, bytes};
}

}  // namespace

Status time_text_encoder(cuda::Queue& queue, const Ceilings& card, const Ceilings& other) {
  queue.enter("text encoder");
  const RandomBytes random(queue);
  for (const TextPrecision precision : {TextPrecision::bf16, TextPrecision::int8}) {
    const cuda::Umt5Weights weights = random_weights(queue, random, precision);
    if (!queue.status()) return queue.status();
    std::vector<Prompt> prompts;
    for (const std::int64_t tokens : {20, 100, 512}) {
      prompts.push_back(time_prompt(queue, weights, tokens, card, other));
    }
    std::printf("\n| prompt | ms | Tops/s | TB/s | floor, ms | share | RTX 5090, predicted ms |\n");
    std::printf("|---|---|---|---|---|---|---|\n");
    for (const Prompt& prompt : prompts) print_line(card, other, prompt.work, prompt.seconds);
    constexpr double kGibibyte = 1 << 30;
    std::printf("\nweights %.2f GiB, besides them %.3f GiB for 512 tokens\n",
                static_cast<double>(cuda::umt5_weight_bytes(kXxl, precision)) / kGibibyte,
                static_cast<double>(prompts.back().bytes) / kGibibyte);
    const Status timed = queue.finish();
    if (!timed) return timed;
  }
  return success();
}

}  // namespace turboclip::bench

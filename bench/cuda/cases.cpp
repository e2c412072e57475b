#include "cases.h"

#include "cuda/norm.h"
#include "cuda/run_state.h"
#include "engine/sampler/philox.h"

namespace turboclip::bench {
namespace {

/// Random bytes: operands that never change would time another machine (power, and products by zero).
template <class Value>
void fill(cuda::Queue& queue, cuda::DeviceArray<Value>& array, std::int64_t count, std::uint32_t mask,
          std::uint32_t base) {
  constexpr std::size_t kPattern = 1 << 20;
  std::vector<std::uint32_t> words(kPattern);
  for (std::size_t i = 0; i < kPattern; ++i) {
    words[i] = (philox4x32({static_cast<std::uint32_t>(i), 0, 0, 0}, {1, 2})[0] & mask) | base;
  }
  array.allocate(queue, count);
  auto* to = reinterpret_cast<unsigned char*>(array.data());
  for (std::int64_t done = 0; done < array.bytes(); done += kPattern * 4) {
    const auto bytes = static_cast<std::size_t>(std::min<std::int64_t>(kPattern * 4, array.bytes() - done));
    queue.copy("random operands", to + done, words.data(), bytes, cudaMemcpyHostToDevice);
  }
  (void)queue.finish();
}

void fill(cuda::Queue& queue, cuda::DeviceArray<std::int8_t>& array, std::int64_t count) {
  fill(queue, array, count, 0xffffffffu, 0);
}
/// Values of either sign between 1/2 and 2.
void fill(cuda::Queue& queue, cuda::DeviceArray<cuda::Bf16>& array, std::int64_t count) {
  fill(queue, array, count, 0x80ff80ffu, 0x3f003f00u);
}
/// Values between 1 and 2 times 2^-10, as scales are.
void fill(cuda::Queue& queue, cuda::DeviceArray<float>& array, std::int64_t count) {
  fill(queue, array, count, 0x007fffffu, 0x3a800000u);
}

struct Weight {
  cuda::DeviceArray<std::int8_t> values;
  cuda::DeviceArray<float> scales, bias;
  std::int64_t out, in;

  Weight(cuda::Queue& queue, std::int64_t outputs, std::int64_t inputs) : out(outputs), in(inputs) {
    fill(queue, values, out * in);
    fill(queue, scales, out / 128 * (in / 128));
    fill(queue, bias, out);
  }
  cuda::Int8Weight view() const { return {values.data(), scales.data(), bias.data(), out, in}; }
};

}  // namespace

struct BlockCases::Operands {
  cuda::RunState run;
  Weight qkv, square, ffn_in, ffn_out;
  cuda::DeviceArray<float> vector, proj_l;

  Operands(cuda::Queue& queue, const ModelShape& shape)
      : qkv(queue, 3 * 128 * shape.heads, 128 * shape.heads),
        square(queue, 128 * shape.heads, 128 * shape.heads),
        ffn_in(queue, shape.ffn, 128 * shape.heads),
        ffn_out(queue, 128 * shape.heads, shape.ffn) {
    const std::int64_t width = 128 * shape.heads;
    DenoiserConfig config;
    config.width = width;
    config.heads = shape.heads;
    config.ffn = shape.ffn;
    config.layers = 1;
    config.in_channels = 16;
    // With what any tiles of attention read.
    run.allocate(queue, config, {shape.frames, 2 * shape.height, 2 * shape.width}, {},
                 cuda::AttentionTiles::e4m3);
    const std::int64_t tokens = shape.tokens();
    fill(queue, run.stream, tokens * width);
    fill(queue, run.rows, tokens * width);
    fill(queue, run.row_scales, shape.heads * cuda::scale_stride(tokens));
    fill(queue, run.projections, tokens * 3 * width);
    fill(queue, run.hidden, tokens * shape.ffn);
    fill(queue, run.hidden_scales, shape.ffn / 128 * cuda::scale_stride(tokens));
    fill(queue, run.q_inverse, tokens);
    fill(queue, run.k_inverse, tokens);
    run.text_rows = shape.text_rows;
    run.cross_keys.resize(1);
    fill(queue, run.cross_keys[0], shape.text_rows * 2 * width);
    fill(queue, vector, width);
    fill(queue, proj_l, 128 * 128);
  }
};

BlockCases::BlockCases(cuda::Queue& queue, const ModelShape& shape)
    : queue_(queue), shape_(shape), operands_(std::make_unique<Operands>(queue, shape)) {}
BlockCases::~BlockCases() = default;

std::vector<BlockCases::Product> BlockCases::products() {
  Operands& o = *operands_;
  cuda::RunState& run = o.run;
  cuda::Queue& queue = queue_;
  const cuda::Int8Rows rows{run.rows.data(), run.row_scales.data(), shape_.tokens(), 128 * shape_.heads};
  const cuda::Int8Rows hidden{run.hidden.data(), run.hidden_scales.data(), shape_.tokens(), shape_.ffn};
  std::vector<Product> list;
  const auto add = [&](int times, const char* name, const cuda::Int8Rows& x, const Weight& weight,
                       double out_bytes, auto body) {
    const auto in = static_cast<double>(weight.in);
    const auto out = static_cast<double>(weight.out);
    const auto tokens = static_cast<double>(x.rows);
    list.push_back({name, x, weight.view(), tokens * in + out * in + tokens * out * out_bytes, times, body});
  };
  add(1, "linear qkv", rows, o.qkv, 2, [&queue, rows, &o, &run](cuda::ChosenTiles tiles) {
    cuda::linear_bf16(queue, rows, o.qkv.view(), run.projections.data(), run.squares.data(), tiles);
  });
  add(2, "linear o, cross o", rows, o.square, 4, [&queue, rows, &o, &run](cuda::ChosenTiles tiles) {
    cuda::linear_add(queue, rows, o.square.view(), run.stream.data(), o.vector.data(), tiles);
  });
  add(1, "linear cross q", rows, o.square, 2, [&queue, rows, &o, &run](cuda::ChosenTiles tiles) {
    cuda::linear_bf16(queue, rows, o.square.view(), run.projections.data(), run.squares.data(), tiles);
  });
  add(1, "linear ffn in, GELU", rows, o.ffn_in, 1, [&queue, rows, &o, &run](cuda::ChosenTiles tiles) {
    cuda::linear_gelu_int8(queue, rows, o.ffn_in.view(), run.hidden.data(), run.hidden_scales.data(), tiles);
  });
  add(1, "linear ffn out", hidden, o.ffn_out, 4, [&queue, hidden, &o, &run](cuda::ChosenTiles tiles) {
    cuda::linear_add(queue, hidden, o.ffn_out.view(), run.stream.data(), o.vector.data(), tiles);
  });
  return list;
}

std::vector<BlockCases::Case> BlockCases::cases() {
  Operands& o = *operands_;
  cuda::RunState& run = o.run;
  cuda::Queue& queue = queue_;
  const auto tokens = static_cast<double>(shape_.tokens());
  const double width = 128.0 * static_cast<double>(shape_.heads);
  const double elements = tokens * width;
  const auto heads_count = static_cast<double>(shape_.heads);
  const cuda::Bf16Rows stream{run.stream.data(), shape_.tokens(), 128 * shape_.heads};
  const cuda::Projections projections = run.head_projections();
  const cuda::Heads heads = run.head_views();
  const cuda::Modulation modulation{o.vector.data(), o.vector.data()};
  const double pairs = tokens * static_cast<double>(run.kept) * cuda::kKeyBlock * width;
  const double text = tokens * static_cast<double>(shape_.text_rows) * width;
  std::vector<Case> list;
  const auto add = [&](int times, const char* name, double int8, double bf16, double bytes, auto body,
                       double moved = 0, double e4m3 = 0) {
    list.push_back({{name, int8, bf16, bytes, body, moved, e4m3}, times});
  };
  add(3, "layer_norm_int8", 0, 0, 3 * elements, [&queue, stream, modulation, &run] {
    cuda::layer_norm_int8(queue, stream, modulation, run.rows.data(), run.row_scales.data());
  });
  // Ranges of rows leave a matrix each, which is read again: nobody needs them. q and k of the projections
  // are read once, v once here and once by attention, whose kept blocks it reads again through L2.
  const double parts = heads_count * static_cast<double>(cuda::linear_parts(shape_.tokens())) *
                       static_cast<double>(cuda::kPartFloats * sizeof(float));
  const auto prepare = [&queue, &run, projections, &o](const cuda::Heads& to) {
    cuda::prepare_heads(queue, run.heads, projections, {o.vector.data(), o.vector.data()}, run.angles.view(),
                        to, run.linear_state());
  };
  cuda::Heads without_values = heads;
  without_values.v = nullptr;
  const bool e4m3 = cuda::best_attention_tiles(queue.device()) == cuda::AttentionTiles::e4m3;
  add(
      e4m3 ? 0 : 1, "prepare_heads", 0, 2 * elements * 128, 10 * elements,
      [prepare, without_values] { prepare(without_values); }, parts);
  // Also what attention in e4m3 reads below, on a card whose best is another.
  add(
      e4m3 ? 1 : 0, "prepare_heads, v in e4m3", 0, 2 * elements * 128, 11 * elements,
      [prepare, heads] { prepare(heads); }, parts);
  const double blocks = static_cast<double>(run.heads.key_blocks());
  const double map = static_cast<double>(run.heads.query_blocks() * run.kept * 4);
  add(1, "block_map", 0, 0, heads_count * (2 * blocks * 128 * 4 + map),
      [&queue, &run, heads] { cuda::block_map(queue, run.heads, heads, run.kept, run.lut.data()); });
  const double matrix = heads_count * 128 * (128 * 2 + 4);
  add(
      1, "fold_linear_state", 0, 0, matrix,
      [&queue, &run, &o] { cuda::fold_linear_state(queue, run.heads, o.proj_l.data(), run.linear_state()); },
      parts);
  add(
      1, "sparse_attention", 2 * pairs, 2 * pairs + 2 * elements * 128, (1 + 2 + 1 + 1 + 2) * elements,
      [this] { attend({}); }, 0, 2 * pairs);
  add(1, "cross_attention", 0, 4 * text, 3 * elements, [&queue, &run, heads_count] {
    cuda::cross_attention(queue,
                          {run.projections.data(), run.q_inverse.data(), run.heads.tokens,
                           static_cast<std::int64_t>(heads_count)},
                          run.text_keys(0), run.rows.data(), run.row_scales.data());
  });
  for (const Product& product : products()) {
    list.push_back({{product.name, product.operations(), 0, product.bytes, [product] { product.run({}); }},
                    product.times});
  }
  return list;
}

void BlockCases::attend(cuda::ChosenAttention tiles) {
  cuda::RunState& run = operands_->run;
  cuda::sparse_attention(
      queue_, run.heads, run.head_projections(), run.head_views(),
      {run.lut.data(), run.kept, run.matrix.data(), run.sums.data(), operands_->vector.data()},
      run.rows.data(), run.row_scales.data(), tiles);
}

}  // namespace turboclip::bench

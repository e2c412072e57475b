#include <algorithm>
#include <initializer_list>

#include "check.h"
#include "cpu/reference.h"
#include "cuda/rows.h"
#include "cuda/umt5_encoder.h"
#include "resaved.h"
#include "support.h"
#include "umt5_file.h"

namespace turboclip::test {
namespace {

bool never() { return false; }

std::unique_ptr<cuda::Umt5Encoder> on_device(const Checkpoint& file, cuda::TextPrecision precision) {
  Result<std::unique_ptr<cuda::Umt5Encoder>> loaded = cuda::Umt5Encoder::load(0, file, precision);
  CHECK(loaded.ok());
  return std::move(loaded).value();
}

/// The CPU engine's, which computes on its backend's threads.
struct OnHost {
  std::unique_ptr<Backend> backend = make_cpu_backend({1});
  std::unique_ptr<TextEncoder> encoder;

  explicit OnHost(const Checkpoint& file) {
    Result<std::unique_ptr<TextEncoder>> loaded = backend->load_text_encoder(file);
    CHECK(loaded.ok());
    encoder = std::move(loaded).value();
  }
};

std::vector<std::int32_t> prompt(std::int64_t tokens, std::int64_t vocabulary) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i + 1 < tokens; ++i)
    ids.push_back(static_cast<std::int32_t>((i * 37 + 11) % vocabulary));
  ids.push_back(1);
  return ids;
}

std::vector<float> checked(const Result<Tensor>& rows, const Shape& shape) {
  CHECK(rows.ok());
  if (!rows.ok()) return {};
  CHECK(rows.value().shape == shape);
  return rows.value().values;
}
std::vector<float> rows_of(cuda::Umt5Encoder& encoder, std::int64_t tokens) {
  return checked(encoder.encode(prompt(tokens, encoder.vocabulary()), never), {tokens, encoder.width()});
}
std::vector<float> rows_of(TextEncoder& encoder, std::int64_t tokens) {
  return checked(encoder.encode(prompt(tokens, encoder.vocabulary()), {}, {}), {tokens, encoder.width()});
}

// The golden weights are random and their attention is not scaled, so that its softmax is sharp and makes
// more of what was rounded than a trained model's does.
TEST("umT5 on the device is the golden set's, within 1.2% in bfloat16 and 6% in INT8") {
  const Result<Checkpoint> file = Checkpoint::open(fixture("golden/umt5.pth"));
  const Result<Checkpoint> io = Checkpoint::open(fixture("golden/umt5.io.safetensors"));
  CHECK(file.ok() && io.ok());
  const std::vector<float> mask = to_float(*io.value().find("mask")).values;
  std::vector<std::int32_t> ids;
  for (const float id : to_float(*io.value().find("ids")).values)
    ids.push_back(static_cast<std::int32_t>(id));
  ids.resize(static_cast<std::size_t>(std::count(mask.begin(), mask.end(), 1.0f)));
  std::vector<float> expected = to_float(*io.value().find("embedding")).values;
  for (const cuda::TextPrecision precision : {cuda::TextPrecision::bf16, cuda::TextPrecision::int8}) {
    const std::unique_ptr<cuda::Umt5Encoder> encoder = on_device(file.value(), precision);
    const Result<Tensor> rows = encoder->encode(ids, never);
    CHECK(rows.ok());
    expected.resize(rows.value().values.size());
    CHECK(relative_error(rows.value().values, expected) <
          (precision == cuda::TextPrecision::bf16 ? 1.2e-2 : 6e-2));
  }
}

void check_lengths(const Umt5Config& config, std::initializer_list<std::int64_t> lengths) {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5(config).save(folder);
  const OnHost host(file);
  const std::unique_ptr<cuda::Umt5Encoder> bf16 = on_device(file, cuda::TextPrecision::bf16);
  const std::unique_ptr<cuda::Umt5Encoder> int8 = on_device(file, cuda::TextPrecision::int8);
  for (const std::int64_t tokens : lengths) {
    const std::vector<float> expected = rows_of(*host.encoder, tokens);
    CHECK(relative_error(rows_of(*bf16, tokens), expected) < 5e-3);
    CHECK(relative_error(rows_of(*int8, tokens), expected) < 2e-2);
  }
}

TEST(
    "umT5 on the device is within 0.5% of the CPU engine, in INT8 2%, at every length where its tiles begin "
    "or end") {
  check_lengths({300, 128, 128, 2, 256, 2}, {1, 2, 31, 32, 33, 63, 64, 65, 112, 113, 127, 128, 129});
  check_lengths({300, 128, 128, 4, 128, 1}, {511, 512});  // heads of 32
  check_lengths({300, 256, 128, 2, 384, 3}, {20});        // attention narrower than the rows
}

TEST(
    "a prompt is encoded to the same bytes every time, whatever was encoded in between, in both precisions") {
  const TemporaryFolder folder;
  const Checkpoint file = RandomUmt5({300, 128, 128, 4, 256, 2}).save(folder);
  for (const cuda::TextPrecision precision : {cuda::TextPrecision::bf16, cuda::TextPrecision::int8}) {
    const std::unique_ptr<cuda::Umt5Encoder> encoder = on_device(file, precision);
    const std::vector<float> first = rows_of(*encoder, 40);
    (void)rows_of(*encoder, 130);
    in_both_orders([&] { CHECK(rows_of(*encoder, 40) == first); });
    CHECK(rows_of(*on_device(file, precision), 40) == first);
  }
}

TEST("weights stored as float32 and those rounded to bfloat16 give the same text rows") {
  const TemporaryFolder folder;
  const Checkpoint exact = RandomUmt5({300, 128, 128, 2, 256, 1}).save(folder);
  const std::filesystem::path path = folder.path() / "bf16.safetensors";
  resave(exact, path, [](NamedBytes& tensor) {
    const std::vector<std::byte> floats = std::move(tensor.bytes);
    tensor.dtype = DType::bf16;
    tensor.bytes.clear();
    for (std::size_t i = 0; i < floats.size(); i += 4) {
      tensor.bytes.insert(tensor.bytes.end(), {floats[i + 2], floats[i + 3]});
    }
  });
  const Result<Checkpoint> rounded = Checkpoint::open(path);
  CHECK(rounded.ok());
  for (const cuda::TextPrecision precision : {cuda::TextPrecision::bf16, cuda::TextPrecision::int8}) {
    CHECK(rows_of(*on_device(exact, precision), 9) == rows_of(*on_device(rounded.value(), precision), 9));
  }
}

TEST(
    "a prompt of no tokens, too many, or one outside the vocabulary is refused in words, and so is a "
    "cancelled one") {
  const TemporaryFolder folder;
  const std::unique_ptr<cuda::Umt5Encoder> encoder =
      on_device(RandomUmt5({300, 128, 128, 2, 128, 1}).save(folder), cuda::TextPrecision::bf16);
  const auto refused = [&](const std::vector<std::int32_t>& ids) {
    const Result<Tensor> rows = encoder->encode(ids, never);
    CHECK(!rows.ok() && rows.error().code == ErrorCode::request_invalid);
    return rows.error().message;
  };
  CHECK(mentions(refused({}), {"1 to 512 tokens", "has 0"}));
  CHECK(mentions(refused(prompt(513, 300)), {"1 to 512 tokens", "has 513"}));
  CHECK(mentions(refused({5, 300}), {"token 1 is 300", "vocabulary of 300"}));
  CHECK(mentions(refused({-1}), {"token 0 is -1"}));
  const Result<Tensor> stopped = encoder->encode(prompt(5, 300), [] { return true; });
  CHECK(!stopped.ok() && stopped.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(rows_of(*encoder, 5).size(), std::size_t{5 * 128});
}

TEST(
    "a text encoder of sizes that the device does not take, or another model's file, is refused before it is "
    "loaded") {
  const TemporaryFolder folder;
  for (const Umt5Config& config : {Umt5Config{300, 192, 128, 2, 256, 1}, Umt5Config{300, 128, 128, 1, 256, 1},
                                   Umt5Config{300, 128, 128, 2, 200, 1}}) {
    const Result<std::unique_ptr<cuda::Umt5Encoder>> loaded =
        cuda::Umt5Encoder::load(0, RandomUmt5(config).save(folder), cuda::TextPrecision::bf16);
    CHECK(!loaded.ok() && loaded.error().code == ErrorCode::tensor_shape);
    CHECK(mentions(loaded.error().message,
                   {"umt5.safetensors", "multiples of 128", "TURBOCLIP_TEXT_ENCODER=host"}));
  }
  const Result<Checkpoint> other = Checkpoint::open(fixture("golden/wan_vae.pth"));
  const Result<std::unique_ptr<cuda::Umt5Encoder>> wrong =
      cuda::Umt5Encoder::load(0, other.value(), cuda::TextPrecision::bf16);
  CHECK(!wrong.ok() && wrong.error().code == ErrorCode::architecture_unknown);
}

TEST("a tensor of the text encoder that is missing or of another shape is named") {
  const TemporaryFolder folder;
  const Checkpoint whole = RandomUmt5({300, 128, 128, 2, 128, 2}).save(folder);
  const auto without = [&](const std::string& name, bool reshaped) {
    const std::filesystem::path path = folder.path() / "damaged.safetensors";
    resave(whole, path, [&](NamedBytes& tensor) {
      if (tensor.name != name) return;
      if (!reshaped) tensor.name.clear();
      if (reshaped) tensor.shape = {element_count(tensor.shape), 1};
    });
    const Result<Checkpoint> file = Checkpoint::open(path);
    CHECK(file.ok());
    const Result<std::unique_ptr<cuda::Umt5Encoder>> loaded =
        cuda::Umt5Encoder::load(0, file.value(), cuda::TextPrecision::int8);
    CHECK(!loaded.ok());
    CHECK(mentions(loaded.error().message, {name, "damaged.safetensors"}));
  };
  for (const bool reshaped : {false, true}) {
    without("blocks.1.ffn.fc2.weight", reshaped);
    without("blocks.1.pos_embedding.embedding.weight", reshaped);
    without("norm.weight", reshaped);
  }
}

}  // namespace
}  // namespace turboclip::test

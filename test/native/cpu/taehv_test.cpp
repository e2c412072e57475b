// TAEHV against its definition: every layer over the whole clip at once, in plain float64 loops and in the
// order in which the published model has them, nothing folded and nothing streamed.
#include <cmath>

#include "check.h"
#include "cpu/reference.h"
#include "engine/backend.h"
#include "support.h"
#include "taehv_file.h"

namespace turboclip::test {
namespace {

constexpr std::int64_t kLatent = 16;
using Weights = TaehvWeights;

/// [frames, channels, height, width]
struct Clip {
  std::int64_t frames, channels, height, width;
  std::vector<double> values;

  Clip(std::int64_t f, std::int64_t c, std::int64_t h, std::int64_t w)
      : frames(f), channels(c), height(h), width(w), values(static_cast<std::size_t>(f * c * h * w)) {}
  double& at(std::int64_t f, std::int64_t c, std::int64_t y, std::int64_t x) {
    return values[((f * channels + c) * height + y) * width + x];
  }
  /// Zero outside the picture.
  double get(std::int64_t f, std::int64_t c, std::int64_t y, std::int64_t x) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return 0;
    return values[((f * channels + c) * height + y) * width + x];
  }
};

/// The published model, layer by layer.
class Reference {
 public:
  explicit Reference(const Weights& weights) : weights_(weights) {}

  Clip decode(const Tensor& z) const {
    Clip x(z.size(1), kLatent, z.size(2), z.size(3));
    for (std::int64_t f = 0; f < x.frames; ++f) {
      for (std::int64_t i = 0; i < kLatent * x.height * x.width; ++i) {
        const std::int64_t pixels = x.height * x.width;
        const double value = z.values[(i / pixels * x.frames + f) * pixels + i % pixels];
        x.values[f * kLatent * pixels + i] = std::tanh(value / 3) * 3;
      }
    }
    x = relu(conv(x, "1"));
    for (const int block : {3, 4, 5}) x = memory(x, std::to_string(block));
    x = conv(grow(doubled(x), "7.conv", 1), "8");
    for (const int block : {9, 10, 11}) x = memory(x, std::to_string(block));
    x = conv(grow(doubled(x), "13.conv", 2), "14");
    for (const int block : {15, 16, 17}) x = memory(x, std::to_string(block));
    x = conv(relu(conv(grow(doubled(x), "19.conv", 2), "20")), "22");
    return x;
  }

 private:
  const Tensor& weight(const std::string& name) const { return weights_.at("decoder." + name + ".weight"); }

  static Clip relu(Clip x) {
    for (double& value : x.values) value = std::max(value, 0.0);
    return x;
  }

  Clip conv(const Clip& x, const std::string& name) const {
    const Tensor& w = weight(name);
    const std::int64_t side = w.size(3);
    const auto bias = weights_.find("decoder." + name + ".bias");
    Clip y(x.frames, w.size(0), x.height, x.width);
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(y.values.size()); ++i) {
      const std::int64_t column = i % y.width;
      const std::int64_t row = i / y.width % y.height;
      const std::int64_t o = i / (y.width * y.height) % y.channels;
      const std::int64_t f = i / (y.width * y.height * y.channels);
      double sum = bias == weights_.end() ? 0 : bias->second.values[o];
      for (std::int64_t c = 0; c < x.channels; ++c) {
        for (std::int64_t k = 0; k < side * side; ++k) {
          sum += x.get(f, c, row + k / side - side / 2, column + k % side - side / 2) *
                 double{w.values[(o * x.channels + c) * side * side + k]};
        }
      }
      y.values[i] = sum;
    }
    return y;
  }

  Clip memory(const Clip& x, const std::string& name) const {
    Clip both(x.frames, 2 * x.channels, x.height, x.width);
    for (std::int64_t f = 0; f < x.frames; ++f) {
      for (std::int64_t c = 0; c < x.channels; ++c) {
        for (std::int64_t p = 0; p < x.height * x.width; ++p) {
          both.at(f, c, p / x.width, p % x.width) = x.get(f, c, p / x.width, p % x.width);
          if (f > 0) {
            both.at(f, x.channels + c, p / x.width, p % x.width) = x.get(f - 1, c, p / x.width, p % x.width);
          }
        }
      }
    }
    Clip y = conv(relu(conv(relu(conv(both, name + ".conv.0")), name + ".conv.2")), name + ".conv.4");
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += x.values[i];
    return relu(y);
  }

  static Clip doubled(const Clip& x) {
    Clip y(x.frames, x.channels, 2 * x.height, 2 * x.width);
    for (std::int64_t f = 0; f < y.frames; ++f) {
      for (std::int64_t c = 0; c < y.channels; ++c) {
        for (std::int64_t p = 0; p < y.height * y.width; ++p) {
          y.at(f, c, p / y.width, p % y.width) = x.get(f, c, p / y.width / 2, p % y.width / 2);
        }
      }
    }
    return y;
  }

  /// TGrow: of each frame `stride`, the channels cut into as many parts; of spare rows only the last count.
  Clip grow(const Clip& x, const std::string& name, std::int64_t stride) const {
    const Clip grown = conv(x, name);
    const std::int64_t spare = grown.channels - stride * x.channels;
    Clip y(x.frames * stride, x.channels, x.height, x.width);
    for (std::int64_t f = 0; f < y.frames; ++f) {
      for (std::int64_t c = 0; c < y.channels; ++c) {
        for (std::int64_t p = 0; p < y.height * y.width; ++p) {
          y.at(f, c, p / y.width, p % y.width) =
              grown.get(f / stride, spare + f % stride * x.channels + c, p / y.width, p % y.width);
        }
      }
    }
    return y;
  }

  const Weights& weights_;
};

Tensor random_latent(std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor z({kLatent, frames, height, width});
  z.values = random_values(element_count(z.shape), 9);
  for (float& value : z.values) value *= 6;  // the clamp must matter
  return z;
}

/// What the engine must give: channels last, [-1, 1] for [0, 1], without the first three frames.
std::vector<double> expected_frames(const Clip& clip) {
  std::vector<double> out;
  for (std::int64_t f = 3; f < clip.frames; ++f) {
    for (std::int64_t p = 0; p < clip.height * clip.width; ++p) {
      for (std::int64_t c = 0; c < 3; ++c)
        out.push_back(2 * clip.get(f, c, p / clip.width, p % clip.width) - 1);
    }
  }
  return out;
}

struct Decoded {
  Status status = success();
  std::vector<float> values;
  std::vector<std::int64_t> firsts;
  std::vector<Shape> shapes;
};

Decoded decode(VideoDecoder& decoder, const Tensor& z, const CancelFlag& cancel = {},
               const Progress& progress = {}) {
  Decoded out;
  const FrameSink sink = [&](std::int64_t first, const Tensor& rgb) {
    out.firsts.push_back(first);
    out.shapes.push_back(rgb.shape);
    out.values.insert(out.values.end(), rgb.values.begin(), rgb.values.end());
    return success();
  };
  out.status = decoder.decode(z, sink, cancel, progress);
  return out;
}

TEST("TAEHV equals the published layers over the whole clip, at odd sizes and any number of frames") {
  for (const std::int64_t spare : {0, 4}) {
    const TemporaryFolder folder;
    const Weights weights = random_taehv(spare);
    const auto backend = make_cpu_backend({2});
    auto decoder = backend->load_video_decoder(save_taehv(weights, folder));
    CHECK(decoder.ok());
    if (!decoder) return;
    for (std::int64_t frames = 1; frames <= 4; ++frames) {
      const Tensor z = random_latent(frames, 3, frames == 2 ? 1 : 5);
      const Decoded decoded = decode(**decoder, z);
      CHECK(decoded.status.ok());
      const std::vector<double> expected = expected_frames(Reference(weights).decode(z));
      CHECK_EQUAL(decoded.values.size(), expected.size());
      CHECK(relative_error(decoded.values, expected) < 1e-5);
    }
  }
}

TEST("TAEHV streams one frame, then four a latent frame, and starts anew with each clip") {
  const TemporaryFolder folder;
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(save_taehv(random_taehv(0), folder));
  CHECK(decoder.ok());
  if (!decoder) return;
  const Tensor z = random_latent(3, 2, 3);
  const Decoded first = decode(**decoder, z);
  CHECK(first.firsts == (std::vector<std::int64_t>{0, 1, 5}));
  CHECK(first.shapes == (std::vector<Shape>{{1, 16, 24, 3}, {4, 16, 24, 3}, {4, 16, 24, 3}}));
  CHECK(decode(**decoder, z).values == first.values);
  CHECK(backend->resident_bytes() > 0);
}

TEST("TAEHV gives the same bytes on one thread and on three") {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = save_taehv(random_taehv(0), folder);
  std::vector<float> results[2];
  for (int i = 0; i < 2; ++i) {
    const auto backend = make_cpu_backend({i == 0 ? 1 : 3});
    auto decoder = backend->load_video_decoder(checkpoint);
    results[i] = decode(**decoder, random_latent(2, 5, 7)).values;
  }
  CHECK(!results[0].empty() && results[0] == results[1]);
}

TEST("TAEHV stops between layers when asked to, and then decodes the next clip") {
  const TemporaryFolder folder;
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(save_taehv(random_taehv(0), folder));
  const Tensor z = random_latent(3, 2, 2);
  CancelFlag cancel;
  const Decoded stopped = decode(**decoder, z, cancel, [&](double) { cancel.requested = true; });
  CHECK(!stopped.status.ok() && stopped.status.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(stopped.firsts.size(), 1u);
  CHECK(decode(**decoder, z).status.ok());
}

TEST("a TAEHV file with a tensor missing or of another shape is refused by file, tensor and shape") {
  const auto refused = [](const std::function<void(Weights&)>& change, ErrorCode code,
                          const std::vector<std::string>& parts) {
    const TemporaryFolder folder;
    Weights weights = random_taehv(0);
    change(weights);
    const auto loaded = make_cpu_backend({1})->load_video_decoder(save_taehv(weights, folder));
    if (loaded.ok() || loaded.error().code != code || !mentions(loaded.error().message, parts)) {
      record_failure(__FILE__, __LINE__, loaded.ok() ? "accepted" : loaded.error().message);
    }
  };
  refused([](Weights& w) { w.erase("decoder.16.conv.2.bias"); }, ErrorCode::tensor_missing,
          {"taew2_1.safetensors", "decoder.16.conv.2.bias"});
  refused(
      [](Weights& w) {
        w["decoder.13.conv.weight"] = Tensor({4, 4, 1, 1});
      },
      ErrorCode::tensor_shape, {"decoder.13.conv.weight", "[4, 4, 1, 1]", "[8, 4, 1, 1]"});
  refused(
      [](Weights& w) {
        w["decoder.22.weight"] = Tensor({12, 6, 3, 3});
      },
      ErrorCode::tensor_shape, {"decoder.22.weight", "[12, 6, 3, 3]", "[3, 6, 3, 3]"});
  refused(
      [](Weights& w) {
        w["decoder.1.weight"] = Tensor({5, 48, 3, 3});
      },
      ErrorCode::tensor_shape, {"decoder.1.weight", "[5, 48, 3, 3]", "16"});
}

TEST("a TAEHV file in another model's place is named for what it is") {
  const TemporaryFolder folder;
  const auto loaded = make_cpu_backend({1})->load_denoiser(save_taehv(random_taehv(0), folder));
  CHECK(!loaded.ok() && loaded.error().code == ErrorCode::architecture_unknown);
  CHECK(!loaded.ok() && mentions(loaded.error().message, {"taew2_1", "holds a TAEHV decoder"}));
}

}  // namespace
}  // namespace turboclip::test

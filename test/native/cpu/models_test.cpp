// The three models on the golden weights: what threads and cancellation may and may not change, and what a
// wrong file is told.
#include <cmath>

#include "check.h"
#include "cpu/reference.h"
#include "cpu/wan_dit.h"
#include "cpu/wan_vae.h"
#include "engine/backend.h"
#include "support.h"

namespace turboclip::test {
namespace {

Checkpoint open_fixture(const std::string& name) {
  Result<Checkpoint> checkpoint = Checkpoint::open(fixture("golden/" + name));
  CHECK(checkpoint.ok());
  return std::move(checkpoint).value();
}

Tensor random_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor tensor(shape);
  tensor.values = random_values(element_count(shape), seed);
  return tensor;
}

constexpr ModelLatentShape kShape{2, 16, 18};

Status begin(Denoiser& denoiser, const CancelFlag& cancel, Attention attention) {
  return denoiser.begin_clip(kShape, {random_tensor({9, denoiser.config().text_width}, 4), {}},
                             {attention, 0.3}, cancel);
}

std::vector<float> velocity(int threads, Attention attention) {
  const auto backend = make_cpu_backend({threads});
  auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
  const CancelFlag cancel;
  CHECK(begin(**denoiser, cancel, attention).ok());
  auto v = (*denoiser)->velocity(random_tensor({16, 2, 16, 18}, 5), 932.0, cancel, {}, {});
  CHECK(v.ok());
  return v->values;
}

std::vector<float> decoded(VideoDecoder& decoder) {
  std::vector<float> frames;
  const CancelFlag cancel;
  const Status done = decoder.decode(random_tensor({16, 3, 5, 6}, 6),
                                     [&](std::int64_t, const Tensor& rgb) {
                                       frames.insert(frames.end(), rgb.values.begin(), rgb.values.end());
                                       return success();
                                     },
                                     cancel, {});
  CHECK(done.ok());
  return frames;
}

std::vector<float> video(int threads) {
  const auto backend = make_cpu_backend({threads});
  auto decoder = backend->load_video_decoder(open_fixture("wan_vae.pth"));
  return decoded(**decoder);
}

TEST("transformer and decoder give the same bytes on one thread and on three") {
  CHECK(velocity(1, Attention::sla) == velocity(3, Attention::sla));
  CHECK(velocity(1, Attention::original) == velocity(3, Attention::original));
  CHECK(video(1) == video(3));
}

TEST("every kernel set computes the same transformer and video") {
  cpu::ThreadPool pool(2);
  const Checkpoint dit = open_fixture("wan_t2v.pth");
  const Checkpoint vae = open_fixture("wan_vae.pth");
  const CancelFlag cancel;
  std::int64_t bytes = 0;
  std::vector<float> velocities[2];
  std::vector<float> videos[2];
  for (const cpu::Kernels* kernels : all_kernels()) {
    const cpu::Context context{pool, *kernels};
    const std::size_t at = kernels == &cpu::portable_kernels() ? 0 : 1;
    auto denoiser = cpu::load_wan_dit(dit, context, bytes);
    CHECK(begin(**denoiser, cancel, Attention::sla).ok());
    velocities[at] = (*denoiser)->velocity(random_tensor({16, 2, 16, 18}, 5), 932.0, cancel, {}, {})->values;
    auto decoder = cpu::load_wan_vae(vae, context, bytes);
    videos[at] = decoded(**decoder);
    CHECK(relative_error(velocities[at], velocities[0]) < 1e-5);
    CHECK(relative_error(videos[at], videos[0]) < 1e-5);
  }
}

/// The velocity under a prompt of these rows; a prompt's rows past its end are zeros.
std::vector<float> prompted(Denoiser& denoiser, std::int64_t real, std::int64_t given) {
  Tensor text = random_tensor({real, denoiser.config().text_width}, 4);
  text.shape[0] = given;
  text.values.resize(static_cast<std::size_t>(given * denoiser.config().text_width), 0.0f);
  const CancelFlag cancel;
  CHECK(denoiser.begin_clip(kShape, {text, {}}, {Attention::sla, 0.3}, cancel).ok());
  return denoiser.velocity(random_tensor({16, 2, 16, 18}, 5), 932.0, cancel, {}, {})->values;
}

TEST("padded text rows that stand once and count often equal the rows written out, up to a full prompt") {
  const auto backend = make_cpu_backend({2});
  auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
  for (const std::int64_t real : {1, 63, 64, 300, 511}) {
    CHECK(relative_error(prompted(**denoiser, real, real), prompted(**denoiser, real, 512)) < 1e-5);
  }
}

TEST("a decoder that is used again starts a new clip") {
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(open_fixture("wan_vae.pth"));
  const CancelFlag cancel;
  std::vector<float> runs[2];
  for (auto& run : runs) {
    const FrameSink sink = [&](std::int64_t, const Tensor& rgb) {
      run.insert(run.end(), rgb.values.begin(), rgb.values.end());
      return success();
    };
    CHECK((*decoder)->decode(random_tensor({16, 2, 4, 4}, 7), sink, cancel, {}).ok());
  }
  CHECK(runs[0] == runs[1]);
}

TEST("a cancellation that comes in the middle of a block stops the attention at its next block of queries") {
  for (const Attention attention : {Attention::sla, Attention::original}) {
    const auto backend = make_cpu_backend({2});
    auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
    CancelFlag cancel;
    CHECK(begin(**denoiser, cancel, attention).ok());
    // The attention follows v's layer at once and is followed by o's.
    std::vector<std::string> seen;
    Tap tap;
    tap.wants = [](const std::string& name) { return name.starts_with("blocks.0.self_attn."); };
    tap.take = [&](const std::string& name, const Tensor&) {
      if (!tap.wants(name)) return;
      seen.push_back(name);
      if (name == "blocks.0.self_attn.v") cancel.requested = true;
    };
    const auto stopped = (*denoiser)->velocity(random_tensor({16, 2, 16, 18}, 5), 932.0, cancel, {}, tap);
    CHECK(stopped.error().code == ErrorCode::cancelled);
    CHECK_EQUAL(seen.size(), 3u);
    CHECK_EQUAL(seen.back(), "blocks.0.self_attn.v");
  }
}

TEST("a cancelled call of any model ends with the code cancelled, and the model goes on working") {
  const auto backend = make_cpu_backend({2});
  auto encoder = backend->load_text_encoder(open_fixture("umt5.pth"));
  auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
  auto decoder = backend->load_video_decoder(open_fixture("wan_vae.pth"));
  const std::int32_t ids[] = {5, 6, 1};
  CancelFlag cancel;
  cancel.requested = true;
  CHECK((*encoder)->encode(ids, cancel, {}).error().code == ErrorCode::cancelled);
  CHECK(begin(**denoiser, cancel, Attention::sla).error().code == ErrorCode::cancelled);
  cancel.requested = false;
  CHECK(begin(**denoiser, cancel, Attention::sla).ok());
  // From inside: the first block's progress asks to stop, the second block does not finish.
  int blocks = 0;
  const Progress stop = [&](double) {
    ++blocks;
    cancel.requested = true;
  };
  const Tensor x = random_tensor({16, 2, 16, 18}, 5);
  CHECK((*denoiser)->velocity(x, 932.0, cancel, stop, {}).error().code == ErrorCode::cancelled);
  CHECK_EQUAL(blocks, 1);
  const FrameSink sink = [](std::int64_t, const Tensor&) { return success(); };
  CHECK((*decoder)->decode(random_tensor({16, 2, 4, 4}, 7), sink, cancel, {}).error().code ==
        ErrorCode::cancelled);
  cancel.requested = false;
  CHECK((*encoder)->encode(ids, cancel, {}).ok());
  CHECK((*denoiser)->velocity(x, 932.0, cancel, {}, {}).ok());
}

TEST("a decoding that is cancelled after its first frame hands out no second one") {
  const auto backend = make_cpu_backend({2});
  auto decoder = backend->load_video_decoder(open_fixture("wan_vae.pth"));
  CancelFlag cancel;
  int calls = 0;
  const FrameSink sink = [&](std::int64_t, const Tensor&) {
    ++calls;
    cancel.requested = true;
    return success();
  };
  const Status done = (*decoder)->decode(random_tensor({16, 3, 4, 4}, 7), sink, cancel, {});
  CHECK(done.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(calls, 1);
}

TEST("an error of the frame sink ends the decoding with that error") {
  const auto backend = make_cpu_backend({1});
  auto decoder = backend->load_video_decoder(open_fixture("wan_vae.pth"));
  int calls = 0;
  const Status done = (*decoder)->decode(random_tensor({16, 3, 4, 4}, 7),
                                         [&](std::int64_t, const Tensor&) -> Status {
                                           ++calls;
                                           return Error{ErrorCode::io, "disk full"};
                                         },
                                         CancelFlag{}, {});
  CHECK(!done.ok() && done.error().message == "disk full");
  CHECK_EQUAL(calls, 1);
}

TEST("a file of another architecture is named for what it is") {
  const auto backend = make_cpu_backend({1});
  const auto as_denoiser = backend->load_denoiser(open_fixture("wan_vae.pth"));
  CHECK(as_denoiser.error().code == ErrorCode::architecture_unknown);
  CHECK(mentions(as_denoiser.error().message, {"wan_vae.pth", "TurboWan transformer", "holds a Wan VAE"}));
  const auto as_vae = backend->load_video_decoder(open_fixture("umt5.pth"));
  CHECK(mentions(as_vae.error().message, {"umt5.pth", "expected a Wan VAE", "holds a umT5 text encoder"}));
  const auto as_encoder = backend->load_text_encoder(open_fixture("wan_t2v.pth"));
  CHECK(mentions(as_encoder.error().message, {"expected a umT5", "holds a TurboWan transformer"}));
}

TEST("a token outside the vocabulary and a latent without whole patches are refused by their values") {
  const auto backend = make_cpu_backend({1});
  auto encoder = backend->load_text_encoder(open_fixture("umt5.pth"));
  const std::int32_t ids[] = {5, 600};
  const auto encoded = (*encoder)->encode(ids, CancelFlag{}, {});
  CHECK(encoded.error().code == ErrorCode::request_invalid);
  CHECK(mentions(encoded.error().message, {"token 1 is 600", "vocabulary of 600"}));
  auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
  const Tensor text = random_tensor({9, (*denoiser)->config().text_width}, 4);
  const Status odd = (*denoiser)->begin_clip({2, 15, 18}, {text, {}}, {}, CancelFlag{});
  CHECK(mentions(odd.error().message, {"2 x 15 x 18", "even"}));
  CHECK(backend->resident_bytes() > 0);
}

TEST("a share of kept key blocks outside (0, 1] is refused") {
  const auto backend = make_cpu_backend({1});
  auto denoiser = backend->load_denoiser(open_fixture("wan_t2v.pth"));
  const Tensor text = random_tensor({9, (*denoiser)->config().text_width}, 4);
  for (const double ratio : {0.0, -1.0, 1.5, std::nan("")}) {
    const Status refused = (*denoiser)->begin_clip(kShape, {text, {}}, {Attention::sla, ratio}, CancelFlag{});
    CHECK(refused.error().code == ErrorCode::request_invalid);
  }
}

}  // namespace
}  // namespace turboclip::test

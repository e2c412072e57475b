// Whole clips on the CPU backend, with the golden weights: random, but of the real architecture.
#include "check.h"
#include "engine/pipeline.h"
#include "golden_engine.h"
#include "support.h"
#include "taehv_file.h"

namespace turboclip {
namespace {

using test::fitting_denoiser;
using test::golden_paths;
using test::load_fitting;
using test::mentions;
using test::small_request;

TEST("a clip has the same bytes from the same seed, whatever the number of threads") {
  const test::TemporaryFolder folder;
  const Result<std::unique_ptr<Engine>> one = load_fitting(folder, 1);
  const Result<std::unique_ptr<Engine>> three = load_fitting(folder, 3);
  CHECK(one.ok() && three.ok());
  if (!one || !three) return;
  ClipRequest request = small_request();
  const Result<Clip> first = one.value()->generate(request, {}, CancelFlag{});
  const Result<Clip> again = one.value()->generate(request, {}, CancelFlag{});
  const Result<Clip> threaded = three.value()->generate(request, {}, CancelFlag{});
  request.seed = 4;
  const Result<Clip> other = one.value()->generate(request, {}, CancelFlag{});
  CHECK(first.ok() && again.ok() && threaded.ok() && other.ok());
  if (!first || !again || !threaded || !other) return;
  CHECK_EQUAL(first.value().pixels->size(), 5u * 32 * 64 * 3);
  CHECK(*first.value().pixels == *again.value().pixels);
  CHECK(*first.value().pixels == *threaded.value().pixels);
  CHECK(*first.value().pixels != *other.value().pixels);
}

TEST("every sampler, attention and number of steps makes a clip, the smallest size too") {
  const test::TemporaryFolder folder;
  const Result<std::unique_ptr<Engine>> engine = load_fitting(folder, 2);
  CHECK(engine.ok());
  if (!engine) return;
  for (const SamplerMethod method : {SamplerMethod::sde, SamplerMethod::ode}) {
    for (const Attention attention : {Attention::sla, Attention::original}) {
      ClipRequest request = small_request();
      request.width = request.height = 16;
      request.frames = 1;
      request.sampler.method = method;
      request.sampler.steps = 1;
      request.denoiser.attention = attention;
      const Result<Clip> clip = engine.value()->generate(request, {}, CancelFlag{});
      CHECK(clip.ok() && clip.value().pixels->size() == 16u * 16 * 3);
    }
  }
}

TEST("a prompt may fill all 512 rows") {
  const test::TemporaryFolder folder;
  const Result<std::unique_ptr<Engine>> engine = load_fitting(folder, 2);
  CHECK(engine.ok());
  if (!engine) return;
  ClipRequest request = small_request();
  request.token_ids.assign(512, 9);
  CHECK(engine.value()->generate(request, {}, CancelFlag{}).ok());
}

TEST("cancelling within any stage ends the clip there") {
  const test::TemporaryFolder folder;
  const Result<std::unique_ptr<Engine>> engine = load_fitting(folder, 2);
  CHECK(engine.ok());
  if (!engine) return;
  for (const Stage stage : {Stage::text_encode, Stage::denoise, Stage::decode}) {
    CancelFlag cancel;
    Stage last = Stage::text_encode;
    const ClipProgress progress = [&](Stage now, int, int, double) {
      last = now;
      if (now == stage) cancel.requested.store(true);
    };
    ClipRequest request = small_request();
    request.frames = 9;
    const Result<Clip> clip = engine.value()->generate(request, progress, cancel);
    CHECK(!clip.ok() && clip.error().code == ErrorCode::cancelled && last == stage);
  }
}

TEST("TAEHV decodes in the VAE's place when a request asks for it and the engine has it") {
  const test::TemporaryFolder folder;
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  paths.tiny_decoder = test::save_taehv(test::random_taehv(0), folder).path();
  const Result<std::unique_ptr<Engine>> engine = Engine::load(paths, make_cpu_backend({2}));
  CHECK(engine.ok() && engine.value()->info().has_tiny_decoder);
  if (!engine) return;
  ClipRequest request = small_request();
  const Result<Clip> full = engine.value()->generate(request, {}, CancelFlag{});
  request.decoder = Decoder::taehv;
  const Result<Clip> tiny = engine.value()->generate(request, {}, CancelFlag{});
  CHECK(full.ok() && tiny.ok());
  if (!full || !tiny) return;
  CHECK_EQUAL(tiny.value().pixels->size(), full.value().pixels->size());
  CHECK(*tiny.value().pixels != *full.value().pixels);
}

TEST("TAEHV asked of an engine without it is refused with what to do, and a wrong file by its name") {
  const test::TemporaryFolder folder;
  const Result<std::unique_ptr<Engine>> engine = load_fitting(folder, 1);
  CHECK(engine.ok());
  if (!engine) return;
  ClipRequest request = small_request();
  request.decoder = Decoder::taehv;
  const Result<Clip> clip = engine.value()->generate(request, {}, CancelFlag{});
  CHECK(!clip.ok() && clip.error().code == ErrorCode::request_invalid);
  CHECK(!clip.ok() && mentions(clip.error().message, {"decoder is 'taehv'", "taew2_1.pth", "'vae'"}));
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  paths.tiny_decoder = paths.text_encoder;
  const auto wrong = Engine::load(paths, make_cpu_backend({1}));
  CHECK(!wrong.ok() && mentions(wrong.error().message, {"umt5.pth", "holds a umT5 text encoder"}));
}

TEST("a text encoder of another width than the denoiser expects is refused with both files and widths") {
  const Result<std::unique_ptr<Engine>> engine = Engine::load(golden_paths(), make_cpu_backend({1}));
  CHECK(!engine.ok() && engine.error().code == ErrorCode::tensor_shape);
  CHECK(!engine.ok() && mentions(engine.error().message, {"umt5.pth", "128", "wan_t2v.pth", "48"}));
}

TEST("checkpoints in each other's place are refused by file") {
  const EnginePaths paths = golden_paths();
  const EnginePaths swaps[] = {{paths.vae, paths.text_encoder, paths.vae},
                               {paths.denoiser, paths.vae, paths.vae},
                               {paths.denoiser, paths.text_encoder, paths.denoiser}};
  const char* const named[] = {"wan_vae.pth", "wan_vae.pth", "wan_t2v.pth"};
  for (std::size_t i = 0; i < 3; ++i) {
    const Result<std::unique_ptr<Engine>> engine = Engine::load(swaps[i], make_cpu_backend({1}));
    CHECK(!engine.ok() && engine.error().code != ErrorCode::internal &&
          mentions(engine.error().message, {named[i]}));
  }
}

}  // namespace
}  // namespace turboclip

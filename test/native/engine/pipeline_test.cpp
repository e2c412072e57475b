#include "engine/pipeline.h"

#include <limits>
#include <thread>

#include "check.h"
#include "fakes.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;

EnginePaths any_paths() {
  const std::filesystem::path any = test::fixture("golden/umt5.io.safetensors");
  return {any, any, any};
}

/// An engine over fakes; `model` stays readable while the engine lives.
struct FakeEngine {
  test::FakeDenoiser* model = nullptr;
  std::unique_ptr<Engine> engine;

  FakeEngine() {
    auto backend = std::make_unique<test::FakeBackend>();
    model = backend->denoiser.get();
    Result<std::unique_ptr<Engine>> loaded = Engine::load(any_paths(), std::move(backend));
    engine = std::move(loaded).value();
  }
};

ClipRequest small_request() {
  ClipRequest request;
  request.token_ids = {5, 6, 1};
  request.width = 32;
  request.height = 16;
  request.frames = 9;
  request.seed = 11;
  return request;
}

TEST("the same seed makes the same bytes, another seed others") {
  FakeEngine fake;
  ClipRequest request = small_request();
  const Result<Clip> first = fake.engine->generate(request, {}, CancelFlag{});
  const Result<Clip> again = fake.engine->generate(request, {}, CancelFlag{});
  request.seed = 12;
  const Result<Clip> other = fake.engine->generate(request, {}, CancelFlag{});
  CHECK(first.ok() && again.ok() && other.ok());
  if (!first || !again || !other) return;
  CHECK_EQUAL(first.value().pixels->size(), 9u * 16 * 32 * 3);
  CHECK(*first.value().pixels == *again.value().pixels);
  CHECK(*first.value().pixels != *other.value().pixels);
  CHECK(fake.model->text_shape == (Shape{3, 8}));
}

TEST(
    "a prompt that comes again with another seed is not encoded again, and its clip is what it would have "
    "been") {
  FakeEngine fake;
  ClipRequest request = small_request();
  const Result<Clip> first = fake.engine->generate(request, {}, CancelFlag{});
  request.seed = 12;
  (void)fake.engine->generate(request, {}, CancelFlag{});
  request.token_ids = {5, 7, 1};
  (void)fake.engine->generate(request, {}, CancelFlag{});
  CHECK_EQUAL(fake.engine->info().text_cache.hits, 1);
  CHECK_EQUAL(fake.engine->info().text_cache.misses, 2);
  double encoded = 0;
  const auto progress = [&](Stage stage, int, int, double fraction) {
    if (stage == Stage::text_encode) encoded = fraction;
  };
  const Result<Clip> again = fake.engine->generate(small_request(), progress, CancelFlag{});
  CHECK(first.ok() && again.ok());
  CHECK(*first.value().pixels == *again.value().pixels);
  CHECK_EQUAL(encoded, 1.0);
  CHECK_EQUAL(fake.engine->info().text_cache.hits, 2);
}

TEST("progress names the stages in order, counts the steps and never goes back") {
  FakeEngine fake;
  std::vector<std::string> stages;
  int last_step = 0;
  double last_fraction = 0;
  const ClipProgress progress = [&](Stage stage, int step, int steps, double fraction) {
    const std::string name(stage_name(stage));
    if (stages.empty() || stages.back() != name) {
      stages.push_back(name);
      last_step = 0;
      last_fraction = 0;
    }
    CHECK(step >= last_step && step <= steps && steps == (stage == Stage::denoise ? 4 : 1));
    CHECK(fraction >= last_fraction && fraction <= 1);
    last_step = step;
    last_fraction = fraction;
  };
  CHECK(fake.engine->generate(small_request(), progress, CancelFlag{}).ok());
  CHECK(stages == (std::vector<std::string>{"text_encode", "denoise", "decode"}));
}

TEST("a denoiser that samples whole clips is asked for one, not for velocities, and its steps are told") {
  FakeEngine fake;
  fake.model->samples_whole = true;
  std::vector<double> told;
  const ClipProgress progress = [&](Stage stage, int, int, double fraction) {
    if (stage == Stage::denoise) told.push_back(fraction);
  };
  const Result<Clip> clip = fake.engine->generate(small_request(), progress, CancelFlag{});
  CHECK(clip.ok());
  CHECK(fake.model->whole_seeds == std::vector<std::uint64_t>{small_request().seed});
  CHECK(fake.model->timesteps.empty());
  CHECK(told == (std::vector<double>{0.25, 0.5, 0.75, 1}));
  CHECK_EQUAL(static_cast<int>((*clip.value().pixels)[0]), 128);  // of a latent of zeros
}

TEST("a clip cancelled from another thread ends at the next block with 'cancelled'") {
  FakeEngine fake;
  fake.model->block_time = std::chrono::milliseconds(20);
  CancelFlag cancel;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel.requested.store(true);
  });
  const Result<Clip> clip = fake.engine->generate(small_request(), {}, cancel);
  other.join();
  CHECK(!clip.ok() && clip.error().code == ErrorCode::cancelled);
  CHECK_EQUAL(fake.model->timesteps.size(), 1u);
  fake.model->block_time = std::chrono::milliseconds(0);
  CHECK(fake.engine->generate(small_request(), {}, CancelFlag{}).ok());
}

TEST("a request that the model cannot take is refused with the value and what to send") {
  FakeEngine fake;
  const auto refused = [&](const std::function<void(ClipRequest&)>& change,
                           const std::vector<std::string>& parts) {
    ClipRequest request = small_request();
    change(request);
    const Result<Clip> clip = fake.engine->generate(request, {}, CancelFlag{});
    if (clip.ok() || clip.error().code != ErrorCode::request_invalid ||
        !mentions(clip.error().message, parts)) {
      test::record_failure(__FILE__, __LINE__, clip.ok() ? "accepted" : clip.error().message);
    }
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused([](ClipRequest& r) { r.token_ids.clear(); }, {"token_ids", "0 tokens", "512"});
  refused([](ClipRequest& r) { r.token_ids.assign(513, 1); }, {"513 tokens"});
  refused([](ClipRequest& r) { r.token_ids[1] = 100; }, {"token_ids[1] is 100", "0 to 99"});
  refused([](ClipRequest& r) { r.token_ids[1] = -1; }, {"token_ids[1] is -1"});
  refused([](ClipRequest& r) { r.width = 24; }, {"width is 24", "multiple of 16"});
  refused([](ClipRequest& r) { r.height = 0; }, {"height is 0"});
  refused([](ClipRequest& r) { r.height = 4096; }, {"height is 4096", "2048"});
  refused([](ClipRequest& r) { r.height = r.width = 2048; }, {"2048 x 2048", "1280 x 720"});
  refused([](ClipRequest& r) { r.frames = 8; }, {"frames is 8", "4 n + 1"});
  refused([](ClipRequest& r) { r.frames = -3; }, {"frames is -3"});
  refused([](ClipRequest& r) { r.frames = 4001; }, {"frames is 4001"});
  refused([](ClipRequest& r) { r.sampler.steps = 0; }, {"steps is 0", "1 to 4"});
  refused([](ClipRequest& r) { r.sampler.steps = 5; }, {"steps is 5"});
  refused([](ClipRequest& r) { r.sampler.sigma_max = 0; }, {"sigma_max is 0"});
  refused([=](ClipRequest& r) { r.sampler.sigma_max = nan; }, {"sigma_max is nan"});
  refused([](ClipRequest& r) { r.denoiser.topk_ratio = 1.5; }, {"topk_ratio is 1.5"});
  refused([=](ClipRequest& r) { r.denoiser.topk_ratio = nan; }, {"topk_ratio is nan"});
  fake.model->settings.has_sla = false;
  refused([](ClipRequest&) {}, {"attention is 'sla'", "'original'"});
}

TEST("running out of memory is an error, and the engine goes on") {
  FakeEngine fake;
  fake.model->exhaust_memory = true;
  const Result<Clip> clip = fake.engine->generate(small_request(), {}, CancelFlag{});
  CHECK(!clip.ok() && clip.error().code == ErrorCode::out_of_memory);
  fake.model->exhaust_memory = false;
  CHECK(fake.engine->generate(small_request(), {}, CancelFlag{}).ok());
}

TEST("a model that produces no numbers is an error, not a black clip") {
  FakeEngine fake;
  fake.model->make_nan = true;
  const Result<Clip> clip = fake.engine->generate(small_request(), {}, CancelFlag{});
  CHECK(!clip.ok() && mentions(clip.error().message, {"denoiser", "no numbers"}));
}

TEST("checkpoints that do not belong together are refused by name") {
  auto backend = std::make_unique<test::FakeBackend>();
  backend->text_encoder->rows_width = 16;
  const Result<std::unique_ptr<Engine>> loaded = Engine::load(any_paths(), std::move(backend));
  CHECK(!loaded.ok() && loaded.error().code == ErrorCode::tensor_shape);
  CHECK(mentions(loaded.error().message, {"umt5.io.safetensors", "16", "8"}));
}

TEST("an image-to-video denoiser is refused, since nothing could be made with it") {
  auto backend = std::make_unique<test::FakeBackend>();
  backend->denoiser->settings.in_channels = 36;
  const Result<std::unique_ptr<Engine>> loaded = Engine::load(any_paths(), std::move(backend));
  CHECK(!loaded.ok() && loaded.error().code == ErrorCode::architecture_unknown);
  CHECK(mentions(loaded.error().message, {"36", "T2V"}));
}

TEST("the engine tells what it loaded") {
  FakeEngine fake;
  const EngineInfo info = fake.engine->info();
  CHECK_EQUAL(info.backend, "fake");
  CHECK_EQUAL(info.denoiser.width, 128);
  CHECK_EQUAL(info.vocabulary, 100);
  CHECK_EQUAL(info.resident_bytes, 1234);
}

}  // namespace
}  // namespace turboclip

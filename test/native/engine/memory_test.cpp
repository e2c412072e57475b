// The memory plan against what is really allocated, what it says when there is too little, and what happens
// when an allocation fails all the same.
#include "allocations.h"
#include "check.h"
#include "engine/host_memory.h"
#include "engine/memory_plan.h"
#include "engine/quant/quantize_checkpoint.h"
#include "engine/text.h"
#include "golden_engine.h"
#include "support.h"
#include "taehv_file.h"

namespace turboclip::test {
namespace {

EnginePaths set_with_taehv(const TemporaryFolder& folder) {
  EnginePaths paths = golden_paths();
  paths.denoiser = fitting_denoiser(folder);
  paths.tiny_decoder = save_taehv(random_taehv(0), folder).path();
  return paths;
}

ModelSizes plan(const EnginePaths& paths) {
  ModelSizes sizes;
  add_denoiser(sizes, Checkpoint::open(paths.denoiser).value());
  add_text_encoder(sizes, Checkpoint::open(paths.text_encoder).value());
  add_decoder(sizes, Checkpoint::open(paths.vae).value(), sizes.vae);
  add_decoder(sizes, Checkpoint::open(paths.tiny_decoder).value(), sizes.tiny);
  return sizes;
}

/// planned / measured within [1, most].
void check_plan(const std::string& what, std::int64_t planned, std::int64_t measured, double most) {
  const double share = static_cast<double>(planned) / static_cast<double>(measured);
  if (share >= 1.0 && share <= most) return;
  std::ostringstream text;
  text << what << ": planned " << planned << ", measured " << measured << ", ratio " << share;
  record_failure(__FILE__, __LINE__, text.str());
}

TEST("the memory plan is at least what loads and clips take, and not a third more") {
  const TemporaryFolder folder;
  const EnginePaths paths = set_with_taehv(folder);
  const ModelSizes sizes = plan(paths);
  {
    reset_peak();
    const std::int64_t before = live_bytes();
    const auto engine = Engine::load(paths, make_cpu_backend({1}));
    CHECK(engine.ok());
    check_plan("load", sizes.weights.resident + sizes.weights.scratch, peak_bytes() - before, 1.3);
  }  // it goes: those below would share its decoders, and what these keep of the clip before
  struct Case {
    std::int64_t width, height, frames;
    Decoder decoder;
    Attention attention;
  };
  for (const Case& c :
       {Case{128, 96, 17, Decoder::vae, Attention::original}, Case{160, 96, 1, Decoder::vae, Attention::sla},
        Case{96, 96, 33, Decoder::taehv, Attention::sla},
        Case{256, 192, 5, Decoder::taehv, Attention::original}}) {
    ClipRequest request = small_request();
    request.width = c.width;
    request.height = c.height;
    request.frames = c.frames;
    request.sampler.steps = 2;
    request.decoder = c.decoder;
    request.denoiser.attention = c.attention;
    const ClipSize clip{c.width, c.height, c.frames, static_cast<std::int64_t>(request.token_ids.size())};
    const std::int64_t planned = clip_memory(sizes, clip, c.decoder == Decoder::vae ? sizes.vae : sizes.tiny);
    const auto fresh = Engine::load(paths, make_cpu_backend({1}));
    const std::int64_t loaded = live_bytes();
    reset_peak();
    CHECK(fresh.ok() && fresh.value()->generate(request, {}, CancelFlag{}).ok());
    check_plan(concat(c.width, " x ", c.height, " x ", c.frames), planned, peak_bytes() - loaded, 1.3);
  }
}

TEST("the memory plan counts INT8 weights as what they are") {
  const TemporaryFolder folder;
  EnginePaths paths = set_with_taehv(folder);
  const std::int64_t exact = plan(paths).weights.resident;
  const auto quantised = folder.path() / "quantised.pth";
  CHECK(quantize_checkpoint(paths.denoiser, quantised, Existing::refuse, CancelFlag{}, {}).ok());
  paths.denoiser = quantised;
  const ModelSizes sizes = plan(paths);
  CHECK(sizes.weights.resident < exact * 7 / 10);
  CHECK_EQUAL(sizes.denoiser.ffn, 384);
  reset_peak();
  const std::int64_t before = live_bytes();
  const auto engine = Engine::load(paths, make_cpu_backend({1}));
  CHECK(engine.ok());
  check_plan("load", sizes.weights.resident + sizes.weights.scratch, peak_bytes() - before, 1.3);
  const std::int64_t loaded = live_bytes();
  ClipRequest request = small_request();
  request.width = 160;
  request.height = 96;
  request.frames = 1;
  reset_peak();
  CHECK(engine.ok() && engine.value()->generate(request, {}, CancelFlag{}).ok());
  check_plan("clip", clip_memory(sizes, {160, 96, request.frames, 3}, sizes.vae), peak_bytes() - loaded, 1.3);
}

Result<std::unique_ptr<Engine>> load_with(const EnginePaths& paths, std::function<std::int64_t()> available) {
  return Engine::load(paths, make_cpu_backend({1, std::move(available)}));
}

TEST("a model set that does not fit is refused before it is read, with need, have and a remedy") {
  const TemporaryFolder folder;
  const EnginePaths paths = set_with_taehv(folder);
  reset_peak();
  const std::int64_t before = live_bytes();
  const auto engine = load_with(paths, [] { return std::int64_t{1'000'000}; });
  CHECK(!engine.ok() && engine.error().code == ErrorCode::out_of_memory);
  CHECK(!engine.ok() && mentions(engine.error().message, {"needs", "0.001 GiB", "-quant"}));
  CHECK(peak_bytes() - before < 1'000'000);
}

TEST("a clip that does not fit is refused with what would: fewer frames, a smaller size, TAEHV") {
  const TemporaryFolder folder;
  const EnginePaths paths = set_with_taehv(folder);
  const ModelSizes sizes = plan(paths);
  std::int64_t available = std::int64_t{1} << 40;
  const auto engine = load_with(paths, [&] { return available; });
  CHECK(engine.ok());
  if (!engine) return;
  ClipRequest request = small_request();
  request.width = 160;
  request.height = 96;
  request.frames = 33;
  available = clip_memory(sizes, {160, 96, 33, 3}, sizes.vae) - 1;
  const Result<Clip> refused = engine.value()->generate(request, {}, CancelFlag{});
  CHECK(!refused.ok() && refused.error().code == ErrorCode::out_of_memory);
  CHECK(!refused.ok() &&
        mentions(refused.error().message, {"160 x 96", "33 frames", "what fits: 29 frames", "144 x 80"}));
  request.frames = 29;
  CHECK(check_clip_memory(sizes, {160, 96, 29, 3}, false, available).ok());
  available = 1000;
  const Result<Clip> none = engine.value()->generate(request, {}, CancelFlag{});
  CHECK(!none.ok() && mentions(none.error().message, {"no clip fits"}));
  ModelSizes light = sizes;
  light.denoiser = {};
  const std::int64_t tiny = clip_memory(light, {160, 96, 33, 3}, light.tiny);
  const Status offered = check_clip_memory(light, {160, 96, 33, 3}, false, tiny);
  CHECK(!offered.ok() && mentions(offered.error().message, {"decoder 'taehv'"}));
}

TEST("available memory is MemAvailable, or what the control group leaves when that is less") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "proc");
  std::filesystem::create_directories(folder.path() / "sys/fs/cgroup/memory");
  CHECK_EQUAL(available_host_memory(folder.path()), 0);
  folder.write("proc/meminfo", "MemTotal:       2000 kB\nMemFree:  10 kB\nMemAvailable:   1000 kB\n");
  CHECK_EQUAL(available_host_memory(folder.path()), 1'024'000);
  folder.write("sys/fs/cgroup/memory.max", "max\n");
  folder.write("sys/fs/cgroup/memory.current", "5000\n");
  CHECK_EQUAL(available_host_memory(folder.path()), 1'024'000);
  folder.write("sys/fs/cgroup/memory.max", "105000\n");
  folder.write("sys/fs/cgroup/memory.stat", "anon 3000\ninactive_file 1500\nactive_file 500\n");
  CHECK_EQUAL(available_host_memory(folder.path()), 102'000);
  folder.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "60000\n");
  folder.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "10000\n");
  CHECK_EQUAL(available_host_memory(folder.path()), 50'000);
}

TEST("an allocation that fails anywhere in loading is out_of_memory, and nothing is leaked") {
  const TemporaryFolder folder;
  const EnginePaths paths = set_with_taehv(folder);
  const std::int64_t before = live_bytes();
  bool failed = true;
  for (std::int64_t allowed = 0; failed; allowed += 1 + allowed / 4) {
    Result<std::unique_ptr<Engine>> engine = Error{};
    {
      const FailingAllocations failing(allowed, 4096);
      engine = load_with(paths, [] { return std::int64_t{1} << 40; });
      failed = failing.failed();
    }
    CHECK(engine.ok() != failed);
    CHECK(engine.ok() || engine.error().code == ErrorCode::out_of_memory);
  }
  CHECK_EQUAL(live_bytes(), before);
}

TEST("an allocation that fails anywhere in a clip is out_of_memory, and the next clip is made") {
  const TemporaryFolder folder;
  const auto engine = load_with(set_with_taehv(folder), [] { return std::int64_t{1} << 40; });
  CHECK(engine.ok());
  if (!engine) return;
  for (const Decoder decoder : {Decoder::vae, Decoder::taehv}) {
    ClipRequest request = small_request();
    request.decoder = decoder;
    const Result<Clip> whole = engine.value()->generate(request, {}, CancelFlag{});
    CHECK(whole.ok());
    bool failed = true;
    for (std::int64_t allowed = 0; failed && whole; allowed += 1 + allowed / 3) {
      Result<Clip> clip = Error{};
      {
        const FailingAllocations failing(allowed, 1024);
        clip = engine.value()->generate(request, {}, CancelFlag{});
        failed = failing.failed();
      }
      CHECK(clip.ok() != failed);
      CHECK(clip.ok() ? *clip.value().pixels == *whole.value().pixels
                      : clip.error().code == ErrorCode::out_of_memory);
    }
  }
}

}  // namespace
}  // namespace turboclip::test

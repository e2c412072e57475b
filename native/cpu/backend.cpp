// The CPU backend: its threads, its instruction set, and what it has loaded.
#include "engine/backend.h"

#include <memory>
#include <thread>
#include <utility>

#include "cpu/context.h"
#include "cpu/linear_int8.h"
#include "cpu/taehv.h"
#include "cpu/umt5.h"
#include "cpu/wan_dit.h"
#include "cpu/wan_vae.h"
#include "engine/checkpoint/architecture.h"
#include "engine/host_memory.h"

namespace turboclip {
namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(int threads, std::function<std::int64_t()> available_memory)
      : pool_(threads), available_memory_(std::move(available_memory)) {}

  std::string name() const override { return "cpu"; }
  Result<std::unique_ptr<TextEncoder>> load_text_encoder(const Checkpoint& checkpoint) override {
    return cpu::load_umt5(checkpoint, context(), resident_bytes_);
  }
  Result<std::unique_ptr<Denoiser>> load_denoiser(const Checkpoint& checkpoint) override {
    return cpu::load_wan_dit(checkpoint, context(), resident_bytes_);
  }
  Result<std::unique_ptr<VideoDecoder>> load_video_decoder(const Checkpoint& checkpoint) override {
    // The file's tensors say which decoder it is.
    if (is_architecture(checkpoint, Architecture::taehv)) {
      return cpu::load_taehv(checkpoint, context(), resident_bytes_);
    }
    return cpu::load_wan_vae(checkpoint, context(), resident_bytes_);
  }
  Result<Tensor> int8_product(const Int8Blocks& x, const Int8Blocks& w) override {
    Tensor y({x.rows, w.rows});
    cpu::linear(context(), cpu::rows_of_blocks(x), cpu::pack_int8_linear(w, {}), y.data());
    return y;
  }
  std::int64_t resident_bytes() const override { return resident_bytes_; }
  std::string place() const override { return "cpu, " + std::to_string(pool_.threads()) + " threads"; }
  std::optional<std::int64_t> available_memory() const override {
    const std::int64_t bytes = available_memory_ ? available_memory_() : available_host_memory();
    return bytes > 0 ? std::optional(bytes) : std::nullopt;
  }

 private:
  cpu::Context context() { return {pool_, cpu::best_kernels()}; }

  cpu::ThreadPool pool_;
  std::function<std::int64_t()> available_memory_;
  std::int64_t resident_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  const unsigned cores = std::thread::hardware_concurrency();
  const int threads = options.threads > 0 ? options.threads : static_cast<int>(cores > 0 ? cores : 1);
  return std::make_unique<CpuBackend>(threads, options.available_memory);
}

}  // namespace turboclip

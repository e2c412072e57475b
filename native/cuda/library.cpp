#include "cuda/library.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/library_errors.h"
#include "cuda/transformer.h"
#include "engine/text.h"

struct turboclip_cuda_denoiser {
  std::unique_ptr<turboclip::cuda::Transformer> model;
  turboclip::ModelLatentShape shape{};  // of the clip that was begun

  turboclip::Shape latent() const {
    return {turboclip::cuda::kLatentChannels, shape.frames, shape.height, shape.width};
  }
};

namespace {

using turboclip::Error;
using turboclip::ErrorCode;
using turboclip::cuda::guarded;
using turboclip::cuda::report;

turboclip::Status copy_values(const turboclip::Result<turboclip::Tensor>& from, float* to) {
  if (!from) return from.error();
  std::copy(from.value().values.begin(), from.value().values.end(), to);
  return turboclip::success();
}

}  // namespace

std::int32_t turboclip_cuda_abi() { return TURBOCLIP_CUDA_ABI; }

std::int32_t turboclip_cuda_devices(turboclip_cuda_error* error) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  report(error, ErrorCode::backend_unavailable,
         turboclip::concat("no CUDA device: ",
                           found == cudaSuccess ? "the driver shows none" : cudaGetErrorString(found)));
  return 0;
}

std::int32_t turboclip_cuda_describe(std::int32_t device, turboclip_cuda_device* out,
                                     turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    turboclip::cuda::Queue queue;
    const turboclip::Status opened = queue.open(device);
    if (!opened) return opened;
    queue.enter("describe");
    cudaDeviceProp properties{};
    std::size_t free_bytes = 0, total_bytes = 0;
    queue.check("the device's properties", cudaGetDeviceProperties(&properties, device));
    queue.check("the driver's version", cudaDriverGetVersion(&out->driver));
    queue.check("the device's memory", cudaMemGetInfo(&free_bytes, &total_bytes));
    static_assert(sizeof out->name == sizeof properties.name);
    std::memcpy(out->name, properties.name, sizeof out->name);
    out->free_bytes = static_cast<std::int64_t>(free_bytes);
    out->total_bytes = static_cast<std::int64_t>(total_bytes);
    return queue.status();
  });
}

turboclip_cuda_denoiser* turboclip_cuda_load(std::int32_t device, const char* checkpoint,
                                             const turboclip_cuda_placement* placement,
                                             turboclip_cuda_error* error) {
  auto loaded = std::make_unique<turboclip_cuda_denoiser>();
  const bool done = guarded(error, [&]() -> turboclip::Status {
    const turboclip::Result<turboclip::Checkpoint> file = turboclip::Checkpoint::open(checkpoint);
    if (!file) return file.error();
    const std::lock_guard lock(turboclip::cuda::holdings_of(device).computing);
    auto model = turboclip::cuda::Transformer::load(device, file.value(),
                                                    {placement->memory_limit,
                                                     placement->most_resident,
                                                     placement->clip_bytes,
                                                     {placement->other_weights, placement->other_scratch}});
    if (!model) return model.error();
    loaded->model = std::move(model).value();
    return turboclip::success();
  });
  return done ? loaded.release() : nullptr;
}

void turboclip_cuda_free(turboclip_cuda_denoiser* denoiser) { delete denoiser; }

turboclip_cuda_config turboclip_cuda_config_of(const turboclip_cuda_denoiser* denoiser) {
  const turboclip::DenoiserConfig& config = denoiser->model->config();
  return {config.width,       config.heads,          config.ffn, config.layers, config.text_width,
          config.in_channels, config.has_sla ? 1 : 0};
}

std::int64_t turboclip_cuda_weight_bytes(const turboclip_cuda_denoiser* denoiser) {
  return denoiser->model->weight_bytes();
}

std::int64_t turboclip_cuda_streamed_blocks(const turboclip_cuda_denoiser* denoiser) {
  return denoiser->model->streamed();
}

std::int32_t turboclip_cuda_begin_clip(turboclip_cuda_denoiser* denoiser, const turboclip_cuda_clip* clip,
                                       turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    const turboclip::DenoiserConfig& config = denoiser->model->config();
    if (clip->frames < 1 || clip->height < 1 || clip->width < 1 || clip->text_rows < 1) {
      return Error{ErrorCode::request_invalid, "a clip's sizes and text rows must be above 0"};
    }
    denoiser->shape = {};
    const turboclip::ModelLatentShape shape{clip->frames, clip->height, clip->width};
    turboclip::Conditioning conditioning;
    conditioning.text = turboclip::Tensor({clip->text_rows, config.text_width});
    std::copy_n(clip->text, conditioning.text.values.size(), conditioning.text.data());
    if (clip->image != nullptr) {
      conditioning.image = turboclip::Tensor(
          {config.in_channels - turboclip::cuda::kLatentChannels, clip->frames, clip->height, clip->width});
      std::copy_n(clip->image, conditioning.image.values.size(), conditioning.image.data());
    }
    const turboclip::Attention attention =
        clip->sla != 0 ? turboclip::Attention::sla : turboclip::Attention::original;
    const std::lock_guard lock(denoiser->model->computing());
    denoiser->model->expect_stage(clip->other_scratch);
    const turboclip::Status begun =
        denoiser->model->begin_clip(shape, conditioning, {attention, clip->topk_ratio}, {});
    if (begun) denoiser->shape = shape;
    return begun;
  });
}

std::int32_t turboclip_cuda_velocity(turboclip_cuda_denoiser* denoiser, const float* x, double timestep,
                                     float* v, turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    turboclip::Tensor state(denoiser->latent());
    std::copy_n(x, state.values.size(), state.data());
    const std::lock_guard lock(denoiser->model->computing());
    return copy_values(denoiser->model->velocity(state, timestep, {}, {}, {}), v);
  });
}

std::int32_t turboclip_cuda_sample(turboclip_cuda_denoiser* denoiser, const turboclip_cuda_sampling* sampling,
                                   float* latent, turboclip_cuda_error* error) {
  return guarded(error, [&]() -> turboclip::Status {
    turboclip::SamplerSettings settings;
    settings.method = sampling->ode != 0 ? turboclip::SamplerMethod::ode : turboclip::SamplerMethod::sde;
    settings.steps = sampling->steps;
    settings.sigma_max = sampling->sigma_max;
    turboclip::CancelFlag stop;
    const auto progress = [&](int step, double) {
      if (sampling->step_done != nullptr && sampling->step_done(sampling->user, step) != 0)
        stop.requested = true;
    };
    const std::lock_guard lock(denoiser->model->computing());
    return copy_values(denoiser->model->sample(settings, sampling->seed, stop, progress), latent);
  });
}

std::int32_t turboclip_cuda_int8_product(std::int32_t device, const turboclip_cuda_blocks* x,
                                         const turboclip_cuda_blocks* w, float* y,
                                         turboclip_cuda_error* error) {
  namespace cuda = turboclip::cuda;
  return guarded(error, [&]() -> turboclip::Status {
    if (w->rows % cuda::kScaleGroup != 0 || w->columns % cuda::kScaleGroup != 0 || x->columns != w->columns) {
      return Error{
          ErrorCode::request_invalid,
          turboclip::concat("a product of [", x->rows, ", ", x->columns, "] and [", w->rows, ", ", w->columns,
                            "]: the device takes equal widths in multiples of ", cuda::kScaleGroup)};
    }
    const std::int64_t groups = w->columns / cuda::kScaleGroup;
    const std::int64_t stride = cuda::scale_stride(x->rows);
    std::vector<float> row_scales(static_cast<std::size_t>(groups * stride));
    for (std::int64_t group = 0; group < groups; ++group) {
      for (std::int64_t row = 0; row < x->rows; ++row) {
        row_scales[group * stride + row] = x->scales[row / cuda::kScaleGroup * groups + group];
      }
    }
    cuda::Queue queue;
    const turboclip::Status opened = queue.open(device);
    if (!opened) return opened;
    queue.enter("int8_product");
    cuda::DeviceArray<std::int8_t> left, right;
    cuda::DeviceArray<float> left_scales, right_scales, bias;
    cuda::DeviceArray<cuda::Bf16> product;
    left.upload(queue, {x->values, x->values + x->rows * x->columns});
    right.upload(queue, {w->values, w->values + w->rows * w->columns});
    left_scales.upload(queue, row_scales);
    right_scales.upload(queue, {w->scales, w->scales + w->rows / cuda::kScaleGroup * groups});
    bias.upload(queue, std::vector<float>(static_cast<std::size_t>(w->rows)));
    product.allocate(queue, x->rows * w->rows);
    cuda::linear_bf16(queue, {left.data(), left_scales.data(), x->rows, x->columns},
                      {right.data(), right_scales.data(), bias.data(), w->rows, w->columns}, product.data(),
                      nullptr);
    const std::vector<cuda::Bf16> values = product.download(queue);
    std::transform(values.begin(), values.end(), y, [](cuda::Bf16 value) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
    });
    return queue.finish();
  });
}

#include "cuda/umt5_encoder.h"

#include <algorithm>
#include <utility>

#include "cuda/device_plan.h"
#include "engine/memory_plan.h"
#include "engine/text.h"

namespace turboclip::cuda {
namespace {

constexpr const char* kEmbedding = "token_embedding.weight";

/// Bytes at the peak of loading such a model.
std::int64_t load_bytes(const Umt5Config& config, TextPrecision precision) {
  return umt5_weight_bytes(config, precision) + umt5_loading_bytes(config, precision);
}

Status check_room(const Umt5Config& config, TextPrecision precision, std::int64_t available) {
  const std::int64_t need = load_bytes(config, precision);
  if (need <= available) return success();
  const std::int64_t int8 = load_bytes(config, TextPrecision::int8);
  const bool smaller = precision != TextPrecision::int8 && int8 <= available;
  return too_little("the text encoder", need, available,
                    smaller ? concat("in INT8 it needs ", gibibytes(int8),
                                     " (TURBOCLIP_TEXT_ENCODER=int8), and on the host none "
                                     "(TURBOCLIP_TEXT_ENCODER=host)")
                            : "encode on the host (TURBOCLIP_TEXT_ENCODER=host)");
}

}  // namespace

Result<std::unique_ptr<Umt5Encoder>> Umt5Encoder::load(int device, const Checkpoint& checkpoint,
                                                       TextPrecision precision, std::int64_t memory_limit) {
  auto queue = std::make_unique<Queue>();
  const Status opened = queue->open(device);
  if (!opened) return opened.error();
  const Result<Umt5Config> config = read_umt5_config(checkpoint);
  if (!config) return config.error();
  const Status taken = check_umt5(checkpoint, config.value());
  if (!taken) return taken.error();
  const MemoryShare memory(memory_limit, device);
  memory.drop_scratch();
  const Result<std::int64_t> available = memory.available(*queue);
  if (!available) return available.error();
  const Status fits = check_room(config.value(), precision, available.value());
  if (!fits) return fits.error();
  queue->enter("load");
  // Counted before it is there, so that a load that fails gives its scratch back.
  HeldWeights held(device, umt5_weight_bytes(config.value(), precision));
  unsigned char* scratch = memory.take_scratch(*queue, umt5_loading_bytes(config.value(), precision));
  if (scratch == nullptr) return queue->status().error();
  Result<Umt5Weights> weights = load_umt5(*queue, checkpoint, config.value(), precision, scratch);
  if (!weights) return weights.error();
  std::unique_ptr<Umt5Encoder> encoder(
      new Umt5Encoder(std::move(queue), memory, std::move(held), std::move(weights).value(), checkpoint));
  encoder->rows_ = Pinned(*encoder->queue_, kMaxPromptTokens * encoder->width() * 4);
  const Status loaded = encoder->queue_->finish();
  if (!loaded) return loaded.error();
  memory.drop_scratch();
  return encoder;
}

/// A row of the table at a time, whatever type it is stored in.
void Umt5Encoder::embed(std::span<const std::int32_t> ids, float* rows) const {
  const TensorView& table = *checkpoint_.find(kEmbedding);
  const auto stride = table.strides[0] * static_cast<std::int64_t>(dtype_size(table.dtype));
  for (const std::int32_t id : ids) {
    const Tensor row =
        to_float({table.dtype, {table.shape[1]}, {table.strides[1]}, table.data + id * stride});
    rows = std::copy(row.values.begin(), row.values.end(), rows);
  }
}

Result<Tensor> Umt5Encoder::encode(std::span<const std::int32_t> ids, const Stopped& stopped) {
  const Status valid = check_prompt(ids, vocabulary());
  if (!valid) return valid.error();
  queue_->enter("encode");
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const Result<std::int64_t> available = memory_.available(*queue_);
  if (!available) return available.error();
  const std::int64_t need = prompt_bytes(tokens);
  if (need > available.value()) {
    return too_little(
        concat("a prompt of ", tokens, " tokens"), need, available.value(),
        "give the engine more of the card, or encode on the host (TURBOCLIP_TEXT_ENCODER=host)");
  }
  unsigned char* memory = memory_.take_scratch(*queue_, need);
  if (memory == nullptr) return queue_->status().error();
  Umt5State state;
  state.place(memory, queue_->device(), weights_.config, weights_.precision, tokens);
  auto* rows = reinterpret_cast<float*>(rows_.data());
  const auto bytes = static_cast<std::size_t>(tokens * width()) * sizeof(float);
  embed(ids, rows);
  queue_->copy("tokens", state.x, rows, bytes, cudaMemcpyHostToDevice);
  const bool whole = run_umt5(*queue_, weights_, state, tokens, stopped);
  queue_->copy("text rows", rows, state.x, bytes, cudaMemcpyDeviceToHost);
  const Status done = queue_->finish();  // also before the memory is another's
  if (!done) return done.error();
  if (!whole) return Error{ErrorCode::cancelled, "cancelled while encoding the prompt"};
  Tensor out({tokens, width()});
  std::copy_n(rows, out.values.size(), out.data());
  return out;
}

}  // namespace turboclip::cuda

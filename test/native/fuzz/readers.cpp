#include "fuzz/readers.h"

#include <string>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/pth.h"
#include "engine/checkpoint/safetensors.h"
#include "support.h"

namespace turboclip::test {
namespace {

constexpr std::int64_t kMostElements = 1 << 16;

template <class Read>
void feed(std::span<const std::byte> bytes, const Read& read) {
  auto read_tensors = read(bytes, "fuzzed");
  if (!read_tensors) return;
  const auto tensors = with_official_names(std::move(read_tensors).value(), "fuzzed");
  if (!tensors) return;
  for (const auto& [name, view] : tensors.value()) {
    if (element_count(view.shape) <= kMostElements) static_cast<void>(to_float(view));
  }
}

}  // namespace

void feed_pth(std::span<const std::byte> bytes) { feed(bytes, read_pth); }

void feed_safetensors(std::span<const std::byte> bytes) { feed(bytes, read_safetensors); }

void feed_pickle(std::span<const std::byte> bytes) {
  const std::string pickle(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string archive = pth_bytes(pickle, {std::string(24, '\1'), std::string(8, '\2')});
  feed_pth(std::as_bytes(std::span(archive)));
}

}  // namespace turboclip::test

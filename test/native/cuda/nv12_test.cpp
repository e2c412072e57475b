#include "cuda/nv12.h"

#include <limits>

#include "check.h"
#include "cpu/reference.h"
#include "cuda/device_array.h"
#include "engine/nv12.h"
#include "support.h"

namespace turboclip::test {
namespace {

struct Converted {
  std::vector<std::uint8_t> bytes;
  std::uint32_t not_numbers = 0;
};

Converted on_device(const std::vector<float>& rgb, std::int64_t frames, std::int64_t height,
                    std::int64_t width) {
  cuda::Queue queue;
  CHECK(queue.open(0).ok());
  cuda::DeviceArray<float> in;
  cuda::DeviceArray<std::uint8_t> out;
  cuda::DeviceArray<std::uint32_t> flag;
  in.upload(queue, rgb);
  out.allocate(queue, frames * nv12_bytes(height, width));
  flag.upload(queue, {0});
  cuda::frames_to_nv12(queue, in.data(), frames, height, width, out.data(), flag.data());
  const std::vector<std::uint8_t> bytes = out.download(queue);
  const std::uint32_t bad = flag.download(queue)[0];
  CHECK(queue.finish().ok());
  return {bytes, bad};
}

TEST("the device's NV12 is the host's to the byte, at sizes around the kernel's blocks") {
  for (const auto& [frames, height, width] : {std::array<std::int64_t, 3>{1, 2, 2},
                                              {3, 8, 16},
                                              {2, 4, 254},
                                              {1, 2, 256},
                                              {1, 6, 258},
                                              {2, 16, 520}}) {
    std::vector<float> rgb = random_values(static_cast<std::size_t>(frames * height * width * 3), 96);
    for (std::size_t i = 0; i < rgb.size(); i += 7)
      rgb[i] = -1.0f + 2.0f * static_cast<float>(i % 256) / 255.0f;
    rgb[0] = 1e30f;
    rgb[1] = -1e30f;
    std::vector<std::uint8_t> expected(static_cast<std::size_t>(frames * nv12_bytes(height, width)));
    to_nv12(rgb.data(), frames, height, width, expected.data());
    const Converted actual = on_device(rgb, frames, height, width);
    CHECK(actual.bytes == expected);
    CHECK_EQUAL(actual.not_numbers, 0u);
  }
}

TEST("a value that is no number is told, wherever it stands") {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {0u, 4u * 8 * 3 - 1, 77u}) {
      std::vector<float> rgb(4 * 8 * 3, 0.5f);
      rgb[at] = value;
      CHECK_EQUAL(on_device(rgb, 1, 4, 8).not_numbers, 1u);
    }
  }
}

}  // namespace
}  // namespace turboclip::test

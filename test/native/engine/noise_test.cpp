#include "engine/sampler/noise.h"

#include <cmath>
#include <numbers>

#include "check.h"
#include "engine/sampler/philox.h"

namespace turboclip {
namespace {

TEST("Philox 4x32-10 gives the known answers of Random123") {
  CHECK((philox4x32({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  CHECK((philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
         PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST("the noise has the sample values that docs/noise.md publishes, bit for bit") {
  const Tensor first = gaussian_noise(42, 0, {8});
  const float expected_first[] = {-0x1.f0bcb6p-1f, 0x1.8d59dap-3f, -0x1.3c51a6p+0f, 0x1.ec8678p+0f,
                                  -0x1.2bc066p-4f, 0x1.1cf426p-3f, -0x1.1b4e68p+0f, 0x1.4e85fcp-2f};
  for (std::size_t i = 0; i < 8; ++i) CHECK_EQUAL(first.values[i], expected_first[i]);
  const Tensor second = gaussian_noise(0x0123456789abcdef, 3, {1'000'008});
  const float expected_second[] = {-0x1.3a376p-1f, 0x1.d720f8p-2f, -0x1.9434d4p-6f, 0x1.8f5884p-1f,
                                   0x1.27f384p-1f, 0x1.9a70ecp+0f, 0x1.e648bep-3f,  -0x1.1c6deap-1f};
  for (std::size_t i = 0; i < 8; ++i) CHECK_EQUAL(second.values[1'000'000 + i], expected_second[i]);
}

TEST("the noise is standard normal in its first four moments") {
  const std::size_t count = 1 << 20;
  const Tensor noise = gaussian_noise(7, 1, {static_cast<std::int64_t>(count)});
  double sums[4] = {0, 0, 0, 0};
  for (const float value : noise.values) {
    double power = 1;
    for (double& sum : sums) sum += power *= static_cast<double>(value);
  }
  // Five standard errors of each moment of a million values: sqrt(1, 2, 15, 96) / 1024.
  CHECK(std::abs(sums[0] / count) < 5 * 1.0 / 1024);
  CHECK(std::abs(sums[1] / count - 1) < 5 * 1.42 / 1024);
  CHECK(std::abs(sums[2] / count) < 5 * 3.88 / 1024);
  CHECK(std::abs(sums[3] / count - 3) < 5 * 9.8 / 1024);
}

TEST("the noise follows Box and Muller to within float32 rounding") {
  double worst = 0;
  for (std::uint32_t group = 0; group < 100'000; ++group) {
    const PhiloxCounter random = philox4x32({group, 0, 2, 0}, {9, 0});
    const std::array<float, 4> values = gaussian_group(9, 2, group);
    for (std::size_t pair = 0; pair < 4; pair += 2) {
      const auto u = [&](std::size_t i) {
        return static_cast<double>(std::fma(static_cast<float>(random[i]), 0x1p-32f, 0x1p-33f));
      };
      const double radius = std::sqrt(-2 * std::log(u(pair)));
      const double angle = 2 * std::numbers::pi * u(pair + 1);
      worst = std::max(worst, std::abs(static_cast<double>(values[pair]) - radius * std::cos(angle)));
      worst = std::max(worst, std::abs(static_cast<double>(values[pair + 1]) - radius * std::sin(angle)));
    }
  }
  CHECK(worst < 1e-6);
}

TEST("seeds and draws are independent, and a prefix of a tensor does not depend on its length") {
  const Tensor a = gaussian_noise(1, 0, {2, 5});
  CHECK(a.values != gaussian_noise(2, 0, {2, 5}).values);
  CHECK(a.values != gaussian_noise(1ull << 32 | 1, 0, {2, 5}).values);
  CHECK(a.values != gaussian_noise(1, 1, {2, 5}).values);
  const Tensor longer = gaussian_noise(1, 0, {11});
  CHECK(std::equal(a.values.begin(), a.values.end(), longer.values.begin()));
}

}  // namespace
}  // namespace turboclip

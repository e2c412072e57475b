#include "engine/checkpoint/crc32.h"

#include <array>
#include <cstring>

namespace turboclip {
namespace {

constexpr std::uint32_t kPolynomial = 0xEDB88320u;
constexpr std::size_t kWord = 8;

/// table[i][b]: what byte b does to the remainder once i more bytes have followed it, so that eight bytes are
/// taken in at a time ("slicing by 8", https://doi.org/10.1109/TC.2008.85).
constexpr std::array<std::array<std::uint32_t, 256>, kWord> make_tables() {
  std::array<std::array<std::uint32_t, 256>, kWord> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) * kPolynomial);
    tables[0][byte] = remainder;
  }
  for (std::size_t i = 1; i < kWord; ++i) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[i - 1][byte];
      tables[i][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr auto kTables = make_tables();

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t remainder = 0xffffffffu;
  for (; bytes.size() >= kWord; bytes = bytes.subspan(kWord)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kWord);
    word ^= remainder;
    remainder = 0;
    for (std::size_t i = 0; i < kWord; ++i) remainder ^= kTables[kWord - 1 - i][(word >> (8 * i)) & 0xff];
  }
  for (const std::byte byte : bytes) {
    remainder = (remainder >> 8) ^ kTables[0][(remainder ^ static_cast<std::uint32_t>(byte)) & 0xff];
  }
  return ~remainder;
}

}  // namespace turboclip

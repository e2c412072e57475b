// CRC-32 as zip archives have it: polynomial 0x04C11DB7, bits reversed (PKWARE APPNOTE 6.3.10, 4.4.7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace turboclip {

std::uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace turboclip

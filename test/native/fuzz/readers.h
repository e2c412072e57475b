// What the fuzzers and the corpus test feed: one call a format, that reads a file of these bytes and then
// every value of every tensor that was accepted. A reader that leaves the file's bounds dies here under a
// sanitizer.
#pragma once

#include <cstddef>
#include <span>

namespace turboclip::test {

using FuzzTarget = void (*)(std::span<const std::byte> bytes);

void feed_pth(std::span<const std::byte> bytes);
/// The bytes are the pickle inside an otherwise sound archive of two storages, which mutations of a whole
/// archive seldom reach.
void feed_pickle(std::span<const std::byte> bytes);
void feed_safetensors(std::span<const std::byte> bytes);

}  // namespace turboclip::test

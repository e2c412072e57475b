// libFuzzer's entry (https://llvm.org/docs/LibFuzzer.html); TURBOCLIP_FUZZ_TARGET names a function of
// readers.h.
#include <cstdint>

#include "fuzz/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turboclip::test::TURBOCLIP_FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}

// The emulated library as a module of its own, which takes a fault by a file: while TURBOCLIP_EMULATED_FAULT
// names one that is there, the next call of the runtime takes it away and does what it says, "lost" or
// "wrong".
#include <cuda_runtime.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace {

void take_fault() {
  const char* path = std::getenv("TURBOCLIP_EMULATED_FAULT");
  if (path == nullptr) return;
  std::string fault;
  if (!(std::ifstream(path) >> fault) || ::unlink(path) != 0) return;
  if (fault == "lost") turboclip::emulator::lose_device(cudaErrorLaunchFailure);
  if (fault == "wrong") turboclip::emulator::corrupt_next_download();
}

const bool listening = [] {
  turboclip::emulator::before_runtime_call = take_fault;
  return true;
}();

}  // namespace

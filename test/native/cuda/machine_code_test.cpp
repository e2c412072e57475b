// The machine code inside libturboclip_cuda.so, read where it was built and without a GPU: what a card would
// run uses the instructions that the kernels were written for, and none that would make it slow.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "check.h"
#include "cuda/backend.h"
#include "support.h"

namespace turboclip::test {
namespace {

#ifdef TURBOCLIP_CUDA_LIBRARY

/// Instructions by the low 12 bits of their 16-byte words.
enum Opcode : unsigned {
  kImma = 0x237,
  kHmma = 0x23c,
  kQmma = 0x27a,
  kIgmma = 0x9f1,
  kHgmma = 0xdf0,        // the left operand in registers
  kHgmmaShared = 0x9f0,  // both in shared memory
  kLdsm = 0x83b,
  kLdgsts = 0xfae,
  kUtmaldg = 0x5b4,  // a tensor copy
  kStl = 0x387,
  kLdl = 0x983,
  kCall = 0x343,
  kCallRelative = 0x944
};

/// Formats and names of ptxas's notes.
constexpr char kSized = 4;
constexpr unsigned kMostThreads = 0x05;
constexpr unsigned kRegisters = 0x2f;

struct Kernel {
  std::string name;
  unsigned architecture;
  int registers;  // of a thread
  int threads;    // of a block, at most
  std::map<unsigned, int> counts;

  int count(unsigned opcode) const {
    const auto found = counts.find(opcode);
    return found == counts.end() ? 0 : found->second;
  }
};

/// Sections of machine code of one cubin inside the file.
void read_cubin(const std::string& file, std::size_t at, std::vector<Kernel>& out) {
  Elf64_Ehdr header;
  std::memcpy(&header, file.data() + at, sizeof header);
  const auto section = [&](std::size_t i) {
    Elf64_Shdr read;
    std::memcpy(&read, file.data() + at + header.e_shoff + i * header.e_shentsize, sizeof read);
    return read;
  };
  const Elf64_Shdr names = section(header.e_shstrndx);
  const auto name_of = [&](const Elf64_Shdr& of) -> std::string {
    return file.data() + at + names.sh_offset + of.sh_name;
  };
  // What ptxas notes of its kernels: entries of a format, a name and a size, and so many bytes if the format
  // says so.
  const auto notes = [&](const std::string& name, const auto& body) {
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      const Elf64_Shdr noted = section(i);
      if (name_of(noted) != name) continue;
      for (std::size_t place = 0; place + 4 <= noted.sh_size;) {
        const char* note = file.data() + at + noted.sh_offset + place;
        std::uint16_t size;
        std::memcpy(&size, note + 2, sizeof size);
        std::uint32_t words[2] = {};
        if (note[0] == kSized) std::memcpy(words, note + 4, std::min<std::size_t>(size, sizeof words));
        body(static_cast<unsigned char>(note[1]), words);
        place += 4 + (note[0] == kSized ? size : 0u);
      }
    }
  };
  std::map<std::uint32_t, int> registers;  // by the kernel's symbol
  notes(".nv.info", [&](unsigned note, const std::uint32_t(&words)[2]) {
    if (note == kRegisters) registers[words[0]] = static_cast<int>(words[1]);
  });
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr code = section(i);
    const std::string name = name_of(code);
    if (name.rfind(".text.", 0) != 0) continue;
    // The architecture stands in the second byte of the flags since CUDA 13.
    Kernel kernel{name.substr(6), header.e_flags >> 8 & 0xff, registers[code.sh_info], 0, {}};
    notes(".nv.info." + kernel.name, [&](unsigned note, const std::uint32_t(&words)[2]) {
      if (note == kMostThreads) kernel.threads = static_cast<int>(words[0]);
    });
    for (std::size_t word = 0; word + 16 <= code.sh_size; word += 16) {
      std::uint32_t low;
      std::memcpy(&low, file.data() + at + code.sh_offset + word, sizeof low);
      ++kernel.counts[low & 0xfff];
    }
    out.push_back(std::move(kernel));
  }
}

std::vector<Kernel> kernels() {
  std::ifstream stream(TURBOCLIP_CUDA_LIBRARY, std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(stream), {}};
  std::vector<Kernel> out;
  constexpr std::uint16_t kCuda = 190;
  for (std::size_t at = file.find(ELFMAG, 1); at != std::string::npos; at = file.find(ELFMAG, at + 1)) {
    std::uint16_t machine = 0;
    if (at + sizeof(Elf64_Ehdr) < file.size()) std::memcpy(&machine, file.data() + at + 18, sizeof machine);
    if (machine == kCuda) read_cubin(file, at, out);
  }
  return out;
}

TEST(
    "every kernel is there for sm_89, sm_90 and sm_120, Hopper's own for sm_90, those on tensor copies for "
    "the last two, and none spills or calls a routine but to take a root") {
  std::map<std::string, std::set<unsigned>> architectures;
  for (const Kernel& kernel : kernels()) {
    architectures[kernel.name].insert(kernel.architecture);
    const bool clean = kernel.count(kStl) == 0 && kernel.count(kLdl) == 0;
    // The noise takes correctly rounded square roots, whose rare cases are a routine.
    const bool root = kernel.name.find("start_kernel") != std::string::npos ||
                      kernel.name.find("advance_kernel") != std::string::npos;
    // For sm_89 ptxas gathers a warp's lanes before a shuffle in a routine; that card is not aimed at.
    const bool inlined =
        root || kernel.architecture == 89 || kernel.count(kCall) + kernel.count(kCallRelative) == 0;
    if (!clean || !inlined) record_failure(__FILE__, __LINE__, kernel.name);
  }
  CHECK(architectures.size() > 20);
  for (const auto& [name, found] : architectures) {
    std::set<unsigned> expected{89, 90, 120};
    if (name.find("wgmma") != std::string::npos) expected = {90};
    if (name.find("tensor_copies") != std::string::npos) expected = {90, 120};
    if (found != expected) record_failure(__FILE__, __LINE__, name);
  }
}

/// Blocks whose registers and warps a multiprocessor of an RTX 5090 holds at a time: it has four schedulers
/// of 12 warps and 16,384 registers each, and gives a warp registers in eights a thread.
int blocks_by_registers(const Kernel& kernel) {
  constexpr int kSchedulers = 4;
  constexpr int kWarps = 12;
  constexpr int kScheduled = 16'384;
  const int of_warp = (kernel.registers + 7) / 8 * 8 * 32;
  const int warps = (kernel.threads + 31) / 32;
  return kSchedulers * std::min(kWarps, kScheduled / of_warp) / warps;
}

TEST("an RTX 5090's multiprocessor holds every kernel, and as many blocks of it as the kernel was made for") {
  // What shared memory leaves of them is asserted where it is laid out (blocks_by_shared_memory).
  const std::map<std::string, int> made_for{
      {"sparse_attention_kernel", 2}, {"sparse_attention_e4m3_kernel", 2}, {"row_kernel", 5}};
  int seen = 0;
  for (const Kernel& kernel : kernels()) {
    if (kernel.architecture != 120) continue;
    ++seen;
    int blocks = 1;
    for (const auto& [name, count] : made_for) {
      if (kernel.name.find(name) != std::string::npos) blocks = count;
    }
    CHECK(kernel.registers > 0 && kernel.threads > 0);
    if (blocks_by_registers(kernel) < blocks) record_failure(__FILE__, __LINE__, kernel.name);
  }
  CHECK(seen > 20);
}

TEST("the matrix kernels are made of the tensor cores' instructions, in the numbers that their tiles say") {
  int products = 0;
  int copying = 0;
  int asynchronous = 0;
  int attentions = 0;
  int e4m3_attentions = 0;
  int asynchronous_attentions = 0;
  int states = 0;
  int convolutions = 0;
  int pairs = 0;
  int asynchronous_convolutions = 0;
  int frame_products = 0;
  int few_rows = 0;
  for (const Kernel& kernel : kernels()) {
    if (kernel.name.find("gemm_w8a8") != std::string::npos) {
      ++products;
      // A block of K: 4 steps, each of 3 x 8 tiles with 3 + 4 loads of operands; before the first, x of all
      // steps and W's first group.
      CHECK_EQUAL(kernel.count(kImma), 96);
      CHECK_EQUAL(kernel.count(kLdsm), 28 + 12 + 4);
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("gemm_tensor_copies") != std::string::npos) {
      ++copying;
      // The same products. Copies of x, W and x's scales, and of W's scale: of two blocks of K before the
      // first tile, and ahead.
      CHECK_EQUAL(kernel.count(kImma), 96);
      CHECK_EQUAL(kernel.count(kLdsm), 28 + 12 + 4);
      CHECK_EQUAL(kernel.count(kUtmaldg), 3 * 3);
      CHECK_EQUAL(kernel.count(kLdgsts), 3);
    }
    if (kernel.name.find("gemm_wgmma") != std::string::npos) {
      ++asynchronous;
      CHECK_EQUAL(kernel.count(kIgmma), 2 * 4);  // two halves of 64 rows, 4 steps of K
    }
    if (kernel.name.find("conv_kernel") != std::string::npos) {
      ++convolutions;
      // A tap's 32 channels, in 2 steps: 4 rows of pixels by 6 or 4 tiles of channels. Of the narrow kernel,
      // 2 by 2, three taps at once.
      const bool narrow = kernel.name.find("ELi16E") != std::string::npos;
      const int across = kernel.name.find("ELi96E") != std::string::npos ? 6 : 4;
      CHECK_EQUAL(kernel.count(kHmma), narrow ? 3 * 2 * 2 * 2 : 2 * 4 * across);
      CHECK_EQUAL(kernel.count(kLdsm), narrow ? 3 * 2 * (2 + 1) : 2 * (4 + across / 2));
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("few_rows_kernel") != std::string::npos) {
      ++few_rows;
      // A block of K of 128 bytes: 4 steps, of INT8 16 outputs by all tiles of eight rows, of bfloat16 32 by
      // half.
      const bool int8 = kernel.name.find("ILb1E") != std::string::npos;
      int tiles = 0;
      for (const int each : {4, 8, 14, 16}) {
        if (kernel.name.find("ELi" + std::to_string(each) + "E") != std::string::npos) tiles = each;
      }
      CHECK(tiles > 0);
      CHECK_EQUAL(kernel.count(int8 ? kImma : kHmma), 4 * tiles);
      CHECK_EQUAL(kernel.count(int8 ? kHmma : kImma), 0);
      CHECK_EQUAL(kernel.count(kLdsm), int8 ? 2 * tiles : 4 * ((tiles + 2) / 4));
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("conv_pair_kernel") != std::string::npos) {
      ++pairs;
      // A tap's 32 channels of two planes, in 2 steps: 2 rows of pixels by 6 or 4 tiles of channels; of the
      // narrow kernel 1 by 2.
      const bool narrow = kernel.name.find("ELi16E") != std::string::npos;
      const int rows = narrow ? 1 : 2;
      const int across = narrow ? 2 : kernel.name.find("ELi96E") != std::string::npos ? 6 : 4;
      CHECK_EQUAL(kernel.count(kHmma), 2 * 2 * rows * across);
      CHECK_EQUAL(kernel.count(kLdsm), 2 * 2 * (rows + across / 2));
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("conv_wgmma") != std::string::npos) {
      ++asynchronous_convolutions;
      // A tap's 32 channels, in 2 steps: 2 or 4 times 8 x 8 pixels; of a pair before and after its planes'
      // sums are spread.
      const bool pair = kernel.name.find("Lb1E") != std::string::npos;
      const int spots = kernel.name.find("ELi4E") != std::string::npos ? 4 : 2;
      CHECK_EQUAL(kernel.count(kHgmmaShared), 2 * spots * (pair ? 2 : 1));
    }
    if (kernel.name.find("matrix_product") != std::string::npos) {
      ++frame_products;
      CHECK_EQUAL(kernel.count(kHmma), 4 * 2 * 4);
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("sparse_attention_wgmma") != std::string::npos) {
      ++asynchronous_attentions;
      // q . k of 64 keys in 4 steps, for both halves before the loop and in it; p . v of both in 4 steps of
      // 16 keys; the linear branch's step 2 x 16 tiles.
      CHECK_EQUAL(kernel.count(kIgmma), 4 * 4);
      CHECK_EQUAL(kernel.count(kHgmma), 2 * 4);
      CHECK_EQUAL(kernel.count(kHmma), 32);
    } else if (kernel.name.find("sparse_attention_e4m3") != std::string::npos) {
      ++e4m3_attentions;
      // 64 keys: q . k of 8 tiles in 4 steps; p . v of 16 tiles and the weights' sums in 2 steps, which sm_90
      // makes of halves; the linear branch's step 16. q, k and v come by 4 + 16 + 16 loads, the branch's
      // by 8.
      CHECK_EQUAL(kernel.count(kImma), 8 * 4);
      const int values = (16 + 1) * 2;
      CHECK_EQUAL(kernel.count(kQmma), kernel.architecture == 90 ? 0 : values);
      CHECK_EQUAL(kernel.count(kHmma), 16 + (kernel.architecture == 90 ? 2 * values : 0));
      CHECK_EQUAL(kernel.count(kLdsm), 4 + 16 + 16 + 8);
      CHECK(kernel.count(kLdgsts) > 0);
    } else if (kernel.name.find("sparse_attention") != std::string::npos) {
      ++attentions;
      // Four steps of 16 keys: q . k of 2 x 2 tiles in 4 steps, once more for scores that are weighed anew;
      // p . v in 2 x 16; the linear branch's step 2 x 16.
      CHECK_EQUAL(kernel.count(kImma), 4 * 2 * 16);
      CHECK_EQUAL(kernel.count(kHmma), 4 * 32 + 32);
      CHECK(kernel.count(kLdgsts) > 0);
    }
    if (kernel.name.find("cross_attention_wgmma") != std::string::npos) {
      ++asynchronous_attentions;
      // q . k of 128 channels, p . v of 128 keys, 16 a step.
      CHECK_EQUAL(kernel.count(kHgmmaShared), 8);
      CHECK_EQUAL(kernel.count(kHgmma), 8);
    }
    // f(k)^T v of 64 rows in 4 steps: 2 x 4 tiles a warp, and the features' sums.
    if (kernel.name.find("heads_kernelILb1E") != std::string::npos) {
      ++states;
      CHECK_EQUAL(kernel.count(kHmma), 4 * (2 * 4 + 2));
    }
  }
  CHECK_EQUAL(products, 4 * 3);  // epilogues, architectures
  CHECK_EQUAL(copying, 4 * 2);
  CHECK_EQUAL(asynchronous, 4);
  CHECK_EQUAL(attentions, 3);
  CHECK_EQUAL(e4m3_attentions, 3);
  CHECK_EQUAL(asynchronous_attentions, 2);
  CHECK_EQUAL(states, 2 * 3);            // with v in e4m3 and without
  CHECK_EQUAL(few_rows, 2 * 4 * 3);      // precisions, rows of a tile, architectures
  CHECK_EQUAL(convolutions, 2 * 3 * 3);  // kinds of sums, columns of a tile, architectures
  CHECK_EQUAL(pairs, 2 * 3 * 3);
  CHECK_EQUAL(asynchronous_convolutions, 6);  // widths, of one frame and of pairs
  CHECK_EQUAL(frame_products, 3 * 3);         // values, scores, sums
}

TEST("the CUDA library opens without a GPU, and says that there is no device") {
  const Result<std::unique_ptr<Backend>> backend =
      make_cuda_backend({TURBOCLIP_CUDA_LIBRARY, 99}, make_cpu_backend({1}));
  CHECK(!backend.ok());
  CHECK(backend.error().code == ErrorCode::backend_unavailable);
  CHECK(mentions(backend.error().message, {"no CUDA device"}));
}

#endif

}  // namespace
}  // namespace turboclip::test

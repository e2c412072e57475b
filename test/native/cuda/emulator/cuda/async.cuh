// native/cuda/async.cuh in plain C++, for tests where no GPU is. A tensor copy lands when no thread can go on
// without it, and what it will overwrite is garbage from its start on.
#pragma once

#include <cstring>

#include "cuda/simt.cuh"
#include "cuda/tensor_map.h"

namespace turboclip::cuda::async {

struct Barrier {
  static constexpr std::uint8_t kMade = 0xa5;
  std::int32_t bytes;  // of copies that the phase still waits for
  std::uint8_t arrivals, missing, parity, made;

  void check() {
    emulator::require_shared(this, sizeof *this);
    if (made != kMade) throw emulator::Undefined("a barrier that nobody has initialised");
    if (missing > 0 || bytes != 0) return;
    missing = arrivals;
    parity ^= 1;
  }
};
static_assert(sizeof(Barrier) == 8);

inline unsigned char* swizzled_shared_memory() { return emulator::shared_memory(); }

inline void initialize(Barrier& barrier, unsigned arrivals) {
  const auto count = static_cast<std::uint8_t>(arrivals);
  barrier = {0, count, count, 0, Barrier::kMade};
}
inline void publish_barriers() {}
inline void arrive(Barrier& barrier) {
  if (barrier.missing == 0)
    throw emulator::Undefined("more arrivals at a barrier than it was initialised for");
  --barrier.missing;
  barrier.check();
}
inline void arrive_expecting(Barrier& barrier, unsigned bytes) {
  barrier.bytes += static_cast<std::int32_t>(bytes);
  arrive(barrier);
}
inline void arrive_when_copied(Barrier& barrier) {
  emulator::land_copies_late([&barrier] { arrive(barrier); });
}
inline bool ended(Barrier& barrier, unsigned parity) {
  if (barrier.made != Barrier::kMade) throw emulator::Undefined("a barrier that nobody has initialised");
  return barrier.parity != parity;
}
inline void wait(Barrier& barrier, unsigned parity) {
  emulator::wait_until([&barrier, parity] { return ended(barrier, parity); });
}

inline void copy_box(void* to, const CUtensorMap& map, int column, int row, Barrier& barrier) {
  constexpr int kChunk = 16;
  auto* begin = static_cast<unsigned char*>(to);
  const int row_bytes = map.box_columns * map.value_bytes;
  const int bytes = map.box_rows * row_bytes;
  emulator::require_shared(begin, map.swizzled ? 1024 : 128);
  emulator::require_shared(begin + bytes - kChunk, kChunk);
  std::memset(begin, 0xdb, static_cast<std::size_t>(bytes));
  emulator::land_late([=, &barrier] {
    for (int r = 0; r < map.box_rows; ++r) {
      for (int c = 0; c < row_bytes; c += map.value_bytes) {
        const int at = r * row_bytes + c;
        unsigned char* value = begin + (map.swizzled ? at ^ (at / 128 % 8) * kChunk : at);
        const std::int64_t x = column + c / map.value_bytes;
        const std::int64_t y = row + r;
        if (x < map.columns && y < map.rows) {
          std::memcpy(value, map.values + y * map.stride + x * map.value_bytes,
                      static_cast<std::size_t>(map.value_bytes));
        } else {
          std::memset(value, 0, static_cast<std::size_t>(map.value_bytes));
        }
      }
    }
    barrier.bytes -= bytes;
    barrier.check();
  });
}

/// Barriers among some of a block's threads, by number.
inline void meet(int number, int threads) {
  struct Meeting {
    int met = 0;
    int turn = 0;
  };
  static Meeting meetings[16];
  Meeting& here = meetings[number];
  if (++here.met == threads) {
    here.met = 0;
    ++here.turn;
    return;
  }
  emulator::wait_until([&here, turn = here.turn] { return here.turn != turn; });
}

}  // namespace turboclip::cuda::async

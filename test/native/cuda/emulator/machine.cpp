#include "machine.h"

#include <ucontext.h>

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace turboclip::emulator {
namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 128 << 10;
constexpr unsigned char kGarbage = 0xdb;
constexpr std::size_t kSharedAlignment = 1024;

enum class Wait { nothing, warp, block, event, done };

struct Copy {
  unsigned char* to;
  const unsigned char* from;
  int size;
  int bytes;
};

struct Fiber {
  std::unique_ptr<unsigned char[]> stack;
  jmp_buf where;
  ucontext_t start;
  bool started = false;
  Wait wait = Wait::nothing;
  std::function<bool()> come;  // what an event is
  Place place;
  std::vector<Copy> open_copies;
  std::vector<std::vector<Copy>> groups;
};

struct Warp {
  const char* operation = nullptr;
  int arrived = 0;
  void* slots[kWarp] = {};
};

struct Machine {
  Order order = Order::ascending;
  std::vector<Fiber> fibers;  // kept from block to block: their stacks are used again
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  std::size_t shared_bytes = 0;
  int threads = 0;
  int current = -1;
  jmp_buf scheduler;
  const std::function<void()>* body = nullptr;
  std::exception_ptr failure;
  std::deque<std::function<void()>> late;
} machine;

Fiber& current() { return machine.fibers[static_cast<std::size_t>(machine.current)]; }
Warp& warp() { return machine.warps[static_cast<std::size_t>(machine.current / kWarp)]; }

unsigned char* shared_begin() {
  const auto address = reinterpret_cast<std::uintptr_t>(machine.shared.data());
  return machine.shared.data() + (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment;
}

/// Back to the scheduler until what the fiber waits for has come. A failed block never resumes its fibers.
void yield(Wait wait) {
  current().wait = wait;
  if (_setjmp(current().where) == 0) _longjmp(machine.scheduler, 1);
}

void fiber_main() {
  try {
    (*machine.body)();
    // They could land on what the block has put there since.
    std::vector<std::vector<Copy>>& groups = current().groups;
    groups.push_back(std::exchange(current().open_copies, {}));
    for (const std::vector<Copy>& group : groups) {
      if (!group.empty()) throw Undefined("a thread ends with asynchronous copies under way");
    }
  } catch (...) {
    machine.failure = std::current_exception();
  }
  current().wait = Wait::done;
  _longjmp(machine.scheduler, 1);
}

void resume(int thread) {
  machine.current = thread;
  Fiber& fiber = current();
  if (_setjmp(machine.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.where, 1);
  fiber.started = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.get();
  fiber.start.uc_stack.ss_size = kStack;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, fiber_main, 0);
  setcontext(&fiber.start);
}

/// Runs the warp until all its lanes wait for more than one another, or are done. Whether any lane moved.
bool run_warp(int index) {
  bool any = false;
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = index * kWarp; i < (index + 1) * kWarp && i < machine.threads; ++i) {
      Fiber& fiber = machine.fibers[static_cast<std::size_t>(i)];
      if (fiber.wait == Wait::event && fiber.come()) fiber.wait = Wait::nothing;
      if (fiber.wait != Wait::nothing) continue;
      resume(i);
      if (machine.failure) std::rethrow_exception(std::exchange(machine.failure, nullptr));
      any = moved = true;
    }
  }
  return any;
}

bool waits(int first, int end, Wait wait) {
  for (int i = first; i < end; ++i) {
    if (machine.fibers[static_cast<std::size_t>(i)].wait == wait) return true;
  }
  return false;
}

/// Throws if lanes of a warp wait for others that will not come.
void check_warp(int index) {
  const int first = index * kWarp;
  machine.current = first;
  if (warp().arrived > 0 && !waits(first, first + kWarp, Wait::event)) {
    throw Undefined(std::string("lanes of a warp part at ") + warp().operation);
  }
}

void run_block() {
  const int warps = (machine.threads + kWarp - 1) / kWarp;
  for (;;) {
    bool moved = false;
    for (int i = 0; i < warps; ++i) {
      const int index = machine.order == Order::ascending ? i : warps - 1 - i;
      if (run_warp(index)) moved = true;
      check_warp(index);
    }
    if (moved) continue;
    if (waits(0, machine.threads, Wait::event)) {
      if (machine.late.empty()) throw Undefined("threads wait for ever");
      const std::function<void()> land = std::move(machine.late.front());
      machine.late.pop_front();
      land();
      continue;
    }
    if (!waits(0, machine.threads, Wait::block)) break;
    for (int i = 0; i < machine.threads; ++i) {
      Fiber& fiber = machine.fibers[static_cast<std::size_t>(i)];
      if (fiber.wait == Wait::block) fiber.wait = Wait::nothing;
    }
  }
  if (!machine.late.empty()) throw Undefined("a block ends with copies under way");
}

void start_block(dim3 block_index, dim3 block, dim3 grid) {
  machine.late.clear();
  machine.warps.assign(static_cast<std::size_t>((machine.threads + kWarp - 1) / kWarp), Warp{});
  std::memset(machine.shared.data(), kGarbage, machine.shared.size());
  for (int i = 0; i < machine.threads; ++i) {
    Fiber& fiber = machine.fibers[static_cast<std::size_t>(i)];
    fiber.started = false;
    fiber.wait = Wait::nothing;
    fiber.open_copies.clear();
    fiber.groups.clear();
    const auto thread = static_cast<unsigned>(i);
    fiber.place = {dim3(thread % block.x, thread / block.x % block.y, thread / block.x / block.y),
                   block_index, block, grid};
  }
}

void land(const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    if (copy.bytes > 0) std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
    std::memset(copy.to + copy.bytes, 0, static_cast<std::size_t>(copy.size - copy.bytes));
  }
}

}  // namespace

void set_order(Order order) { machine.order = order; }

void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  machine.threads = static_cast<int>(block.x * block.y * block.z);
  if (machine.threads % kWarp != 0) throw Undefined("a block of no whole warps");
  machine.body = &body;
  machine.shared_bytes = shared_bytes;
  machine.shared.resize(shared_bytes + kSharedAlignment);
  while (static_cast<int>(machine.fibers.size()) < machine.threads) {
    machine.fibers.emplace_back().stack = std::make_unique<unsigned char[]>(kStack);
  }
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        start_block(dim3(x, y, z), block, grid);
        run_block();
      }
    }
  }
}

const Place& place() { return current().place; }
int lane() { return machine.current % kWarp; }
unsigned char* shared_memory() { return shared_begin(); }

void require_shared(const void* pointer, std::size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(pointer);
  if (at < shared_begin() || at + bytes > shared_begin() + machine.shared_bytes) {
    throw Undefined("an access outside the block's shared memory");
  }
  if ((at - shared_begin()) % static_cast<std::ptrdiff_t>(bytes) != 0) {
    throw Undefined("an access to shared memory that is not aligned to its size");
  }
}

void copy_async(void* shared, const void* global, int size, int bytes) {
  require_shared(shared, static_cast<std::size_t>(size));
  if (reinterpret_cast<std::uintptr_t>(global) % static_cast<unsigned>(size) != 0 && bytes > 0) {
    throw Undefined("an asynchronous copy from an address that is not aligned to its size");
  }
  std::memset(shared, kGarbage, static_cast<std::size_t>(size));
  current().open_copies.push_back(
      {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), size, bytes});
}

void copy_commit() { current().groups.push_back(std::exchange(current().open_copies, {})); }

void copy_wait(int open) {
  std::vector<std::vector<Copy>>& groups = current().groups;
  while (static_cast<int>(groups.size()) > open) {
    land(groups.front());
    groups.erase(groups.begin());
  }
}

void block_barrier() { yield(Wait::block); }

void wait_until(std::function<bool()> come) {
  if (come()) return;
  current().come = std::move(come);
  yield(Wait::event);
}

void land_late(std::function<void()> land) { machine.late.push_back(std::move(land)); }

void land_copies_late(std::function<void()> then) {
  copy_commit();
  land_late([groups = std::exchange(current().groups, {}), then = std::move(then)] {
    for (const std::vector<Copy>& group : groups) land(group);
    then();
  });
}

void with_warp(const char* name, void* mine, const std::function<void(void* const*)>& all) {
  Warp& here = warp();
  if (here.arrived > 0 && std::strcmp(here.operation, name) != 0) {
    throw Undefined(std::string("lanes of a warp part: ") + here.operation + " and " + name);
  }
  here.operation = name;
  here.slots[lane()] = mine;
  if (++here.arrived < kWarp) return yield(Wait::warp);
  all(here.slots);
  here.arrived = 0;
  const int first = machine.current / kWarp * kWarp;
  for (int i = first; i < first + kWarp; ++i)
    machine.fibers[static_cast<std::size_t>(i)].wait = Wait::nothing;
}

}  // namespace turboclip::emulator

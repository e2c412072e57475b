// A machine that runs CUDA kernels on the processor, for tests where no GPU is: every CUDA thread is a fiber,
// and warps take turns from one barrier to the next. Device memory ends at a page that cannot be touched.
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace turboclip::emulator {

/// A kernel did what a GPU leaves undefined.
struct Undefined : std::logic_error {
  using std::logic_error::logic_error;
};

/// Which warp goes first between two barriers. Kernels that lack a barrier give other results in one of them.
enum class Order { ascending, descending };
void set_order(Order order);

/// Runs body once a thread. Throws Undefined when lanes part at a warp's operation, or threads wait for ever.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body);

struct Place {
  dim3 thread{0, 0, 0}, block{0, 0, 0}, block_size, grid_size;
};
const Place& place();

unsigned char* shared_memory();
void require_shared(const void* pointer, std::size_t bytes);
void copy_async(void* shared, const void* global, int size, int bytes);
void copy_commit();
void copy_wait(int open);
void block_barrier();
/// Lets others run until `come` says that what this thread waits for is there.
void wait_until(std::function<bool()> come);
/// Does `land` once no thread can go on without it, the first that was left for later first.
void land_late(std::function<void()> land);
/// The same with this thread's copy_async so far: they land, then `then` is done.
void land_copies_late(std::function<void()> then);

/// Waits until all lanes of the warp are here with the same name; the last runs `all` over what each brought.
void with_warp(const char* name, void* mine, const std::function<void(void* const* slots)>& all);
int lane();

/// Fails the call of the runtime after `calls` more with `error`, once.
void fail_runtime_call(int calls, int error);
/// From now on every call fails with `error`, as after a fault inside a kernel.
void lose_device(int error);
/// The next copy to the host arrives with a bit turned.
void corrupt_next_download();
/// Called before each call of the runtime; may call the three above. Empty but in the library of the tests.
extern void (*before_runtime_call)();
/// Bytes of device memory that are allocated now.
std::size_t allocated_bytes();

}  // namespace turboclip::emulator

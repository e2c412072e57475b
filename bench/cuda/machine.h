// On a card there is one order of warps: its own. Stands in for the emulated machine's header when the
// kernels' tests are built for a device.
#pragma once

namespace turboclip::emulator {

enum class Order { ascending, descending };
inline void set_order(Order) {}

}  // namespace turboclip::emulator

// What a model set and a clip take of a device.
#pragma once

#include <napi.h>

namespace turboclip::addon {

/// The JavaScript function planOnDevice(paths, options, clip, available): a plan (values.h), at once, since
/// only headers are read; throws what cannot be planned. With a number of bytes that are available no device
/// need be there; without one the device of the options says what it has.
Napi::Value plan_device(const Napi::CallbackInfo& info);

}  // namespace turboclip::addon

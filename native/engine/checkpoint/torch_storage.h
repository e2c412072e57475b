// The storage classes by which a .pth names the types of its tensors.
#pragma once

#include <string_view>

#include "engine/tensor.h"

namespace turboclip {

struct TorchStorage {
  std::string_view name;  // in the module torch
  DType dtype;
};

inline constexpr TorchStorage kTorchStorages[] = {
    {"DoubleStorage", DType::f64},    {"FloatStorage", DType::f32}, {"HalfStorage", DType::f16},
    {"BFloat16Storage", DType::bf16}, {"LongStorage", DType::i64},  {"IntStorage", DType::i32},
    {"ShortStorage", DType::i16},     {"CharStorage", DType::i8},   {"ByteStorage", DType::u8},
    {"BoolStorage", DType::boolean},
};

}  // namespace turboclip

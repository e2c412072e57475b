// native/cuda/tensor_map.h for tests where no GPU is: what a tensor copy needs to know of an array.
#pragma once

#include "cuda/numbers.h"

struct CUtensorMap {
  const unsigned char* values;
  std::int64_t rows, columns, stride;  // stride in bytes
  int box_rows, box_columns, value_bytes;
  bool swizzled;
};

namespace turboclip::cuda {

inline bool describe(CUtensorMap& map, const std::int8_t* values, std::int64_t rows, std::int64_t width,
                     int box) {
  map = {reinterpret_cast<const unsigned char*>(values), rows, width, width, box, kScaleGroup, 1, true};
  return true;
}
inline bool describe_scales(CUtensorMap& map, const float* scales, std::int64_t rows, std::int64_t groups,
                            int box) {
  map = {reinterpret_cast<const unsigned char*>(scales),
         groups,
         rows,
         scale_stride(rows) * static_cast<std::int64_t>(sizeof(float)),
         1,
         box,
         sizeof(float),
         false};
  return true;
}

}  // namespace turboclip::cuda

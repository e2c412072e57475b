// One line of the report a tensor, and the measure it goes by.
#pragma once

#include <functional>
#include <string>

#include "engine/tensor.h"

namespace turboclip::golden {

/// Receives each line of the report, without its newline.
using Print = std::function<void(const std::string& line)>;

struct Counts {
  int computed = 0;
  int failed = 0;
};

/// ||value - reference|| / ||reference||, or ||value|| where the reference is zero. The shapes must agree.
double relative_error(const Tensor& value, const Tensor& reference);

/// "error 1.23e-05  tolerance 1.00e-04  ok", or FAIL when the error is above it or no number.
std::string error_verdict(double error, double tolerance);

/// File, tensor, shape and verdict in columns.
std::string report_line(const std::string& file, const std::string& name, const Shape& shape,
                        const std::string& verdict);

}  // namespace turboclip::golden

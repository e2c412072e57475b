#include "tools/golden/report.h"

#include <cmath>
#include <cstdio>

#include "engine/text.h"

namespace turboclip::golden {
namespace {

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2e", value);
  return text;
}

}  // namespace

double relative_error(const Tensor& value, const Tensor& reference) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < value.values.size(); ++i) {
    const double expected = reference.values[i];
    const double error = static_cast<double>(value.values[i]) - expected;
    difference += error * error;
    norm += expected * expected;
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

std::string error_verdict(double error, double tolerance) {
  return concat("error ", scientific(error), "  tolerance ", scientific(tolerance),
                error <= tolerance ? "  ok" : "  FAIL");
}

std::string report_line(const std::string& file, const std::string& name, const Shape& shape,
                        const std::string& verdict) {
  char line[256];
  std::snprintf(line, sizeof line, "%-13s %-20s %-22s %s", file.c_str(), name.c_str(),
                shape_text(shape).c_str(), verdict.c_str());
  return line;
}

}  // namespace turboclip::golden

// How a function of the C interface says what went wrong.
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

#include "cuda/library.h"
#include "engine/error.h"

namespace turboclip::cuda {

inline void report(turboclip_cuda_error* out, ErrorCode code, std::string_view message) {
  out->code = static_cast<std::int32_t>(code);
  const std::size_t length = std::min(message.size(), sizeof out->message - 1);
  std::memcpy(out->message, message.data(), length);
  out->message[length] = '\0';
}

/// Runs body, which returns a Result; no exception leaves the library. Returns whether it went well.
template <class Body>
bool guarded(turboclip_cuda_error* error, const Body& body) {
  try {
    const auto result = body();
    if (!result) report(error, result.error().code, result.error().message);
    return result.ok();
  } catch (const std::bad_alloc&) {
    report(error, ErrorCode::out_of_memory, "the host's memory does not suffice for this model or clip");
  } catch (const std::exception& failure) {
    report(error, ErrorCode::internal, failure.what());
  }
  return false;
}

}  // namespace turboclip::cuda

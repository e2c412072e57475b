#include "addon/plan.h"

#include "addon/values.h"

namespace turboclip::addon {
namespace {

Result<DevicePlan> plan(const Napi::CallbackInfo& info) {
  const Result<EnginePaths> paths = read_paths(info[0]);
  if (!paths) return paths.error();
  const Result<CudaOptions> options = read_cuda_options(info[1]);
  if (!options) return options.error();
  const Result<LargestClip> clip = read_largest(info[2]);
  if (!clip) return clip.error();
  if (info[3].IsUndefined()) return plan_on_device(options.value(), paths.value(), clip.value());
  if (!info[3].IsNumber()) return Error{ErrorCode::request_invalid, "available is not a number of bytes"};
  CudaOptions absent = options.value();
  absent.device = -1;
  return plan_on_device(absent, paths.value(), clip.value(), info[3].As<Napi::Number>().Int64Value());
}

}  // namespace

Napi::Value plan_device(const Napi::CallbackInfo& info) {
  const Result<DevicePlan> planned = plan(info);
  if (planned) return to_object(info.Env(), planned.value());
  to_error(info.Env(), planned.error()).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace turboclip::addon

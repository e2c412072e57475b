// Looks a CUDA device over off the JavaScript thread.
#pragma once

#include <napi.h>

#include <optional>

#include "addon/values.h"

namespace turboclip::addon {

class DeviceWorker : public Napi::AsyncWorker {
 public:
  /// The JavaScript function findCudaDevice({device, library}): a promise of {name, driver, freeBytes,
  /// totalBytes}, once the device has passed its self-test.
  static Napi::Value start(const Napi::CallbackInfo& info);

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  DeviceWorker(Napi::Env env, CudaOptions options);

  Napi::Promise::Deferred deferred_;
  CudaOptions options_;
  std::optional<Result<CudaDevice>> result_;
};

}  // namespace turboclip::addon

#include "addon/device_worker.h"

#include <exception>
#include <utility>

namespace turboclip::addon {

DeviceWorker::DeviceWorker(Napi::Env env, CudaOptions options)
    : Napi::AsyncWorker(env, "turboclip device"), deferred_(env), options_(std::move(options)) {}

Napi::Value DeviceWorker::start(const Napi::CallbackInfo& info) {
  Result<CudaOptions> options = read_cuda_options(info[0]);
  if (!options) {
    to_error(info.Env(), options.error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  auto* worker = new DeviceWorker(info.Env(), std::move(options).value());  // deletes itself when done
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  return promise;
}

void DeviceWorker::Execute() {
  try {
    result_ = find_cuda_device(options_, make_cpu_backend({1}));
  } catch (const std::exception& error) {
    result_ = Error{ErrorCode::internal, std::string("unexpected: ") + error.what()};
  }
}

void DeviceWorker::OnOK() {
  if (!*result_) {
    deferred_.Reject(to_error(Env(), result_->error()).Value());
    return;
  }
  deferred_.Resolve(to_object(Env(), result_->value()));
}

}  // namespace turboclip::addon

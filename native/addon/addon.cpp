// The module's entry. Only this folder knows Node.
#include <napi.h>

#include "addon/device_worker.h"
#include "addon/engine_object.h"
#include "addon/plan.h"
#include "addon/quantize_worker.h"

namespace turboclip::addon {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const Napi::Function engine = EngineObject::define(env);
  env.SetInstanceData(new AddonData{Napi::Persistent(engine)});  // deleted with the environment
  exports.Set("Engine", engine);
  exports.Set("findCudaDevice", Napi::Function::New<DeviceWorker::start>(env, "findCudaDevice"));
  exports.Set("planOnDevice", Napi::Function::New<plan_device>(env, "planOnDevice"));
  exports.Set("quantize", Napi::Function::New<QuantizeWorker::start>(env, "quantize"));
  return exports;
}

NODE_API_MODULE(turboclip, init)

}  // namespace
}  // namespace turboclip::addon

#include "addon/load_worker.h"

#include <exception>

#include "addon/engine_object.h"
#include "addon/values.h"

namespace turboclip::addon {

LoadWorker::LoadWorker(Napi::Env env, const EnginePaths& paths, const CpuOptions& options)
    : Napi::AsyncWorker(env, "turboclip load"), deferred_(env), paths_(paths), options_(options) {}

Napi::Value LoadWorker::start(Napi::Env env, const EnginePaths& paths, const CpuOptions& options) {
  auto* worker = new LoadWorker(env, paths, options);  // deletes itself when done
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  return promise;
}

void LoadWorker::Execute() {
  try {
    result_ = Engine::load(paths_, make_cpu_backend(options_));
  } catch (const std::exception& error) {
    result_ = Error{ErrorCode::internal, std::string("the CPU backend does not start: ") + error.what()};
  }
}

void LoadWorker::OnOK() {
  if (!*result_) {
    deferred_.Reject(to_error(Env(), result_->error()).Value());
    return;
  }
  deferred_.Resolve(EngineObject::wrap(Env(), std::move(*result_).value()));
}

}  // namespace turboclip::addon

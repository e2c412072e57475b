#include "addon/load_worker.h"

#include <exception>

#include "addon/engine_object.h"

namespace turboclip::addon {
namespace {

Result<std::unique_ptr<Backend>> make_backend(const LoadOptions& options) {
  std::unique_ptr<Backend> cpu = make_cpu_backend(options.cpu);
  if (options.cuda) return make_cuda_backend(*options.cuda, std::move(cpu));
  return cpu;
}

}  // namespace

LoadWorker::LoadWorker(Napi::Env env, const EnginePaths& paths, const LoadOptions& options)
    : Napi::AsyncWorker(env, "turboclip load"), deferred_(env), paths_(paths), options_(options) {}

Napi::Value LoadWorker::start(Napi::Env env, const EnginePaths& paths, const LoadOptions& options) {
  auto* worker = new LoadWorker(env, paths, options);  // deletes itself when done
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  return promise;
}

void LoadWorker::Execute() {
  try {
    Result<std::unique_ptr<Backend>> backend = make_backend(options_);
    result_ = backend ? Engine::load(paths_, std::move(backend).value(), options_.largest) : backend.error();
  } catch (const std::exception& error) {
    result_ = Error{ErrorCode::internal, std::string("the backend does not start: ") + error.what()};
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

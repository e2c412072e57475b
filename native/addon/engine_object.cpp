#include "addon/engine_object.h"

#include "addon/generate_worker.h"
#include "addon/load_worker.h"
#include "addon/values.h"

namespace turboclip::addon {
namespace {

Napi::Value rejected(Napi::Env env, const Napi::Error& error) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(error.Value());
  return deferred.Promise();
}

Napi::Error freed_error(Napi::Env env) {
  return to_error(env, "engine_freed", "the engine was freed; load it again");
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {StaticMethod("load", &EngineObject::load), InstanceMethod("generate", &EngineObject::generate),
       InstanceMethod("cancel", &EngineObject::cancel), InstanceMethod("free", &EngineObject::free),
       InstanceMethod("info", &EngineObject::info)});
}

Napi::Object EngineObject::wrap(Napi::Env env, std::unique_ptr<Engine> engine) {
  const auto handle = Napi::External<std::unique_ptr<Engine>>::New(env, &engine);
  return env.GetInstanceData<AddonData>()->engine_constructor.New({handle});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    to_error(info.Env(), "request_invalid", "an engine is made by Engine.load(), not by new")
        .ThrowAsJavaScriptException();
    return;
  }
  state_ = std::make_shared<EngineState>();
  state_->engine = std::move(*info[0].As<Napi::External<std::unique_ptr<Engine>>>().Data());
  reported_bytes_ = state_->engine->info().resident_bytes;
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_bytes_);
}

EngineObject::~EngineObject() {
  // Collected, or the environment ends. A worker that still runs keeps the engine until it stops.
  if (state_) state_->cancel.requested.store(true);
  release(Env());
}

void EngineObject::release(Napi::Env env) {
  state_.reset();
  if (reported_bytes_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -reported_bytes_);
  reported_bytes_ = 0;
}

Napi::Value EngineObject::load(const Napi::CallbackInfo& info) {
  const Result<EnginePaths> paths = read_paths(info[0]);
  if (!paths) return rejected(info.Env(), to_error(info.Env(), paths.error()));
  const Result<LoadOptions> options = read_options(info[1]);
  if (!options) return rejected(info.Env(), to_error(info.Env(), options.error()));
  return LoadWorker::start(info.Env(), paths.value(), options.value());
}

Napi::Value EngineObject::generate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!state_) return rejected(env, freed_error(env));
  if (state_->busy) {
    return rejected(
        env, to_error(env, "engine_busy", "the engine makes one clip at a time; await the one it makes"));
  }
  Result<ClipRequest> request = read_request(info[0]);
  if (!request) return rejected(env, to_error(env, request.error()));
  if (!info[1].IsFunction())
    return rejected(env, to_error(env, "request_invalid", "onProgress is not a function"));
  if (!info[2].IsFunction())
    return rejected(env, to_error(env, "request_invalid", "onFrames is not a function"));
  state_->busy = true;
  state_->cancel.requested.store(false);
  return GenerateWorker::start(Value(), state_, std::move(request).value(), info[1].As<Napi::Function>(),
                               info[2].As<Napi::Function>());
}

void EngineObject::cancel(const Napi::CallbackInfo&) {
  if (state_ && state_->busy) state_->cancel.requested.store(true);
}

void EngineObject::free(const Napi::CallbackInfo& info) {
  if (state_ && state_->busy) {
    to_error(info.Env(), "engine_busy",
             "the engine is making a clip; call cancel() and await it before free()")
        .ThrowAsJavaScriptException();
    return;
  }
  release(info.Env());
}

Napi::Value EngineObject::info(const Napi::CallbackInfo& info) {
  if (!state_) {
    freed_error(info.Env()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return to_object(info.Env(), state_->engine->info());
}

}  // namespace turboclip::addon

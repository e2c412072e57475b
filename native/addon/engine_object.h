// The JavaScript class Engine: a loaded model set that makes one clip at a time.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/pipeline.h"

namespace turboclip::addon {

/// What an object shares with the worker that makes its clip. The worker may outlive the object when the
/// environment ends. `engine` and `cancel` are used by the worker's thread while `busy`; `busy` itself
/// belongs to the JavaScript thread.
struct EngineState {
  std::unique_ptr<Engine> engine;
  CancelFlag cancel;
  bool busy = false;
};

/// Lives on the JavaScript thread.
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  /// The class, with its static method load().
  static Napi::Function define(Napi::Env env);
  /// Wraps a loaded engine into a new object.
  static Napi::Object wrap(Napi::Env env, std::unique_ptr<Engine> engine);

  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  static Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value generate(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  void free(const Napi::CallbackInfo& info);
  Napi::Value info(const Napi::CallbackInfo& info);

  /// Ends the engine's life and gives its memory back to V8's reckoning.
  void release(Napi::Env env);

  std::shared_ptr<EngineState> state_;  // empty once freed
  std::int64_t reported_bytes_ = 0;
};

/// The constructor, kept for wrap(), one an environment (main thread or worker thread).
struct AddonData {
  Napi::FunctionReference engine_constructor;
};

}  // namespace turboclip::addon

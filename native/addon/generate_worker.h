// Makes one clip off the JavaScript thread and reports its progress on it.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "addon/engine_object.h"
#include "engine/pipeline.h"

namespace turboclip::addon {

struct ProgressEvent {
  Stage stage;
  int step;
  int steps;
  double fraction;
};

class GenerateWorker : public Napi::AsyncWorker {
 public:
  /// Sets the state's `busy` back when done. A promise of {frames, timings}; on_progress is called with
  /// {stage, step, steps, fraction}.
  static Napi::Value start(const Napi::Object& owner, std::shared_ptr<EngineState> state, ClipRequest request,
                           const Napi::Function& on_progress);

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  static void call_progress(Napi::Env env, Napi::Function on_progress, std::nullptr_t* context,
                            ProgressEvent* event);
  using ProgressFunction = Napi::TypedThreadSafeFunction<std::nullptr_t, ProgressEvent, call_progress>;

  GenerateWorker(const Napi::Object& owner, std::shared_ptr<EngineState> state, ClipRequest request,
                 const Napi::Function& on_progress);

  Napi::ObjectReference owner_;  // collected, it would cancel the clip
  std::shared_ptr<EngineState> state_;
  ClipRequest request_;
  Napi::Promise::Deferred deferred_;
  ProgressFunction progress_;
  std::optional<Result<Clip>> result_;
};

}  // namespace turboclip::addon

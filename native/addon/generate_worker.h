// Makes one clip off the JavaScript thread and reports its progress on it.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "addon/engine_object.h"
#include "engine/pipeline.h"

namespace turboclip::addon {

/// Frames [first, first + count) of the clip are in `pixels`.
struct FramesEvent {
  std::shared_ptr<std::vector<std::uint8_t>> pixels;
  std::int64_t first;
  std::int64_t count;
};

struct ProgressEvent {
  Stage stage;
  int step;
  int steps;
  double fraction;
};

class GenerateWorker : public Napi::AsyncWorker {
 public:
  /// Sets the state's `busy` back when done. A promise of {frames, timings}; on_progress is called with
  /// {stage, step, steps, fraction}, on_frames with the buffer of all frames, the first of those that are new
  /// in it, and their number. Calls may still come when the promise has been kept.
  static Napi::Value start(const Napi::Object& owner, std::shared_ptr<EngineState> state, ClipRequest request,
                           const Napi::Function& on_progress, const Napi::Function& on_frames);

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  static void call_progress(Napi::Env env, Napi::Function on_progress, std::nullptr_t* context,
                            ProgressEvent* event);
  using ProgressFunction = Napi::TypedThreadSafeFunction<std::nullptr_t, ProgressEvent, call_progress>;

  /// The buffer over the pixels, made once: two over the same memory are one too many for V8.
  struct SharedBuffer {
    Napi::Reference<Napi::Buffer<std::uint8_t>> buffer;

    Napi::Buffer<std::uint8_t> over(Napi::Env env, const std::shared_ptr<std::vector<std::uint8_t>>& pixels);
  };
  static void call_frames(Napi::Env env, Napi::Function on_frames, SharedBuffer* shared, FramesEvent* event);
  using FramesFunction = Napi::TypedThreadSafeFunction<SharedBuffer, FramesEvent, call_frames>;

  GenerateWorker(const Napi::Object& owner, std::shared_ptr<EngineState> state, ClipRequest request,
                 const Napi::Function& on_progress, const Napi::Function& on_frames);

  Napi::ObjectReference owner_;  // collected, it would cancel the clip
  std::shared_ptr<EngineState> state_;
  ClipRequest request_;
  Napi::Promise::Deferred deferred_;
  ProgressFunction progress_;
  SharedBuffer* shared_;  // deleted when frames_ ends
  FramesFunction frames_;
  std::optional<Result<Clip>> result_;
};

}  // namespace turboclip::addon

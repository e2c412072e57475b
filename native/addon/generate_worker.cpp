#include "addon/generate_worker.h"

#include <string>

#include "addon/values.h"

namespace turboclip::addon {
namespace {

/// Events that wait for a busy JavaScript thread; later ones are dropped, since each says more than the last.
constexpr std::size_t kMaxWaitingEvents = 64;

}  // namespace

GenerateWorker::GenerateWorker(const Napi::Object& owner, std::shared_ptr<EngineState> state,
                               ClipRequest request, const Napi::Function& on_progress,
                               const Napi::Function& on_frames)
    : Napi::AsyncWorker(owner.Env(), "turboclip generate"),
      owner_(Napi::Persistent(owner)),
      state_(std::move(state)),
      request_(std::move(request)),
      deferred_(owner.Env()),
      progress_(ProgressFunction::New(owner.Env(), on_progress, "turboclip progress", kMaxWaitingEvents, 1)),
      shared_(new SharedBuffer),
      frames_(FramesFunction::New(owner.Env(), on_frames, "turboclip frames", 0, 1, shared_,
                                  [](Napi::Env, void*, SharedBuffer* shared) { delete shared; })) {}

Napi::Value GenerateWorker::start(const Napi::Object& owner, std::shared_ptr<EngineState> state,
                                  ClipRequest request, const Napi::Function& on_progress,
                                  const Napi::Function& on_frames) {
  // Deletes itself when done.
  auto* worker = new GenerateWorker(owner, std::move(state), std::move(request), on_progress, on_frames);
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  return promise;
}

void GenerateWorker::Execute() {
  const ClipProgress progress = [this](Stage stage, int step, int steps, double fraction) {
    auto event = std::make_unique<ProgressEvent>(ProgressEvent{stage, step, steps, fraction});
    if (progress_.NonBlockingCall(event.get()) == napi_ok) event.release();  // call_progress deletes it
  };
  const FramesReady frames = [this](const auto& pixels, std::int64_t first, std::int64_t count) {
    auto event = std::make_unique<FramesEvent>(FramesEvent{pixels, first, count});
    if (frames_.NonBlockingCall(event.get()) == napi_ok) event.release();  // call_frames deletes it
  };
  result_ = state_->engine->generate(request_, progress, state_->cancel, frames);
}

Napi::Buffer<std::uint8_t> GenerateWorker::SharedBuffer::over(
    Napi::Env env, const std::shared_ptr<std::vector<std::uint8_t>>& pixels) {
  if (buffer.IsEmpty()) {
    // The pixels stay where they are: the buffer owns them, too.
    auto* owner = new std::shared_ptr<std::vector<std::uint8_t>>(pixels);
    const auto made = Napi::Buffer<std::uint8_t>::New(
        env, pixels->data(), pixels->size(),
        [](Napi::Env, std::uint8_t*, std::shared_ptr<std::vector<std::uint8_t>>* owned) { delete owned; },
        owner);
    buffer = Napi::Reference<Napi::Buffer<std::uint8_t>>::New(made, 1);
  }
  return buffer.Value();
}

void GenerateWorker::call_frames(Napi::Env env, Napi::Function on_frames, SharedBuffer* shared,
                                 FramesEvent* event) {
  const std::unique_ptr<FramesEvent> owned(event);
  if (static_cast<napi_env>(env) == nullptr || on_frames.IsEmpty()) return;  // the environment is ending
  on_frames.Call({shared->over(env, event->pixels), Napi::Number::New(env, static_cast<double>(event->first)),
                  Napi::Number::New(env, static_cast<double>(event->count))});
}

void GenerateWorker::call_progress(Napi::Env env, Napi::Function on_progress, std::nullptr_t*,
                                   ProgressEvent* event) {
  const std::unique_ptr<ProgressEvent> owned(event);
  if (static_cast<napi_env>(env) == nullptr || on_progress.IsEmpty()) return;  // the environment is ending
  Napi::Object out = Napi::Object::New(env);
  const std::string_view stage = stage_name(event->stage);
  out.Set("stage", Napi::String::New(env, stage.data(), stage.size()));
  out.Set("step", event->step);
  out.Set("steps", event->steps);
  out.Set("fraction", event->fraction);
  on_progress.Call({out});
}

void GenerateWorker::OnOK() {
  progress_.Release();
  state_->busy = false;
  if (*result_) {
    const Clip& clip = result_->value();
    Napi::Object out = to_object(Env(), clip.seconds);
    out.Set("frames", shared_->over(Env(), clip.pixels));
    deferred_.Resolve(out);
  } else {
    deferred_.Reject(to_error(Env(), result_->error()).Value());
  }
  frames_.Release();
}

}  // namespace turboclip::addon

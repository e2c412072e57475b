#include "addon/generate_worker.h"

#include <string>

#include "addon/values.h"

namespace turboclip::addon {
namespace {

/// Events that wait for a busy JavaScript thread; later ones are dropped, since each says more than the last.
constexpr std::size_t kMaxWaitingEvents = 64;

}  // namespace

GenerateWorker::GenerateWorker(const Napi::Object& owner, std::shared_ptr<EngineState> state,
                               ClipRequest request, const Napi::Function& on_progress)
    : Napi::AsyncWorker(owner.Env(), "turboclip generate"),
      owner_(Napi::Persistent(owner)),
      state_(std::move(state)),
      request_(std::move(request)),
      deferred_(owner.Env()),
      progress_(ProgressFunction::New(owner.Env(), on_progress, "turboclip progress", kMaxWaitingEvents, 1)) {
}

Napi::Value GenerateWorker::start(const Napi::Object& owner, std::shared_ptr<EngineState> state,
                                  ClipRequest request, const Napi::Function& on_progress) {
  // Deletes itself when done.
  auto* worker = new GenerateWorker(owner, std::move(state), std::move(request), on_progress);
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  return promise;
}

void GenerateWorker::Execute() {
  const ClipProgress progress = [this](Stage stage, int step, int steps, double fraction) {
    auto event = std::make_unique<ProgressEvent>(ProgressEvent{stage, step, steps, fraction});
    if (progress_.NonBlockingCall(event.get()) == napi_ok) event.release();  // call_progress deletes it
  };
  result_ = state_->engine->generate(request_, progress, state_->cancel);
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
  if (!*result_) {
    deferred_.Reject(to_error(Env(), result_->error()).Value());
    return;
  }
  deferred_.Resolve(to_object(Env(), std::move(*result_).value()));
}

}  // namespace turboclip::addon

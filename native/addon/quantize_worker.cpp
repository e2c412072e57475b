#include "addon/quantize_worker.h"

#include <exception>

#include "engine/quant/quantize_checkpoint.h"

namespace turboclip::addon {
namespace {

/// Events that wait for a busy JavaScript thread; later ones are dropped, since each says more than the last.
constexpr std::size_t kMaxWaitingEvents = 64;

}  // namespace

QuantizeWorker::QuantizeWorker(Napi::Env env, QuantizeRequest request, const Napi::Function& on_progress)
    : Napi::AsyncWorker(env, "turboclip quantize"),
      request_(std::move(request)),
      deferred_(env),
      progress_(ProgressFunction::New(env, on_progress, "turboclip progress", kMaxWaitingEvents, 1)) {}

Napi::Value QuantizeWorker::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<QuantizeRequest> request = read_quantize_request(info[0]);
  if (!request || !info[1].IsFunction()) {
    (request ? to_error(env, "request_invalid", "onProgress is not a function")
             : to_error(env, request.error()))
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  // Deletes itself when done.
  auto* worker = new QuantizeWorker(env, std::move(request).value(), info[1].As<Napi::Function>());
  Napi::Object running = Napi::Object::New(env);
  running.Set("done", worker->deferred_.Promise());
  running.Set("cancel", Napi::Function::New(env, [cancel = worker->cancel_](const Napi::CallbackInfo&) {
                cancel->requested.store(true);
              }));
  worker->Queue();
  return running;
}

void QuantizeWorker::Execute() {
  const Progress progress = [this](double fraction) {
    auto event = std::make_unique<double>(fraction);
    if (progress_.NonBlockingCall(event.get()) == napi_ok) event.release();  // call_progress deletes it
  };
  try {
    result_ = quantize_checkpoint(request_.input, request_.output, request_.existing, *cancel_, progress);
  } catch (const std::exception& error) {
    result_ = Error{ErrorCode::internal, std::string("unexpected: ") + error.what()};
  }
}

void QuantizeWorker::call_progress(Napi::Env env, Napi::Function on_progress, std::nullptr_t*,
                                   double* fraction) {
  const std::unique_ptr<double> owned(fraction);
  if (static_cast<napi_env>(env) == nullptr || on_progress.IsEmpty()) return;  // the environment is ending
  on_progress.Call({Napi::Number::New(env, *fraction)});
}

void QuantizeWorker::OnOK() {
  progress_.Release();
  if (!result_) {
    deferred_.Reject(to_error(Env(), result_.error()).Value());
    return;
  }
  deferred_.Resolve(Env().Undefined());
}

}  // namespace turboclip::addon

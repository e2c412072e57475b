// Quantises a checkpoint off the JavaScript thread and reports its progress on it.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/values.h"
#include "engine/backend.h"

namespace turboclip::addon {

class QuantizeWorker : public Napi::AsyncWorker {
 public:
  /// The JavaScript function quantize({input, output, existing}, onProgress): {done: a promise of undefined,
  /// cancel()}; onProgress is called with the fraction that is done.
  static Napi::Value start(const Napi::CallbackInfo& info);

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  static void call_progress(Napi::Env env, Napi::Function on_progress, std::nullptr_t* context,
                            double* fraction);
  using ProgressFunction = Napi::TypedThreadSafeFunction<std::nullptr_t, double, call_progress>;

  QuantizeWorker(Napi::Env env, QuantizeRequest request, const Napi::Function& on_progress);

  QuantizeRequest request_;
  std::shared_ptr<CancelFlag> cancel_ =
      std::make_shared<CancelFlag>();  // the JavaScript cancel() may outlive
  Napi::Promise::Deferred deferred_;
  ProgressFunction progress_;
  Status result_ = success();
};

}  // namespace turboclip::addon

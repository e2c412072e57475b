// Loads a model set off the JavaScript thread.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "addon/values.h"

namespace turboclip::addon {

class LoadWorker : public Napi::AsyncWorker {
 public:
  /// A promise of an EngineObject.
  static Napi::Value start(Napi::Env env, const EnginePaths& paths, const LoadOptions& options);

 protected:
  void Execute() override;
  void OnOK() override;

 private:
  LoadWorker(Napi::Env env, const EnginePaths& paths, const LoadOptions& options);

  Napi::Promise::Deferred deferred_;
  EnginePaths paths_;
  LoadOptions options_;
  std::optional<Result<std::unique_ptr<Engine>>> result_;
};

}  // namespace turboclip::addon

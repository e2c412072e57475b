// Models that several engines of a process use: all TurboWan models have the text encoder and the decoders in
// common, and the text encoder is the largest file of them all.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/backend.h"

namespace turboclip {

/// A model of one file, with the backend that it computes on. One caller at a time: `use` is held meanwhile.
template <class Model>
struct SharedModel {
  std::shared_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::mutex use;
};

/// What tells a file, as it is now, and the place that it was loaded to from others; empty if they are not
/// shared.
std::string shared_key(const std::filesystem::path& path, const std::string& place);

/// The entries of one kind of model in this process, by shared_key().
std::shared_ptr<void> find_shared(const std::string& kind, const std::string& key);
void keep_shared(const std::string& kind, const std::string& key, const std::shared_ptr<void>& model);

/// Whether an engine of this process has it already.
inline bool is_shared(const char* kind, const std::filesystem::path& path, const std::string& place) {
  return find_shared(kind, shared_key(path, place)) != nullptr;
}

inline const char* shared_kind(const TextEncoder*) { return "text encoder"; }
inline const char* shared_kind(const VideoDecoder*) { return "decoder"; }
inline std::string shared_place(const TextEncoder*, const Backend& backend) { return backend.text_place(); }
inline std::string shared_place(const VideoDecoder*, const Backend& backend) { return backend.place(); }

/// The one of this process, for as long as an engine has it, or one that is loaded now.
template <class Model>
Status load_shared(const std::filesystem::path& path, const std::shared_ptr<Backend>& backend,
                   Result<std::unique_ptr<Model>> (Backend::*loader)(const Checkpoint&),
                   std::shared_ptr<SharedModel<Model>>& out) {
  const std::string kind = shared_kind(static_cast<const Model*>(nullptr));
  const std::string key = shared_key(path, shared_place(static_cast<const Model*>(nullptr), *backend));
  out = std::static_pointer_cast<SharedModel<Model>>(find_shared(kind, key));
  if (out != nullptr) return success();
  const Result<Checkpoint> checkpoint = Checkpoint::open(path);
  if (!checkpoint) return checkpoint.error();
  Result<std::unique_ptr<Model>> model = ((*backend).*loader)(checkpoint.value());
  if (!model) return model.error();
  out = std::make_shared<SharedModel<Model>>();
  out->backend = backend;
  out->model = std::move(model).value();
  keep_shared(kind, key, out);
  return success();
}

}  // namespace turboclip

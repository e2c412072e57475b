#include "tools/golden/set.h"

#include <fstream>
#include <iterator>
#include <new>

#include "engine/json.h"
#include "engine/text.h"
#include "tools/golden/models.h"

namespace turboclip::golden {
namespace {

constexpr double kDefaultTopk = 0.1;

/// config.dit.topk of meta.json, which no tensor tells.
Result<double> read_topk(const std::filesystem::path& folder, const Print& print) {
  const std::filesystem::path path = folder / "meta.json";
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open()) {
    print(concat("meta.json is absent: top-k ratio ", kDefaultTopk));
    return kDefaultTopk;
  }
  const Result<Json> meta = Json::parse(text);
  if (!meta) return Error{meta.error().code, concat(path.string(), ": ", meta.error().message)};
  const Json* at = &meta.value();
  for (const std::string_view key : {"config", "dit", "topk"}) {
    if (at != nullptr) at = at->find(key);
  }
  double topk = 0;
  if (at == nullptr) {
    print(concat("meta.json names no config.dit.topk: top-k ratio ", kDefaultTopk));
    return kDefaultTopk;
  }
  if (!at->number(topk) || !(topk > 0 && topk <= 1)) {
    return Error{ErrorCode::format_invalid,
                 concat(path.string(), ": config.dit.topk is no number above 0 and up to 1")};
  }
  return topk;
}

using RunModel = std::function<Status(const Checkpoint& weights, IoFile& io, Counts& counts)>;

/// Runs one model of the set if both its files are there.
Status run_model(const SetOptions& options, const std::string& model, const RunModel& run, const Print& print,
                 Counts& counts) {
  const std::filesystem::path weights_path = options.folder / (model + ".pth");
  const std::filesystem::path io_path = options.folder / (model + ".io.safetensors");
  for (const std::filesystem::path& path : {weights_path, io_path}) {
    if (!std::filesystem::exists(path)) {
      print(concat("not computed: ", model, " (no ", path.filename().string(), ")"));
      return success();
    }
  }
  const Result<Checkpoint> weights = Checkpoint::open(weights_path);
  if (!weights) return weights.error();
  const Result<Checkpoint> tensors = Checkpoint::open(io_path);
  if (!tensors) return tensors.error();
  IoFile io(tensors.value(), print);
  Status status = run(weights.value(), io, counts);
  if (options.out) {
    const Status written = io.write(*options.out);
    if (status) status = written;
  }
  return status;
}

void name_what_is_left_out(const std::filesystem::path& folder, const Print& print) {
  for (const std::string_view name : {"wan_t2v_quant.pth", "wan_i2v_quant.pth", "int8_linear.safetensors"}) {
    if (std::filesystem::exists(folder / name)) {
      print(concat("not computed: ", name, " (INT8 arithmetic is no part of the float32 backend)"));
    }
  }
}

Status check_folders(const SetOptions& options) {
  std::error_code problem;
  if (!std::filesystem::is_directory(options.folder, problem)) {
    return Error{ErrorCode::file_missing,
                 concat(options.folder.string(), ": is no folder; give the golden set's folder")};
  }
  if (!options.out) return success();
  std::filesystem::create_directories(*options.out, problem);
  if (!std::filesystem::is_directory(*options.out)) {
    return Error{ErrorCode::io, concat(options.out->string(), ": cannot be made: ", problem.message())};
  }
  if (std::filesystem::equivalent(options.folder, *options.out, problem)) {
    return Error{ErrorCode::io, concat(options.out->string(),
                                       ": is the golden set itself, which would be overwritten; "
                                       "give --out another folder")};
  }
  return success();
}

}  // namespace

Result<Counts> run_set(const SetOptions& options, Backend& backend, const Print& print) {
  const Status folders = check_folders(options);
  if (!folders) return folders.error();
  const Result<double> topk = read_topk(options.folder, print);
  if (!topk) return topk.error();

  const auto denoiser = [&](double sigma_max) -> RunModel {
    return [&, sigma_max](const Checkpoint& weights, IoFile& io, Counts& counts) {
      return run_denoiser(weights, backend, {topk.value(), sigma_max, options.taps}, io, print, counts);
    };
  };
  const RunModel vae = [&](const Checkpoint& weights, IoFile& io, Counts& counts) {
    return run_vae(weights, backend, io, print, counts);
  };
  const RunModel umt5 = [&](const Checkpoint& weights, IoFile& io, Counts& counts) {
    return run_umt5(weights, backend, io, counts);
  };
  const std::pair<std::string, RunModel> models[] = {
      {"umt5", umt5}, {"wan_t2v", denoiser(80)}, {"wan_i2v", denoiser(200)}, {"wan_vae", vae}};

  Counts counts;
  for (const auto& [name, run] : models) {
    Status status = success();
    try {
      status = run_model(options, name, run, print, counts);
    } catch (const std::bad_alloc&) {
      status = Error{ErrorCode::out_of_memory, concat("no memory left to run ", name)};
    }
    if (!status) {
      ++counts.failed;
      print(concat("FAIL ", name, ": ", error_code_name(status.error().code), ": ", status.error().message));
    }
  }
  name_what_is_left_out(options.folder, print);
  return counts;
}

}  // namespace turboclip::golden

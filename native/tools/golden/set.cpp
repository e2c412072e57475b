#include "tools/golden/set.h"

#include <fstream>
#include <iterator>
#include <new>

#include "engine/json.h"
#include "engine/text.h"
#include "tools/golden/int8_linear.h"
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

constexpr double kTolerance = 1e-4;
/// Of a model with INT8 weights and activations from the float one, on the reference's tiny weights.
constexpr double kInt8Tolerance = 5e-2;

/// Whether the folder holds the file; says that `what` is not computed otherwise.
bool present(const std::filesystem::path& path, const std::string& what, const Print& print) {
  if (std::filesystem::exists(path)) return true;
  print(concat("not computed: ", what, " (no ", path.filename().string(), ")"));
  return false;
}

/// One model: weights from <name>.pth, inputs and references from <inputs>.io.safetensors.
struct ModelRun {
  std::string name;
  std::string inputs;
  double tolerance = kTolerance;
  std::function<Status(const Checkpoint& weights, IoFile& io, Counts& counts)> run;
};

/// Runs one model of the set if both its files are there.
Status run_model(const SetOptions& options, const ModelRun& model, const Print& print, Counts& counts) {
  const std::filesystem::path weights_path = options.folder / (model.name + ".pth");
  const std::filesystem::path io_path = options.folder / (model.inputs + ".io.safetensors");
  if (!present(weights_path, model.name, print) || !present(io_path, model.name, print)) return success();
  const Result<Checkpoint> weights = Checkpoint::open(weights_path);
  if (!weights) return weights.error();
  const Result<Checkpoint> tensors = Checkpoint::open(io_path);
  if (!tensors) return tensors.error();
  IoFile io(tensors.value(), model.name, model.tolerance, print);
  Status status = model.run(weights.value(), io, counts);
  if (options.out) {
    const Status written = io.write(*options.out);
    if (status) status = written;
  }
  return status;
}

/// The W8A8 product if its file is there.
Status run_product(const SetOptions& options, Backend& backend, const Print& print, Counts& counts) {
  const std::filesystem::path path = options.folder / "int8_linear.safetensors";
  if (!present(path, "int8_linear", print)) return success();
  const Result<Checkpoint> file = Checkpoint::open(path);
  if (!file) return file.error();
  return run_int8_linear(file.value(), backend, options.out, print, counts);
}

/// Runs one part of the set; a failure is counted and told, and does not stop the others.
void run_part(const std::string& name, const std::function<Status()>& part, const Print& print,
              Counts& counts) {
  Status status = success();
  try {
    status = part();
  } catch (const std::bad_alloc&) {
    status = Error{ErrorCode::out_of_memory, concat("no memory left to run ", name)};
  }
  if (status) return;
  ++counts.failed;
  print(concat("FAIL ", name, ": ", error_code_name(status.error().code), ": ", status.error().message));
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

  const auto denoiser = [&](const std::string& name, double sigma_max) -> ModelRun {
    return {
        name, name, kTolerance, [&, sigma_max](const Checkpoint& weights, IoFile& io, Counts& counts) {
          return run_denoiser(weights, backend, {topk.value(), sigma_max, options.taps}, io, print, counts);
        }};
  };
  const auto int8_denoiser = [&](const std::string& name) -> ModelRun {
    return {name + "_quant", name, kInt8Tolerance,
            [&](const Checkpoint& weights, IoFile& io, Counts& counts) {
              return run_int8_denoiser(weights, backend, {topk.value(), 0, options.taps}, io, print, counts);
            }};
  };
  const ModelRun vae{"wan_vae", "wan_vae", kTolerance,
                     [&](const Checkpoint& weights, IoFile& io, Counts& counts) {
                       return run_vae(weights, backend, io, print, counts);
                     }};
  const ModelRun umt5{"umt5", "umt5", kTolerance, [&](const Checkpoint& weights, IoFile& io, Counts& counts) {
                        return run_umt5(weights, backend, io, counts);
                      }};

  Counts counts;
  for (const ModelRun& model : {umt5, denoiser("wan_t2v", 80), denoiser("wan_i2v", 200),
                                int8_denoiser("wan_t2v"), int8_denoiser("wan_i2v"), vae}) {
    run_part(
        model.name, [&] { return run_model(options, model, print, counts); }, print, counts);
  }
  run_part(
      "int8_linear", [&] { return run_product(options, backend, print, counts); }, print, counts);
  return counts;
}

}  // namespace turboclip::golden

#include <algorithm>
#include <set>
#include <sstream>

#include "allocations.h"
#include "check.h"
#include "engine/backend.h"
#include "engine/checkpoint/names.h"
#include "engine/quant/quantize_checkpoint.h"
#include "resaved.h"
#include "support.h"
#include "tools/golden/int8_compare.h"
#include "tools/golden/set.h"

namespace turboclip {
namespace {

using test::fixture;
using test::mentions;
using test::TemporaryFolder;

const CancelFlag kNever;

Status quantize_fixture(const std::filesystem::path& out, Existing existing = Existing::refuse) {
  return quantize_checkpoint(fixture("golden/wan_t2v.pth"), out, existing, kNever, {});
}

/// The folder holds these files and nothing else.
bool holds_only(const std::filesystem::path& folder, const std::vector<std::string>& names) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    found.push_back(entry.path().filename().string());
  }
  return std::is_permutation(found.begin(), found.end(), names.begin(), names.end());
}

TEST("a quantised checkpoint has the reference's names, types, shapes, scales and values") {
  const TemporaryFolder folder;
  CHECK(quantize_fixture(folder.path() / "q.pth").ok());
  const Result<Checkpoint> ours = Checkpoint::open(folder.path() / "q.pth");
  if (!ours) return test::record_failure(__FILE__, __LINE__, ours.error().message);
  std::string list;
  for (const auto& [name, view] : ours.value().tensors()) {
    list += name + " " + std::string(dtype_name(view.dtype)) + " " + shape_text(view.shape) + "\n";
  }
  CHECK(list == test::read_bytes(fixture("golden/wan_t2v_quant.tensors.txt")));

  const Result<Checkpoint> sample = Checkpoint::open(fixture("golden/wan_t2v_quant.sample.safetensors"));
  if (!sample) return test::record_failure(__FILE__, __LINE__, sample.error().message);
  golden::Int8Difference levels;
  for (const auto& [name, view] : sample.value().tensors()) {
    const TensorView* mine = ours.value().find(name);
    CHECK(mine != nullptr && mine->shape == view.shape);
    if (mine == nullptr) continue;
    const auto count = static_cast<std::size_t>(element_count(view.shape));
    if (name.ends_with(".scale")) {
      CHECK(to_float(*mine).values == to_float(view).values);
    } else {
      levels.add({reinterpret_cast<const std::int8_t*>(mine->data), count},
                 {reinterpret_cast<const std::int8_t*>(view.data), count});
    }
  }
  CHECK_EQUAL(levels.values, 163'840);
  CHECK(levels.good());
}

TEST("what is not quantised keeps its bytes, and norms become float32 of the same value") {
  const TemporaryFolder folder;
  CHECK(quantize_fixture(folder.path() / "q.pth").ok());
  const Result<Checkpoint> before = Checkpoint::open(fixture("golden/wan_t2v.pth"));
  const Result<Checkpoint> after = Checkpoint::open(folder.path() / "q.pth");
  for (const auto& [name, view] : after.value().tensors()) {
    if (name.ends_with(".int8_weight") || name.ends_with(".scale")) continue;
    const TensorView* original = before.value().find(name);
    CHECK(original != nullptr && to_float(*original).values == to_float(view).values);
    CHECK(reinterpret_cast<std::uintptr_t>(view.data) % 64 == 0);
  }
}

TEST("the INT8 model is near the float one, and the same on one thread and on three") {
  const TemporaryFolder folder;
  const TemporaryFolder out[2];
  CHECK(quantize_fixture(folder.path() / "wan_t2v_quant.pth").ok());
  for (const char* name : {"wan_t2v.io.safetensors", "meta.json"}) {
    std::filesystem::copy_file(fixture(std::string("golden/") + name), folder.path() / name);
  }
  for (int i = 0; i < 2; ++i) {
    const std::unique_ptr<Backend> backend = make_cpu_backend({i == 0 ? 1 : 3});
    std::string report;
    const Result<golden::Counts> counts = golden::run_set(
        {folder.path(), out[i].path()}, *backend, [&](const std::string& line) { report += line + "\n"; });
    CHECK(counts.ok() && counts.value().failed == 0 && counts.value().computed == 1);
    CHECK(mentions(report, {"wan_t2v_quant", "v_sla", "tolerance 5.00e-02  ok"}));
  }
  const std::string name = "wan_t2v_quant.io.safetensors";
  CHECK(test::read_bytes(out[0].path() / name) == test::read_bytes(out[1].path() / name));
}

TEST("the same weights give the same bytes, from .pth, from safetensors and under other names") {
  const TemporaryFolder folder;
  CHECK(quantize_fixture(folder.path() / "a.pth").ok());
  const std::string expected = test::read_bytes(folder.path() / "a.pth");
  const std::filesystem::path other = folder.path() / "other.safetensors";
  const Checkpoint original = std::move(Checkpoint::open(fixture("golden/wan_t2v.pth"))).value();
  for (const std::string prefix : {"", "model.diffusion_model."}) {
    test::resave(original, other, [&](NamedBytes& tensor) {
      if (tensor.name == "patch_embedding.weight") tensor.shape = {tensor.shape[0], 16, 1, 2, 2};
      tensor.name = prefix + tensor.name;
    });
    double last = 0;
    const Progress progress = [&](double fraction) {
      CHECK(fraction >= last);
      last = fraction;
    };
    const std::filesystem::path out = folder.path() / ("b" + prefix + ".pth");
    CHECK(quantize_checkpoint(other, out, Existing::refuse, kNever, progress).ok());
    CHECK_EQUAL(last, 1.0);
    CHECK(test::read_bytes(out) == expected);
  }
}

/// Bytes of mapped files that are in memory now (Linux).
std::int64_t resident_file_bytes() {
  std::istringstream status(test::read_bytes("/proc/self/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return 1024 * std::stoll(line.substr(8));
  }
  return 0;
}

/// The golden transformer's names with blocks of `side` x `side` weights, all zero: a file with a hole in it.
std::filesystem::path large_transformer(const TemporaryFolder& folder, std::int64_t side) {
  const Checkpoint original = std::move(Checkpoint::open(fixture("golden/wan_t2v.pth"))).value();
  std::set<std::string> layers;
  for (const std::int64_t block : {0, 1}) {
    for (const std::string& layer : int8_layers(block)) layers.insert(layer + ".weight");
  }
  std::ostringstream header;
  std::int64_t end = 0;
  for (const auto& [name, view] : original.tensors()) {
    const Shape shape = layers.contains(name) ? Shape{side, side} : view.shape;
    const std::int64_t begin = end;
    end += 4 * element_count(shape);
    header << (begin == 0 ? "{" : ",") << '"' << name << R"(":{"dtype":"F32","shape":)" << shape_text(shape)
           << R"(,"data_offsets":[)" << begin << ',' << end << "]}";
  }
  const std::string bytes = test::safetensors_bytes(header.str() + "}", "");
  const std::filesystem::path path = folder.write("large.safetensors", bytes);
  std::filesystem::resize_file(path, bytes.size() + static_cast<std::uintmax_t>(end));
  return path;
}

TEST("quantising takes the memory of one tensor, not of the file, whose pages it gives back") {
  const TemporaryFolder folder;
  const std::filesystem::path in = large_transformer(folder, 1024);
  constexpr std::int64_t kTensor = 4 * 1024 * 1024;
  CHECK(std::filesystem::file_size(in) > 20 * kTensor);
  const std::int64_t before = test::live_bytes();
  const std::int64_t mapped_before = resident_file_bytes();
  std::int64_t mapped = 0;
  const Progress progress = [&](double) { mapped = std::max(mapped, resident_file_bytes() - mapped_before); };
  test::reset_peak();
  CHECK(quantize_checkpoint(in, folder.path() / "q.pth", Existing::refuse, kNever, progress).ok());
  CHECK(test::peak_bytes() - before < kTensor);
  CHECK(mapped < kTensor);
  CHECK_EQUAL(test::live_bytes(), before);
}

TEST("an allocation that fails anywhere in quantising is out_of_memory, and leaves nothing") {
  const TemporaryFolder folder;
  bool failed = true;
  for (std::int64_t allowed = 0; failed; allowed += 1 + allowed / 4) {
    Status status = success();
    {
      const test::FailingAllocations failing(allowed, 4096);
      status = quantize_fixture(folder.path() / "q.pth");
      failed = failing.failed();
    }
    CHECK(status.ok() != failed);
    CHECK(status.ok() || status.error().code == ErrorCode::out_of_memory);
    CHECK(holds_only(folder.path(), failed ? std::vector<std::string>{} : std::vector<std::string>{"q.pth"}));
  }
}

TEST("a file that exists is replaced only when that is asked for, and then at once") {
  const TemporaryFolder folder;
  const std::filesystem::path out = folder.write("q.pth", "something else");
  const Status refused = quantize_fixture(out);
  CHECK(!refused && refused.error().code == ErrorCode::request_invalid);
  CHECK(mentions(refused.error().message, {"q.pth", "exists already"}));
  CHECK(test::read_bytes(out) == "something else");
  CHECK(quantize_fixture(out, Existing::replace).ok());
  CHECK(Checkpoint::open(out).ok());
  CHECK(holds_only(folder.path(), {"q.pth"}));
}

TEST("a full disk is an error that says so, and leaves nothing") {
  const Status full = quantize_fixture("/dev/full", Existing::replace);
  CHECK(!full && full.error().code == ErrorCode::io);
  CHECK(mentions(full.error().message, {"/dev/full", "No space left on device", "make room"}));
  CHECK(std::filesystem::is_character_file("/dev/full"));
}

TEST("a place where nothing can be written is an error that names it") {
  const TemporaryFolder folder;
  folder.write("file", "");
  for (const std::filesystem::path& out : {folder.path() / "none" / "q.pth", folder.path() / "file" / "q.pth",
                                           std::filesystem::path("/proc/q.pth")}) {
    const Status refused = quantize_fixture(out);
    CHECK(!refused && refused.error().code == ErrorCode::io);
    CHECK(mentions(refused.error().message, {out.string(), "folder that exists"}));
  }
  const Status whole_folder = quantize_fixture(folder.path());
  CHECK(mentions(whole_folder.error().message, {"is a folder"}));
  CHECK(holds_only(folder.path(), {"file"}));
}

TEST("what cannot be quantised is refused by name, and leaves nothing") {
  const TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "out.pth";
  const auto quantize = [&](const std::filesystem::path& in) {
    return quantize_checkpoint(in, out, Existing::refuse, kNever, {}).error();
  };
  CHECK(quantize(folder.path() / "none.pth").code == ErrorCode::file_missing);
  const Error other = quantize(fixture("golden/wan_vae.pth"));
  CHECK(other.code == ErrorCode::architecture_unknown);
  CHECK(mentions(other.message, {"wan_vae.pth", "expected a TurboWan transformer", "holds a Wan VAE"}));
  const std::filesystem::path once = folder.path() / "once.pth";
  CHECK(quantize_fixture(once).ok());
  const Error twice = quantize(once);
  CHECK(twice.code == ErrorCode::request_invalid &&
        mentions(twice.message, {"once.pth", "quantised already"}));
  CHECK(holds_only(folder.path(), {"once.pth"}));
}

TEST("a file is not quantised onto itself, whatever its path is called") {
  const TemporaryFolder folder;
  const std::filesystem::path in = folder.path() / "in.pth";
  std::filesystem::copy_file(fixture("golden/wan_t2v.pth"), in);
  std::filesystem::create_symlink(in, folder.path() / "link.pth");
  const std::string before = test::read_bytes(in);
  for (const std::filesystem::path& out : {in, folder.path() / "link.pth", folder.path() / "." / "in.pth"}) {
    const Status refused = quantize_checkpoint(in, out, Existing::replace, kNever, {});
    CHECK(!refused && refused.error().code == ErrorCode::request_invalid);
    CHECK(mentions(refused.error().message, {"is the file to be read"}));
  }
  CHECK(test::read_bytes(in) == before);
}

TEST("a part of a model, a weight of another type and one that is no number are named") {
  const TemporaryFolder folder;
  const Checkpoint original = std::move(Checkpoint::open(fixture("golden/wan_t2v.pth"))).value();
  const auto refusal = [&](const std::string& name, const std::function<void(NamedBytes&)>& change) {
    const std::filesystem::path path = folder.path() / "changed.safetensors";
    test::resave(original, path, [&](NamedBytes& tensor) {
      if (tensor.name == name) change(tensor);
    });
    return quantize_checkpoint(path, folder.path() / "out.pth", Existing::refuse, kNever, {}).error();
  };
  for (const char* name : {"blocks.1.ffn.2.weight", "patch_embedding.weight", "head.head.weight"}) {
    const Error missing = refusal(name, [](NamedBytes& tensor) { tensor.name.clear(); });
    CHECK(missing.code == ErrorCode::tensor_missing && mentions(missing.message, {name}));
  }
  const Error typed = refusal("blocks.0.ffn.2.bias", [](NamedBytes& tensor) { tensor.dtype = DType::i16; });
  CHECK(typed.code == ErrorCode::tensor_shape);
  CHECK(mentions(typed.message, {"blocks.0.ffn.2.bias", "I16", "floating point"}));
  for (const std::uint16_t wrong :
       {std::uint16_t{0x7fc0}, std::uint16_t{0xff80}}) {  // no number, minus infinity
    const Error broken = refusal("blocks.1.self_attn.v.weight", [&](NamedBytes& tensor) {
      std::memcpy(tensor.bytes.data() + tensor.bytes.size() - sizeof wrong, &wrong, sizeof wrong);
    });
    CHECK(broken.code == ErrorCode::format_invalid);
    CHECK(mentions(broken.message, {"blocks.1.self_attn.v.weight", "no numbers"}));
  }
  CHECK(holds_only(folder.path(), {"changed.safetensors"}));
}

TEST("a cancelled quantisation leaves nothing") {
  const TemporaryFolder folder;
  CancelFlag cancel;
  const Progress stop = [&](double) { cancel.requested = true; };
  const Status done = quantize_checkpoint(fixture("golden/wan_t2v.pth"), folder.path() / "q.pth",
                                          Existing::refuse, cancel, stop);
  CHECK(done.error().code == ErrorCode::cancelled);
  CHECK(holds_only(folder.path(), {}));
}

TEST("an INT8 weight of another type or without its scales is named") {
  const TemporaryFolder folder;
  CHECK(quantize_fixture(folder.path() / "q.pth").ok());
  const Checkpoint good = std::move(Checkpoint::open(folder.path() / "q.pth")).value();
  const std::string layer = "blocks.1.cross_attn.o";
  for (const bool drop_scale : {true, false}) {
    const std::filesystem::path path = folder.path() / "bad.safetensors";
    test::resave(good, path, [&](NamedBytes& tensor) {
      if (drop_scale && tensor.name == layer + ".scale") tensor.name.clear();
      if (!drop_scale && tensor.name == layer + ".int8_weight") tensor.dtype = DType::u8;
    });
    const auto denoiser = make_cpu_backend({1})->load_denoiser(Checkpoint::open(path).value());
    CHECK(!denoiser.ok());
    CHECK(denoiser.error().code == (drop_scale ? ErrorCode::tensor_missing : ErrorCode::tensor_shape));
    CHECK(mentions(denoiser.error().message, {layer, drop_scale ? "missing" : "U8, expected I8"}));
  }
}

}  // namespace
}  // namespace turboclip

#include <map>

#include "check.h"
#include "engine/checkpoint/safetensors.h"
#include "support.h"
#include "tools/golden/set.h"

namespace turboclip {
namespace {

struct Run {
  golden::Counts counts;
  std::string report;
};

Run run_golden(const golden::SetOptions& options) {
  Run run;
  const std::unique_ptr<Backend> backend = make_cpu_backend({2});
  const Result<golden::Counts> counts =
      golden::run_set(options, *backend, [&](const std::string& line) { run.report += line + "\n"; });
  if (counts) {
    run.counts = counts.value();
  } else {
    run.report += counts.error().message;
    run.counts.failed = -1;
  }
  return run;
}

TEST("the CPU engine reproduces the reference's golden tensors, and writes them in the reference's form") {
  const test::TemporaryFolder folder;
  const Run run = run_golden({test::fixture("golden"), folder.path() / "out"});
  CHECK_EQUAL(run.counts.failed, 0);
  CHECK(run.counts.computed >= 14);
  if (run.counts.failed != 0) test::record_failure(__FILE__, __LINE__, "\n" + run.report);

  const std::string name = "wan_t2v.io.safetensors";
  const Result<Checkpoint> written = Checkpoint::open(folder.path() / "out" / name);
  const Result<Checkpoint> reference = Checkpoint::open(test::fixture("golden/" + name));
  CHECK(written.ok() && reference.ok());
  if (!written || !reference) return;
  for (const char* tensor :
       {"v_dense", "v_sla", "sla.block0.lut", "sla.block0.block_map", "sampler.sde.x4"}) {
    const TensorView* ours = written.value().find(tensor);
    const TensorView* theirs = reference.value().find(tensor);
    CHECK(ours != nullptr && theirs != nullptr && ours->dtype == theirs->dtype &&
          ours->shape == theirs->shape);
    const bool exact = std::string_view(tensor).starts_with("sla.");
    if (exact && ours != nullptr && theirs != nullptr)
      CHECK(to_float(*ours).values == to_float(*theirs).values);
  }
}

/// A copy of the fixture set's umT5, whose io file keeps only the named tensors.
void write_umt5(const test::TemporaryFolder& folder, const std::vector<std::string>& kept, float scale) {
  std::filesystem::copy_file(test::fixture("golden/umt5.pth"), folder.path() / "umt5.pth");
  const Result<Checkpoint> io = Checkpoint::open(test::fixture("golden/umt5.io.safetensors"));
  std::vector<NamedBytes> tensors;
  for (const std::string& name : kept) {
    Tensor values = to_float(*io.value().find(name));
    if (name == "embedding") {
      for (float& value : values.values) value *= scale;
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensors.push_back({name, DType::f32, values.shape, {bytes, bytes + 4 * values.values.size()}});
  }
  CHECK(write_safetensors(folder.path() / "umt5.io.safetensors", tensors).ok());
}

TEST("a golden set may hold inputs and weights alone, and lack whole models") {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder out;
  write_umt5(folder, {"ids", "mask"}, 1);
  const Run run = run_golden({folder.path(), out.path()});
  CHECK_EQUAL(run.counts.computed, 1);
  CHECK_EQUAL(run.counts.failed, 0);
  CHECK(test::mentions(run.report, {"not computed: wan_vae", "no reference"}));
  CHECK(Checkpoint::open(out.path() / "umt5.io.safetensors").ok());
}

TEST("a sampler trace is computed from its noise alone when the set holds no x and t") {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder out;
  std::filesystem::copy_file(test::fixture("golden/wan_t2v.pth"), folder.path() / "wan_t2v.pth");
  const Result<Checkpoint> io = Checkpoint::open(test::fixture("golden/wan_t2v.io.safetensors"));
  std::vector<NamedBytes> tensors;
  for (const char* name : {"ctx", "sampler.sde.noise0", "sampler.sde.noise1"}) {
    const TensorView& view = *io.value().find(name);
    const auto size = static_cast<std::size_t>(element_count(view.shape)) * dtype_size(view.dtype);
    tensors.push_back({name, view.dtype, view.shape, {view.data, view.data + size}});
  }
  CHECK(write_safetensors(folder.path() / "wan_t2v.io.safetensors", tensors).ok());
  const Run run = run_golden({folder.path(), out.path()});
  CHECK_EQUAL(run.counts.computed, 1);  // noise0 and noise1 belong to a trace of one step
  CHECK_EQUAL(run.counts.failed, 0);
  CHECK(test::mentions(
      run.report, {"sampler.sde.x1", "not computed: wan_t2v v_dense", "not computed: wan_t2v sampler.ode"}));
}

TEST("any linear layer can be tapped by its checkpoint name, and a name that is none is refused") {
  const test::TemporaryFolder folder;
  const test::TemporaryFolder out;
  for (const char* name : {"meta.json", "wan_t2v.pth", "wan_t2v.io.safetensors"}) {
    std::filesystem::copy_file(test::fixture("golden/" + std::string(name)), folder.path() / name);
  }
  // One of each kind: every linear layer of the checkpoint but proj_l, which is folded into its branch.
  const Result<Checkpoint> weights = Checkpoint::open(folder.path() / "wan_t2v.pth");
  std::vector<std::string> names;
  for (const auto& [name, view] : weights.value().tensors()) {
    const bool matrix = name.ends_with(".weight") && view.shape.size() == 2;
    if (matrix && !name.ends_with("proj_l.weight")) names.push_back(name.substr(0, name.size() - 7));
  }
  CHECK(names.size() > 20);
  const Run run = run_golden({folder.path(), out.path(), names});
  CHECK_EQUAL(run.counts.failed, 0);
  if (run.counts.failed != 0) test::record_failure(__FILE__, __LINE__, run.report);
  const Result<Checkpoint> written = Checkpoint::open(out.path() / "wan_t2v.io.safetensors");
  CHECK(written.ok());
  if (!written) return;
  for (const std::string& name : names) {
    for (const char* run_name : {"dense.", "sla."}) {
      const TensorView* shown = written.value().find(run_name + name);
      CHECK(shown != nullptr && shown->shape.size() == 3 &&
            shown->shape[2] == weights.value().find(name + ".weight")->shape[0]);
    }
  }
  // The values are the layer's own: head.head's are the velocity before it is put into pixels' order.
  const Tensor head = to_float(*written.value().find("dense.head.head"));
  const Tensor v = to_float(*written.value().find("v_dense"));
  CHECK_EQUAL(head.values.size(), v.values.size());
  CHECK(head.values[0] == v.values[0]);

  const Run wrong = run_golden({folder.path(), out.path(), {"blocks.0.self_attn.x"}});
  CHECK(wrong.counts.failed > 0 && test::mentions(wrong.report, {"blocks.0.self_attn.x", "no linear layer"}));
}

TEST("a tensor that is too far from its reference fails") {
  const test::TemporaryFolder folder;
  write_umt5(folder, {"ids", "mask", "embedding"}, 1.001f);
  const Run run = run_golden({folder.path(), {}});
  CHECK_EQUAL(run.counts.failed, 1);
  CHECK(test::mentions(run.report, {"embedding", "FAIL", "1.00e-04"}));
}

TEST("a damaged model of a golden set fails and does not stop the others") {
  const test::TemporaryFolder folder;
  write_umt5(folder, {"ids", "mask"}, 1);
  folder.write("wan_vae.pth", "PK\x03\x04 and no more");
  std::filesystem::copy_file(test::fixture("golden/wan_vae.io.safetensors"),
                             folder.path() / "wan_vae.io.safetensors");
  const Run run = run_golden({folder.path(), {}});
  CHECK_EQUAL(run.counts.computed, 1);
  CHECK_EQUAL(run.counts.failed, 1);
  CHECK(test::mentions(run.report, {"FAIL wan_vae: file_truncated"}));
}

TEST("golden refuses to write over the set it reads") {
  const test::TemporaryFolder folder;
  CHECK(test::mentions(run_golden({folder.path(), folder.path()}).report, {"would be overwritten"}));
  CHECK(test::mentions(run_golden({folder.path() / "none", {}}).report, {"is no folder"}));
}

}  // namespace
}  // namespace turboclip

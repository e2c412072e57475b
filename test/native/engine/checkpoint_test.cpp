#include "engine/checkpoint.h"

#include "check.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;

Result<Checkpoint> small_checkpoint(const test::TemporaryFolder& folder) {
  return Checkpoint::open(folder.write(
      "small.bin", test::safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})",
                                           test::raw<float>({0, 1, 2, 3, 4, 5}))));
}

TEST("the format is told by the bytes, not by the file's name") {
  const test::TemporaryFolder folder;
  CHECK(small_checkpoint(folder).ok());
}

TEST("a path that does not open is named with the reason") {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> missing = Checkpoint::open(folder.path() / "nothing.pth");
  CHECK(!missing.ok() && missing.error().code == ErrorCode::file_missing);
  CHECK(mentions(missing.error().message, {"nothing.pth", "No such file"}));
  CHECK(Checkpoint::open(folder.path()).error().code == ErrorCode::file_missing);
}

TEST("a missing tensor is named with the shape that was expected") {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> checkpoint = small_checkpoint(folder);
  if (!checkpoint) return test::record_failure(__FILE__, __LINE__, checkpoint.error().message);
  const Result<Tensor> tensor = checkpoint.value().require_float("v", {2, -1});
  CHECK(!tensor.ok() && tensor.error().code == ErrorCode::tensor_missing);
  CHECK(mentions(tensor.error().message, {"small.bin", "'v'", "[2, any]"}));
}

TEST("a tensor of another shape is named with both shapes") {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> checkpoint = small_checkpoint(folder);
  if (!checkpoint) return test::record_failure(__FILE__, __LINE__, checkpoint.error().message);
  CHECK(checkpoint.value().require("w", {2, -1}).ok());
  for (const Shape& expected : {Shape{3, 2}, Shape{6}, Shape{2, 3, 1}}) {
    const Result<Tensor> tensor = checkpoint.value().require_float("w", expected);
    CHECK(!tensor.ok() && tensor.error().code == ErrorCode::tensor_shape);
    CHECK(mentions(tensor.error().message, {"small.bin", "'w'", "[2, 3]", shape_text(expected)}));
  }
}

TEST("a checkpoint outlives the file's removal") {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> checkpoint = small_checkpoint(folder);
  std::filesystem::remove(folder.path() / "small.bin");
  CHECK(checkpoint.ok() && to_float(*checkpoint.value().find("w")).values[5] == 5.0f);
}

}  // namespace
}  // namespace turboclip

#include "engine/checkpoint/pth.h"

#include "check.h"
#include "engine/checkpoint.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;
using test::raw;
namespace pickle = test::pickle;
using Floats = std::vector<float>;

Result<Checkpoint> open_bytes(const test::TemporaryFolder& folder, const std::string& bytes) {
  return Checkpoint::open(folder.write("model.pth", bytes));
}

Error refusal(const std::string& bytes) {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> opened = open_bytes(folder, bytes);
  return opened ? Error{ErrorCode::internal, "it was accepted"} : opened.error();
}

const std::string kSix = raw<float>({0, 1, 2, 3, 4, 5});

/// A sound file of one tensor, to be damaged.
std::string one_tensor() {
  return test::pth_bytes(
      pickle::state_dict({{"weight", pickle::tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1})}}), {kSix});
}

TEST("a .pth gives its tensors, views that share a storage among them") {
  const test::TemporaryFolder folder;
  const Result<Checkpoint> read = open_bytes(
      folder, test::pth_bytes(pickle::state_dict(
                                  {{"whole", pickle::tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1})},
                                   {"transposed", pickle::tensor("FloatStorage", "0", 6, 0, {3, 2}, {1, 3})},
                                   {"slice", pickle::tensor("FloatStorage", "0", 6, 4, {2}, {1})},
                                   {"repeated", pickle::tensor("FloatStorage", "0", 6, 5, {3}, {0})},
                                   {"empty", pickle::tensor("FloatStorage", "0", 6, 6, {0}, {1})},
                                   {"scalar", pickle::tensor("LongStorage", "1", 1, 0, {}, {})},
                                   {"bytes", pickle::tensor("CharStorage", "2", 3, 0, {3}, {1})}}),
                              {kSix, raw<std::int64_t>({-9}), raw<std::int8_t>({-1, 2, 3})}));
  if (!read) return test::record_failure(__FILE__, __LINE__, read.error().message);
  const auto values = [&](const char* name) { return to_float(*read.value().find(name)).values; };
  CHECK(values("whole") == (Floats{0, 1, 2, 3, 4, 5}));
  CHECK(values("transposed") == (Floats{0, 3, 1, 4, 2, 5}));
  CHECK(values("slice") == (Floats{4, 5}));
  CHECK(values("repeated") == (Floats{5, 5, 5}));
  CHECK(values("empty").empty());
  CHECK(values("scalar") == (Floats{-9}));
  CHECK(values("bytes") == (Floats{-1, 2, 3}));
  CHECK(read.value().find("bytes")->dtype == DType::i8);
}

TEST("the reference's own .pth files open with their types and shapes") {
  const Result<Checkpoint> read = Checkpoint::open(test::fixture("golden/wan_t2v.pth"));
  CHECK(read.ok());
  if (!read) return;
  CHECK_EQUAL(read.value().tensors().size(), 73u);
  const TensorView* patch = read.value().find("patch_embedding.weight");
  CHECK(patch != nullptr && patch->dtype == DType::bf16 && patch->shape == (Shape{256, 64}));
  const TensorView* linear = read.value().find("blocks.0.self_attn.attn_op.local_attn.proj_l.weight");
  CHECK(linear != nullptr && linear->dtype == DType::f32 && linear->shape == (Shape{128, 128}));
}

TEST("a state dict may stand under its usual key, with numbers beside it") {
  const test::TemporaryFolder folder;
  const std::string inner = pickle::dict({{"weight", pickle::tensor("FloatStorage", "0", 6, 0, {6}, {1})}});
  for (const char* key : {"state_dict", "model_state_dict", "model"}) {
    const Result<Checkpoint> read = open_bytes(
        folder, test::pth_bytes(pickle::state_dict({{"epoch", pickle::integer(3)}, {key, inner}}), {kSix}));
    CHECK(read.ok() && read.value().find("weight") != nullptr);
  }
}

TEST("a parameter is the tensor that it wraps, and dict attributes are passed over") {
  const test::TemporaryFolder folder;
  const std::string parameter = pickle::global("torch._utils", "_rebuild_parameter") + "(" +
                                pickle::tensor("FloatStorage", "0", 6, 0, {6}, {1}) + "\x88" +
                                pickle::global("collections", "OrderedDict") + ")RtR";
  const std::string stream = "\x80\x04" + pickle::global("collections", "OrderedDict") + ")R(" +
                             pickle::text("weight") + parameter + "u" + pickle::dict({{"_metadata", "N"}}) +
                             "b.";
  const Result<Checkpoint> read = open_bytes(folder, test::pth_bytes(stream, {kSix}));
  CHECK(read.ok() && read.value().find("weight") != nullptr);
}

TEST("protocol 4 with frames, short strings and memoised values is read") {
  const auto shorter = [](const std::string& text) {
    return "\x8c" + std::string(1, static_cast<char>(text.size())) + text + "\x94";
  };
  const std::string body = "}\x94" + shorter("weight") + shorter("torch._utils") +
                           shorter("_rebuild_tensor_v2") + "\x93\x94((" + shorter("storage") +
                           shorter("torch") + shorter("FloatStorage") + "\x93\x94" + shorter("0") +
                           shorter("cpu") + "K\x06t\x94Q" + "K" + std::string(1, '\0') +
                           "K\x06\x85\x94K\x01\x85\x94\x89}\x94t\x94R\x94s.";
  const std::string stream = "\x80\x04\x95" + test::raw_value<std::uint64_t>(body.size()) + body;
  const test::TemporaryFolder folder;
  const Result<Checkpoint> read = open_bytes(folder, test::pth_bytes(stream, {kSix}));
  if (!read) return test::record_failure(__FILE__, __LINE__, read.error().message);
  CHECK(to_float(*read.value().find("weight")).values == (Floats{0, 1, 2, 3, 4, 5}));
}

TEST("a .pth cut short at any byte is an error, not a crash") {
  const std::string whole = one_tensor();
  const test::TemporaryFolder folder;
  CHECK(open_bytes(folder, whole).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Result<Checkpoint> opened = open_bytes(folder, whole.substr(0, size));
    CHECK(!opened.ok() && mentions(opened.error().message, {"model.pth"}));
  }
}

TEST("a .pth with any one byte changed is read or refused, and never crashes") {
  const std::string whole = one_tensor();
  const test::TemporaryFolder folder;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const Result<Checkpoint> opened = open_bytes(folder, damaged);
      if (!opened) continue;
      for (const auto& [name, view] : opened.value().tensors()) CHECK(to_float(view).values.size() <= 6);
    }
  }
}

TEST("a pickle cut short inside a sound archive is an error") {
  const std::string stream =
      pickle::state_dict({{"weight", pickle::tensor("FloatStorage", "0", 6, 0, {6}, {1})}});
  for (std::size_t size = 0; size < stream.size(); ++size) {
    const Error error = refusal(test::pth_bytes(stream.substr(0, size), {kSix}));
    CHECK(error.code == ErrorCode::file_truncated || error.code == ErrorCode::format_invalid);
  }
}

TEST("a tensor that reaches outside its storage is refused with its figures") {
  struct Case {
    std::int64_t offset;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
  };
  const std::int64_t huge = std::int64_t{1} << 62;
  const Case cases[] = {
      {0, {7}, {1}},          {1, {6}, {1}},
      {0, {2, 3}, {4, 1}},    {6, {1}, {1}},
      {-1, {1}, {1}},         {0, {-1}, {1}},
      {0, {2}, {-1}},         {0, {2}, {huge}},
      {huge, {2}, {huge}},    {0, {3, 3}, {huge, huge}},
      {0, {huge, 8}, {0, 0}}, {0, {huge}, {0}},
      {0, {2, 3}, {3}},
  };
  for (const Case& bad : cases) {
    const Error error = refusal(test::pth_bytes(
        pickle::state_dict(
            {{"weight", pickle::tensor("FloatStorage", "0", 6, bad.offset, bad.shape, bad.strides)}}),
        {kSix}));
    CHECK(error.code == ErrorCode::format_invalid);
  }
  const Error error = refusal(test::pth_bytes(
      pickle::state_dict({{"weight", pickle::tensor("FloatStorage", "0", 6, 1, {2, 3}, {3, 1})}}), {kSix}));
  CHECK(mentions(error.message, {"model.pth", "[2, 3]", "element 1", "storage of 6"}));
}

TEST("a storage must be there and have the size that the pickle promises") {
  const auto with = [](const std::string& key, std::int64_t elements) {
    return refusal(test::pth_bytes(
        pickle::state_dict({{"weight", pickle::tensor("FloatStorage", key, elements, 0, {2}, {1})}}),
        {kSix}));
  };
  CHECK(mentions(with("1", 6).message, {"missing storage '1'"}));
  CHECK(mentions(with("0", 7).message, {"7 values of F32", "24 bytes"}));
  CHECK(mentions(with("0", -1).message, {"storage '0'"}));
  CHECK(mentions(with("0", std::int64_t{1} << 62).message, {"storage '0'"}));
  CHECK(mentions(with("../data.pkl", 6).message, {"missing storage"}));
}

TEST("a big-endian .pth is refused") {
  const Error error =
      refusal(test::zip_bytes({{"model/data.pkl", "\x80\x02}."}, {"model/byteorder", "big"}}));
  CHECK(error.code == ErrorCode::format_invalid && mentions(error.message, {"'big'", "'little'"}));
}

TEST("a file that holds no tensors says so") {
  CHECK(mentions(refusal(test::pth_bytes("\x80\x02}.", {})).message, {"no tensors"}));
  CHECK(mentions(refusal(test::pth_bytes("\x80\x02K\x01.", {})).message, {"no state dict"}));
  CHECK(mentions(refusal(test::zip_bytes({{"hello.txt", "hello"}})).message, {"without data.pkl"}));
}

}  // namespace
}  // namespace turboclip

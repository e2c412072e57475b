#include "engine/checkpoint/safetensors.h"

#include "check.h"
#include "engine/checkpoint.h"
#include "support.h"

namespace turboclip {
namespace {

using test::mentions;

Error refusal(const test::TemporaryFolder& folder, const std::string& bytes) {
  const Result<Checkpoint> opened = Checkpoint::open(folder.write("file.safetensors", bytes));
  return opened ? Error{ErrorCode::internal, "it was accepted"} : opened.error();
}

Error header_refusal(const std::string& header, std::size_t data_size) {
  const test::TemporaryFolder folder;
  return refusal(folder, test::safetensors_bytes(header, std::string(data_size, '\0')));
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

TEST("what the safetensors writer writes, the reader reads") {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "out.safetensors";
  const Status written =
      write_safetensors(path, {{"map", DType::i8, {3}, bytes_of(test::raw<std::int8_t>({1, 0, 1}))},
                               {"na\"me\n", DType::f32, {1, 2}, bytes_of(test::raw<float>({1.5f, -2}))},
                               {"empty", DType::f32, {0, 4}, {}},
                               {"list", DType::i32, {2}, bytes_of(test::raw<std::int32_t>({7, -9}))}});
  CHECK(written.ok());
  const Result<Checkpoint> read = Checkpoint::open(path);
  CHECK(read.ok());
  if (!read) return;
  CHECK_EQUAL(read.value().tensors().size(), 4u);
  CHECK(to_float(*read.value().find("map")).values == (std::vector<float>{1, 0, 1}));
  CHECK(to_float(*read.value().find("na\"me\n")).values == (std::vector<float>{1.5f, -2}));
  CHECK(to_float(*read.value().find("list")).values == (std::vector<float>{7, -9}));
  CHECK(read.value().find("empty")->shape == (Shape{0, 4}));
  CHECK(read.value().find("list")->dtype == DType::i32);
}

TEST("writing safetensors into a missing folder is an io error") {
  const test::TemporaryFolder folder;
  const Status written = write_safetensors(folder.path() / "no" / "out.safetensors", {});
  CHECK(!written.ok() && written.error().code == ErrorCode::io);
}

TEST("a safetensors file cut short at any byte is an error, not a crash") {
  const std::string whole = test::safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}})",
      std::string(11, '\1'));
  const test::TemporaryFolder folder;
  CHECK_EQUAL(refusal(folder, whole).message, "it was accepted");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Error error = refusal(folder, whole.substr(0, size));
    CHECK(error.code == ErrorCode::file_truncated);
    CHECK(mentions(error.message, {"file.safetensors", "fetch the file again"}));
  }
}

TEST("a safetensors header may not promise more than the format's limit") {
  const test::TemporaryFolder folder;
  const Error error = refusal(folder, test::raw_value<std::uint64_t>(~std::uint64_t{0}) + "{}");
  CHECK(error.code == ErrorCode::format_invalid);
  CHECK(mentions(error.message, {"100000000"}));
}

TEST("a file of another format is called neither .pth nor safetensors") {
  const test::TemporaryFolder folder;
  const Error error = refusal(folder, test::raw_value<std::uint64_t>(3) + "abc");
  CHECK(error.code == ErrorCode::format_invalid);
  CHECK(mentions(error.message, {"neither a .pth archive nor safetensors"}));
}

TEST("safetensors whose tensors overlap are refused") {
  const Error error = header_refusal(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
      12);
  CHECK(error.code == ErrorCode::format_invalid);
  CHECK(mentions(error.message, {"'b'", "overlaps"}));
}

TEST("safetensors with a hole or a tail that no tensor claims are refused") {
  CHECK(mentions(header_refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2).message,
                 {"hole"}));
  CHECK(header_refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2).code ==
        ErrorCode::format_invalid);
}

TEST("a safetensors tensor must have the size that its shape and type promise") {
  const char* const entries[] = {
      R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[4611686018427387904,0],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})",
      R"({"dtype":"F32","shape":[2],"data_offsets":[0]})",
      R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})",
      R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[2]})",
      R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})",
      R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})",
      R"([])",
  };
  for (const char* entry : entries) {
    const Error error = header_refusal(std::string("{\"weight\":") + entry + "}", 8);
    if (error.code != ErrorCode::format_invalid || !mentions(error.message, {"'weight'"})) {
      test::record_failure(__FILE__, __LINE__, std::string(entry) + ": " + error.message);
    }
  }
}

TEST("a tensor name that a terminal would act on is shown escaped") {
  const Error error = header_refusal("{\"a\\u001b[2J\":[]}", 0);
  CHECK(mentions(error.message, {"\\x1b[2J"}));
}

TEST("safetensors metadata is passed over") {
  const test::TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})";
  const Result<Checkpoint> read =
      Checkpoint::open(folder.write("a.safetensors", test::safetensors_bytes(header, "\5")));
  CHECK(read.ok());
  if (read) CHECK(to_float(*read.value().find("a")).values == (std::vector<float>{5}));
}

}  // namespace
}  // namespace turboclip

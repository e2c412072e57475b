#include "engine/checkpoint/zip_writer.h"

#include <unistd.h>

#include <cstdio>

#include "check.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint/crc32.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/pth_writer.h"
#include "engine/checkpoint/zip_archive.h"
#include "support.h"

namespace turboclip::test {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST("CRC-32 is the one of zip archives, for every length around a word") {
  const auto of = [](std::string_view text) { return crc32(bytes_of(text)); };
  CHECK_EQUAL(of("123456789"), 0xCBF43926u);
  CHECK_EQUAL(of(""), 0u);
  CHECK_EQUAL(of("a"), 0xE8B7BE43u);
  CHECK_EQUAL(of("The quick brown fox jumps over the lazy dog"), 0x414FA339u);
  CHECK_EQUAL(of(std::string(32, '\0')), 0x190A55ADu);
}

TEST("an archive that was written reads back, with every entry at a multiple of 64") {
  std::string archive;
  ZipWriter zip([&](std::span<const std::byte> bytes) {
    archive += text_of(bytes);
    return success();
  });
  std::vector<std::string> contents;
  for (std::size_t i = 0; i < 130; ++i) contents.push_back(std::string(i, static_cast<char>('a' + i % 26)));
  for (const std::string& content : contents) {
    CHECK(zip.add("folder/" + std::to_string(content.size()), bytes_of(content)).ok());
  }
  CHECK(zip.finish().ok());
  const Result<ZipEntries> entries = read_zip(bytes_of(archive), "written");
  if (!entries) return record_failure(__FILE__, __LINE__, entries.error().message);
  CHECK_EQUAL(entries.value().size(), contents.size());
  for (const auto& [name, bytes] : entries.value()) {
    CHECK(text_of(bytes) == contents[std::stoul(name.substr(7))]);
    CHECK_EQUAL((reinterpret_cast<const char*>(bytes.data()) - archive.data()) % 64, 0);
  }
}

TEST("an archive past 4 GiB finds its entries and its directory by zip64") {
  // A file whose first 5 GiB are a hole: it takes no room on the disk.
  constexpr std::uint64_t kOffset = std::uint64_t{5} << 30;
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "large.zip";
  std::FILE* file = std::fopen(path.c_str(), "wb");
  CHECK(file != nullptr && ::fseeko(file, static_cast<off_t>(kOffset), SEEK_SET) == 0);
  ZipWriter zip(
      [&](std::span<const std::byte> bytes) {
        CHECK_EQUAL(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
        return success();
      },
      kOffset);
  for (const char* name : {"one", "two", "three"}) CHECK(zip.add(name, bytes_of(name)).ok());
  CHECK(zip.finish().ok());
  std::fclose(file);
  const auto mapped = MappedFile::open(path);
  if (!mapped) return record_failure(__FILE__, __LINE__, mapped.error().message);
  const Result<ZipEntries> entries = read_zip(mapped.value()->bytes(), path);
  if (!entries) return record_failure(__FILE__, __LINE__, entries.error().message);
  CHECK_EQUAL(entries.value().size(), 3u);
  for (const auto& [name, bytes] : entries.value()) CHECK(text_of(bytes) == name);
}

TEST("an archive of more entries than 16 bits count reads back") {
  std::string archive;
  ZipWriter zip([&](std::span<const std::byte> bytes) {
    archive += text_of(bytes);
    return success();
  });
  constexpr std::size_t kCount = 66'000;
  for (std::size_t i = 0; i < kCount; ++i) CHECK(zip.add(std::to_string(i), {}).ok());
  CHECK(zip.finish().ok());
  const Result<ZipEntries> entries = read_zip(bytes_of(archive), "many");
  CHECK(entries.ok() && entries.value().size() == kCount);
}

TEST("what cannot be written ends the archive with that error") {
  int writes = 0;
  ZipWriter zip([&](std::span<const std::byte>) -> Status {
    if (++writes == 4) return Error{ErrorCode::io, "disk full"};
    return success();
  });
  CHECK(zip.add("one", bytes_of("1")).ok());
  CHECK(!zip.add("two", bytes_of("2")).ok());
  CHECK_EQUAL(writes, 4);
}

TEST(
    "a .pth that is written reads back: names, types, shapes, values, and tensors of no size and no "
    "dimension") {
  const TemporaryFolder folder;
  std::string archive;
  const std::vector<TensorSpec> specs{{"b", DType::bf16, {2, 3}},   {"a.weight", DType::i8, {5}},
                                      {"scalar", DType::f32, {}},   {"nothing", DType::f64, {0, 7}},
                                      {"i", DType::i64, {1, 1, 2}}, {"flags", DType::boolean, {3}}};
  PthWriter writer(
      [&](std::span<const std::byte> bytes) {
        archive += text_of(bytes);
        return success();
      },
      specs);
  CHECK(writer.begin().ok());
  std::vector<std::string> contents;
  for (const TensorSpec& spec : specs) {
    std::string bytes(static_cast<std::size_t>(element_count(spec.shape)) * dtype_size(spec.dtype), '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i + contents.size());
    contents.push_back(bytes);
    CHECK(!writer.add(bytes_of(bytes + "?")).ok());  // not as many bytes as promised
    CHECK(!writer.finish().ok());                    // not all of the tensors
    CHECK(writer.add(bytes_of(bytes)).ok());
  }
  CHECK(writer.finish().ok());
  const Result<Checkpoint> read = Checkpoint::open(folder.write("written.pth", archive));
  if (!read) return record_failure(__FILE__, __LINE__, read.error().message);
  CHECK_EQUAL(read.value().tensors().size(), specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const TensorView* view = read.value().find(specs[i].name);
    CHECK(view != nullptr && view->dtype == specs[i].dtype && view->shape == specs[i].shape);
    if (view == nullptr) continue;
    CHECK(view->contiguous() && text_of({view->data, contents[i].size()}) == contents[i]);
  }
}

TEST("a tensor of any strides becomes the bytes of a row-major one") {
  const std::vector<std::int16_t> values{0, 1, 2, 3, 4, 5};
  const TensorView transposed{DType::i16, {3, 2}, {1, 3}, reinterpret_cast<const std::byte*>(values.data())};
  CHECK(text_of(row_major_bytes(transposed)) == raw<std::int16_t>({0, 3, 1, 4, 2, 5}));
  const TensorView repeated{DType::i16, {2, 2}, {0, 5}, reinterpret_cast<const std::byte*>(values.data())};
  CHECK(text_of(row_major_bytes(repeated)) == raw<std::int16_t>({0, 5, 0, 5}));
}

}  // namespace
}  // namespace turboclip::test

#include "engine/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/checkpoint/layout.h"
#include "engine/json.h"
#include "engine/text.h"

namespace turboclip {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 8;

std::optional<DType> dtype_from(std::string_view name) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,
                            DType::i16, DType::i8, DType::u8, DType::boolean}) {
    if (dtype_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

struct Range {
  std::uint64_t begin;
  std::uint64_t end;
  std::string_view name;
};

/// Makes errors of one file.
struct Complaint {
  const std::filesystem::path& path;

  Error operator()(ErrorCode code, const std::string& what) const {
    return Error{code, concat(path.string(), ": ", what, "; fetch the file again or convert it anew")};
  }
  Error tensor(const std::string& name, const std::string& what) const {
    return (*this)(ErrorCode::format_invalid, concat("tensor ", in_quotes(name), " ", what));
  }
};

/// A list of non-negative integers, or nothing.
std::optional<std::vector<std::int64_t>> sizes_of(const Json* value) {
  if (value == nullptr || value->array() == nullptr) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const Json& item : *value->array()) {
    if (item.integer() == nullptr || *item.integer() < 0) return std::nullopt;
    sizes.push_back(*item.integer());
  }
  return sizes;
}

Result<TensorView> read_entry(const std::string& name, const Json& entry, std::span<const std::byte> data,
                              const Complaint& complaint, std::vector<Range>& ranges) {
  const Json::Object* members = entry.object();
  const Json* dtype_text = entry.find("dtype");
  if (members == nullptr || members->size() != 3 || dtype_text == nullptr ||
      dtype_text->string() == nullptr) {
    return complaint.tensor(name, "is not described by dtype, shape and data_offsets alone");
  }
  const std::optional<DType> dtype = dtype_from(*dtype_text->string());
  if (!dtype) {
    return complaint.tensor(name, concat("has type ", in_quotes(*dtype_text->string()),
                                         ", which the engine does not read (F64 F32 F16 BF16 I64 I32 I16 I8 "
                                         "U8 BOOL are)"));
  }
  const auto shape = sizes_of(entry.find("shape"));
  const auto offsets = sizes_of(entry.find("data_offsets"));
  if (!shape || shape->size() > kMaxRank) {
    return complaint.tensor(name, "has no shape of at most 8 non-negative sizes");
  }
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    return complaint.tensor(name, "has no data_offsets [begin, end] with begin <= end");
  }
  const auto begin = static_cast<std::uint64_t>((*offsets)[0]);
  const auto end = static_cast<std::uint64_t>((*offsets)[1]);
  const std::optional<std::int64_t> promised = byte_count(*shape, *dtype);
  if (!promised || static_cast<std::uint64_t>(*promised) != end - begin) {
    return complaint.tensor(name, concat("of shape ", shape_text(*shape), " and type ", dtype_name(*dtype),
                                         " does not fill its ", end - begin, " bytes"));
  }
  if (end > data.size()) {
    return complaint(ErrorCode::file_truncated, concat("tensor ", in_quotes(name), " ends at byte ", end,
                                                       " of the data, but the file holds ", data.size()));
  }
  ranges.push_back({begin, end, name});
  return TensorView{*dtype, *shape, row_major_strides(*shape), data.data() + begin};
}

/// Every byte of the data must belong to exactly one tensor.
Status check_ranges(std::vector<Range> ranges, std::uint64_t data_size, const Complaint& complaint) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::uint64_t expected = 0;
  for (const Range& range : ranges) {
    if (range.begin != expected) {
      return complaint.tensor(std::string(range.name),
                              concat(range.begin < expected ? "overlaps the one before it" : "leaves a hole",
                                     ": it begins at byte ", range.begin, ", expected ", expected));
    }
    expected = range.end;
  }
  if (expected != data_size) {
    return complaint(ErrorCode::format_invalid,
                     concat("the tensors end at byte ", expected, " of the data, the file at ", data_size));
  }
  return success();
}

}  // namespace

Result<std::map<std::string, TensorView, std::less<>>> read_safetensors(std::span<const std::byte> file,
                                                                        const std::filesystem::path& path) {
  const Complaint complaint{path};
  std::uint64_t header_size = 0;
  if (file.size() < sizeof header_size) {
    return complaint(ErrorCode::file_truncated,
                     concat("holds ", file.size(), " bytes, too few for a safetensors file"));
  }
  std::memcpy(&header_size, file.data(), sizeof header_size);
  if (header_size > kMaxHeader) {
    return complaint(ErrorCode::format_invalid,
                     concat("is neither a .pth archive nor safetensors: its header would be ", header_size,
                            " bytes, and at most ", kMaxHeader, " are allowed"));
  }
  if (header_size > file.size() - sizeof header_size) {
    return complaint(ErrorCode::file_truncated, concat("promises a header of ", header_size,
                                                       " bytes, but holds ", file.size(), " bytes in all"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof header_size, header_size);
  if (!text.starts_with('{')) {
    return complaint(ErrorCode::format_invalid,
                     "is neither a .pth archive nor safetensors: its header does not begin with '{'");
  }
  const Result<Json> header = Json::parse(text);
  if (!header)
    return complaint(ErrorCode::format_invalid, concat("safetensors header: ", header.error().message));

  const std::span<const std::byte> data = file.subspan(sizeof header_size + header_size);
  std::map<std::string, TensorView, std::less<>> tensors;
  std::vector<Range> ranges;
  for (const auto& [name, entry] : *header.value().object()) {
    if (name == "__metadata__") continue;
    Result<TensorView> view = read_entry(name, entry, data, complaint, ranges);
    if (!view) return view.error();
    tensors.emplace(name, std::move(view).value());
  }
  const Status whole = check_ranges(std::move(ranges), data.size(), complaint);
  if (!whole) return whole.error();
  return tensors;
}

}  // namespace turboclip

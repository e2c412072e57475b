// Both readers on files that are nearly right: thousands of random edits, the same ones on every run.
// Whatever comes out must stay inside the file, which a build with -fsanitize=address proves.
#include "check.h"
#include "engine/checkpoint.h"
#include "engine/sampler/philox.h"
#include "support.h"

namespace turboclip {
namespace {

namespace pickle = test::pickle;

class Random {
 public:
  explicit Random(std::uint32_t seed) : key_{seed, 0} {}
  std::size_t below(std::size_t limit) { return philox4x32({next_++, 0, 0, 0}, key_)[0] % limit; }

 private:
  PhiloxKey key_;
  std::uint32_t next_ = 0;
};

/// One to four edits: a byte changed, a stretch repeated elsewhere, a stretch removed, a number made extreme.
std::string edited(std::string bytes, Random& random) {
  const std::string extremes[] = {std::string(4, '\xff'), std::string(8, '\xff'), std::string(8, '\0'),
                                  test::raw_value<std::int64_t>(std::int64_t{1} << 62),
                                  "9223372036854775807"};
  for (std::size_t edits = 1 + random.below(4); edits > 0 && bytes.size() > 16; --edits) {
    const std::size_t at = random.below(bytes.size());
    const std::size_t length = 1 + random.below(12);
    switch (random.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        bytes.insert(random.below(bytes.size()), bytes.substr(at, length));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      default:
        bytes.replace(at, length, extremes[random.below(5)]);
        break;
    }
  }
  return bytes;
}

/// Opens each edited file and reads every tensor of those that are accepted.
void fuzz(const std::string& sound, std::uint32_t seed, int rounds) {
  const test::TemporaryFolder folder;
  Random random(seed);
  int accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    const Result<Checkpoint> opened = Checkpoint::open(folder.write("file", edited(sound, random)));
    if (!opened) continue;
    ++accepted;
    for (const auto& [name, view] : opened.value().tensors()) {
      if (element_count(view.shape) < 1'000'000) static_cast<void>(to_float(view));
    }
  }
  CHECK(accepted < rounds);
}

TEST("a .pth with random edits is read or refused, and never read past its end") {
  fuzz(test::pth_bytes(
           pickle::state_dict({{"whole", pickle::tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1})},
                               {"slice", pickle::tensor("BFloat16Storage", "1", 4, 1, {3}, {1})}}),
           {test::raw<float>({0, 1, 2, 3, 4, 5}), test::raw<std::uint16_t>({1, 2, 3, 4})}),
       1, 4000);
}

TEST("a pickle with random edits inside a sound archive is read or refused") {
  const test::TemporaryFolder folder;
  Random random(2);
  const std::string stream =
      pickle::state_dict({{"whole", pickle::tensor("FloatStorage", "0", 6, 0, {2, 3}, {3, 1})},
                          {"part", pickle::tensor("FloatStorage", "0", 6, 4, {2}, {1})}});
  for (int round = 0; round < 4000; ++round) {
    const std::string bytes = test::pth_bytes(edited(stream, random), {test::raw<float>({0, 1, 2, 3, 4, 5})});
    const Result<Checkpoint> opened = Checkpoint::open(folder.write("file", bytes));
    if (!opened) continue;
    for (const auto& [name, view] : opened.value().tensors()) {
      if (element_count(view.shape) < 1'000'000) static_cast<void>(to_float(view));
    }
  }
}

TEST("safetensors with random edits are read or refused, and never read past their end") {
  fuzz(
      test::safetensors_bytes(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[3],"data_offsets":[8,11]}})",
          std::string(11, '\1')),
      3, 4000);
}

}  // namespace
}  // namespace turboclip

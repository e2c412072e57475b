// A pickle machine that builds plain values and nothing else: no import, no call, no attribute. What a
// global, a call or a persistent id means is asked of a host, which knows a closed list and refuses the rest
// by name. Opcodes: Lib/pickletools.py of CPython, protocols 2 to 5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"

namespace turboclip {

/// Index of a value in the machine's arena. Values refer to one another by it, so that shared and even cyclic
/// structures cost nothing and are never walked unasked.
using PickleRef = std::uint32_t;

struct PickleValue {
  enum class Kind { none, boolean, integer, real, text, bytes, tuple, list, dict, global, host_object };

  Kind kind = Kind::none;
  std::int64_t integer = 0;      // boolean, integer; for a host_object the host's own index
  double real = 0;               // real
  std::string text;              // text, bytes; for a global "module.name"
  std::vector<PickleRef> items;  // tuple, list; dict: key, value, key, value ...
};

class PickleHost {
 public:
  virtual ~PickleHost() = default;
  /// Whether the machine may hold the global "module.name" as an inert name.
  virtual bool knows_global(const std::string& qualified_name) const = 0;
  /// What calling the (known) global with these arguments stands for.
  virtual Result<PickleValue> call(const std::string& qualified_name, const PickleValue& arguments,
                                   const std::vector<PickleValue>& arena) = 0;
  /// What a persistent id stands for.
  virtual Result<PickleValue> persistent(const PickleValue& id, const std::vector<PickleValue>& arena) = 0;
};

struct Pickled {
  std::vector<PickleValue> arena;
  PickleRef root = 0;
};

/// Runs the whole stream. pickle_refused for a global or opcode outside the closed lists, naming it;
/// format_invalid for a stream that does not follow the format or exceeds a limit.
Result<Pickled> run_pickle(std::span<const std::byte> stream, PickleHost& host);

}  // namespace turboclip

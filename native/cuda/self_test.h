// A product whose answer is known, to be asked of a card before it is trusted with clips.
#pragma once

#include <functional>

#include "engine/error.h"
#include "engine/quant/int8_blocks.h"
#include "engine/tensor.h"

namespace turboclip {

/// Backend::int8_product of the device in question.
using Int8Product = std::function<Result<Tensor>(const Int8Blocks& x, const Int8Blocks& w)>;

/// Has the device multiply [130, 256] by [256, 128] and compares with integers summed here. `internal`, with
/// the first element that is wrong; or what the product itself failed with.
Status check_int8_product(const Int8Product& product);

}  // namespace turboclip

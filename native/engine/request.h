// What a request may ask of the engine, whatever the caller checked before.
#pragma once

#include "engine/error.h"
#include "engine/pipeline.h"

namespace turboclip {

/// request_invalid with a sentence that names the value and what to send instead.
Status check_request(const ClipRequest& request, const EngineInfo& info);

/// The latent of a checked request.
ModelLatentShape latent_shape(const ClipRequest& request);

}  // namespace turboclip

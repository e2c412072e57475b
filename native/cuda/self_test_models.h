// Small models of random weights, whose clips a card must draw as the CPU does before it is trusted with any.
#pragma once

#include "engine/backend.h"
#include "engine/error.h"

namespace turboclip {

/// Samples two clips (SLA by SDE, full attention by ODE) and decodes one with both video decoders on the
/// device and on the host, encodes prompts if the device does, and compares; every kernel of the library
/// takes part, on sizes that end inside tiles. The clip that is sampled again must have the same bytes.
/// `internal`, with the stage and how far it is off; or what the device failed with. Takes a moment, and a
/// few MB for the models in the system's temporary folder.
Status check_models(Backend& device, Backend& host);
/// Encodes prompts alone, on a device that does.
Status check_text_encoder(Backend& device, Backend& host);

}  // namespace turboclip

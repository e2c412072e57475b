// Stands for edge/platform/ports.ts: the bindings are the simulated ones, and they make the ports.
import type { Bell, Ports } from "../../../edge/services/ports.ts";
import type { Settings } from "../../../edge/settings.ts";

export interface SimulatedBindings {
  readonly makePorts: (settings: Settings, bell: Bell) => Ports;
}

export function cloudflarePorts(env: SimulatedBindings, settings: Settings, bell: Bell): Ports {
  return env.makePorts(settings, bell);
}

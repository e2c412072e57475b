// What a request carries from the middleware to its route.
import { OpenAPIHono } from "@hono/zod-openapi";
import * as z from "zod";
import { complaint } from "./middleware/complaint.ts";
import { refuseInvalid } from "./middleware/validation.ts";
import type { Bearer } from "./services/keys/verify.ts";
import type { Ports } from "./services/ports.ts";
import type { VerifiedRunner } from "./services/runners/verify.ts";
import type { OpenTrigger } from "./services/triggers/address.ts";
import type { Settings } from "./settings.ts";

export interface EdgeEnv {
  Bindings: Env;
  Variables: {
    requestId: string;
    settings: Settings;
    ports: Ports;
    /** Set under /v1 once the API key or browser token is verified. */
    caller: Bearer;
    /** Set under /runner/v1 once the runner's token is verified. */
    runner: VerifiedRunner;
    /** What the request turned out to be about, for its line in the log. */
    about?: About;
    /** Set under /t once its URL is known. */
    trigger: OpenTrigger;
  };
}

export interface About {
  /** Several by commas. */
  readonly clip: string;
  readonly attempt?: number;
}

export type EdgeApp = OpenAPIHono<EdgeEnv>;

// One for all of the process, as zod has it: the words of whatever is parsed.
z.config({ localeError: complaint });

export function newApp(): EdgeApp {
  return new OpenAPIHono<EdgeEnv>({ defaultHook: refuseInvalid });
}

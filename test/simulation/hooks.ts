// How the edge's own modules load outside of workerd: two modules have stand-ins, the platform's own and the one
// that binds services to it; all others are the files of edge/, db/ and shared/, with a mutant's edits if one runs.
import { registerHooks } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isEdited, readSource } from "./sources.ts";

const here = (path: string) => pathToFileURL(join(import.meta.dirname, path)).href;
const STAND_INS = new Map([
  ["cloudflare:workers", here("platform/workers.ts")],
  [here("../../edge/platform/ports.ts"), here("platform/ports.ts")],
]);

registerHooks({
  resolve(specifier, context, next) {
    const standIn = STAND_INS.get(specifier);
    if (standIn !== undefined) return { url: standIn, shortCircuit: true };
    const resolved = next(specifier, context);
    return { ...resolved, url: STAND_INS.get(resolved.url) ?? resolved.url };
  },
  load(url, context, next) {
    if (!url.startsWith("file:") || !isEdited(fileURLToPath(url))) return next(url, context);
    return { format: "module-typescript", source: readSource(fileURLToPath(url)), shortCircuit: true };
  },
});

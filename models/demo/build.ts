// Writes the demo model set.
//   node models/demo/build.ts --out DIR [--seed N]
import { parseArgs } from "node:util";
import { writeDemoModel } from "./model-set.ts";

const { values } = parseArgs({ options: { out: { type: "string" }, seed: { type: "string" } } });
const seed = values.seed === undefined ? undefined : Number(values.seed);
if (values.out === undefined || (seed !== undefined && !Number.isSafeInteger(seed))) {
  process.stderr.write("usage: node models/demo/build.ts --out DIR [--seed N]\n");
  process.exitCode = 2;
} else {
  writeDemoModel(values.out, seed);
}

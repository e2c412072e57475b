// Progress of an attempt: which of two reports is further, in the order of the stages, then of their steps,
// then by the fraction of the stage.
import type { HeartbeatRequest } from "../../../shared/contract/runner.ts";
import { STAGES } from "../../../shared/states.ts";

export function isFurther(report: HeartbeatRequest, than: HeartbeatRequest): boolean {
  const stages = STAGES.indexOf(report.stage) - STAGES.indexOf(than.stage);
  if (stages !== 0) return stages > 0;
  if (report.step !== than.step) return report.step > than.step;
  return (report.fraction ?? 0) > (than.fraction ?? 0);
}

/** The further of two reports, so that what an observer sees never goes back within an attempt. */
export function latest(a: HeartbeatRequest | null, b: HeartbeatRequest | null): HeartbeatRequest | null {
  if (a === null || b === null) return a ?? b;
  return isFurther(b, a) ? b : a;
}

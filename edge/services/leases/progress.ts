// Progress of an attempt: which of two reports is further, in the order of the stages.
import type { HeartbeatRequest } from "../../../shared/contract/runner.ts";
import { STAGES } from "../../../shared/states.ts";

export function isFurther(report: HeartbeatRequest, than: HeartbeatRequest): boolean {
  const stages = STAGES.indexOf(report.stage) - STAGES.indexOf(than.stage);
  return stages > 0 || (stages === 0 && report.step > than.step);
}

/** The further of two reports, so that what an observer sees never goes back within an attempt. */
export function latest(a: HeartbeatRequest | null, b: HeartbeatRequest | null): HeartbeatRequest | null {
  if (a === null || b === null) return a ?? b;
  return isFurther(b, a) ? b : a;
}

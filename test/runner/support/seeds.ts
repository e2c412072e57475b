// What the stand-in engine does with a clip, by its seed; any other seed renders it.
export const SEEDS = {
  /** Stops after step 1 until it is cancelled. */
  untilCancelled: 1_001,
  /** Stops after step 1 and does not hear cancel. */
  deafToCancel: 1_002,
  /** kill -9 of itself after step 1. */
  dies: 1_003,
  outOfMemory: 1_004,
  /** kill -9 of itself when it has handed out the first frames. */
  diesDecoding: 1_006,
  /** Hands out the first frames, and stops until it is cancelled. */
  decodesUntilCancelled: 1_007,
  /** Sends what is no message of the protocol, after step 1. */
  talksNonsense: 1_005,
} as const;

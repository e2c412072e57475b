// What nobody waits for is tidied up at most this often, unless there is more than one sweep's worth of it.
export const HOUSEKEEPING_MS = 60_000;

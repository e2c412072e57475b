// The dated version of the public API. A version is a promise: what it answers changes only by addition. A change that
// breaks it gets a new date, in front of the others.

export const VERSION_HEADER = "turboclip-version";

/** Newest first. A request that names none gets the last one: what is old enough to be everybody's. */
export const API_VERSIONS = ["2026-11-01"] as const;
export type ApiVersion = (typeof API_VERSIONS)[number];

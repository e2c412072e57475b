import { describe, expect, test } from "vitest";
import { readSettings } from "../../../runner/control/settings.ts";

const GOOD = {
  TURBOCLIP_EDGE_URL: "https://api.example.com/ignored/path",
  TURBOCLIP_RUNNER_ID: "rnr_01j9z3k4m5n6p7q8r9s0t1v2w3",
  TURBOCLIP_RUNNER_TOKEN: "tcr_secret",
  TURBOCLIP_MODELS_DIR: "/models",
};

describe("settings", () => {
  test("have defaults, and the edge's origin alone", () => {
    expect(readSettings(GOOD)).toEqual({
      ...{ edgeOrigin: "https://api.example.com", runnerId: GOOD.TURBOCLIP_RUNNER_ID, token: "tcr_secret" },
      ...{ modelsDir: "/models", devices: ["cpu"], threads: 0, decoder: "vae", workDir: undefined, logLevel: "info" },
    });
  });

  test("that are wrong are named, all of them at once", () => {
    expect(() => readSettings({})).toThrow(
      /TURBOCLIP_EDGE_URL is not set[\s\S]*TURBOCLIP_RUNNER_ID is not set: it must be the runner's id[\s\S]*TURBOCLIP_RUNNER_TOKEN is not set[\s\S]*TURBOCLIP_MODELS_DIR is not set/,
    );
  });

  test.each([
    ["TURBOCLIP_EDGE_URL", "ftp://example.com"],
    ["TURBOCLIP_EDGE_URL", "http://api.example.com"],
    ["TURBOCLIP_RUNNER_ID", "acct_01j9z3k4m5n6p7q8r9s0t1v2w3"],
    ["TURBOCLIP_RUNNER_TOKEN", "tc_live_not_a_runner"],
    ["TURBOCLIP_RUNNER_TOKEN", ""],
    ["TURBOCLIP_GPUS", "cuda"],
    ["TURBOCLIP_GPUS", "-1"],
    ["TURBOCLIP_GPUS", "cpu,"],
    ["TURBOCLIP_GPUS", "cpu,0"],
    ["TURBOCLIP_GPUS", Array(17).fill("cpu").join()],
    ["TURBOCLIP_DECODER", "tiny"],
    ["TURBOCLIP_THREADS", "many"],
    ["TURBOCLIP_THREADS", "-1"],
    ["TURBOCLIP_LOG_LEVEL", "loud"],
  ])("refuse %s=%j by its name, without repeating the value", (name, value) => {
    const read = () => readSettings({ ...GOOD, [name]: value });
    expect(read).toThrow(new RegExp(`^${name} `));
    if (name === "TURBOCLIP_RUNNER_TOKEN" && value !== "") expect(read).not.toThrow(value);
  });

  test("name a device for each engine", () => {
    expect(readSettings({ ...GOOD, TURBOCLIP_GPUS: "cpu, cpu" }).devices).toEqual(["cpu", "cpu"]);
    expect(readSettings({ ...GOOD, TURBOCLIP_GPUS: "0,1" }).devices).toEqual([0, 1]);
  });

  test.each(["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:1"])("take %s: it is this machine", (url) => {
    expect(readSettings({ ...GOOD, TURBOCLIP_EDGE_URL: url }).edgeOrigin).toBe(url);
  });
});

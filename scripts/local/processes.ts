// What runs on this machine, as the system lists it: for services that end, and for tests and the soak, which look at
// runners from outside.
import { readdirSync, readFileSync } from "node:fs";

export interface Process {
  readonly pid: number;
  readonly group: number;
  readonly command: string;
}

/** The system's own list of processes. */
export function processes(): Process[] {
  const pids = readdirSync("/proc", { encoding: "utf8" }).filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // Fields after the command's closing parenthesis: state, parent, process group.
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      return fields[0] === "Z" ? [] : [{ pid: Number(pid), group: Number(fields[2]), command }];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** The engine process in a runner's process group, if one runs. */
export function findEngine(group: number): Process | undefined {
  return processes().find((p) => p.group === group && p.command.includes("engine/main"));
}

// turboclip-runner as a person starts it: a process, its output as it comes, its end.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

const CLI = new URL("../../../runner/cli.ts", import.meta.url).pathname;

export interface Command {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Both, as they came. */
  output(): string;
  /** Resolves once the output holds the text; rejects when the command ends without it. */
  says(text: string): Promise<void>;
  readonly exit: Promise<number | null>;
}

export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv): Command {
  const child = spawn(process.execPath, [CLI, ...args], { env });
  const said = { stdout: "", stderr: "", both: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
      said.both += text;
      child.emit("said");
    });
  }
  const exit = once(child, "close").then(([code]: (number | null)[]) => code ?? null);
  const ended = exit.then(() => "ended" as const);
  return {
    ...{ child, exit, stdout: () => said.stdout, stderr: () => said.stderr, output: () => said.both },
    async says(text) {
      while (!said.both.includes(text)) {
        const next = await Promise.race([once(child, "said"), ended]);
        if (next === "ended" && !said.both.includes(text)) throw new Error(`ended without "${text}":\n${said.both}`);
      }
    },
  };
}

// Runs a command and ends its whole process group with it, and as soon as the starter is gone: the starter
// holds our standard input open, and the system closes it however the starter dies.
//   node guard.mjs COMMAND [ARGUMENT ...]     (to be spawned detached, so that it leads its own group)
import { spawn } from "node:child_process";

const POLITE_MS = 10_000;
const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });

/** Also ends us, and whatever the child left behind (workerd under wrangler). */
function killGroup() {
  process.kill(-process.pid, "SIGKILL");
}

function stop() {
  child.kill("SIGTERM");
  setTimeout(killGroup, POLITE_MS);
}

process.stdin.once("end", stop).once("error", stop).resume();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, stop);
child.on("error", (error) => {
  process.stderr.write(`${command}: ${error.message}\n`);
  killGroup();
});
child.on("exit", killGroup);

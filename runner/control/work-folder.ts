// Where clips wait for their upload: one folder a runner process, one in it a clip, all gone when it ends.
// Folders of runners that died without cleaning up are swept when the next one starts.
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

export class WorkFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Under TURBOCLIP_WORK_DIR, or a folder of this user's in the system's temporary one. */
  static async open(root: string = join(tmpdir(), `turboclip-${userInfo().uid}`)): Promise<WorkFolder> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await sweep(root);
    // The host's name is in it because containers may share the folder, but not their process ids.
    return new WorkFolder(await mkdtemp(join(root, `${ownPrefix()}${process.pid}-`)));
  }

  /** A new folder for one attempt at a clip. */
  async forClip(clipId: string): Promise<string> {
    return mkdtemp(join(this.path, `${clipId}-`));
  }

  async remove(folder: string = this.path): Promise<void> {
    await rm(folder, { recursive: true, force: true, maxRetries: 2 });
  }
}

function ownPrefix(): string {
  return `runner-${hostname().replace(/[^A-Za-z0-9]/g, "_")}-`;
}

async function sweep(root: string): Promise<void> {
  const prefix = ownPrefix();
  for (const name of await readdir(root)) {
    const pid = Number(/^(\d+)-/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : "")?.[1] ?? Number.NaN);
    if (Number.isInteger(pid) && !isAlive(pid)) await rm(join(root, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

// The edge on this machine: the real Worker in workerd under `wrangler dev`, its database, clips and Durable
// Objects kept under <home>/edge. Keys are made at the first start and kept in <home>/secrets.json.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { applyMigrations } from "./migrations.ts";
import { Service } from "./service.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const WRANGLER = join(ROOT, "node_modules", ".bin", "wrangler");

/** Quiet and offline: nothing here asks the network for anything. */
const WRANGLER_ENV = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  DO_NOT_TRACK: "1",
} as const;

/** wrangler.toml's bucket, and the credentials of its local S3 endpoint: they open nothing outside this machine. */
const LOCAL_BUCKET = {
  name: "turboclip-clips",
  accessKeyId: "local-access-key-id",
  secretAccessKey: "local-secret-access-key",
} as const;

export interface EdgeOptions {
  readonly home: string;
  readonly port: number;
  /** Settings on top of the local ones, such as LEASE_TIMES. */
  readonly vars?: Readonly<Record<string, string>>;
}

export interface Edge {
  readonly origin: string;
  readonly adminToken: string;
  readonly service: Service;
}

interface Secrets {
  readonly adminToken: string;
  readonly signingKey: string;
  readonly encryptionKey: string;
}

/** Of this home; what a home from an earlier version lacks is added to it. */
function loadSecrets(home: string): Secrets {
  const file = join(home, "secrets.json");
  const secrets: Secrets = {
    adminToken: `tca_${randomBytes(32).toString("hex")}`,
    signingKey: randomBytes(32).toString("base64"),
    encryptionKey: randomBytes(32).toString("base64"),
    ...(existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as Partial<Secrets>)),
  };
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

/** A port of the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port to be had on 127.0.0.1");
  return address.port;
}

/** Starts the edge and returns once it answers. */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  mkdirSync(options.home, { recursive: true });
  const secrets = loadSecrets(options.home);
  await applyMigrations(join(options.home, "edge"));
  const origin = `http://127.0.0.1:${options.port}`;
  const vars = {
    PUBLIC_ORIGIN: origin,
    R2_S3_ENDPOINT: `${origin}/cdn-cgi/local/r2/s3`,
    R2_BUCKET: LOCAL_BUCKET.name,
    R2_ACCESS_KEY_ID: LOCAL_BUCKET.accessKeyId,
    R2_SECRET_ACCESS_KEY: LOCAL_BUCKET.secretAccessKey,
    SIGNING_KEYS: `local:${secrets.signingKey}`,
    ENCRYPTION_KEYS: `local:${secrets.encryptionKey}`,
    ADMIN_TOKEN: secrets.adminToken,
    ...options.vars,
  };
  const envFile = join(options.home, "edge.env");
  const lines = Object.entries(vars).map(([name, value]) => `${name}='${value}'`);
  writeFileSync(envFile, `${lines.join("\n")}\n`, { mode: 0o600 });
  const service = Service.start({
    name: "edge",
    command: WRANGLER,
    args: [
      ...["dev", "--ip", "127.0.0.1", "--port", String(options.port), "--inspector-port", "0"],
      ...["--persist-to", join(options.home, "edge"), "--env-file", envFile],
      ...["--show-interactive-dev-session=false", "--log-level", "warn"],
    ],
    cwd: ROOT,
    env: { ...process.env, ...WRANGLER_ENV },
    logFile: join(options.home, "edge.log"),
  });
  try {
    await service.waitUntil("answering", 60_000, async () => {
      // A failed build leaves wrangler holding requests for ever, so each has a limit of its own.
      const answer = await fetch(`${origin}/healthz`, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
      if (answer === null) return false;
      const body = await answer.text();
      if (!answer.ok) throw new Error(`the edge answers ${answer.status} to /healthz: ${body}`);
      return true;
    });
  } catch (error) {
    await service.kill();
    throw error;
  }
  return { origin, adminToken: secrets.adminToken, service };
}

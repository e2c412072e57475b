// One seed: a deployment, its customers and runners, everything that goes wrong, and then the proof that all of it
// came to an end.

import type { RunnerId } from "../../shared/ids.ts";
import { Client } from "./actors/client.ts";
import { type Customer, Operator } from "./actors/operator.ts";
import { Payer, Teller } from "./actors/payer.ts";
import { type LeaseBook, Runner } from "./actors/runner.ts";
import { Subscriber } from "./actors/subscriber.ts";
import { judgeEnd } from "./auditor/end.ts";
import { Observer } from "./auditor/observer.ts";
import { judgePaymentsEnd } from "./auditor/payments-end.ts";
import { Violation } from "./auditor/violation.ts";
import { judgeWebhooksEnd } from "./auditor/webhooks-end.ts";
import { LEAST, type SeedResult } from "./result.ts";
import { World } from "./world/world.ts";

/** Webhooks that fail take weeks to come to their end, and nothing happens in between. */
const LIMIT_MS = 90 * 24 * 3_600_000;

/** The share of customers who are told by webhooks, and of those who pay by Stripe. */
const SUBSCRIBES = 0.2;
const PAYS = 0.2;

export async function simulate(seed: number, keepTrace = false): Promise<SeedResult> {
  const world = new World(seed);
  const { schedule, faults, edge, trace } = world;
  const startMs = schedule.nowMs;
  const story = live(world).catch((error: unknown) => {
    if (!(error instanceof Violation)) throw error;
    world.report(error);
  });
  let over = false;
  let failure: unknown;
  void story.then(
    () => {
      over = true;
    },
    (error: unknown) => {
      over = true;
      failure = error;
    },
  );
  const inTime = await schedule.runUntil(() => over || world.violation !== null, startMs + LIMIT_MS);
  if (failure !== undefined) throw new Error(`seed ${seed} broke the simulation itself`, { cause: failure });
  if (!inTime) world.report(new Violation("J7", "the seed did not come to its end"));
  const result: SeedResult = {
    seed,
    violation: world.violation?.message ?? null,
    digest: trace.digest(),
    operations: edge.operations,
    runners: [...world.auditor.history.all("runners")].length,
    commits: world.auditor.history.version,
    faults: Object.fromEntries(faults.struck),
    counters: Object.fromEntries(world.counters.counts),
    simulatedMs: schedule.nowMs - startMs,
    trace: keepTrace ? trace.lines : null,
  };
  world.database.close();
  return result;
}

async function live(world: World): Promise<void> {
  const { random, faults, edge, schedule } = world;
  const operator = new Operator(world);
  const customers: Customer[] = [];
  for (let i = random.between(2, 3); i > 0; i--) customers.push(await operator.openAccount());
  for (const { market } of customers) {
    // Foreign clips are whatever the others have at the time.
    const others = customers.filter((other) => other.market !== market);
    Object.defineProperty(market, "foreign", { get: () => others.flatMap((other) => other.market.clips) });
  }
  const subscribers: Subscriber[] = [];
  for (const { market } of customers) {
    if (random.chance(SUBSCRIBES)) subscribers.push(new Subscriber(world, market));
  }
  for (const subscriber of subscribers) await subscriber.begin();
  const leases: LeaseBook = [];
  const runners: Runner[] = [];
  const identities: RunnerId[] = [];
  for (let i = random.between(LEAST.runners, 5); i > 0; i--) {
    const identity = await operator.registerRunner(runners.length === 0);
    identities.push(identity.id);
    runners.push(new Runner(world, identity, leases));
    // Two machines with one identity: a copied image.
    if (random.chance(0.15)) runners.push(new Runner(world, identity, leases));
  }
  const payers = customers.flatMap(({ market, accountId }) =>
    random.chance(PAYS) ? [new Payer(world, market, accountId)] : [],
  );
  for (const payer of payers) await payer.begin();
  faults.begin();
  // What is left over then is brought to its end without faults, which takes operations too.
  const wanted = random.between(LEAST.operations - 20, LEAST.operations + 20);
  const enough = () => edge.operations >= wanted && faults.total >= LEAST.faults;
  const clients = customers.flatMap(({ market }) => {
    const observer = new Observer();
    return Array.from({ length: random.between(1, 2) }, () => new Client(world, market, observer));
  });
  const teller = new Teller(world);
  const running = Promise.all(runners.map(async (runner) => await runner.run()));
  await Promise.all([
    operator.run(customers, identities, enough),
    ...clients.map(async (client) => await client.run(enough)),
    ...subscribers.map(async (subscriber) => await subscriber.run(enough)),
    ...payers.map(async (payer) => await payer.run(enough)),
    ...(payers.length > 0 ? [teller.run(enough)] : []),
  ]);
  faults.stop();
  // What is still on its way from before may yet change anything.
  while (world.traffic.underWay > 0) await schedule.sleep(1_000);
  const told = await Promise.all([operator.settle(), ...clients.map(async (client) => await client.settle())]);
  await judgePaymentsEnd(
    world,
    async () => await teller.settle(),
    async () => {
      for (const payer of payers) await payer.end();
    },
  );
  await judgeEnd(
    world,
    told.every((one) => one),
    async () => {
      await operator.refundSome(customers);
      // What refunds leave to be tidied up has no timer of its own: the next poll asks for a sweep.
      await schedule.sleep(40_000);
      for (const runner of runners) runner.stop();
      await running;
      // A poll that a fault has delayed may come as late as this, and waits its time.
      await schedule.sleep(120_000);
    },
  );
  await judgeWebhooksEnd(world, async () => {
    for (const subscriber of subscribers) await subscriber.test();
  });
}

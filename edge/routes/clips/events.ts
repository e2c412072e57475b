// A clip's changes as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). An event is
// the clip as GET shows it; its id names what is seen, so that a client that comes back with Last-Event-ID is told
// only what is new.
import { createRoute } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import * as z from "zod";
import { clipSchema } from "../../../shared/contract/clips.ts";
import { isTerminal } from "../../../shared/states.ts";
import type { EdgeApp } from "../../context.ts";
import { getClip } from "../../services/clips/get.ts";
import { sightOf, watchClip } from "../../services/clips/watch.ts";
import { BEARER, idParam, problems } from "../responses.ts";

/** A stream is closed after this long; clients come back by themselves. */
const STREAM_MS = 600_000;
const COME_BACK_MS = 1_000;
/** Between comments that show middle boxes that the line is in use. */
const KEEP_ALIVE_MS = 15_000;

const route = createRoute({
  method: "get",
  path: "/v1/clips/{id}/events",
  operationId: "watchClip",
  summary: "A clip's changes as they come",
  description:
    "Server-sent events named `clip`, each the clip as `GET /v1/clips/{id}` shows it: the first at once, one for each place " +
    "that it moves up in the queue, each stage and step, and the last when it has ended, with `output.preview`, `poster` and " +
    "`mp4`. A stream lasts ten minutes; come back with `Last-Event-ID`, as browsers do by themselves.",
  security: BEARER,
  request: { params: idParam("clip"), headers: z.object({ "last-event-id": z.string().max(200).optional() }) },
  responses: {
    200: { description: "Events whose data is a Clip", content: { "text/event-stream": { schema: clipSchema } } },
    204: { description: "The clip has ended, and the event with this Last-Event-ID told so: do not come back" },
    ...problems("not_found"),
  },
});

export function registerWatchClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { accountId } = c.get("caller");
    const ports = c.get("ports");
    const lastSeen = c.req.valid("header")["last-event-id"];
    const clip = await getClip(ports, accountId, id); // what is refused is refused before a stream begins
    if (isTerminal(clip.state) && sightOf(clip) === lastSeen) return c.body(null, 204);
    c.header("cache-control", "no-store");
    return streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const watch = { untilMs: ports.clock.now() + STREAM_MS, signal: gone.signal };
      const beat = setInterval(() => void stream.write(": still here\n\n"), KEEP_ALIVE_MS);
      try {
        for await (const seen of watchClip(ports, accountId, id, watch)) {
          const eventId = sightOf(seen);
          if (eventId === lastSeen) continue;
          await stream.writeSSE({ event: "clip", id: eventId, retry: COME_BACK_MS, data: JSON.stringify(seen) });
        }
      } finally {
        clearInterval(beat);
      }
    });
  });
}

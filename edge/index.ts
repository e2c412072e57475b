// The Worker: HTTP in, and the classes of its Durable Objects.
import { createApp } from "./app.ts";

export { Dispatcher } from "./durable/dispatcher.ts";
export { Feed } from "./durable/feed.ts";
export { Limiter } from "./durable/limiter.ts";
export { Outbox } from "./durable/outbox.ts";

const app = createApp();

export default {
  fetch: (request, env, context) => app.fetch(request, env, context),
} satisfies ExportedHandler<Env>;

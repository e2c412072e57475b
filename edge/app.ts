// The application: middleware in the order in which a request meets it, then the routes.
import { type EdgeApp, newApp } from "./context.ts";
import { registerDiscord } from "./integrations/discord/endpoint.ts";
import { registerStripe } from "./integrations/stripe/endpoint.ts";
import { requireAccessOfAll, requireScope } from "./middleware/access.ts";
import { requireAdmin, requireApiKey, requireRunner } from "./middleware/authentication.ts";
import { limitBody } from "./middleware/body.ts";
import { allowOrigin, answerPreflight } from "./middleware/cors.ts";
import { limitHeaders } from "./middleware/headers.ts";
import { providePorts } from "./middleware/ports.ts";
import { answerError, answerNotFound } from "./middleware/problem.ts";
import { limitRate } from "./middleware/rate-limit.ts";
import { identifyRequest } from "./middleware/request.ts";
import { negotiateVersion } from "./middleware/version.ts";
import { registerAdminAccounts } from "./routes/admin/accounts.ts";
import { registerAdminAudit } from "./routes/admin/audit.ts";
import { registerAdminKeys } from "./routes/admin/keys.ts";
import { registerAdminLimits } from "./routes/admin/limits.ts";
import { registerAdminRefunds } from "./routes/admin/refunds.ts";
import { registerAdminRunners } from "./routes/admin/runners.ts";
import { registerListAudit } from "./routes/audit/list.ts";
import { registerBalanceAlert } from "./routes/balance/alert.ts";
import { registerGetBalance } from "./routes/balance/get.ts";
import { registerCreateBrowserToken } from "./routes/browser-tokens/create.ts";
import { registerCancelClip } from "./routes/clips/cancel.ts";
import { registerCreateClip } from "./routes/clips/create.ts";
import { registerDeleteClip } from "./routes/clips/delete.ts";
import { registerEstimateClip } from "./routes/clips/estimate.ts";
import { registerWatchClip } from "./routes/clips/events.ts";
import { registerGetClip } from "./routes/clips/get.ts";
import { registerListClips } from "./routes/clips/list.ts";
import { registerDownload } from "./routes/files/download.ts";
import { registerChatLinks } from "./routes/integrations/links.ts";
import { registerManageKeys } from "./routes/keys/manage.ts";
import { registerRotateKey } from "./routes/keys/rotate.ts";
import { registerListLedger } from "./routes/ledger/list.ts";
import { registerListLimits } from "./routes/limits/list.ts";
import { MCP_PATH, registerMcp } from "./routes/mcp/endpoint.ts";
import { registerListModels } from "./routes/models/list.ts";
import { registerReference } from "./routes/reference.ts";
import { registerAttempts } from "./routes/runners/attempts.ts";
import { registerPoll } from "./routes/runners/poll.ts";
import { registerService } from "./routes/service.ts";
import { registerGetStatement } from "./routes/statements/get.ts";
import { registerTopUps } from "./routes/top-ups/manage.ts";
import { registerDeliver } from "./routes/triggers/deliver.ts";
import { registerTriggerDeliveries } from "./routes/triggers/deliveries.ts";
import { registerManageTriggers } from "./routes/triggers/manage.ts";
import { registerCreateUpload } from "./routes/uploads/create.ts";
import { registerReadUploads } from "./routes/uploads/read.ts";
import { registerGetUsage } from "./routes/usage/get.ts";
import { registerVideoContent } from "./routes/videos/content.ts";
import { registerCreateVideo } from "./routes/videos/create.ts";
import { registerDeleteVideo } from "./routes/videos/delete.ts";
import { registerReadVideos } from "./routes/videos/read.ts";
import { registerWebhookDeliveries } from "./routes/webhooks/deliveries.ts";
import { registerWebhookEndpoints } from "./routes/webhooks/endpoints.ts";

/** Under /v1 for whoever brings a key; in this order, so that also a refusal tells what is left of the rate. */
const CUSTOMER = [answerPreflight, negotiateVersion, requireApiKey, allowOrigin, limitRate, requireScope] as const;
/** Under /v1 for whoever brings a signed URL. */
const SIGNED = ["GET /v1/files/{clip}/{variant}"];

export function createApp(): EdgeApp {
  const app = newApp();
  app.onError(answerError);
  app.notFound(answerNotFound);
  app.use(identifyRequest);
  app.use(limitHeaders);
  app.use(limitBody);
  app.use(providePorts);

  // By their signed URLs, so before the key is asked for.
  registerDownload(app);
  registerService(app);
  registerReference(app);
  // By their platform's signature.
  registerDiscord(app);
  registerStripe(app);
  registerDeliver(app);

  app.use("/v1/*", ...CUSTOMER);
  app.on("POST", MCP_PATH, ...CUSTOMER);
  app.use("/runner/v1/*", requireRunner);
  app.use("/admin/v1/*", requireAdmin);

  registerCreateClip(app);
  registerEstimateClip(app);
  registerGetClip(app);
  registerListClips(app);
  registerWatchClip(app);
  registerCancelClip(app);
  registerDeleteClip(app);
  registerCreateUpload(app);
  registerReadUploads(app);
  registerCreateVideo(app);
  registerReadVideos(app);
  registerVideoContent(app);
  registerDeleteVideo(app);
  registerMcp(app);
  registerListModels(app);
  registerGetBalance(app);
  registerBalanceAlert(app);
  registerListLimits(app);
  registerGetUsage(app);
  registerListLedger(app);
  registerGetStatement(app);
  registerTopUps(app);
  registerListAudit(app);
  registerManageKeys(app);
  registerRotateKey(app);
  registerCreateBrowserToken(app);
  registerWebhookEndpoints(app);
  registerWebhookDeliveries(app);
  registerChatLinks(app);
  registerManageTriggers(app);
  registerTriggerDeliveries(app);
  registerPoll(app);
  registerAttempts(app);
  registerAdminAccounts(app);
  registerAdminAudit(app);
  registerAdminKeys(app);
  registerAdminLimits(app);
  registerAdminRefunds(app);
  registerAdminRunners(app);
  requireAccessOfAll(app, SIGNED);
  return app;
}

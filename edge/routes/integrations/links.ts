// Links of chat platforms to the caller's account.
import { createRoute } from "@hono/zod-openapi";
import {
  changeChatLinkSchema,
  chatLinkListSchema,
  chatLinkSchema,
  createChatLinkSchema,
  issuedChatLinkSchema,
} from "../../../shared/contract/chats.ts";
import type { EdgeApp } from "../../context.ts";
import { changeLinkRules, createLink, listLinks, removeLink } from "../../services/chats/links.ts";
import { BEARER, idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const PATH = "/v1/integrations/links";
const ONE = `${PATH}/{id}`;

const create = createRoute({
  method: "post",
  path: PATH,
  operationId: "createChatLink",
  summary: "Get a code that links a chat server or workspace to this account",
  description:
    "Whoever manages the server redeems the code there within 15 minutes (Discord: `/turboclip-link`, Slack: `/clip link`). Clips that are then " +
    "ordered in it are orders of the calling key.",
  security: BEARER,
  request: jsonBody(createChatLinkSchema),
  responses: {
    201: json(issuedChatLinkSchema, "The link, and the code, shown this once"),
    ...problems("invalid_request", "scope_missing", "too_many_links"),
  },
});

const list = createRoute({
  method: "get",
  path: PATH,
  operationId: "listChatLinks",
  summary: "List the chat servers that order for this account",
  security: BEARER,
  responses: { 200: json(chatLinkListSchema, "The newest first"), ...problems() },
});

const change = createRoute({
  method: "patch",
  path: ONE,
  operationId: "changeChatLink",
  summary: "Change who may order in a linked chat server, and how much",
  security: BEARER,
  request: { params: idParam("link"), ...jsonBody(changeChatLinkSchema) },
  responses: { 200: json(chatLinkSchema, "The link as it is now"), ...problems("invalid_request", "not_found") },
});

const remove = createRoute({
  method: "delete",
  path: ONE,
  operationId: "deleteChatLink",
  summary: "Unlink a chat server",
  description: "It orders nothing more; what it has ordered is still delivered.",
  security: BEARER,
  request: { params: idParam("link") },
  responses: { 204: { description: "Unlinked" }, ...problems("not_found") },
});

export function registerChatLinks(app: EdgeApp): void {
  app.openapi(create, async (c) => {
    return c.json(await createLink(c.get("ports"), c.get("caller"), c.req.valid("json")), 201, NO_STORE);
  });
  app.openapi(list, async (c) => c.json(await listLinks(c.get("ports"), c.get("caller").accountId), 200, NO_STORE));
  app.openapi(change, async (c) => {
    const { id } = c.req.valid("param");
    const link = await changeLinkRules(c.get("ports"), c.get("caller").accountId, id, c.req.valid("json"));
    return c.json(link, 200, NO_STORE);
  });
  app.openapi(remove, async (c) => {
    await removeLink(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.body(null, 204);
  });
}

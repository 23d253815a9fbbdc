/** A webhook: who may send alerts to a page, and what they mean there. Its schemas, what a request writes, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import type { Command, Snapshot } from "../../store/data-plane.js";
import { Draft, type DocumentReader } from "../../store/document-reader.js";
import { changeOf, deleteCommand, idTaken, invalidAll, patchCommand, present, requirePage, stamps, type Resource } from "../../store/resource.js";
import { closed, Name, stampProperties } from "../../store/resource-schemas.js";
import { SOURCES, type Source } from "./alert.js";
import { ruleFaults, Rules, type Rule } from "./rules.js";

export const WEBHOOK = "webhook";
/** Register of what senders prove themselves by: bookkeeping, so that no history and no conflict shows it. */
const SECRET = "_secret";
/** What the bearer token of a webhook begins with. */
export const WEBHOOK_TOKEN_PREFIX = "smw_";

const SourceName = Type.Enum([...SOURCES]);
export const WebhookCreate = closed({ name: Name, source: SourceName, rules: Type.Optional(Rules) });
export type WebhookCreate = Static<typeof WebhookCreate>;
export const WebhookPatch = closed({ name: Type.Optional(Name), source: Type.Optional(SourceName), rules: Type.Optional(Rules) });
export type WebhookPatch = Static<typeof WebhookPatch>;

export const WebhookResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), source: SourceName, url: Type.String({ description: "The path, in any region, that alerts are sent to." }), rules: Rules,
  secret: Type.Optional(Type.String({ description: "For the senders: the bearer token of Alertmanager, the HMAC secret of Grafana. Shown once." })),
  ...stampProperties,
});

export interface Webhook {
  readonly id: string;
  readonly source: string;
  readonly rules: readonly Rule[];
  readonly secret: string;
}

/** `smw_<id>_<secret>`. */
function tokenOf(id: string, secret: string): string {
  return `${WEBHOOK_TOKEN_PREFIX}${id}_${secret}`;
}

export function webhookOf(document: DocumentReader): Webhook {
  return { id: document.id, source: document.text("source"), rules: (document.value("rules") ?? []) as unknown as readonly Rule[], secret: tokenOf(document.id, document.text(SECRET)) };
}

/** The webhooks of a page that take alerts of a source, in list order. */
export function webhooksOf(snapshot: Snapshot, page: string, source: Source): Webhook[] {
  return snapshot.list(page, WEBHOOK).slice(0, alertLimits.webhooksMax).flatMap(({ key }) => {
    const document = snapshot.document(key);
    return document === undefined || document.text("source") !== source ? [] : [webhookOf(document)];
  });
}

/** The rules of all webhooks of a source, in list order: which region takes an alert in, and which secret its sender has, makes no difference. */
export function rulesOf(snapshot: Snapshot, page: string, source: Source): readonly Rule[] {
  return webhooksOf(snapshot, page, source).flatMap(({ rules }) => rules);
}

export function presentWebhook(document: DocumentReader): Resource {
  const source = document.text("source");
  return {
    id: document.id, page_id: document.partition, name: document.text("name"), source, url: `/v1/pages/${document.partition}/webhooks/${source}`,
    rules: document.value("rules") ?? [], ...stamps(document),
  };
}

function write(draft: Draft, snapshot: Snapshot, page: string, { name, rules, source }: WebhookPatch): Fault | undefined {
  const faults = ruleFaults(snapshot, page, rules ?? []);
  if (faults.length > 0) return invalidAll(faults);
  if (name !== undefined) draft.set("name", name);
  if (source !== undefined) draft.set("source", source);
  if (rules !== undefined) draft.set("rules", rules as unknown as Json);
  return undefined;
}

function showingSecret(command: Command, id: string, secret: string): Command {
  return { ...command, answer: (snapshot) => ({ ...command.answer(snapshot), secret: { secret: tokenOf(id, secret) } }) };
}

export function createWebhook(page: string, id: string, secret: string, request: WebhookCreate): Command {
  const key = keyOf(page, WEBHOOK, id);
  return showingSecret({
    name: "webhook.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken(WEBHOOK);
      if (snapshot.list(page, WEBHOOK).length >= alertLimits.webhooksMax) return new Fault("conflict", `A page has ${alertLimits.webhooksMax} webhooks at most.`);
      const draft = new Draft(undefined).create().set(SECRET, secret);
      return write(draft, snapshot, page, request) ?? { changes: changeOf(key, draft) };
    },
    answer: (snapshot) => ({ status: 201, location: `/v1/pages/${page}/webhooks/${id}`, etagOf: key, body: present(snapshot, key, presentWebhook) }),
  }, id, secret);
}

export function patchWebhook(page: string, id: string, patch: WebhookPatch): Command {
  return patchCommand("webhook.patch", page, WEBHOOK, id, (draft, _document, snapshot) => write(draft, snapshot, page, patch), presentWebhook);
}

/** Replaces the secret; the old one is no good any more. */
export function rotateWebhook(page: string, id: string, secret: string): Command {
  return showingSecret(patchCommand("webhook.rotate", page, WEBHOOK, id, (draft) => {
    draft.set(SECRET, secret);
    return undefined;
  }, presentWebhook), id, secret);
}

export function deleteWebhook(page: string, id: string): Command {
  return deleteCommand("webhook.delete", page, WEBHOOK, id);
}

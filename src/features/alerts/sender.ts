/**
 * Who sends alerts: proven by a webhook's secret, as a bearer token or as the key of an HMAC over the body.
 * Source: Grafana's documentation of the webhook contact point ("HMAC signature"): hex SHA-256 over the body, or over
 * `<Unix seconds>:<body>` where a header with the time comes along.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Fault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import type { RouteRequest } from "../../store/route-context.js";
import type { Webhook } from "./webhook.js";

export const SIGNATURE_HEADER = "x-grafana-alerting-signature";
const TIMESTAMP_HEADER = "x-grafana-alerting-timestamp";

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function header(request: RouteRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" ? value : undefined;
}

/** 401 unless the request is proven by the secret of one of the webhooks. */
export function senderFault(request: RouteRequest, webhooks: readonly Webhook[], nowMs: number): Fault | undefined {
  const refusal = (detail: string): Fault => new Fault("unauthorized", detail);
  const authorization = header(request, "authorization");
  const signature = header(request, SIGNATURE_HEADER);
  if (authorization !== undefined) {
    const token = authorization.replace(/^Bearer +/i, "");
    return webhooks.some(({ secret }) => isEqual(token, secret)) ? undefined : refusal("The secret is that of no webhook of this page and source.");
  }
  const timestamp = header(request, TIMESTAMP_HEADER);
  if (timestamp !== undefined && !(Math.abs(Number(timestamp) * 1_000 - nowMs) <= alertLimits.signatureSkewMs)) return refusal("The time of the signature is too far from now.");
  const body = request.rawBody ?? new Uint8Array();
  const isSigned = webhooks.some(({ secret }) => {
    const hmac = createHmac("sha256", secret);
    if (timestamp !== undefined) hmac.update(`${timestamp}:`);
    return isEqual(hmac.update(body).digest("hex"), (signature ?? "").trim().toLowerCase());
  });
  return isSigned ? undefined : refusal("The signature was made with the secret of no webhook of this page and source.");
}

/** The request forms in which shared caches take purges. */
import { AwsClient } from "aws4fetch";
import type { OutboundRequest } from "../core/ports.js";

export type PurgeDemand = readonly string[] | "everything";

interface Target {
  readonly name: string;
  readonly address: string;
  readonly keysMax: number;
  readonly pauseMs: number;
  requestOf(demand: PurgeDemand): Promise<OutboundRequest> | OutboundRequest;
}

/** Source: Fastly's API reference, "Purging": by surrogate keys, up to 256 in one request. Soft purges leave what may be served stale. */
export function fastly(options: { readonly service: string; readonly token: string; readonly api: string; readonly soft: boolean }): Target {
  const base = `${options.api}/service/${encodeURIComponent(options.service)}`;
  const headers = { "fastly-key": options.token, accept: "application/json", ...(options.soft ? { "fastly-soft-purge": "1" } : {}) };
  return {
    name: "fastly", address: base, keysMax: 256, pauseMs: 0,
    requestOf: (demand) => demand === "everything"
      ? { method: "POST", url: `${base}/purge_all`, headers: { "fastly-key": options.token, accept: "application/json" } }
      : { method: "POST", url: `${base}/purge`, headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify({ surrogate_keys: demand }) },
  };
}

/** Source: Cloudflare's API reference, "Purge Cached Content": by tags, up to 30 in one request. */
export function cloudflare(options: { readonly zone: string; readonly token: string; readonly api: string }): Target {
  const url = `${options.api}/client/v4/zones/${encodeURIComponent(options.zone)}/purge_cache`;
  return {
    name: "cloudflare", address: url, keysMax: 30, pauseMs: 200,
    requestOf: (demand) => ({
      method: "POST", url,
      headers: { authorization: `Bearer ${options.token}`, "content-type": "application/json" },
      body: JSON.stringify(demand === "everything" ? { purge_everything: true } : { tags: demand }),
    }),
  };
}

/**
 * CloudFront knows no tags: what is configured of paths is invalidated, at most every few seconds, since few invalidations may run at once.
 * Source: Amazon CloudFront API reference, "CreateInvalidation"; Signature Version 4.
 */
export function cloudfront(options: {
  readonly distribution: string; readonly paths: readonly string[]; readonly api: string; readonly accessKeyId: string; readonly secretAccessKey: string; readonly nowMs: () => number;
}): Target {
  const client = new AwsClient({ accessKeyId: options.accessKeyId, secretAccessKey: options.secretAccessKey, service: "cloudfront", region: "us-east-1" });
  const url = `${options.api}/2020-05-31/distribution/${encodeURIComponent(options.distribution)}/invalidation`;
  let count = 0;
  return {
    name: "cloudfront", address: url, keysMax: 10_000, pauseMs: 5_000,
    requestOf: async () => {
      const items = options.paths.map((path) => `<Path>${escaped(path)}</Path>`).join("");
      const reference = `statusmesh-${options.nowMs()}-${++count}`;
      const body = `<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>${reference}</CallerReference>`
        + `<Paths><Items>${items}</Items><Quantity>${options.paths.length}</Quantity></Paths></InvalidationBatch>`;
      const signed = await client.sign(url, { method: "POST", headers: { "content-type": "application/xml" }, body });
      return { method: "POST", url, headers: Object.fromEntries(signed.headers), body };
    },
  };
}

/** A cache of one's own, such as Varnish: a PURGE with the keys in `Surrogate-Key`, or `*`. */
export function ownCache(name: string, url: string): Target {
  return {
    name, address: url, keysMax: 100, pauseMs: 0,
    requestOf: (demand) => ({ method: "PURGE", url, headers: { "surrogate-key": demand === "everything" ? "*" : demand.join(" ") } }),
  };
}

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/**
 * A page's public routes at the root of its own host: `/`, `/history`, `/api/v2/summary.json` … mean `/pages/<page>/…`, the page being the one
 * that has the host among its `custom_domains`, else `default`. Paths whose first part belongs to a route of the server's own stay as they are.
 */
import type { IncomingMessage } from "node:http";
import type { PageHosts } from "../store/page-hosts.js";

export class PagePaths {
  /** First parts of paths that are no page's. */
  private readonly reserved = new Set(["pages", "v1"]);

  constructor(
    private readonly hosts: PageHosts,
    private readonly trustProxy: boolean,
  ) {}

  /** Notes a route of the server. */
  reserve(url: string): void {
    const first = firstPart(url);
    if (first !== "" && !first.startsWith(":") && !first.startsWith("*")) this.reserved.add(first);
  }

  /** The path that a request means. */
  rewrite(request: Pick<IncomingMessage, "url" | "headers">): string {
    const url = request.url ?? "/";
    if (!url.startsWith("/") || this.reserved.has(firstPart(url))) return url;
    const page = this.hosts.pageOf(this.hostOf(request));
    return url === "/" || url.startsWith("/?") ? `/pages/${page}${url.slice(1)}` : `/pages/${page}${url}`;
  }

  private hostOf({ headers }: Pick<IncomingMessage, "headers">): string | undefined {
    const forwarded = this.trustProxy ? headers["x-forwarded-host"] : undefined;
    return (typeof forwarded === "string" ? forwarded.split(",", 1)[0]?.trim() : undefined) ?? headers.host;
  }
}

function firstPart(url: string): string {
  const end = url.slice(1).search(/[/?]/);
  return end < 0 ? url.slice(1) : url.slice(1, end + 1);
}

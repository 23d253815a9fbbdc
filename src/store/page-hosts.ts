/** Which page a host name shows: its `custom_domains`, kept at hand and in step with the pages. */
import { isFault } from "../core/errors.js";
import type { DataPlane } from "./data-plane.js";

/** The page of every host that no page names. */
export const DEFAULT_PAGE = "default";

export class PageHosts {
  private byHost: ReadonlyMap<string, string> = new Map();
  private readonly leave: () => void;
  private again = false;
  private isReading = false;
  private reading: Promise<void> = Promise.resolve();

  constructor(private readonly data: DataPlane) {
    this.leave = data.feed.follow({
      changed: ({ changes }) => {
        if (changes.some(({ document }) => document.startsWith("~/page/"))) this.refresh();
      },
      reset: () => this.refresh(),
    });
    this.refresh();
  }

  close(): void {
    this.leave();
  }

  /** Resolves when what was known at the call is taken in. */
  async settled(): Promise<void> {
    while (this.isReading) await this.reading;
  }

  /** All names; another object whenever a page has changed. */
  get names(): object {
    return this.byHost;
  }

  /** `host`: the value of a Host header, with or without a port; undefined if it was not sent. */
  pageOf(host: string | undefined): string {
    if (host === undefined) return DEFAULT_PAGE;
    return this.byHost.get(host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "")) ?? DEFAULT_PAGE;
  }

  private refresh(): void {
    this.again = true;
    if (this.isReading) return;
    this.isReading = true;
    this.reading = this.read();
  }

  private async read(): Promise<void> {
    try {
      while (this.again) await this.readOnce();
    } finally {
      this.isReading = false;
    }
  }

  private async readOnce(): Promise<void> {
    this.again = false;
    const pages = await this.data.read({
      documents: [],
      render: (snapshot) => snapshot.list("~", "page").map(({ key, id, createdMs }) => ({ id, createdMs, domains: snapshot.document(key)?.value("custom_domains") })),
    }, { level: "LOCAL" });
    if (isFault(pages)) return;
    const byHost = new Map<string, string>();
    // Two pages may claim a host in two regions at once: everywhere the older page has it.
    const oldestFirst = pages.value.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
    for (const { id, domains } of oldestFirst) {
      for (const domain of Array.isArray(domains) ? domains : []) if (!byHost.has(String(domain))) byHost.set(String(domain), id);
    }
    this.byHost = byHost;
  }
}

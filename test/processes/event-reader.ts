/** The npm client `eventsource` on a page's events, at whichever region is told; keeps what it heard. */
import { EventSource } from "eventsource";
import type { Json } from "./replica-process.js";

export interface Heard {
  readonly type: string;
  readonly id: string;
  readonly data: { readonly [name: string]: Json };
}

const TYPES = ["component", "component_group", "incident", "incident_update", "maintenance", "maintenance_update", "page"].flatMap((name) => ["created", "updated", "deleted"].map((what) => `${name}.${what}`));

export class EventReader {
  readonly heard: Heard[] = [];
  /** `Last-Event-ID` of each connection, "" for none. */
  readonly connections: string[] = [];
  private readonly source: EventSource;

  /** `base`: where to connect at the moment. */
  constructor(private readonly base: () => string, path = "/pages/default/events") {
    this.source = new EventSource(`http://events.invalid${path}`, {
      fetch: (url, init) => {
        const headers = new Headers(init.headers as Record<string, string>);
        this.connections.push(headers.get("last-event-id") ?? "");
        return fetch(new URL(new URL(String(url)).pathname + new URL(String(url)).search, this.base()), init);
      },
    });
    for (const type of [...TYPES, "ready", "reset", "close"]) {
      this.source.addEventListener(type, (event) => this.heard.push({ type, id: event.lastEventId, data: JSON.parse(event.data) as Heard["data"] }));
    }
  }

  of(type: string): readonly Heard[] {
    return this.heard.filter((one) => one.type === type);
  }

  close(): void {
    this.source.close();
  }
}

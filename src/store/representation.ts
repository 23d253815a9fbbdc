/** What a public answer is made by: what the features hand to the public cache. */
import type { Fault } from "../core/errors.js";
import type { DayUptime } from "./component-history.js";
import type { Snapshot } from "./data-plane.js";
import type { DocumentReader } from "./document-reader.js";

/** What a rendering gives. */
export interface Publication {
  readonly contentType: string;
  /** In parts, where it is long: each takes a small part of a turn of the event loop, and the first may be with its reader before the last is made. They look at no document that `render` has not looked at. */
  readonly body: string | Uint8Array | AsyncIterable<string>;
  /** Header values beside those that every public answer has, such as a content security policy. Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What beside `Accept-Encoding` the answer depends on, such as `Accept-Language`. */
  readonly vary?: string;
  /** ms since the epoch from which on it must be rendered anew though nothing changed, such as the next midnight. */
  readonly freshUntilMs?: number;
}

export type WholePublication = Publication & { readonly body: string | Uint8Array };

/** What a rendering may ask for before it runs, beyond the documents. What it asks about counts as looked at. */
export interface Preparation {
  /** ms since the epoch. */
  readonly atMs: number;
  /** Reads what decides which questions to ask. Synchronous look at the documents, as in `render`. */
  look<T>(look: (snapshot: Snapshot) => T): Promise<T>;
  /** Looks at long timelines for the first time, a part a turn of the event loop. Which they are does not count as looked at. */
  readAhead(which: (snapshot: Snapshot) => readonly DocumentReader[]): Promise<void>;
  /** `ComponentHistory.uptimeOf`; parts of the body may ask for it as well. Rejects with the Fault. */
  readonly uptimeOf: (component: string, fromDay: string, toDay: string, timeZone: string) => Promise<readonly DayUptime[]>;
}

export interface Representation<P = undefined> {
  readonly page: string;
  /** Names it within its page: every parameter that the bytes depend on (a language, a component) is part of it. */
  readonly name: string;
  /** Runs before `render`, and only when there is something to render. */
  prepare?(preparation: Preparation): Promise<P>;
  /** Synchronous and without side effects; may run more than once. A Fault is answered and not kept. */
  render(snapshot: Snapshot, prepared: P): Publication | Fault;
  /** What is sent with the status 404 instead of a problem, where `render` finds nothing: a page for people. Not kept. */
  missing?(): WholePublication;
}

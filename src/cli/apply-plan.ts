/** What must change so that a page is as a file says: found, shown, done. */
import { isDeepStrictEqual } from "node:util";
import type { Json } from "../core/change.js";
import { detailOf, type ApplyClient } from "./apply-client.js";
import { fail, KINDS, wholeRule, type ApplyFile, type IdOf, type Kind, type Wanted } from "./apply-file.js";
import { CommandFault } from "./terminal.js";

const PATHS: Readonly<Record<Kind, string>> = { "component-group": "component-groups", component: "components", monitor: "monitors", webhook: "webhooks" };
/** What a creation shows once. */
const SECRETS: Readonly<Partial<Record<Kind, string>>> = { webhook: "secret", monitor: "heartbeat_url" };

type Fields = { readonly [field: string]: Json };

export interface FieldChange {
  readonly field: string;
  readonly from: Json;
  readonly to: Json;
}

export interface Change {
  readonly action: "create" | "update" | "delete";
  readonly kind: Kind;
  readonly name: string;
  readonly fields: readonly FieldChange[];
  /** Id of what is there, and its tag when it was compared. */
  readonly there: { readonly id: string; readonly etag: string | undefined } | undefined;
  readonly wanted: Wanted | undefined;
}

export interface ApplyPlan {
  readonly page: string;
  /** In the order in which they are made. */
  readonly changes: readonly Change[];
  /** What is there and not in the file, of the kinds that the file speaks of; empty where it is to be deleted. */
  readonly unnamed: readonly { readonly kind: Kind; readonly name: string }[];
  /** Ids of what is there already. */
  readonly ids: ReadonlyMap<string, string>;
}

const entry = (kind: Kind, name: string): string => `${kind} ${name}`;

/** Compares a page with a file. @throws CommandFault for names that stand for nothing, or for two things */
export async function planOf(client: ApplyClient, file: ApplyFile, fileName: string, page: string, prune: boolean): Promise<ApplyPlan> {
  const base = `/v1/pages/${page}`;
  const there = new Map<string, Fields>();
  const unnamed: { readonly kind: Kind; readonly name: string; readonly id: string }[] = [];
  const wantedNames = new Set(file.wanted.map(({ kind, name }) => entry(kind, name)));
  const faults: { line: number; message: string }[] = [];
  const referred = new Set(file.wanted.flatMap(({ references }) => references.map(({ kind }) => kind)));
  for (const kind of KINDS.filter((known) => file.kinds.has(known) || referred.has(known))) {
    for (const item of await client.list(`${base}/${PATHS[kind]}`)) {
      const name = entry(kind, String(item["name"]));
      if (there.has(name) && wantedNames.has(name)) faults.push({ line: file.wanted.find((one) => entry(one.kind, one.name) === name)?.line ?? 1, message: `the page has more than one ${name}: give them different names first` });
      if (file.kinds.has(kind) && !wantedNames.has(name)) unnamed.push({ kind, name: String(item["name"]), id: String(item["id"]) });
      there.set(name, item);
    }
  }
  const unknown = file.wanted.flatMap(({ references }) => references.filter(({ kind, name }) => !there.has(entry(kind, name)) && !wantedNames.has(entry(kind, name))));
  faults.push(...unknown.map(({ kind, line, name }) => ({ line, message: `there is no ${kind} "${name}", in the file or on the page` })));
  if (prune) {
    const goes = new Set(unnamed.map(({ kind, name }) => entry(kind, name)));
    for (const { kind, line, name } of file.wanted.flatMap(({ references }) => references)) if (goes.has(entry(kind, name))) faults.push({ line, message: `the ${kind} "${name}" is not in the file, and --prune deletes it` });
  }
  if (faults.length > 0) fail(fileName, faults);

  const idOf: IdOf = (kind, name) => String(there.get(entry(kind, name))?.["id"] ?? `(the new ${kind} ${name})`);
  const changes: Change[] = [];
  for (const wanted of inOrder(file.wanted)) {
    const item = there.get(entry(wanted.kind, wanted.name));
    changes.push(...(item === undefined ? [creationOf(wanted, idOf)] : await updateOf(client, base, wanted, String(item["id"]), item, idOf)));
  }
  if (prune) {
    for (const kind of [...KINDS].reverse()) {
      for (const { id, name } of unnamed.filter((one) => one.kind === kind)) {
        const { etag } = await client.call("GET", `${base}/${PATHS[kind]}/${id}`);
        changes.push({ action: "delete", kind, name, fields: [], there: { id, etag }, wanted: undefined });
      }
    }
  }
  return { page, changes, unnamed: prune ? [] : unnamed, ids: new Map([...there].map(([name, item]) => [name, String(item["id"])])) };
}

/** What others name comes before them. */
function inOrder(wanted: readonly Wanted[]): Wanted[] {
  const byName = new Map(wanted.map((one) => [entry(one.kind, one.name), one]));
  const ordered: Wanted[] = [];
  const seen = new Set<Wanted>();
  const visit = (one: Wanted): void => {
    if (seen.has(one)) return;
    seen.add(one);
    for (const { kind, name } of one.references) {
      const other = byName.get(entry(kind, name));
      if (other !== undefined) visit(other);
    }
    ordered.push(one);
  };
  for (const kind of KINDS) for (const one of wanted) if (one.kind === kind) visit(one);
  return ordered;
}

function creationOf(wanted: Wanted, idOf: IdOf): Change {
  const fields = Object.entries(wanted.body(idOf)).filter(([field, value]) => field !== "name" && value !== null).map(([field, to]) => ({ field, from: null, to }));
  return { action: "create", kind: wanted.kind, name: wanted.name, fields, there: undefined, wanted };
}

function differences(wanted: Wanted, item: Fields, idOf: IdOf): FieldChange[] {
  return Object.entries(wanted.body(idOf)).flatMap(([field, to]) => {
    const held = item[field] ?? null;
    const from = wanted.kind === "webhook" && field === "rules" ? (held as readonly Fields[]).map(wholeRule) : held;
    return isDeepStrictEqual(from, to) ? [] : [{ field, from, to }];
  });
}

/** Compared once more with the resource itself, whose tag guards the write: what others change meanwhile is not overwritten. */
async function updateOf(client: ApplyClient, base: string, wanted: Wanted, id: string, listed: Fields, idOf: IdOf): Promise<Change[]> {
  if (differences(wanted, listed, idOf).length === 0) return [];
  const answer = await client.call("GET", `${base}/${PATHS[wanted.kind]}/${id}`);
  if (answer.status !== 200) throw new CommandFault([`${wanted.kind} ${wanted.name}: ${detailOf(answer)}`]);
  const fields = differences(wanted, answer.body, idOf);
  return fields.length === 0 ? [] : [{ action: "update", kind: wanted.kind, name: wanted.name, fields, there: { id, etag: answer.etag }, wanted }];
}

/** What became of a change. */
export interface Done {
  readonly change: Change;
  /** A sentence, if it could not be made. */
  readonly fault: string | undefined;
  /** What is shown once: the secret of a webhook, the address of a heartbeat. */
  readonly secret: string | undefined;
}

/** Makes the changes one after the other; one that fails keeps back only what names it. */
export async function apply(client: ApplyClient, plan: ApplyPlan, report: (done: Done) => void): Promise<readonly Done[]> {
  const ids = new Map(plan.ids);
  const failed = new Set<string>();
  const all: Done[] = [];
  for (const change of plan.changes) {
    const missing = change.wanted?.references.find(({ kind, name }) => failed.has(entry(kind, name)));
    let done: Done;
    if (missing !== undefined) done = { change, fault: `the ${missing.kind} ${missing.name} could not be made`, secret: undefined };
    else done = await make(client, plan.page, change, ids);
    if (done.fault !== undefined && change.action === "create") failed.add(entry(change.kind, change.name));
    all.push(done);
    report(done);
  }
  return all;
}

async function make(client: ApplyClient, page: string, change: Change, ids: Map<string, string>): Promise<Done> {
  const path = `/v1/pages/${page}/${PATHS[change.kind]}`;
  const idOf: IdOf = (kind, name) => ids.get(entry(kind, name)) ?? "";
  const ended = (fault?: string, secret?: string): Done => ({ change, fault, secret });
  try {
    if (change.there === undefined) {
      const answer = await client.call("POST", path, { body: withoutNulls(change.wanted?.body(idOf) ?? {}) });
      if (answer.status !== 201) return ended(detailOf(answer));
      ids.set(entry(change.kind, change.name), String(answer.body["id"]));
      const secret = answer.body[SECRETS[change.kind] ?? ""];
      return ended(undefined, typeof secret === "string" ? secret : undefined);
    }
    const { etag, id } = change.there;
    const whole = change.wanted?.body(idOf) ?? {};
    const body = Object.fromEntries(change.fields.map(({ field }) => [field, whole[field] ?? null]));
    const answer = await client.call(change.action === "delete" ? "DELETE" : "PATCH", `${path}/${id}`, { ifMatch: etag, ...(change.action === "delete" ? {} : { body }) });
    if (answer.status === 412) return ended("somebody has changed it meanwhile: look at it, and apply again");
    return answer.status < 300 || (change.action === "delete" && answer.status === 404) ? ended() : ended(detailOf(answer));
  } catch (error) {
    if (error instanceof CommandFault) return ended(error.message);
    throw error;
  }
}

const withoutNulls = (fields: Fields): Fields => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

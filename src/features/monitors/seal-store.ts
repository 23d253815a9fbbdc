/**
 * Where seals are kept: ordinary documents, so that every region has them.
 *
 * `<page>/seal/<chain>_<month>` holds the seals of a chain whose hours ended in that month, a section `s<number>` each;
 * `<page>/sealed/<chain>_<day>` their records, likewise. The chain's name is `<replica>_<incarnation, base 36>`, months and days are written
 * `2601` and `260131`: an id must not be longer than 64. They stand apart so that the chain of a year can be read without its records.
 */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import type { Command, PlannedChange, Snapshot } from "../../store/data-plane.js";
import { Draft, type DocumentReader } from "../../store/document-reader.js";
import { changeOf } from "../../store/resource.js";
import { rootOf, sealHash, type Seal } from "./seal.js";

const SEAL = "seal";
const SEALED = "sealed";
const REGISTER = { [SEAL]: "seal", [SEALED]: "records" } as const;

/** A replica's life, as chains are told apart by it. */
export interface Life {
  readonly replica: string;
  readonly incarnation: number;
}

export function chainOf({ replica, incarnation }: Life): string {
  return `${replica}_${incarnation.toString(36)}`;
}

/** `<replica>.<incarnation>`, as logs are called. */
export function originOf({ replica, incarnation }: Life): string {
  return `${replica}.${incarnation}`;
}

export function lifeOf(chain: string): Life {
  const cut = chain.lastIndexOf("_");
  return { replica: chain.slice(0, cut), incarnation: Number.parseInt(chain.slice(cut + 1), 36) };
}

const monthOf = (at: string): string => at.slice(2, 7).replaceAll("-", "");
const dayOf = (at: string): string => at.slice(2, 10).replaceAll("-", "");
const sectionOf = (number: number): string => `s${number}`;

function documentsOf(snapshot: Snapshot, page: string, type: string, isWanted: (chain: string, period: string) => boolean): DocumentReader[] {
  return snapshot.list(page, type).flatMap(({ id, key }) => {
    const cut = id.lastIndexOf("_");
    return isWanted(id.slice(0, cut), id.slice(cut + 1)) ? (snapshot.document(key) ?? []) : [];
  });
}

/** Names of the chains of a page, sorted. */
export function chainsIn(snapshot: Snapshot, page: string): string[] {
  return [...new Set(snapshot.list(page, SEAL).map(({ id }) => id.slice(0, id.lastIndexOf("_"))))].sort();
}

/** The seals of a chain that are held here, in order. */
export function sealsOf(snapshot: Snapshot, page: string, chain: string): Seal[] {
  const seals = documentsOf(snapshot, page, SEAL, (of) => of === chain).flatMap((document) => document.sections().flatMap(({ id }) => (document.value(REGISTER[SEAL], id) as Seal | null) ?? []));
  return seals.sort((a, b) => a.number - b.number);
}

export interface SealedTexts {
  readonly chain: string;
  /** Number of the seal that holds them. */
  readonly number: number;
  /** All of its records, in order. */
  readonly texts: readonly string[];
}

/** What was sealed on a day (`2026-01-31`, UTC), by chain and number. */
export function sealedOn(snapshot: Snapshot, page: string, day: string, isWanted: (chain: string) => boolean = () => true): SealedTexts[] {
  const period = dayOf(day);
  return documentsOf(snapshot, page, SEALED, (chain, of) => of === period && isWanted(chain)).flatMap((document) => {
    const chain = document.id.slice(0, document.id.lastIndexOf("_"));
    return document.sections().flatMap(({ id }): SealedTexts[] => {
      const texts = document.value(REGISTER[SEALED], id) as readonly string[] | null;
      return texts === null ? [] : [{ chain, number: Number(id.slice(1)), texts }];
    }).sort((a, b) => a.number - b.number);
  });
}

/** The latest seal of a replica's other lives. */
function inherited(snapshot: Snapshot, page: string, { replica, incarnation }: Life): Seal | undefined {
  const others = chainsIn(snapshot, page).filter((chain) => chain.startsWith(`${replica}_`) && chain !== chainOf({ replica, incarnation }));
  return others.flatMap((chain) => sealsOf(snapshot, page, chain).at(-1) ?? []).sort((a, b) => (a.until < b.until ? -1 : 1)).at(-1);
}

function written(snapshot: Snapshot, key: string, section: string, field: string, value: Json): PlannedChange[] {
  const document = snapshot.document(key);
  const draft = new Draft(document);
  if (document === undefined) draft.create();
  return changeOf(key, draft.create(section).set(field, value, section));
}

export interface SealRequest {
  readonly page: string;
  readonly life: Life;
  readonly region: string;
  /** RFC 3339. */
  readonly until: string;
  /** At least one, in order. */
  readonly texts: readonly string[];
  /** When each of them is from, RFC 3339. */
  readonly times: readonly string[];
}

/** Adds a seal to the chain of a life. */
export function sealCommand({ page, life, region, until, texts, times }: SealRequest): Command {
  const chain = chainOf(life);
  const subject = keyOf(page, SEAL, `${chain}_${monthOf(until)}`);
  return {
    name: "monitor.seal", subject,
    plan(snapshot) {
      const before = sealsOf(snapshot, page, chain).at(-1);
      const root = before ?? inherited(snapshot, page, life);
      const from = before?.until ?? null;
      const seal: Seal = {
        version: 1, page, replica: life.replica, region, origin: originOf(life), number: (before?.number ?? 0) + 1, previous: root === undefined ? null : sealHash(root),
        from, until, records: texts.length, late: from === null ? 0 : times.filter((at) => at < from).length, root: rootOf(texts),
      };
      const section = sectionOf(seal.number);
      return {
        changes: [
          ...written(snapshot, keyOf(page, SEALED, `${chain}_${dayOf(until)}`), section, REGISTER[SEALED], texts),
          ...written(snapshot, subject, section, REGISTER[SEAL], { ...seal }),
        ],
      };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

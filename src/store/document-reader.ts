/** Reads a document's merged state by the rules: what is shown, and what it was chosen from. */
import { contenders, isKept, standing } from "../core/creation.js";
import { canonical, disagree, type DocumentState, type Section, type Stamp } from "../core/document.js";
import { CHAIN, type Json, type Operation } from "../core/change.js";
import type { Vector } from "../core/vector.js";
import { hlcMs, hlcTime, type Hlc } from "../core/hlc.js";
import { isChosen, ruleOf, shownIn, type PageRules } from "./conflicts.js";

export interface Conflict {
  /** Name of the field; `<section>.<field>` for elements. */
  readonly field: string;
  readonly rule: string;
  readonly shown: Json;
  readonly values: readonly { readonly value: Json; readonly hlc: Hlc; readonly region: string; readonly actor: string }[];
}

/** An element as it is looked at in passing. */
export interface Glance {
  readonly born: Stamp;
  /** True if concurrent values of one of the fields that were asked for meet: which is shown may change with the page's rules. */
  readonly isContested: boolean;
  /** The values that are shown, of the fields that were asked for; null where a field was never written. */
  readonly values: readonly Json[];
}

export class DocumentReader {
  /** `rules`: what the document's page has chosen; asked for only where concurrent values meet. */
  constructor(private readonly state: DocumentState, private readonly rules: () => PageRules | undefined = () => undefined) {}

  get key(): string {
    return this.state.key;
  }

  get id(): string {
    return this.state.id;
  }

  get type(): string {
    return this.state.type;
  }

  get partition(): string {
    return this.state.partition;
  }

  /** Strong entity tag, without quotes: changes whenever the document does, equal wherever the same changes are held. */
  get etag(): string {
    return Buffer.from(this.state.digest).toString("base64url");
  }

  get createdAt(): string {
    return hlcTime(this.born.hlc);
  }

  get updatedAt(): string {
    return hlcTime(this.touched.hlc);
  }

  /** When it was last changed, ms since the epoch. */
  get touchedMs(): number {
    return hlcMs(this.touched.hlc);
  }

  get updatedHlc(): Hlc {
    return this.touched.hlc;
  }

  get updatedRegion(): string {
    return this.touched.region;
  }

  private get born(): Stamp {
    const born = this.state.root?.born;
    if (born == null) throw new Error(`document ${this.key} was not created`);
    return born;
  }

  private get touched(): Stamp {
    return this.state.touched ?? this.born;
  }

  /** The value that is shown; null if the field was never written. */
  value(field: string, section = ""): Json {
    return shownIn(this.state.type, this.state.sections.get(section), field, this.rules)?.value ?? null;
  }

  /** Who wrote the value that is shown. */
  author(field: string, section = ""): Stamp | undefined {
    return shownIn(this.state.type, this.state.sections.get(section), field, this.rules);
  }

  text(field: string, section = ""): string {
    const value = this.value(field, section);
    return typeof value === "string" ? value : "";
  }

  /** Names of the registers of a section, sorted; with `prefix`, those that begin with it. */
  fields(section = "", prefix = ""): string[] {
    return [...(this.state.sections.get(section)?.registers.keys() ?? [])].filter((name) => name.startsWith(prefix)).sort();
  }

  /** Elements of a set, sorted. */
  elements(field: string, section = ""): string[] {
    const held = this.state.sections.get(section);
    return [...(held?.sets.get(field) ?? [])].flatMap(([element, adds]) => (isKept(adds, held?.creations ?? []) ? element : [])).sort();
  }

  /** True if `seen` (a replica's vector) covers one of the adds that hold an element in its set. */
  elementSeen(field: string, element: string, section: string, seen: Vector): boolean {
    const adds = this.state.sections.get(section)?.sets.get(field)?.get(element) ?? [];
    // Decided adds have their place in the document's chain, which a replica's vector does not name: they count as seen.
    return adds.some(({ origin, seq }) => origin === CHAIN || (seen[origin] ?? 0) >= seq);
  }

  count(field: string, section = ""): number {
    return this.state.sections.get(section)?.counters.get(field) ?? 0;
  }

  /** Living elements (an incident's updates), oldest first by (created, id). */
  sections(): { id: string; born: Stamp; touched: Stamp }[] {
    const living: { id: string; born: Stamp; touched: Stamp }[] = [];
    for (const [id, section] of this.state.sections) if (id !== "" && isAlive(section)) living.push({ id, born: section.born, touched: section.touched ?? section.born });
    return living.sort((a, b) => compareText(a.born.hlc, b.born.hlc) || compareText(a.id, b.id));
  }

  /** An element that exists and was not deleted. */
  section(id: string): { id: string; born: Stamp; touched: Stamp } | undefined {
    const section = this.state.sections.get(id);
    return section !== undefined && isAlive(section) ? { id, born: section.born, touched: section.touched ?? section.born } : undefined;
  }

  /** Of the document in memory: what is derived of its elements may be kept by it. */
  get elementsHolder(): object {
    return this.state.sections;
  }

  /** See `Sections.changed`. */
  get changedElements(): Set<string> {
    return this.state.sections.changed;
  }

  get changedElementCount(): number {
    return this.state.sections.changedCount;
  }

  /** An element without keeping it parsed in memory; undefined if it does not exist or was deleted. */
  glance(id: string, fields: readonly string[]): Glance | undefined {
    const section = id === "" ? undefined : this.state.sections.peek(id);
    if (section === undefined || !isAlive(section)) return undefined;
    return {
      born: section.born, isContested: fields.some((field) => (section.registers.get(field)?.length ?? 0) > 1),
      values: fields.map((field) => shownIn(this.state.type, section, field, this.rules)?.value ?? null),
    };
  }

  /** True if an element of this id exists or ever did. */
  sectionTaken(id: string): boolean {
    return this.state.sections.has(id);
  }

  get hasConflicts(): boolean {
    for (const section of this.state.sections.values()) if (contested(section)) return true;
    return false;
  }

  /** True if concurrent values of a field of this section wait to be resolved. */
  sectionHasConflicts(id: string): boolean {
    const section = this.state.sections.get(id);
    return section !== undefined && contested(section);
  }

  /** Where the page's own rules choose between concurrent values, what they choose; "" where they do not. */
  get chosenRules(): string {
    const page = this.rules();
    if (page === undefined) return "";
    let text = "";
    for (const section of this.state.sections.values()) {
      for (const [field, siblings] of section.registers) {
        if (contenders(siblings, section.creations).length > 1 && isChosen(this.state.type, field, page)) text += `${field}=${ruleOf(this.state.type, field, page)};`;
      }
    }
    return text;
  }

  conflicts(): Conflict[] {
    const found: Conflict[] = [];
    for (const [id, section] of this.state.sections) {
      if (section.dead !== null) continue;
      for (const [field, all] of section.registers) {
        const siblings = standing(all, section.creations);
        if (field.startsWith("_") || !disagree(siblings)) continue;
        found.push({
          field: id === "" ? field : `${id}.${field}`,
          rule: ruleOf(this.state.type, field, this.rules()),
          shown: shownIn(this.state.type, section, field, this.rules)?.value ?? null,
          values: siblings.map(({ value, hlc, region, actor }) => ({ value, hlc, region, actor })),
        });
      }
    }
    return found.sort((a, b) => compareText(a.field, b.field));
  }
}

/** Collects the operations of one command on one document; writes only what differs from what is shown. */
export class Draft {
  readonly operations: Operation[] = [];

  /** `document`: undefined where it is about to be created. */
  constructor(private readonly document: DocumentReader | undefined) {}

  create(section = ""): this {
    this.operations.push({ op: "create", section });
    return this;
  }

  delete(section = ""): this {
    this.operations.push({ op: "delete", section });
    return this;
  }

  /** Writes a register, unless it shows just that value without a conflict already. */
  set(field: string, value: Json, section = ""): this {
    const was = this.document?.value(field, section) ?? null;
    const written = this.document?.author(field, section) !== undefined;
    if (written ? canonical(was) === canonical(value) && !this.isContested(field, section) : value === null) return this;
    this.operations.push({ op: "set", section, field, value, was });
    return this;
  }

  /**
   * Makes a set hold just these elements, as the difference to what it holds; where `seen` is given, to what of it the caller
   * has seen: what others added since stays.
   */
  replaceSet(field: string, elements: readonly string[], section = "", seen?: Vector): this {
    const before = new Set(this.document?.elements(field, section) ?? []);
    const after = new Set(elements);
    for (const element of after) if (!before.has(element)) this.operations.push({ op: "add", section, field, element });
    const isSeen = (element: string): boolean => seen === undefined || this.document?.elementSeen(field, element, section, seen) === true;
    for (const element of before) if (!after.has(element) && isSeen(element)) this.operations.push({ op: "remove", section, field, element });
    return this;
  }

  count(field: string, by: number, section = ""): this {
    if (by !== 0) this.operations.push({ op: "count", section, field, by });
    return this;
  }

  private isContested(field: string, section: string): boolean {
    const name = section === "" ? field : `${section}.${field}`;
    return this.document?.hasConflicts === true && this.document.conflicts().some((conflict) => conflict.field === name);
  }
}

/** Fields that begin with an underscore are the store's own bookkeeping: nobody resolves them. */
function contested(section: Section): boolean {
  if (section.dead !== null) return false;
  for (const [field, siblings] of section.registers) if (!field.startsWith("_") && disagree(standing(siblings, section.creations))) return true;
  return false;
}

function isAlive(section: Section): section is Section & { born: Stamp } {
  return section.born !== null && section.dead === null;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** ms since the epoch of a stamp. */
export function stampMs(stamp: Stamp): number {
  return hlcMs(stamp.hlc);
}

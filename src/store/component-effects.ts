/**
 * What incidents and maintenances do to the components that they name.
 *
 * A subject (an incident or a maintenance) keeps the status that it states of each component in `components.<id>`, and the
 * component's name in `_names.<id>`, so that its representation depends on its own document alone. A component keeps, in
 * the set `_claims`, which subjects may be in effect on it. Claims are hints: each is looked up before it counts, so one
 * that a concurrent write left behind does no harm.
 */
import type { Json } from "../core/change.js";
import { keyOf } from "../core/document.js";
import type { Fault, FaultDetail } from "../core/errors.js";
import { CLOSED_STATUSES, COMPONENT_STATUSES } from "./conflicts.js";
import type { PlannedChange, Snapshot } from "./data-plane.js";
import { Draft, type DocumentReader } from "./document-reader.js";
import { assertValue, changeOf, invalidAll, lookUp, pointerPart } from "./resource.js";
import type { ComponentStatusName } from "./resource-schemas.js";

const CLAIMS = "_claims";
const NAMES = "_names.";
const COMPONENTS = "components.";

/** What an update did to a component, as the update keeps it. */
export interface Affected {
  readonly id: string;
  readonly name: string;
  readonly old_status: string;
  readonly new_status: string;
  /** The status came back because the subject ended; nobody stated it. */
  readonly restored?: true;
}

/** Statuses by component id; null takes the component out of the subject. */
export type Statements = Readonly<Record<string, ComponentStatusName | null>>;

/** The worse of two component statuses. */
export function worse(a: ComponentStatusName, b: ComponentStatusName): ComponentStatusName {
  return COMPONENT_STATUSES.indexOf(a) >= COMPONENT_STATUSES.indexOf(b) ? a : b;
}

export function isComponentStatus(value: Json | undefined): value is ComponentStatusName {
  return (COMPONENT_STATUSES as readonly (Json | undefined)[]).includes(value);
}

/** True while what an incident or a maintenance states of its components holds. */
export function inEffect(type: string, status: Json): boolean {
  return type === "incident" ? status !== null && !CLOSED_STATUSES.includes(status) : status === "in_progress" || status === "verifying";
}

/** What a subject states of its components, by id. */
export function statementsOf(subject: DocumentReader): Map<string, ComponentStatusName> {
  const statements = new Map<string, ComponentStatusName>();
  for (const field of subject.fields("", COMPONENTS)) {
    const status = subject.value(field);
    if (isComponentStatus(status)) statements.set(field.slice(COMPONENTS.length), status);
  }
  return statements;
}

/** `components` of a subject as it is returned, by name. */
export function presentComponents(subject: DocumentReader): { id: string; name: string; status: string }[] {
  return [...statementsOf(subject)].map(([id, status]) => ({ id, name: subject.text(NAMES + id), status }));
}

/** The worst that other subjects in effect say of a component; `operational` if none says anything. */
function saidByOthers(snapshot: Snapshot, component: DocumentReader, claim: string): ComponentStatusName {
  let worst: ComponentStatusName = "operational";
  for (const other of component.elements(CLAIMS)) {
    if (other === claim) continue;
    const subject = snapshot.document(`${component.partition}/${other}`);
    if (subject === undefined || !inEffect(other.split("/", 1)[0] ?? "", subject.value("status"))) continue;
    const status = subject.value(COMPONENTS + component.id);
    if (isComponentStatus(status)) worst = worse(worst, status);
  }
  return worst;
}

/** The worst that incidents and maintenances in effect say of a component; `operational` if none says anything. */
export function statedOf(snapshot: Snapshot, component: DocumentReader): ComponentStatusName {
  return saidByOthers(snapshot, component, "");
}

export interface Course {
  readonly type: "incident" | "maintenance";
  readonly page: string;
  readonly id: string;
  /** The subject before; undefined where it is about to be created. */
  readonly subject: DocumentReader | undefined;
  /** Whether it is in effect after the write. */
  readonly inEffect: boolean;
  readonly said: Statements;
}

export interface Effects {
  /** Of the components; none of the subject. */
  readonly changes: readonly PlannedChange[];
  readonly affected: readonly Affected[];
}

/** 422 with one pointer for each component that is named and does not exist. */
function unknownComponents(snapshot: Snapshot, page: string, said: Statements): Fault | undefined {
  const errors: FaultDetail[] = [];
  for (const [id, status] of Object.entries(said)) {
    if (status !== null && lookUp(snapshot, keyOf(page, "component", id)) === undefined) {
      errors.push({ pointer: `#/components/${pointerPart(id)}`, message: "there is no such component" });
    }
  }
  return errors.length > 0 ? invalidAll(errors) : undefined;
}

/**
 * Writes what an update states onto the subject's draft, and works out what becomes of the components: those that are
 * stated take that status; when the subject comes into effect, all that it names take the worst that is said of them; when
 * it ends, or lets go of one, that one returns to what the others say, unless the update says otherwise.
 */
export function componentEffects(snapshot: Snapshot, draft: Draft, course: Course): Effects | Fault {
  const fault = unknownComponents(snapshot, course.page, course.said);
  if (fault !== undefined) return fault;
  const before = course.subject === undefined ? new Map<string, ComponentStatusName>() : statementsOf(course.subject);
  const was = course.subject !== undefined && inEffect(course.type, course.subject.value("status"));
  const ends = was && !course.inEffect;
  const begins = !was && course.inEffect;
  const said = new Map(Object.entries(course.said).filter(([id, status]) => status !== null || before.has(id)));

  for (const [id, status] of said) {
    assertValue(draft, course.subject, COMPONENTS + id, status);
    const name = lookUp(snapshot, keyOf(course.page, "component", id))?.text("name");
    if (name !== undefined) draft.set(NAMES + id, name);
  }
  if (ends && course.type === "incident") {
    for (const [id, status] of before) if (!said.has(id) && status !== "operational") assertValue(draft, course.subject, COMPONENTS + id, "operational");
  }

  const changes: PlannedChange[] = [];
  const affected: Affected[] = [];
  const touched = begins || ends ? new Set([...before.keys(), ...said.keys()]) : new Set(said.keys());
  for (const id of [...touched].sort()) {
    const component = lookUp(snapshot, keyOf(course.page, "component", id));
    if (component === undefined) continue;
    const effect = effectOn(snapshot, component, course, { said: said.get(id), before: before.get(id), was, ends });
    changes.push(...effect.changes);
    if (effect.affected !== undefined) affected.push(effect.affected);
  }
  return { changes, affected };
}

function effectOn(
  snapshot: Snapshot, component: DocumentReader, course: Course,
  given: { said: ComponentStatusName | null | undefined; before: ComponentStatusName | undefined; was: boolean; ends: boolean },
): { changes: readonly PlannedChange[]; affected?: Affected } {
  const claim = `${course.type}/${course.id}`;
  const held = new Set(component.elements(CLAIMS));
  const draft = new Draft(component);
  const shownStatus = component.value("status");
  const old: ComponentStatusName = isComponentStatus(shownStatus) ? shownStatus : "operational";
  const stated = given.said ?? undefined;
  const released = given.said === null || (given.ends && stated === undefined);
  let status: ComponentStatusName | undefined;
  if (released) {
    if (given.was) status = saidByOthers(snapshot, component, claim);
  } else if (stated !== undefined) {
    // What is said of a component outside the course (an incident entered after the fact, a maintenance to come) stays on record only.
    if (course.inEffect || given.ends) status = stated;
  } else if (given.before !== undefined && course.type === "maintenance") {
    status = worse(given.before, saidByOthers(snapshot, component, claim));
  }
  if (status !== undefined) {
    if (released) draft.set("status", status);
    else assertValue(draft, component, "status", status);
  }
  const claims = course.inEffect && given.said !== null;
  if (claims) held.add(claim);
  else held.delete(claim);
  draft.replaceSet(CLAIMS, [...held]);
  const changes = changeOf(component.key, draft);
  const newStatus = status ?? (course.type === "incident" ? stated : undefined);
  if (newStatus === undefined) return { changes };
  const entry: Affected = { id: component.id, name: component.text("name"), old_status: old, new_status: newStatus };
  return { changes, affected: released ? { ...entry, restored: true } : entry };
}

/** True while a maintenance in effect names the component. */
export function underMaintenance(snapshot: Snapshot, component: DocumentReader): boolean {
  return component.elements(CLAIMS).some((claim) => {
    const subject = claim.startsWith("maintenance/") ? snapshot.document(`${component.partition}/${claim}`) : undefined;
    return subject !== undefined && inEffect("maintenance", subject.value("status")) && isComponentStatus(subject.value(COMPONENTS + component.id));
  });
}

/** What the deletion of a subject does to its components. */
export function releaseComponents(snapshot: Snapshot, type: "incident" | "maintenance", subject: DocumentReader): readonly PlannedChange[] | Fault {
  const effects = componentEffects(snapshot, new Draft(subject), { type, page: subject.partition, id: subject.id, subject, inEffect: false, said: {} });
  return "changes" in effects ? effects.changes : effects;
}

/** Tells the subjects in effect on a component its new name. */
export function renameInSubjects(snapshot: Snapshot, component: DocumentReader, name: string): PlannedChange[] {
  return component.elements(CLAIMS).flatMap((claim) => {
    const subject = snapshot.document(`${component.partition}/${claim}`);
    return subject === undefined ? [] : changeOf(subject.key, new Draft(subject).set(NAMES + component.id, name));
  });
}

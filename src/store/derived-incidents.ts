/**
 * Incidents that no person opens: what watches (monitors, alerts of other systems) opens and ends them by itself.
 *
 * Nobody decides alone: every region plans the same from the same documents, and whatever two of them write at the same time,
 * or on two sides of a cut, carries the same ids and the same texts, so that it merges into one. What an operator did is left alone.
 */
import { createHash } from "node:crypto";
import type { Json } from "../core/change.js";
import { keyOf } from "../core/document.js";
import { isFault, type Fault } from "../core/errors.js";
import { releaseComponents, statedOf } from "./component-effects.js";
import { CLOSED_STATUSES } from "./conflicts.js";
import type { Command, PlannedChange, Snapshot } from "./data-plane.js";
import { Draft, type DocumentReader } from "./document-reader.js";
import { assertValue, changeOf } from "./resource.js";
import type { ComponentStatusName } from "./resource-schemas.js";
import { createUpdate } from "./timeline-commands.js";

/** Who wrote what no key asked for. */
export const SYSTEM_ACTOR = "system";

/** What incidents are opened with. */
export interface IncidentRequest {
  readonly name: string;
  readonly status: "investigating";
  readonly body: string;
  readonly components?: Readonly<Record<string, ComponentStatusName>>;
}

/** What a room that watches needs of that of incidents; the assembly hands it in. */
export interface IncidentRoom {
  open(page: string, id: string, updateId: string, request: IncidentRequest): Command;
}

/** An id that every region derives alike: 26 characters of [0-9a-v]. */
export function derivedId(...parts: readonly Json[]): string {
  return BigInt(`0x${createHash("sha256").update(JSON.stringify(parts)).digest("hex")}`).toString(32).padStart(52, "0").slice(0, 26);
}

export function isClosed(incident: DocumentReader): boolean {
  return CLOSED_STATUSES.includes(incident.value("status"));
}

/** True if somebody has set the component's status since what watches did. */
export function isSetByHand(component: DocumentReader): boolean {
  return component.author("status")?.actor !== SYSTEM_ACTOR;
}

export function stateComponent(component: DocumentReader, status: ComponentStatusName): readonly PlannedChange[] {
  const draft = new Draft(component);
  assertValue(draft, component, "status", status);
  return changeOf(component.key, draft);
}

/** Where two regions opened and ended an outage on two sides of a cut, the component keeps both statuses: nobody's work but ours. */
export function mendComponent(snapshot: Snapshot, component: DocumentReader): readonly PlannedChange[] {
  const conflict = component.conflicts().find(({ field }) => field === "status");
  return conflict?.values.every(({ actor }) => actor === SYSTEM_ACTOR) === true ? stateComponent(component, statedOf(snapshot, component)) : [];
}

export interface Resolution {
  readonly page: string;
  /** Id of the incident. */
  readonly id: string;
  /** Id of the update that resolves it. */
  readonly updateId: string;
  readonly body: string;
  /** Ids of the components that follow. Those whose status was set by hand since keep it. */
  readonly components: readonly string[];
}

/** Ends an incident that was opened here or elsewhere, unless somebody has ended it, or opened it again. */
export function resolveIncident(snapshot: Snapshot, { page, id, updateId, body, components }: Resolution): readonly PlannedChange[] | Fault {
  const incident = snapshot.document(keyOf(page, "incident", id));
  if (incident === undefined || isClosed(incident)) return [];
  if (incident.sectionTaken(updateId)) {
    // Resolved once, and open again: by somebody, who is left alone, or by a concurrent opening, which was the same outage.
    if (incident.author("status")?.actor !== SYSTEM_ACTOR) return [];
    const released = releaseComponents(snapshot, "incident", incident);
    if (isFault(released)) return released;
    const draft = new Draft(incident);
    assertValue(draft, incident, "status", "resolved");
    return [...released, ...changeOf(incident.key, draft)];
  }
  const kept: Record<string, ComponentStatusName> = {};
  for (const component of components) {
    const document = snapshot.document(keyOf(page, "component", component));
    if (document !== undefined && isSetByHand(document)) kept[component] = document.text("status") as ComponentStatusName;
  }
  const plan = createUpdate({ type: "incident", page, id }, updateId, { status: "resolved", body, ...(Object.keys(kept).length === 0 ? {} : { components: kept }) }).plan(snapshot);
  return isFault(plan) ? plan : plan.changes;
}

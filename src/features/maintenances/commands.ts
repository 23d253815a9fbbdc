/** What may be done to maintenances: each a command whose plan may run again. */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import { inEffect, releaseComponents } from "../../store/component-effects.js";
import { resolveCommand } from "../../store/conflict-resolution.js";
import type { Command, Snapshot } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, deleteCommand, find, idTaken, invalid, patchCommand, present, requirePage } from "../../store/resource.js";
import { normalTime } from "../../store/timeline.js";
import { applyUpdate, updateOfPatch } from "../../store/timeline-commands.js";
import {
  dueTransition, maintenanceFields, presentMaintenance, writeMaintenance, type MaintenanceCreate, type MaintenancePatch,
} from "./maintenance.js";

const TYPE = "maintenance" as const;

/** Schedules a maintenance, with its first update. */
export function createMaintenance(page: string, id: string, updateId: string, request: MaintenanceCreate): Command {
  const key = keyOf(page, TYPE, id);
  return {
    name: "maintenance.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken(TYPE);
      const draft = new Draft(undefined).create();
      const fault = writeMaintenance(draft, undefined, request);
      if (fault !== undefined) return fault;
      const others = applyUpdate(snapshot, draft, { type: TYPE, page, id }, undefined, updateId, { ...request, status: request.status ?? "scheduled" });
      return others instanceof Fault ? others : { changes: [...others, ...changeOf(key, draft)] };
    },
    answer: (snapshot) => ({
      status: 201, location: `/v1/pages/${page}/maintenances/${id}`, etagOf: key, body: present(snapshot, key, (reader) => presentMaintenance(reader, snapshot)),
    }),
  };
}

/** Changes a maintenance; a status, body or component in the patch appends an update of the given id. */
export function patchMaintenance(page: string, id: string, updateId: string, patch: MaintenancePatch): Command {
  return patchCommand("maintenance.patch", page, TYPE, id, (draft, document, snapshot) => {
    const fault = writeMaintenance(draft, document, patch);
    if (fault !== undefined) return fault;
    const update = updateOfPatch(document, patch);
    return update === undefined ? undefined : applyUpdate(snapshot, draft, { type: TYPE, page, id }, document, updateId, update);
  }, presentMaintenance);
}

export function deleteMaintenance(page: string, id: string): Command {
  return deleteCommand("maintenance.delete", page, TYPE, id, (document, snapshot) => releaseComponents(snapshot, TYPE, document));
}

/** Decides a conflict. Deciding that the maintenance is not in effect restores its components. */
export function resolveMaintenanceConflict(page: string, id: string, field: string, value: Json): Command {
  const isTime = field === "scheduled_for" || field === "scheduled_until";
  const time = isTime && typeof value === "string" ? normalTime(value) : undefined;
  const schemas = time === undefined ? maintenanceFields : { ...maintenanceFields, [field]: maintenanceFields.name };
  return resolveCommand(page, TYPE, id, field, time ?? value, schemas, presentMaintenance, {
    others: (document, snapshot) => {
      if (time !== undefined) {
        const other = document.text(field === "scheduled_for" ? "scheduled_until" : "scheduled_for");
        if (field === "scheduled_for" ? time >= other : time <= other) return invalid("#/value", "a maintenance ends after it begins");
      }
      return field === "status" && !inEffect(TYPE, value) ? releaseComponents(snapshot, TYPE, document) : [];
    },
  });
}

const TRANSITION_BODIES = { in_progress: "The maintenance has begun.", completed: "The maintenance is over." } as const;

/** Makes the transition that is due, if it still is when the plan runs. Every region may run it at once: it takes effect once. */
function transitionCommand(page: string, id: string): Command {
  const key = keyOf(page, TYPE, id);
  return {
    name: "maintenance.transition", subject: key,
    plan(snapshot) {
      const document = find(snapshot, page, TYPE, id);
      if (document instanceof Fault) return document;
      const due = dueTransition(document, snapshot.atMs);
      if (due === undefined) return { changes: [] };
      const draft = new Draft(document);
      const others = applyUpdate(snapshot, draft, { type: TYPE, page, id }, document, due.updateId, { status: due.to, body: TRANSITION_BODIES[due.to] });
      return others instanceof Fault ? others : { changes: [...others, ...changeOf(key, draft)] };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

/** Commands for the maintenances of a page that begin or end by themselves by now. For the scheduler, as `system`. */
export function dueTransitions(snapshot: Snapshot, page: string): Command[] {
  return snapshot.list(page, TYPE).flatMap(({ key, id }) => {
    const document = snapshot.document(key);
    return document === undefined || dueTransition(document, snapshot.atMs) === undefined ? [] : [transitionCommand(page, id)];
  });
}

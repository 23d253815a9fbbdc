/** What is done to the updates of an incident or a maintenance, and through them to its status and components. */
import { keyOf } from "../core/document.js";
import { Fault } from "../core/errors.js";
import { componentEffects, inEffect, statementsOf, type Course, type Statements } from "./component-effects.js";
import type { Command, PlannedChange, Snapshot } from "./data-plane.js";
import { Draft, type DocumentReader } from "./document-reader.js";
import { assertValue, changeOf, find, idTaken, notFound, patchCommand, present } from "./resource.js";
import { appendUpdate, editUpdate, updateResource, type UpdateEdit } from "./timeline.js";

type SubjectType = Course["type"];

/** Path of the subjects of a type, and the status that one begins with. */
const SUBJECTS = {
  incident: { path: "incidents", first: "investigating" },
  maintenance: { path: "maintenances", first: "scheduled" },
} as const;

export interface UpdateRequest {
  readonly status?: string;
  readonly body?: string;
  readonly components?: Statements;
  readonly display_at?: string | null;
  readonly deliver_notifications?: boolean | null;
}

export interface Subject {
  readonly type: SubjectType;
  readonly page: string;
  readonly id: string;
}

/**
 * Appends an update to a draft of its subject, with what it does to status and components.
 * @param document undefined where the subject is about to be created
 * @returns the changes of other documents
 */
export function applyUpdate(
  snapshot: Snapshot, draft: Draft, subject: Subject, document: DocumentReader | undefined, updateId: string, update: UpdateRequest,
): readonly PlannedChange[] | Fault {
  if (document?.sectionTaken(updateId) === true) return idTaken("update");
  const was = document?.text("status") ?? SUBJECTS[subject.type].first;
  const status = update.status ?? was;
  const effects = componentEffects(snapshot, draft, { ...subject, subject: document, inEffect: inEffect(subject.type, status), said: update.components ?? {} });
  if (effects instanceof Fault) return effects;
  if (update.status !== undefined) assertValue(draft, document, "status", update.status);
  const fault = appendUpdate(draft, {
    id: updateId, status, body: update.body ?? "", affected: effects.affected,
    displayAt: update.display_at, deliverNotifications: update.deliver_notifications,
  });
  return fault ?? effects.changes;
}

/** The update that a PATCH of a subject appends; undefined if it appends none. `components: null` takes all out. */
export function updateOfPatch(
  document: DocumentReader, patch: { readonly status?: string; readonly body?: string; readonly components?: Statements | null; readonly deliver_notifications?: boolean | null },
): UpdateRequest | undefined {
  const { status, body, components: given, deliver_notifications: deliver } = patch;
  const components = given === null ? Object.fromEntries([...statementsOf(document).keys()].map((id) => [id, null])) : given;
  if (status === undefined && body === undefined && Object.keys(components ?? {}).length === 0) return undefined;
  return {
    ...(status === undefined ? {} : { status }), ...(body === undefined ? {} : { body }), ...(components === undefined ? {} : { components }),
    ...(deliver === undefined ? {} : { deliver_notifications: deliver }),
  };
}

/** Posts an update; the answer is the update. */
export function createUpdate(subject: Subject, updateId: string, request: UpdateRequest): Command {
  const { type, page, id } = subject;
  const key = keyOf(page, type, id);
  return {
    name: `${type}.update`, subject: key,
    plan(snapshot) {
      const document = find(snapshot, page, type, id);
      if (document instanceof Fault) return document;
      const draft = new Draft(document);
      const others = applyUpdate(snapshot, draft, subject, document, updateId, request);
      return others instanceof Fault ? others : { changes: [...others, ...changeOf(key, draft)] };
    },
    answer: (snapshot) => ({
      status: 201, location: `/v1/pages/${page}/${SUBJECTS[type].path}/${id}/updates/${updateId}`, etagOf: key,
      body: present(snapshot, key, (reader) => updateResource(reader, updateId) ?? null),
    }),
  };
}

/** Corrects what an update says; status and components of its subject stay. */
export function patchUpdate({ type, page, id }: Subject, updateId: string, edit: UpdateEdit): Command {
  return patchCommand(`${type}.update.patch`, page, type, id, (draft, document, snapshot) => {
    if (document.section(updateId) === undefined) return notFound("update");
    return editUpdate(draft, document, snapshot, updateId, edit);
  }, (reader) => updateResource(reader, updateId) ?? {});
}

export function deleteUpdate({ type, page, id }: Subject, updateId: string): Command {
  const command = patchCommand(`${type}.update.delete`, page, type, id, (draft, document) => {
    if (document.section(updateId) === undefined) return notFound("update");
    draft.delete(updateId);
    return undefined;
  }, () => ({}));
  return { ...command, answer: () => ({ status: 204, body: null }) };
}

/** What may be done to components and component groups. */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { renameInSubjects } from "../../store/component-effects.js";
import { resolveCommand } from "../../store/conflict-resolution.js";
import type { Command } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, deleteCommand, idTaken, patchCommand, present, requirePage } from "../../store/resource.js";
import { componentFields, presentComponent, unknownGroup, writeComponent, type ComponentCreate, type ComponentPatch } from "./component.js";
import { groupFields, presentGroup, writeGroup, type GroupCreate, type GroupPatch } from "./component-group.js";

const COMPONENT = "component";
const GROUP = "component-group";

export function createComponent(page: string, id: string, request: ComponentCreate): Command {
  const key = keyOf(page, COMPONENT, id);
  return {
    name: "component.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken(COMPONENT);
      const draft = new Draft(undefined).create();
      const fault = writeComponent(draft, undefined, snapshot, page, { ...request, position: request.position ?? null, status: request.status ?? null });
      return fault ?? { changes: changeOf(key, draft) };
    },
    answer: (snapshot) => ({
      status: 201, location: `/v1/pages/${page}/components/${id}`, etagOf: key, body: present(snapshot, key, (reader) => presentComponent(reader, snapshot)),
    }),
  };
}

/** Changes a component. Incidents and maintenances in effect learn a new name. */
export function patchComponent(page: string, id: string, patch: ComponentPatch): Command {
  return patchCommand("component.patch", page, COMPONENT, id, (draft, document, snapshot) => {
    const fault = writeComponent(draft, document, snapshot, page, patch);
    if (fault !== undefined) return fault;
    return patch.name === undefined || patch.name === document.text("name") ? undefined : renameInSubjects(snapshot, document, patch.name);
  }, presentComponent);
}

export function deleteComponent(page: string, id: string): Command {
  return deleteCommand("component.delete", page, COMPONENT, id);
}

export function resolveComponentConflict(page: string, id: string, field: string, value: Json): Command {
  return resolveCommand(page, COMPONENT, id, field, value, componentFields, presentComponent, {
    check: (register, chosen, snapshot) => (register === "group_id" && typeof chosen === "string" ? unknownGroup(snapshot, page, chosen) : undefined),
    others: (document, snapshot) => (field === "name" && typeof value === "string" ? renameInSubjects(snapshot, document, value) : []),
  });
}

export function createGroup(page: string, id: string, request: GroupCreate): Command {
  const key = keyOf(page, GROUP, id);
  return {
    name: "component-group.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken("component group");
      const draft = new Draft(undefined).create();
      writeGroup(draft, snapshot, page, { ...request, position: request.position ?? null });
      return { changes: changeOf(key, draft) };
    },
    answer: (snapshot) => ({ status: 201, location: `/v1/pages/${page}/component-groups/${id}`, etagOf: key, body: present(snapshot, key, presentGroup) }),
  };
}

export function patchGroup(page: string, id: string, patch: GroupPatch): Command {
  return patchCommand("component-group.patch", page, GROUP, id, (draft, _document, snapshot) => {
    writeGroup(draft, snapshot, page, patch);
    return undefined;
  }, presentGroup);
}

/** Deletes a group; its components stay, without a group, so that their ETags tell. */
export function deleteGroup(page: string, id: string): Command {
  return deleteCommand("component-group.delete", page, GROUP, id, (_document, snapshot) =>
    snapshot.list(page, COMPONENT).flatMap((header) => {
      const member = snapshot.document(header.key);
      return member?.value("group_id") === id ? changeOf(header.key, new Draft(member).set("group_id", null)) : [];
    }));
}

export function resolveGroupConflict(page: string, id: string, field: string, value: Json): Command {
  return resolveCommand(page, GROUP, id, field, value, groupFields, presentGroup);
}

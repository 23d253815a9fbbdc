/** What may be done to incidents: each a command whose plan may run again. */
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import type { Json } from "../../core/change.js";
import { releaseComponents } from "../../store/component-effects.js";
import { resolveCommand } from "../../store/conflict-resolution.js";
import type { Command } from "../../store/data-plane.js";
import { Draft, type DocumentReader } from "../../store/document-reader.js";
import { changeOf, deleteCommand, idTaken, notFound, patchCommand, present, requirePage } from "../../store/resource.js";
import { applyUpdate, updateOfPatch } from "../../store/timeline-commands.js";
import {
  incidentFields, isClosed, presentIncident, writeIncident, type IncidentCreate, type IncidentPatch,
} from "./incident.js";
import { hasPostmortem, presentPostmortem, publishPostmortem, removePostmortem, writePostmortem } from "./postmortem.js";

const TYPE = "incident" as const;

/** Creates an incident and its first update. */
export function createIncident(page: string, id: string, updateId: string, request: IncidentCreate): Command {
  const key = keyOf(page, TYPE, id);
  return {
    name: "incident.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken(TYPE);
      const draft = new Draft(undefined).create();
      writeIncident(draft, request, snapshot.seen);
      const others = applyUpdate(snapshot, draft, { type: TYPE, page, id }, undefined, updateId, { ...request, status: request.status ?? "investigating" });
      return others instanceof Fault ? others : { changes: [...others, ...changeOf(key, draft)] };
    },
    answer: (snapshot) => ({
      status: 201, location: `/v1/pages/${page}/incidents/${id}`, etagOf: key, body: present(snapshot, key, (reader) => presentIncident(reader, snapshot)),
    }),
  };
}

/** Changes an incident; a status, body or component in the patch appends an update of the given id. */
export function patchIncident(page: string, id: string, updateId: string, patch: IncidentPatch): Command {
  return patchCommand("incident.patch", page, TYPE, id, (draft, document, snapshot) => {
    writeIncident(draft, patch, snapshot.seen);
    const update = updateOfPatch(document, patch);
    return update === undefined ? undefined : applyUpdate(snapshot, draft, { type: TYPE, page, id }, document, updateId, update);
  }, presentIncident);
}

export function deleteIncident(page: string, id: string): Command {
  return deleteCommand("incident.delete", page, TYPE, id, (document, snapshot) => releaseComponents(snapshot, TYPE, document));
}

/** Writes the postmortem, as a draft until it is published. */
export function putPostmortem(page: string, id: string, body: string): Command {
  return postmortemCommand("incident.postmortem.put", page, id, (draft) => {
    writePostmortem(draft, body);
    return undefined;
  });
}

/** Publishes the postmortem: a resolved incident takes the status `postmortem`. */
export function publishIncidentPostmortem(page: string, id: string): Command {
  return postmortemCommand("incident.postmortem.publish", page, id, (draft, document) => {
    if (!hasPostmortem(document)) return notFound("postmortem");
    publishPostmortem(draft);
    if (document.value("status") === "resolved") draft.set("status", "postmortem");
    return undefined;
  });
}

function postmortemCommand(name: string, page: string, id: string, write: (draft: Draft, document: DocumentReader) => Fault | undefined): Command {
  return patchCommand(name, page, TYPE, id, write, (reader) => presentPostmortem(reader) ?? {});
}

/** Removes the postmortem; an incident of that status is `resolved` again. */
export function deletePostmortem(page: string, id: string): Command {
  const command = patchCommand("incident.postmortem.delete", page, TYPE, id, (draft, document) => {
    if (!hasPostmortem(document)) return notFound("postmortem");
    removePostmortem(draft);
    if (document.value("status") === "postmortem") draft.set("status", "resolved");
    return undefined;
  }, () => ({}));
  return { ...command, answer: () => ({ status: 204, body: null }) };
}

/** Decides a conflict. Deciding that the incident is over restores its components. */
export function resolveIncidentConflict(page: string, id: string, field: string, value: Json): Command {
  return resolveCommand(page, TYPE, id, field, value, incidentFields, presentIncident, {
    others: (document, snapshot) => (field === "status" && isClosed(value) ? releaseComponents(snapshot, TYPE, document) : []),
  });
}

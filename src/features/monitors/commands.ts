/** What may be done to monitors: each a command whose plan may run again. */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { resolveCommand } from "../../store/conflict-resolution.js";
import type { Command, Snapshot } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, deleteCommand, idTaken, lookUp, patchCommand, present, requirePage } from "../../store/resource.js";
import {
  dependencyFault, HEARTBEAT_SECRET, heartbeatUrl, MONITOR, monitorFields, presentMonitor, writeMonitor, type MonitorCreate, type MonitorPatch,
} from "./monitor.js";
import { optionFaults, targetFault, type MonitorType, type Options } from "./options.js";
import { watchKey } from "./opinion.js";

/** Adds to the first answer what is kept nowhere: the address of a heartbeat. */
function showingSecret(command: Command): Command {
  return {
    ...command,
    answer: (snapshot) => {
      const answer = command.answer(snapshot);
      const url = present(snapshot, command.subject, heartbeatUrl);
      return url === null ? answer : { ...answer, secret: { heartbeat_url: url } };
    },
  };
}

/** `secret`: what the address of a heartbeat is to hold. `regions`: those that there are. */
export function createMonitor(page: string, id: string, secret: string, request: MonitorCreate, regions: readonly string[]): Command {
  const key = keyOf(page, MONITOR, id);
  return showingSecret({
    name: "monitor.create", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      if (snapshot.taken(key)) return idTaken(MONITOR);
      const draft = new Draft(undefined).create();
      const fault = writeMonitor(draft, undefined, snapshot, page, request, regions);
      if (fault !== undefined) return fault;
      if (request.type === "heartbeat") draft.set(HEARTBEAT_SECRET, secret);
      return { changes: changeOf(key, draft) };
    },
    answer: (snapshot) => ({ status: 201, location: `/v1/pages/${page}/monitors/${id}`, etagOf: key, body: present(snapshot, key, (reader) => presentMonitor(reader, snapshot)) }),
  });
}

export function patchMonitor(page: string, id: string, secret: string, patch: MonitorPatch, regions: readonly string[]): Command {
  return showingSecret(patchCommand("monitor.patch", page, MONITOR, id, (draft, document, snapshot) => {
    const fault = writeMonitor(draft, document, snapshot, page, patch, regions);
    if (fault !== undefined) return fault;
    if (patch.type === "heartbeat" && document.value(HEARTBEAT_SECRET) === null) draft.set(HEARTBEAT_SECRET, secret);
    return undefined;
  }, presentMonitor));
}

/** Deletes a monitor and what the regions think of it. An incident that it opened stays as it is. */
export function deleteMonitor(page: string, id: string): Command {
  return deleteCommand("monitor.delete", page, MONITOR, id, (_document, snapshot) => {
    const watch = snapshot.document(watchKey(page, id));
    return watch === undefined ? [] : changeOf(watch.key, new Draft(watch).delete());
  });
}

export function resolveMonitorConflict(page: string, id: string, field: string, value: Json): Command {
  return resolveCommand(page, MONITOR, id, field, value, monitorFields, presentMonitor, {
    check: (register, chosen, snapshot) => refusalOf(page, id, register, chosen, snapshot),
  });
}

/** Why a value cannot stand in a monitor as it is now. */
function refusalOf(page: string, id: string, register: string, value: Json, snapshot: Snapshot): string | undefined {
  const document = lookUp(snapshot, keyOf(page, MONITOR, id));
  if (document === undefined) return undefined;
  const type = (register === "type" ? value : document.value("type")) as MonitorType;
  if (register === "target" || register === "type") {
    const message = targetFault(type, (register === "target" ? value : document.value("target")) as string | null);
    if (message !== undefined) return register === "type" ? `its target ${message}` : message;
  }
  if (register === "options" || register === "type") {
    const fault = optionFaults(type, ((register === "options" ? value : document.value("options")) ?? {}) as Options)[0];
    if (fault !== undefined) return `${fault.pointer} ${fault.message}`;
  }
  if (register === "component_id" && typeof value === "string" && lookUp(snapshot, keyOf(page, "component", value)) === undefined) return "there is no such component";
  return register === "depends_on" && typeof value === "string" ? dependencyFault(snapshot, page, id, value) : undefined;
}

/** What every resource of the management API has in common: its key, its stamps, and the faults of naming it wrongly. */
import { isDocumentKey, type Json } from "../core/change.js";
import { keyOf } from "../core/document.js";
import { Fault, type FaultDetail } from "../core/errors.js";
import type { Command, PlannedChange, Snapshot } from "./data-plane.js";
import { Draft, type Conflict, type DocumentReader } from "./document-reader.js";

/** The partition of what belongs to no page. */
export const SYSTEM = "~";

/**
 * Registers and sets whose names begin with this keep the books of the service (which incidents name a component). They
 * are no part of a resource, and are left out of histories and conflicts.
 */
export const BOOKKEEPING = "_";

export type Resource = { readonly [key: string]: Json };

export function pageKey(page: string): string {
  return keyOf(SYSTEM, "page", page);
}

export function notFound(what: string): Fault {
  return new Fault("not-found", `There is no such ${what}.`);
}

/** 422 for one member of the body. `pointer` as in RFC 9457: `#/name`. */
export function invalid(pointer: string, message: string): Fault {
  return invalidAll([{ pointer, message }]);
}

export function invalidAll(errors: readonly FaultDetail[]): Fault {
  return new Fault("invalid", "The request is well-formed, but invalid.", { errors });
}

/** 409 for an id that exists or ever did. */
export function idTaken(type: string): Fault {
  return new Fault("conflict", `This id of a ${type} is taken; ids are never used again.`);
}

/** `name` as a part of a JSON pointer in a URI fragment. Source: RFC 6901. */
export function pointerPart(name: string): string {
  return encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"));
}

/** The living document of a key that may come from a path; undefined where the text cannot name one. */
export function lookUp(snapshot: Snapshot, key: string): DocumentReader | undefined {
  return isDocumentKey(key) ? snapshot.document(key) : undefined;
}

/** 404 if the page does not exist. */
export function requirePage(snapshot: Snapshot, page: string): Fault | undefined {
  return lookUp(snapshot, pageKey(page)) === undefined ? notFound("page") : undefined;
}

/** A living document of a page; 404 if either is missing. `~` as partition asks for no page. */
export function find(snapshot: Snapshot, partition: string, type: string, id: string): DocumentReader | Fault {
  const missing = partition === SYSTEM ? undefined : requirePage(snapshot, partition);
  return missing ?? lookUp(snapshot, keyOf(partition, type, id)) ?? notFound(type.replace("-", " "));
}

/** As `find`, where the answer of a command is made: the plan has found the document just before. */
export function present<T>(snapshot: Snapshot, key: string, render: (reader: DocumentReader) => T): T {
  const reader = snapshot.document(key);
  if (reader === undefined) throw new Error(`document ${key} is gone while the answer is made`);
  return render(reader);
}

/** The server's own members of every resource. */
export function stamps(reader: DocumentReader): Resource {
  return {
    created_at: reader.createdAt, updated_at: reader.updatedAt, updated_hlc: reader.updatedHlc,
    updated_region: reader.updatedRegion, has_conflicts: reader.hasConflicts && visibleConflicts(reader).length > 0,
  };
}

/** The conflicts of a resource, without those of the service's own bookkeeping. */
export function visibleConflicts(document: DocumentReader): Conflict[] {
  return document.conflicts().filter(({ field }) => !field.startsWith(BOOKKEEPING));
}

/** A change of a document, or nothing where the draft came out empty. */
export function changeOf(document: string, draft: Draft): PlannedChange[] {
  return draft.operations.length === 0 ? [] : [{ document, operations: draft.operations }];
}

/** Writes a register even where it shows that value already: the caller said so, and it counts among concurrent values. */
export function assertValue(draft: Draft, document: DocumentReader | undefined, field: string, value: Json, section = ""): void {
  draft.operations.push({ op: "set", section, field, value, was: document?.value(field, section) ?? null });
}

/**
 * A command on one existing document that needs no other.
 * `draft`: writes onto the draft, or says why not.
 */
export function patchCommand(
  name: string, partition: string, type: string, id: string,
  draft: (draft: Draft, document: DocumentReader, snapshot: Snapshot) => Fault | readonly PlannedChange[] | undefined,
  render: (reader: DocumentReader, snapshot: Snapshot) => Resource,
): Command {
  const key = keyOf(partition, type, id);
  return {
    name, subject: key,
    plan(snapshot) {
      const document = find(snapshot, partition, type, id);
      if (document instanceof Fault) return document;
      const own = new Draft(document);
      const others = draft(own, document, snapshot);
      if (others instanceof Fault) return others;
      return { changes: [...(others ?? []), ...changeOf(key, own)] };
    },
    answer: (snapshot) => ({ status: 200, body: present(snapshot, key, (reader) => render(reader, snapshot)), etagOf: key }),
  };
}

/** Deletes a document for good. `others`: what else is written with it. */
export function deleteCommand(
  name: string, partition: string, type: string, id: string,
  others: (document: DocumentReader, snapshot: Snapshot) => readonly PlannedChange[] | Fault = () => [],
): Command {
  const key = keyOf(partition, type, id);
  return {
    name, subject: key,
    plan(snapshot) {
      const document = find(snapshot, partition, type, id);
      if (document instanceof Fault) return document;
      const changes = others(document, snapshot);
      return changes instanceof Fault ? changes : { changes: [...changes, ...changeOf(key, new Draft(document).delete())] };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

/** What may be done to pages. */
import type { Json } from "../../core/change.js";
import { resolveCommand } from "../../store/conflict-resolution.js";
import type { Command } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, deleteCommand, idTaken, pageKey, patchCommand, present, SYSTEM } from "../../store/resource.js";
import { faultOfField, pageFields, presentPage, writePage, type PageCreate, type PagePatch } from "./page.js";

const TYPE = "page";

/** Creates a page. 409 if its id is taken, or ever was. */
export function createPage(id: string, request: PageCreate): Command {
  const key = pageKey(id);
  const { id: _id, ...fields } = request;
  return {
    name: "page.create", subject: key,
    plan(snapshot) {
      if (snapshot.taken(key)) return idTaken(TYPE);
      const draft = new Draft(undefined).create();
      const fault = writePage(draft, undefined, { ...fields, name: fields.name ?? id });
      return fault ?? { changes: changeOf(key, draft) };
    },
    answer: (snapshot) => ({ status: 201, location: `/v1/pages/${id}`, etagOf: key, body: present(snapshot, key, presentPage) }),
  };
}

export const DEFAULT_PAGE = "default";

/**
 * The page that exists from the first start. Every region may run it: the writes are equal and merge into one page. Once the
 * page exists, or was deleted, it writes nothing.
 */
export function defaultPage(): Command {
  const key = pageKey(DEFAULT_PAGE);
  return {
    name: "page.default", subject: key,
    plan: (snapshot) => ({ changes: snapshot.taken(key) ? [] : changeOf(key, new Draft(undefined).create().set("name", "Status")) }),
    answer: () => ({ status: 204, body: null }),
  };
}

export function patchPage(id: string, patch: PagePatch): Command {
  return patchCommand("page.patch", SYSTEM, TYPE, id, (draft, document) => writePage(draft, document, patch), presentPage);
}

/** Deletes a page for good; everything under it is out of reach from then on. */
export function deletePage(id: string): Command {
  return deleteCommand("page.delete", SYSTEM, TYPE, id);
}

export function resolvePageConflict(id: string, field: string, value: Json): Command {
  return resolveCommand(SYSTEM, TYPE, id, field, value, pageFields, presentPage, { check: faultOfField });
}

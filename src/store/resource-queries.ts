/** The reads that every resource offers: one, a list, and the conflicts of one. */
import { keyOf } from "../core/document.js";
import { Fault } from "../core/errors.js";
import { isDocumentKey } from "../core/change.js";
import type { Query, Snapshot } from "./data-plane.js";
import type { DocumentReader } from "./document-reader.js";
import { entityTag } from "./entity-tag.js";
import { conflictJson } from "./conflict-resolution.js";
import { positionAt } from "./list-positions.js";
import { find, notFound, pageKey, requirePage, SYSTEM, visibleConflicts, type Resource } from "./resource.js";
import { rendered, renderedList, type Rendered, type RouteContext, type RouteReply, type RouteRequest } from "./route-context.js";
import { newestFirst, updateResource } from "./timeline.js";

export type Presenter = (reader: DocumentReader, snapshot: Snapshot) => Resource;

function keysOf(partition: string, type: string, id: string): string[] {
  const own = keyOf(partition, type, id);
  return partition === SYSTEM ? [own] : [pageKey(partition), own];
}

/** One resource, with the ETag of its document; kept until a document that it was made of changes. */
export function readOne(partition: string, type: string, id: string, present: Presenter): Query<Rendered> {
  return {
    documents: keysOf(partition, type, id),
    cacheKey: `resource:${keyOf(partition, type, id)}`,
    render(snapshot) {
      const document = find(snapshot, partition, type, id);
      return document instanceof Fault ? document : rendered(present(document, snapshot), entityTag(document, snapshot));
    },
  };
}

/** A part of a resource, with the ETag of the document that holds it. */
export function readPart(partition: string, type: string, id: string, part: (reader: DocumentReader) => Resource | Fault): Query<Rendered> {
  return {
    documents: keysOf(partition, type, id),
    render(snapshot) {
      const document = find(snapshot, partition, type, id);
      if (document instanceof Fault) return document;
      const resource = part(document);
      return resource instanceof Fault ? resource : rendered(resource, entityTag(document, snapshot));
    },
  };
}

export type ListOrder = "by position" | "newest first";

/** A page's documents of one type, in list order. `visible`: leaves out what the caller may not see. */
export function readList(
  context: RouteContext, request: RouteRequest, partition: string, type: string, order: ListOrder, present: Presenter,
  visible?: (reader: DocumentReader) => boolean,
): Query<Rendered> {
  return {
    documents: partition === SYSTEM ? [] : [pageKey(partition)],
    lists: [{ partition, type }],
    render(snapshot) {
      const missing = partition === SYSTEM ? undefined : requirePage(snapshot, partition);
      if (missing !== undefined) return missing;
      const all = snapshot.list(partition, type);
      const headers = visible === undefined ? all : all.filter((header) => {
        const document = snapshot.document(header.key);
        return document !== undefined && visible(document);
      });
      const newestFirst = order === "newest first";
      const page = context.paginate(
        request, `${partition}/${type}`, headers, (header) => [newestFirst ? header.createdMs : header.position, header.id], newestFirst ? "descending" : "ascending",
        newestFirst || snapshot.held === undefined ? undefined : { held: snapshot.held, positionThen: (header, vector) => [positionAt(header, vector), header.id] },
      );
      if (page instanceof Fault) return page;
      const data: Resource[] = [];
      for (const header of page.items) {
        const document = snapshot.document(header.key);
        if (document !== undefined) data.push(present(document, snapshot));
      }
      return renderedList(data, page.nextCursor);
    },
  };
}

/** The conflicts of one document, by field. */
export function readConflicts(context: RouteContext, request: RouteRequest, partition: string, type: string, id: string): Query<Rendered> {
  return {
    documents: keysOf(partition, type, id),
    render(snapshot) {
      const document = find(snapshot, partition, type, id);
      if (document instanceof Fault) return document;
      const page = context.paginate(request, `${document.key}/conflicts`, visibleConflicts(document), (conflict) => [conflict.field, ""], "ascending");
      return page instanceof Fault ? page : renderedList(page.items.map(conflictJson), page.nextCursor);
    },
  };
}

/** The updates of an incident or a maintenance, newest first. */
export function readUpdates(context: RouteContext, request: RouteRequest, partition: string, type: string, id: string): Query<Rendered> {
  return {
    documents: keysOf(partition, type, id),
    render(snapshot) {
      const document = find(snapshot, partition, type, id);
      if (document instanceof Fault) return document;
      const page = context.paginate(request, `${document.key}/updates`, newestFirst(document), (update) => [update.born.hlc, update.id], "descending");
      return page instanceof Fault ? page : renderedList(page.items.flatMap((update) => updateResource(document, update.id) ?? []), page.nextCursor);
    },
  };
}

/** A hook that answers 404 to paths whose `page` or `id` no document can have, before anything is asked for by such a key. */
export function refuseUnnameable(context: RouteContext): (request: RouteRequest, reply: RouteReply, done: () => void) => void {
  return (request, reply, done) => {
    const { page, id } = request.params as { page?: string; id?: string };
    if (page !== undefined && !isDocumentKey(pageKey(page))) void context.fail(request, reply, notFound("page"));
    else if (id !== undefined && !isDocumentKey(keyOf(SYSTEM, "key", id))) void context.fail(request, reply, notFound("resource"));
    else done();
  };
}

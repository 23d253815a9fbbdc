/** All conflicts of a page: its own, and those of what belongs to it. */
import { Fault } from "../../core/errors.js";
import type { Query, Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";
import { conflictJson } from "../../store/conflict-resolution.js";
import { find, pageKey, SYSTEM, visibleConflicts, type Resource } from "../../store/resource.js";
import { renderedList, type Rendered, type RouteContext, type RouteRequest } from "../../store/route-context.js";

const TYPES = ["component", "component-group", "incident", "maintenance", "monitor"] as const;

interface PageConflict {
  /** `<type>/<id>` */
  readonly owner: string;
  readonly field: string;
  readonly resource: Resource;
}

function conflictsOf(type: string, document: DocumentReader): PageConflict[] {
  if (!document.hasConflicts) return [];
  return visibleConflicts(document).map((conflict) => ({
    owner: `${type}/${document.id}`, field: conflict.field, resource: { type, id: document.id, ...conflictJson(conflict) },
  }));
}

function allConflicts(snapshot: Snapshot, page: DocumentReader): PageConflict[] {
  const found = conflictsOf("page", page);
  for (const type of TYPES) {
    for (const header of snapshot.list(page.id, type)) {
      const document = snapshot.document(header.key);
      if (document !== undefined) found.push(...conflictsOf(type, document));
    }
  }
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return found.sort((a, b) => order(a.owner, b.owner) || order(a.field, b.field));
}

/** Sorted by (type, id, field). */
export function readPageConflicts(context: RouteContext, request: RouteRequest, page: string): Query<Rendered> {
  return {
    documents: [pageKey(page)],
    lists: TYPES.map((type) => ({ partition: page, type })),
    render(snapshot) {
      const document = find(snapshot, SYSTEM, "page", page);
      if (document instanceof Fault) return document;
      const part = context.paginate(request, `${page}/conflicts`, allConflicts(snapshot, document), (conflict) => [conflict.owner, conflict.field], "ascending");
      return part instanceof Fault ? part : renderedList(part.items.map(({ resource }) => resource), part.nextCursor);
    },
  };
}

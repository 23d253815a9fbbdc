/**
 * Lists by pages. A cursor says after which position to go on, and not how many items to skip: it means the same in every
 * region and after a restart, and what was there before page one comes once, whatever comes and goes meanwhile.
 */
import { Fault } from "../core/errors.js";
import type { ListPage, ListPosition } from "../store/route-context.js";
import { apiLimits } from "./api-limits.js";

const badCursor = () => new Fault("malformed", "The cursor is not one that this list gave.");

/** `items` in list order by `positionOf`. `list` names the list, so that another list's cursor is refused. */
export function paginate<T>(
  query: { readonly limit?: number; readonly cursor?: string },
  list: string,
  items: readonly T[],
  positionOf: (item: T) => ListPosition,
  order: "ascending" | "descending",
): ListPage<T> | Fault {
  const limit = query.limit ?? apiLimits.listLimit;
  let start = 0;
  if (query.cursor !== undefined) {
    const after = decodeCursor(query.cursor, list);
    if (after === undefined) return badCursor();
    start = firstAfter(items, positionOf, after, order === "ascending" ? 1 : -1);
  }
  const page = items.slice(start, start + limit);
  const last = page.at(-1);
  const isMore = start + page.length < items.length;
  return { items: page, nextCursor: isMore && last !== undefined ? encodeCursor(list, positionOf(last)) : null };
}

function firstAfter<T>(items: readonly T[], positionOf: (item: T) => ListPosition, after: ListPosition, direction: 1 | -1): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && comparePositions(positionOf(item), after) * direction > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

function comparePositions(a: ListPosition, b: ListPosition): number {
  if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1;
  return a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0;
}

export function encodeCursor(list: string, position: ListPosition): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString("base64url");
}

function decodeCursor(cursor: string, list: string): ListPosition | undefined {
  if (cursor.length > apiLimits.cursorLengthMax || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [name, order, id] = value as readonly unknown[];
  if (name !== list || typeof id !== "string" || !(typeof order === "string" || (typeof order === "number" && Number.isFinite(order)))) return undefined;
  return [order, id];
}

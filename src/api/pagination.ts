/**
 * Lists by pages. A cursor says after which position to go on, and not how many items to skip: it means the same in every
 * region and after a restart, and what was there before page one comes once, whatever comes, goes and moves meanwhile: it also says
 * what the first page's replica held, and items go on by the places that they had then.
 */
import { Fault } from "../core/errors.js";
import type { Vector } from "../core/vector.js";
import type { ListPage, ListPosition, MovingList } from "../store/route-context.js";
import { decodeToken, encodeToken } from "../store/session-token.js";
import { apiLimits } from "./api-limits.js";

const badCursor = () => new Fault("malformed", "The cursor is not one that this list gave.");

/** `items` in list order by `positionOf`. `list` names the list, so that another list's cursor is refused. */
export function paginate<T>(
  query: { readonly limit?: number; readonly cursor?: string },
  list: string,
  items: readonly T[],
  positionOf: (item: T) => ListPosition,
  order: "ascending" | "descending",
  moving?: MovingList<T>,
): ListPage<T> | Fault {
  const limit = query.limit ?? apiLimits.listLimit;
  const direction = order === "ascending" ? 1 : -1;
  let start = 0;
  let inOrder = items;
  let placeOf = positionOf;
  // All pages go by the places that the first of them saw.
  let began = moving?.held;
  if (query.cursor !== undefined) {
    const cursor = decodeCursor(query.cursor, list);
    if (cursor === undefined) return badCursor();
    const { after, vector } = cursor;
    began = vector;
    if (moving !== undefined && vector !== undefined) {
      placeOf = (item) => moving.positionThen(item, vector);
      // Sorting is left out where nothing has moved, which is nearly always.
      if (items.some((item) => comparePositions(placeOf(item), positionOf(item)) !== 0)) inOrder = [...items].sort((a, b) => comparePositions(placeOf(a), placeOf(b)) * direction);
    }
    start = firstAfter(inOrder, placeOf, after, direction);
  }
  const page = inOrder.slice(start, start + limit);
  const last = page.at(-1);
  const isMore = start + page.length < inOrder.length;
  return { items: page, nextCursor: isMore && last !== undefined ? encodeCursor(list, placeOf(last), began) : null };
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

/** `began`: what the replica held that gave the first page. */
export function encodeCursor(list: string, position: ListPosition, began?: Vector): string {
  const place = [list, ...position];
  const text = began === undefined ? "" : Buffer.from(JSON.stringify([...place, encodeToken(began, NONE)])).toString("base64url");
  // With very many incarnations it would not fit: then later pages go by the places of their own time.
  return text !== "" && text.length <= apiLimits.cursorLengthMax ? text : Buffer.from(JSON.stringify(place)).toString("base64url");
}

const NONE: ReadonlySet<string> = new Set();

function decodeCursor(cursor: string, list: string): { readonly after: ListPosition; readonly vector: Vector | undefined } | undefined {
  if (cursor.length > apiLimits.cursorLengthMax || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length < 3 || value.length > 4) return undefined;
  const [name, order, id, token] = value as readonly unknown[];
  if (name !== list || typeof id !== "string" || !(typeof order === "string" || (typeof order === "number" && Number.isFinite(order)))) return undefined;
  if (token === undefined) return { after: [order, id], vector: undefined };
  const vector = typeof token === "string" ? decodeToken(token, apiLimits.cursorLengthMax) : undefined;
  return vector === undefined ? undefined : { after: [order, id], vector };
}

/** Lists by pages. */
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import t from "tap";
import { inHlcOrder } from "../../src/api/history-order.js";
import { paginate } from "../../src/api/pagination.js";
import { isFault } from "../../src/core/errors.js";
import type { HistoryEntry } from "../../src/store/data-plane.js";
import type { ListPosition } from "../../src/store/route-context.js";
import { ROOT_KEY, testServer } from "./test-server.js";

const auth = { authorization: `Bearer ${ROOT_KEY}` };
const notes = "/v1/pages/default/notes";

t.test("a list walked by its cursors gives everything once, in order, while items come and go", async (t) => {
  const { app } = await testServer(t);
  const urls: string[] = [];
  for (let position = 0; position < 30; position++) {
    const created = await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: `n${position}`, position } });
    urls.push(String(created.headers["location"]));
  }
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const answer = await app.inject({ url: `${notes}?limit=7${cursor === null ? "" : `&cursor=${cursor}`}`, headers: auth });
    t.equal(answer.statusCode, 200);
    const body: { data: { text: string }[]; next_cursor: string | null } = answer.json();
    seen.push(...body.data.map(({ text }) => text));
    cursor = body.next_cursor;
    if (seen.length === 7) {
      await app.inject({ method: "DELETE", url: urls[6] ?? "", headers: auth });
      await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "early", position: -1 } });
    }
  } while (cursor !== null);
  t.same(seen, Array.from({ length: 30 }, (_, index) => `n${index}`));
});

t.test("the default is 25 items, and a full last page has no cursor", async (t) => {
  const { app } = await testServer(t);
  for (let index = 0; index < 26; index++) await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "a" } });
  t.equal((await app.inject({ url: notes, headers: auth })).json().data.length, 25);
  t.match((await app.inject({ url: `${notes}?limit=26`, headers: auth })).json(), { next_cursor: null });
});

t.test("the cursor of one list is refused by another", async (t) => {
  const { app } = await testServer(t);
  for (const page of ["default", "other"]) for (let index = 0; index < 2; index++) await app.inject({ method: "POST", url: `/v1/pages/${page}/notes`, headers: auth, payload: { text: "a" } });
  const { next_cursor } = (await app.inject({ url: `${notes}?limit=1`, headers: auth })).json();
  t.equal((await app.inject({ url: `/v1/pages/other/notes?cursor=${next_cursor}`, headers: auth })).statusCode, 400);
});

t.test("big lists are compressed for those who ask", async (t) => {
  const { app } = await testServer(t);
  for (let index = 0; index < 100; index++) await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "x".repeat(100) } });
  t.notOk("content-encoding" in (await app.inject({ url: `${notes}?limit=100`, headers: auth })).headers, "not asked");
  const packed = await app.inject({ url: `${notes}?limit=100`, headers: { ...auth, "accept-encoding": "gzip" } });
  t.equal(packed.headers["content-encoding"], "gzip");
  t.equal(JSON.parse(gunzipSync(packed.rawPayload).toString()).data.length, 100);
  const small = await app.inject({ url: `${notes}?limit=1`, headers: { ...auth, "accept-encoding": "gzip" } });
  t.notOk("content-encoding" in small.headers, "small");
});

t.test("history is paginated, newest first, and readable after deletion", async (t) => {
  const { app } = await testServer(t);
  const created = await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "v0" } });
  const url = String(created.headers["location"]);
  for (let version = 1; version < 5; version++) await app.inject({ method: "PATCH", url, headers: auth, payload: { text: `v${version}` } });
  await app.inject({ method: "DELETE", url, headers: auth });
  t.equal((await app.inject({ url, headers: auth })).statusCode, 404);
  const all = (await app.inject({ url: `${url}/history`, headers: auth })).json().data;
  t.same(all.filter(({ field }: { field: string }) => field === "text").map(({ to }: { to: string }) => to), ["v4", "v3", "v2", "v1", "v0"]);
  const walked: unknown[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const body: { data: unknown[]; next_cursor: string | null } = (await app.inject({ url: `${url}/history?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`, headers: auth })).json();
    walked.push(...body.data);
    cursor = body.next_cursor;
  }
  t.same(walked, all);
  t.equal((await app.inject({ url: `${notes}/never/history`, headers: auth })).statusCode, 404);
});

t.test("whatever comes and goes between pages, what stays comes exactly once", async (t) => {
  const item = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.string({ minLength: 1, maxLength: 3 }));
  const items = fc.uniqueArray(item, { selector: ([, id]) => id, maxLength: 20 });
  t.doesNotThrow(() => fc.assert(
    fc.property(items, items, fc.integer({ min: 1, max: 5 }), fc.boolean(), fc.infiniteStream(fc.boolean()), (stable, fleeting, limit, isAscending, coins) => {
      const order = isAscending ? "ascending" : "descending";
      const ids = new Set(stable.map(([, id]) => id));
      const others = fleeting.filter(([, id]) => !ids.has(id));
      const compare = (a: ListPosition, b: ListPosition) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0) * (isAscending ? 1 : -1);
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const now = [...stable, ...others.filter(() => coins.next().value)].sort(compare);
        const page = paginate({ limit, ...(cursor === undefined ? {} : { cursor }) }, "list", now, (position) => position, order);
        if (isFault(page)) return false;
        seen.push(...page.items.map(([, id]) => id));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      const kept = seen.filter((id) => ids.has(id));
      return kept.length === stable.length && new Set(seen).size === seen.length;
    }),
  ));
});

t.test("a history comes whole by pages where clocks are wrong, each entry once, also when older ones arrive between two pages", (t) => {
  // The clock of the first is far ahead, so what follows it has earlier stamps.
  const changes = [["9", 3], ["3", 4], ["4", 1], ["8", 2], ["5", 5]] as const;
  const told = (all: readonly (readonly [string, number])[]): HistoryEntry[] => all.flatMap(([hlc, fields]) => Array.from({ length: fields }, (_, i): HistoryEntry => ({ hlc, at: "", region: "", replica: "", actor: "", field: `${hlc}-${i}`, from: null, to: i }))).reverse();
  for (const limit of [1, 2, 3, 4, 100]) {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const arrived = cursor === undefined ? changes : [["1", 2] as const, ...changes, ["85", 2] as const];
      const page = paginate({ limit, ...(cursor === undefined ? {} : { cursor }) }, "history", inHlcOrder(told(arrived)), ({ position }) => position, "descending");
      if (isFault(page)) throw page;
      seen.push(...page.items.map(({ entry }) => entry.field));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    const before = seen.filter((field) => !field.startsWith("1-") && !field.startsWith("85-"));
    t.same(before, ["9-2", "9-1", "9-0", "8-1", "8-0", "5-4", "5-3", "5-2", "5-1", "5-0", "4-0", "3-3", "3-2", "3-1", "3-0"], `by ${limit}`);
  }
  t.end();
});

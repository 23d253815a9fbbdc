import t from "tap";
import type { Client, Json } from "./contract-client.js";
import { World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
let pages = 0;

/** A page of its own, so that the lists of one test are not those of another. */
async function newPage(): Promise<string> {
  const id = `list-${pages++}`;
  await owner.post("/v1/pages", { id, name: id });
  return `/v1/pages/${id}`;
}

async function made(path: string, body: Json): Promise<Json> {
  const answer = await owner.post(path, body);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}

/** All items by pages of `limit`; `between` runs after each page. */
async function walk(client: Client, path: string, limit: number, between: (page: number) => Promise<unknown> = async () => {}): Promise<Json[]> {
  const found: Json[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < 200; page++) {
    const answer = await client.get(`${path}?limit=${limit}${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
    if (answer.status !== 200) throw new Error(answer.text);
    const { data, next_cursor } = answer.body;
    if (Object.keys(answer.body).sort().join() !== "data,next_cursor") throw new Error(`a list has other members: ${Object.keys(answer.body)}`);
    if (data.length > limit) throw new Error(`${data.length} items on a page of ${limit}`);
    found.push(...data);
    if (next_cursor === null) return found;
    cursor = next_cursor;
    await between(page);
  }
  throw new Error("the list does not end");
}

const kinds: readonly (readonly [string, (index: number) => Json])[] = [
  ["components", (index) => ({ name: `c${index}` })],
  ["component-groups", (index) => ({ name: `g${index}` })],
  ["incidents", (index) => ({ name: `i${index}` })],
  ["maintenances", (index) => ({ name: `m${index}`, scheduled_for: "2040-01-01T00:00:00Z", scheduled_until: "2040-01-02T00:00:00Z" })],
];

for (const [kind, bodyOf] of kinds) {
  t.test(`${kind} by pages: every item once, in order, however large the page`, async (t) => {
    const path = `${await newPage()}/${kind}`;
    t.same((await owner.get(path)).body, { data: [], next_cursor: null });
    const created: Json[] = [];
    for (let i = 0; i < 30; i++) created.push(await made(path, bodyOf(i)));
    const first = (await owner.get(path)).body;
    t.equal(first.data.length, 25, "25 by default");
    t.type(first.next_cursor, "string");
    const all = (await owner.get(`${path}?limit=100`)).body;
    t.equal(all.next_cursor, null);
    t.equal(all.data.length, 30);
    const ids = all.data.map(({ id }: Json) => id);
    const key = (item: Json): string => kind.startsWith("component") ? `${String(item.position).padStart(12, "0")} ${item.id}` : `${item.created_at} ${item.id}`;
    const keys = all.data.map(key);
    t.same(keys, kind.startsWith("component") ? [...keys].sort() : [...keys].sort().reverse(), "in the contract's order");
    if (kind.startsWith("component")) t.same(ids, created.map(({ id }) => id), "a new one comes after the last");
    for (const limit of [1, 7, 15, 30, 100]) t.same((await walk(owner, path, limit)).map(({ id }) => id), ids, `limit=${limit}`);
    t.equal((await owner.get(`${path}?limit=30`)).body.next_cursor, null, "no cursor to an empty page");
  });

  t.test(`${kind}: what was there before page one comes exactly once while others come and go`, async (t) => {
    const path = `${await newPage()}/${kind}`;
    const created: Json[] = [];
    for (let i = 0; i < 20; i++) created.push(await made(path, bodyOf(i)));
    const order = (await owner.get(`${path}?limit=100`)).body.data.map(({ id }: Json) => id);
    const extra: string[] = [];
    const found = await walk(owner, path, 3, async (page) => {
      extra.push((await made(path, bodyOf(100 + page))).id);
      // The very item that the cursor stands on, and another that came before it.
      if (page < 3) await owner.delete(`${path}/${order[page * 3 + 2]}`);
    });
    const ids = found.map(({ id }) => id);
    t.same(ids.filter((id) => !extra.includes(id)), order);
    t.equal(new Set(ids).size, ids.length, "nothing twice");
  });
}

t.test("a cursor belongs to its list; others, and altered ones, are 400", async (t) => {
  const [one, other] = [await newPage(), await newPage()];
  for (const page of [one, other]) for (const name of ["a", "b"]) {
    await made(`${page}/components`, { name });
    await made(`${page}/incidents`, { name });
  }
  const cursor: string = (await owner.get(`${one}/components?limit=1`)).body.next_cursor;
  t.equal((await owner.get(`${one}/components?limit=1&cursor=${cursor}`)).status, 200);
  for (const path of [`${other}/components`, `${one}/incidents`, `${one}/component-groups`, "/v1/pages", "/v1/keys"]) t.equal((await owner.get(`${path}?cursor=${cursor}`)).status, 400, path);
  const random = Array.from({ length: 20 }, (_, index) => Buffer.from(`${index} ${"x".repeat(index)}`).toString("base64url"));
  for (const bad of [cursor.slice(0, -3), `${cursor}AAAA`, cursor.toUpperCase(), "null", "0", "-", "a".repeat(2_000), "%00", "W10", "e30", "bnVsbA", ...random]) {
    const answer = await owner.get(`${one}/components?cursor=${bad}`);
    t.equal(answer.status, 400, bad.slice(0, 40));
  }
});

t.test("positions order components, equal ones by id", async (t) => {
  const page = await newPage();
  const [a, b, c] = [await made(`${page}/components`, { name: "a", position: 5 }), await made(`${page}/components`, { name: "b", position: 5 }), await made(`${page}/components`, { name: "c", position: -1 })];
  const tied = [a.id, b.id].sort();
  const ids = async (): Promise<string[]> => (await walk(owner, `${page}/components`, 1)).map(({ id }) => id);
  t.same(await ids(), [c.id, ...tied]);
  await owner.patch(`${page}/components/${c.id}`, { position: 9 });
  t.same(await ids(), [...tied, c.id]);
});

t.test("pages and keys are lists, too", async (t) => {
  const ids = (await walk(owner, "/v1/pages", 2)).map(({ id }) => id);
  t.ok(ids.includes("default"));
  t.equal(new Set(ids).size, ids.length);
  for (let i = 0; i < 3; i++) await made("/v1/keys", { name: `k${i}`, role: "viewer", page: "default" });
  const keys = await walk(owner, "/v1/keys", 2);
  t.equal(keys.length, 4, "with the root key");
  t.notOk(keys.some((key) => "secret" in key || "hash" in key));
});

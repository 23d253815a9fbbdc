import t from "tap";
import type { Json } from "./contract-client.js";
import { ROOT_KEY, World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const nobody = owner.as(null);

async function made(path: string, body: Json): Promise<Json> {
  const answer = await owner.post(path, body);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}

await made("/v1/pages", { id: "other", name: "Other" });
const roles = ["viewer", "editor", "admin", "owner"] as const;
const keys = Object.fromEntries(await Promise.all(roles.map(async (role) => [role, await made("/v1/keys", { name: role, role, page: role === "owner" ? null : "default" })] as const))) as Record<(typeof roles)[number], Json>;

/** The least role that may call an operation, by the contract's sentence on roles. */
function needed(method: string, path: string): (typeof roles)[number] | null {
  if (!path.startsWith("/v1/")) return null;
  if (path === "/v1/cluster") return "viewer";
  if (path.startsWith("/v1/cluster/")) return "owner";
  if (path.startsWith("/v1/keys")) return "admin";
  if (path === "/v1/pages" && method === "POST") return "owner";
  if (path === "/v1/pages/{page}" && method === "DELETE") return "owner";
  if (method === "GET") return "viewer";
  if (/\/webhooks\/(alertmanager|grafana|generic)$/.test(path)) return "editor";
  if (method === "DELETE" || path.startsWith("/v1/pages/{page}/monitors") || path.startsWith("/v1/pages/{page}/webhooks") || path === "/v1/pages/{page}" || path.startsWith("/v1/pages/{page}/conflicts/")) return "admin";
  return "editor";
}

t.test("every route lets in the roles that may, and no other", async (t) => {
  for (const { method, path } of world.openapi.operations) {
    const least = needed(method, path);
    if (least === null) continue;
    const url = path.replace("{page}", "default").replace(/\{[a-z]+\}/g, "none");
    for (const role of roles) {
      // A body that no route accepts, so that nothing happens where the caller is let in.
      const writes = method !== "GET" && method !== "DELETE";
      if (url === "/v1/pages/default" && method === "DELETE" && role === "owner") continue;
      const { status } = await owner.as(keys[role].secret).send(method, url, writes ? { nothing_of_ours: 1 } : undefined);
      if (roles.indexOf(role) < roles.indexOf(least)) t.equal(status, 403, `${role} ${method} ${url}`);
      else t.ok(status !== 403 && status !== 401 && status < 500, `${role} ${method} ${url} → ${status}`);
    }
  }
});

t.test("a key of one page gets 403 on every other page, whether that exists or not", async (t) => {
  for (const role of ["viewer", "editor", "admin"] as const) {
    const client = owner.as(keys[role].secret);
    for (const page of ["other", "nowhere", "~", "x".repeat(300)]) {
      for (const [method, path] of [["GET", ""], ["PATCH", ""], ["DELETE", ""], ["GET", "/components"], ["POST", "/incidents"], ["GET", "/incidents/none"], ["GET", "/incidents/none/history"], ["GET", "/conflicts"]] as const) {
        t.equal((await client.send(method, `/v1/pages/${page}${path}`, method === "PATCH" || method === "POST" ? { name: "x" } : undefined)).status, 403, `${role} ${method} ${page.slice(0, 10)}${path}`);
      }
    }
    const { body } = await client.get("/v1/pages");
    t.same(body.data.map(({ id }: Json) => id), ["default"], `${role} lists its page only`);
  }
  t.equal((await owner.get("/v1/pages/nowhere/components")).status, 404, "an owner learns that it does not exist");
});

t.test("401 comes before 403, 403 before 400 and 422, and these before 404", async (t) => {
  const viewer = owner.as(keys.viewer.secret);
  const bad = { "consistency-level": "NONE", "idempotency-key": "", "content-type": "application/json" };
  t.equal((await nobody.raw("POST", "/v1/pages/nowhere/components?x=1", "{", bad)).status, 401);
  t.equal((await viewer.raw("POST", "/v1/pages/nowhere/components?x=1", "{", bad)).status, 403);
  t.equal((await viewer.raw("POST", "/v1/pages/default/components?x=1", "{", bad)).status, 403);
  t.equal((await owner.raw("POST", "/v1/pages/nowhere/components", "{", { "content-type": "application/json" })).status, 400);
  t.equal((await viewer.raw("POST", "/v1/pages/default/components", "x".repeat(2_000_000), { "content-type": "text/plain" })).status, 403);
});

t.test("a key as created has the contract's fields, and its secret only then", async (t) => {
  const created = await owner.post("/v1/keys", { name: "k", role: "editor", page: "default" });
  t.equal(created.status, 201);
  t.same(Object.keys(created.body).sort(), ["created_at", "id", "last_used_at", "name", "page", "role", "secret"]);
  t.match(created.body, { name: "k", role: "editor", page: "default", last_used_at: null, created_at: /^\d{4}-.*\.\d{3}Z$/ });
  t.ok(created.body.secret.length >= 32);
  t.equal(created.headers["location"], `/v1/keys/${created.body.id}`);
  const url = `/v1/keys/${created.body.id}`;
  const { secret, ...rest } = created.body;
  t.same((await owner.get(url)).body, rest, "read back without the secret");
  t.notMatch((await owner.get("/v1/keys?limit=100")).text, secret);
  t.equal((await owner.as(secret).get("/v1/pages/default")).status, 200);
  t.match((await owner.get(url)).body.last_used_at, /^\d{4}-/);
  t.equal((await owner.post("/v1/keys", { name: "o", role: "owner" })).body.page, null);
  for (const [data, pointer] of [[{ role: "viewer", page: "default" }, "#/name"], [{ name: "k", page: "default" }, "#/role"], [{ name: "k", role: "root", page: "default" }, "#/role"], [{ name: "k", role: "viewer", page: "nowhere" }, "#/page"], [{ name: "k", role: "owner", page: "default" }, "#/page"], [{ name: "k", role: "viewer", page: "default", secret: "mine" }, "#/secret"], [{ name: "k", role: "viewer", page: 5 }, "#/page"]] as const) {
    const answer = await owner.post("/v1/keys", data);
    t.equal(answer.status, 422, JSON.stringify(data));
    t.equal(answer.body.errors[0].pointer, pointer);
  }
});

t.test("a role that changes, a secret that is replaced and a revocation bite at once", async (t) => {
  const key = await made("/v1/keys", { name: "k", role: "editor", page: "default" });
  const client = owner.as(key.secret);
  const url = `/v1/keys/${key.id}`;
  t.equal((await client.post("/v1/pages/default/components", { name: "x" })).status, 201);
  t.match((await owner.patch(url, { role: "viewer", name: "k2" })).body, { role: "viewer", name: "k2", page: "default" });
  t.equal((await client.post("/v1/pages/default/components", { name: "x" })).status, 403);
  t.equal((await owner.patch(url, { page: "other" })).status, 200);
  t.equal((await client.get("/v1/pages/default")).status, 403);
  t.equal((await client.get("/v1/pages/other")).status, 200);
  const rotated = await owner.post(`${url}/rotate`);
  t.equal(rotated.status, 200);
  t.not(rotated.body.secret, key.secret);
  t.equal((await client.get("/v1/pages/other")).status, 401);
  const renewed = owner.as(rotated.body.secret);
  t.equal((await renewed.get("/v1/pages/other")).status, 200);
  t.equal((await owner.delete(url)).status, 204);
  t.equal((await renewed.get("/v1/pages/other")).status, 401);
  for (const [method, at, body] of [["GET", url, undefined], ["PATCH", url, { name: "x" }], ["DELETE", url, undefined], ["POST", `${url}/rotate`, undefined]] as const) t.equal((await owner.send(method, at, body)).status, 404, method);
});

t.test("an admin manages the keys of its page, and cannot raise itself", async (t) => {
  const admin = owner.as(keys.admin.secret);
  const own = await admin.post("/v1/keys", { name: "a", role: "admin", page: "default" });
  t.equal(own.status, 201);
  for (const body of [{ name: "a", role: "viewer", page: "other" }, { name: "a", role: "viewer", page: "nowhere" }, { name: "a", role: "owner", page: null }, { name: "a", role: "owner" }]) t.equal((await admin.post("/v1/keys", body)).status, 403, JSON.stringify(body));
  const foreign = await made("/v1/keys", { name: "f", role: "viewer", page: "other" });
  for (const id of [foreign.id, keys.owner.id, "root"]) {
    for (const [method, body] of [["GET", undefined], ["PATCH", { name: "x" }], ["DELETE", undefined]] as const) t.equal((await admin.send(method, `/v1/keys/${id}`, body)).status, 403, `${method} ${id}`);
    t.equal((await admin.post(`/v1/keys/${id}/rotate`)).status, 403);
  }
  t.equal((await admin.patch(`/v1/keys/${own.body.id}`, { role: "owner", page: null })).status, 403);
  t.equal((await admin.patch(`/v1/keys/${own.body.id}`, { page: "other" })).status, 403);
  const pages = new Set((await admin.get("/v1/keys?limit=100")).body.data.map(({ page }: Json) => page));
  t.same([...pages], ["default"]);
  t.equal((await admin.delete(`/v1/keys/${own.body.id}`)).status, 204);
});

t.test("the last owner key cannot be revoked, and no secret is kept readable", async (t) => {
  for (const { id, role } of (await owner.get("/v1/keys?limit=100")).body.data) if (role === "owner" && id !== "root") await owner.delete(`/v1/keys/${id}`);
  t.equal((await owner.delete("/v1/keys/root")).status, 409);
  t.equal((await owner.patch("/v1/keys/root", { role: "admin", page: "default" })).status, 409);
  t.equal((await owner.get("/v1/pages")).status, 200);
  for (const path of ["/v1/keys/root", "/v1/keys", "/metrics", "/readyz", "/v1/cluster"]) t.notMatch((await owner.get(path)).text, ROOT_KEY, path);
});

import t from "tap";
import { at, featureServer } from "./feature-server.js";

t.test("a key's secret is shown once, works at once, and can be rotated and revoked", async (t) => {
  const { call } = await featureServer(t);
  const headers = { "idempotency-key": "k" };
  const created = await call("POST", "/v1/keys", { name: "CI", role: "editor", page: "default" }, headers);
  t.equal(created.status, 201);
  const { id, secret } = created.body as unknown as { id: string; secret: string };
  t.same(Object.keys(created.body).toSorted(), ["created_at", "id", "last_used_at", "name", "page", "role", "secret"]);
  t.match(created.body, { name: "CI", role: "editor", page: "default", last_used_at: null });
  const replayed = await call("POST", "/v1/keys", { name: "CI", role: "editor", page: "default" }, headers);
  t.match(replayed.body, { id });
  t.notOk("secret" in replayed.body);
  const use = (token: string) => call("GET", "/v1/pages/default", undefined, { authorization: `Bearer ${token}` }).then(({ status }) => status);
  t.equal(await use(secret), 200);
  const read = await call("GET", `/v1/keys/${id}`);
  t.notOk("secret" in read.body);
  t.notOk(JSON.stringify(read.body).includes("scrypt"));
  t.type(read.body["last_used_at"], "string");
  const rotated = await call("POST", `/v1/keys/${id}/rotate`);
  t.equal(rotated.status, 200);
  t.equal(await use(secret), 401);
  t.equal(await use(rotated.body["secret"] as string), 200);
  t.equal((await call("DELETE", `/v1/keys/${id}`)).status, 204);
  t.equal(await use(rotated.body["secret"] as string), 401);
  t.equal((await call("GET", `/v1/keys/${id}`)).status, 404);
});

t.test("role and page of a key go together", async (t) => {
  const { call } = await featureServer(t);
  const cases: [unknown, string][] = [
    [{ name: "x", role: "owner", page: "default" }, "#/page"], [{ name: "x", role: "viewer" }, "#/page"], [{ name: "x", role: "viewer", page: "none" }, "#/page"],
    [{ name: "x", role: "king", page: "default" }, "#/role"], [{ role: "viewer", page: "default" }, "#/name"], [{ name: "x", role: "viewer", page: "default", secret: "mine" }, "#/secret"],
  ];
  for (const [body, pointer] of cases) {
    const reply = await call("POST", "/v1/keys", body);
    t.equal(reply.status, 422, JSON.stringify(body));
    t.equal(reply.body["errors"]?.[0]?.["pointer"], pointer);
  }
  t.match(await call("POST", "/v1/keys", { name: "all", role: "owner", page: null }), { status: 201, body: { role: "owner", page: null } });
});

t.test("an admin manages the keys of its page and no others", async (t) => {
  const server = await featureServer(t);
  const authorization = `Bearer ${await server.addKey("boss", "admin", "default")}`;
  await server.addKey("reader", "viewer", "default");
  await server.addKey("elsewhere", "viewer", "other");
  const call = (...[method, path, body]: [Parameters<typeof server.call>[0], string, unknown?]) => server.call(method, path, body, { authorization });
  t.same(at((await call("GET", "/v1/keys")).body, "data").map((key) => at(key, "id")).toSorted(), ["boss", "reader"]);
  t.equal((await call("GET", "/v1/keys/reader")).status, 200);
  t.equal((await call("GET", "/v1/keys/elsewhere")).status, 403);
  t.equal((await call("DELETE", "/v1/keys/root")).status, 403);
  t.equal((await call("POST", "/v1/keys/elsewhere/rotate")).status, 403);
  t.equal((await call("POST", "/v1/keys", { name: "x", role: "viewer", page: "default" })).status, 201);
  t.equal((await call("POST", "/v1/keys", { name: "x", role: "viewer", page: "other" })).status, 403);
  t.equal((await call("POST", "/v1/keys", { name: "x", role: "owner", page: null })).status, 403);
  t.equal((await call("PATCH", "/v1/keys/reader", { role: "owner", page: null })).status, 403);
  t.match(await call("PATCH", "/v1/keys/reader", { role: "editor", name: "writer" }), { status: 200, body: { role: "editor", name: "writer" } });
  const reader = `Bearer ${await server.addKey("low", "editor", "default")}`;
  t.equal((await server.call("GET", "/v1/keys", undefined, { authorization: reader })).status, 403);
});

t.test("the last owner key is neither revoked nor demoted", async (t) => {
  const { call } = await featureServer(t);
  t.equal((await call("DELETE", "/v1/keys/root")).status, 409);
  t.equal((await call("PATCH", "/v1/keys/root", { role: "viewer", page: "default" })).status, 409);
  await call("POST", "/v1/keys", { name: "second", role: "owner" });
  t.equal((await call("DELETE", "/v1/keys/root")).status, 204);
});

/** Keys, roles and pages. */
import type { AddressInfo } from "node:net";
import t from "tap";
import { Client } from "undici";
import { apiLimits } from "../../src/api/api-limits.js";
import { SecretHasher } from "../../src/api/secrets.js";
import { keyOf } from "../../src/core/document.js";
import { Fault, isFault } from "../../src/core/errors.js";
import type { Role } from "../../src/store/route-context.js";
import { ROOT_KEY, testServer, tokenOf } from "./test-server.js";

const notes = "/v1/pages/default/notes";
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

t.test("without a good key the answer is 401, and says how", async (t) => {
  const { app } = await testServer(t);
  for (const authorization of [undefined, "", "Basic abc", "Bearer", "Bearer wrong-key-of-nobody", `Bearer ${tokenOf("nobody")}`, `Bearer ${"x".repeat(600)}`, `Bearer ${ROOT_KEY} x`]) {
    const answer = await app.inject({ url: notes, headers: authorization === undefined ? {} : { authorization } });
    t.equal(answer.statusCode, 401, authorization ?? "no header");
    t.match(answer.headers["www-authenticate"], /^Bearer/);
    t.match(answer.json(), { type: "/problems/unauthorized" });
  }
});

t.test("a key is checked before the body is looked at", async (t) => {
  const { app } = await testServer(t);
  t.equal((await app.inject({ method: "POST", url: notes, payload: { nonsense: 1 } })).statusCode, 401);
});

t.test("each role may what it may", async (t) => {
  const server = await testServer(t);
  const attempts = [
    ["GET", notes, "viewer"],
    ["POST", notes, "editor"],
    ["DELETE", `${notes}/none`, "admin"],
    ["POST", "/v1/cluster/anti-entropy", "owner"],
  ] as const;
  const rank: Record<Role, number> = { viewer: 0, editor: 1, admin: 2, owner: 3 };
  for (const role of ["viewer", "editor", "admin", "owner"] as const) {
    const token = await server.addKey(`of-${role}`, role, role === "owner" ? null : "default");
    for (const [method, url, needed] of attempts) {
      const answer = await server.app.inject({ method, url, headers: bearer(token), ...(url === notes && method === "POST" ? { payload: { text: "a" } } : {}) });
      if (rank[role] >= rank[needed]) t.not(answer.statusCode, 403, `${role} ${method} ${url}`);
      else t.equal(answer.statusCode, 403, `${role} ${method} ${url}`);
    }
  }
});

t.test("a key of one page gets 403 on every other page, whether that exists or not", async (t) => {
  const server = await testServer(t);
  const headers = bearer(await server.addKey("k1", "admin", "default"));
  t.equal((await server.app.inject({ url: notes, headers })).statusCode, 200);
  for (const page of ["other", "no-such-page"]) t.equal((await server.app.inject({ url: `/v1/pages/${page}/notes`, headers })).statusCode, 403);
  t.equal((await server.app.inject({ url: "/v1/cluster", headers })).statusCode, 200);
});

t.test("a revoked key ends with the very next request, a replaced one with its hash", async (t) => {
  const server = await testServer(t);
  const headers = bearer(await server.addKey("k1", "viewer", "default"));
  const status = async () => (await server.app.inject({ url: notes, headers })).statusCode;
  t.equal(await status(), 200);
  t.equal(await status(), 200);
  const hash = await new SecretHasher().hash("another secret", new Uint8Array(16));
  if (isFault(hash)) throw new Error(hash.detail);
  const key = keyOf("~", "key", "k1");
  const was = server.data.snapshot().document(key)?.value("hash") ?? null;
  server.data.write(key, [{ op: "set", section: "", field: "hash", value: hash, was }]);
  t.equal(await status(), 401);
  server.data.write(key, [{ op: "set", section: "", field: "hash", value: was, was: hash }]);
  t.equal(await status(), 200);
  server.data.write(key, [{ op: "delete", section: "" }]);
  t.equal(await status(), 401);
});

t.test("on one connection each request counts for its own key, and a revoked one for none", async (t) => {
  const server = await testServer(t);
  const first = bearer(await server.addKey("k1", "editor", "default"));
  const second = bearer(await server.addKey("k2", "viewer", "other"));
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = server.app.server.address() as AddressInfo;
  const client = new Client(`http://127.0.0.1:${port}`);
  t.teardown(() => client.close());
  let connections = 0;
  client.on("connect", () => void connections++);
  const status = async (headers: Record<string, string>) => {
    const answer = await client.request({ method: "GET", path: notes, headers });
    await answer.body.dump();
    return answer.statusCode;
  };
  for (let i = 0; i < 2; i++) {
    t.equal(await status(first), 200);
    t.equal(await status(second), 403);
    t.equal(await status({}), 401);
  }
  t.equal(await status(first), 200);
  server.data.write(keyOf("~", "key", "k1"), [{ op: "delete", section: "" }]);
  t.equal(await status(first), 401);
  t.equal(connections, 1);
});

t.test("a key that is made after it was refused is accepted", async (t) => {
  const server = await testServer(t);
  const headers = bearer(tokenOf("late"));
  t.equal((await server.app.inject({ url: notes, headers })).statusCode, 401);
  await server.addKey("late", "viewer", "default");
  t.equal((await server.app.inject({ url: notes, headers })).statusCode, 200);
});

t.test("two regions that made one key at the same time gave two secrets, and both are good", async (t) => {
  const server = await testServer(t);
  const key = keyOf("~", "key", "k1");
  const seen = server.data.seen(key);
  const token = await server.addKey("k1", "viewer", "default");
  const rival = await new SecretHasher().hash("secret-of-the-rival-1", new Uint8Array(16));
  if (isFault(rival)) throw new Error(rival.detail);
  server.data.write(key, [{ op: "set", section: "", field: "hash", value: rival, was: null }], "system", seen);
  for (const good of [token, "smk_k1_secret-of-the-rival-1"]) t.equal((await server.app.inject({ url: notes, headers: bearer(good) })).statusCode, 200);
  t.equal((await server.app.inject({ url: notes, headers: bearer("smk_k1_secret-of-nobody-at-all") })).statusCode, 401);
});

t.test("a key document without a page is no key of all pages unless it is an owner's", async (t) => {
  const server = await testServer(t);
  for (const [id, role, page] of [["a", "admin", null], ["b", "owner", "default"]] as const) {
    const token = await server.addKey(id, role, page);
    t.equal((await server.app.inject({ url: notes, headers: bearer(token) })).statusCode, 401);
  }
});

t.test("the hash does not hold the secret, and the root key's is equal in every region", async (t) => {
  const hash = await new SecretHasher().hashRootKey(ROOT_KEY, "cluster");
  t.equal(await new SecretHasher().hashRootKey(ROOT_KEY, "cluster"), hash);
  t.not(await new SecretHasher().hashRootKey(ROOT_KEY, "another cluster"), hash);
  t.notMatch(hash, new RegExp(ROOT_KEY));
});

t.test("checks that wait are bounded, and those admitted all end", async (t) => {
  const hasher = new SecretHasher();
  const asked = apiLimits.scryptWaitingMax + apiLimits.scryptConcurrentMax + 5;
  const results = await Promise.all(Array.from({ length: asked }, () => hasher.verify("secret", [])));
  t.equal(results.filter((result) => result instanceof Fault).length, 5);
  t.equal(results.filter((result) => result === false).length, asked - 5);
});

t.test("a key that asks too often gets 429 with Retry-After, another key goes on", async (t) => {
  const server = await testServer(t, { requestsPerKey: 5 });
  const [one, two] = [await server.addKey("k1", "viewer", "default"), await server.addKey("k2", "viewer", "default")];
  const ask = (token: string) => server.app.inject({ url: notes, headers: bearer(token) });
  await ask(one);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(one)));
  const refused = answers.filter(({ statusCode }) => statusCode === 429);
  t.ok(refused.length >= 10, "most were refused");
  t.match(refused[0]?.json(), { type: "/problems/too-many-requests" });
  t.equal(refused[0]?.headers["retry-after"], "1");
  t.equal((await ask(two)).statusCode, 200);
});

t.test("an address that asks too often is refused before its key is checked", async (t) => {
  const server = await testServer(t, { requestsPerAddress: 5 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => server.app.inject({ url: notes, headers: bearer("never-seen-key-0123") })));
  t.ok(answers.filter(({ statusCode }) => statusCode === 429).length >= 10);
  t.equal((await server.app.inject({ url: "/healthz" })).statusCode, 200, "health is not limited");
});

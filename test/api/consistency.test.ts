/** Levels, sessions, preconditions and idempotency keys, from header to data plane and back. */
import t from "tap";
import { Fault } from "../../src/core/errors.js";
import { ROOT_KEY, testServer } from "./test-server.js";

const auth = { authorization: `Bearer ${ROOT_KEY}` };
const notes = "/v1/pages/default/notes";

t.test("the level comes from the header or the query, the header wins, and the answer names the level served", async (t) => {
  const { app } = await testServer(t);
  const level = async (url: string, headers: Record<string, string> = {}) => (await app.inject({ url, headers: { ...auth, ...headers } })).headers["consistency-level"];
  t.equal(await level(notes), "LOCAL");
  t.equal(await level(`${notes}?consistency=LOCAL_QUORUM`), "LOCAL_QUORUM");
  t.equal(await level(`${notes}?consistency=LOCAL`, { "consistency-level": "GLOBAL_QUORUM" }), "GLOBAL_QUORUM");
});

t.test("malformed consistency headers are 400", async (t) => {
  const { app } = await testServer(t);
  const bad = [
    { "consistency-level": "EVENTUAL" }, { "consistency-level": "local" }, { "consistency-level": "" }, { "session-token": "!" }, { "session-token": "" }, { "session-wait": "-1" }, { "session-wait": "30001" },
    { "session-wait": "1.5" }, { "session-wait": "" }, { "quorum-timeout": "99" }, { "quorum-timeout": "30001" }, { "quorum-timeout": "soon" },
  ];
  for (const headers of bad) t.equal((await app.inject({ url: notes, headers: { ...auth, ...headers } })).statusCode, 400, JSON.stringify(headers));
  t.equal((await app.inject({ url: `${notes}?consistency=ALL`, headers: auth })).statusCode, 400);
  for (const headers of [{ "session-wait": "0" }, { "session-wait": "30000" }, { "quorum-timeout": "100" }, { "quorum-timeout": "30000" }]) {
    t.equal((await app.inject({ url: notes, headers: { ...auth, ...headers } })).statusCode, 200, JSON.stringify(headers));
  }
});

t.test("projections take only LOCAL", async (t) => {
  const { app } = await testServer(t);
  const status = async (level: string) => (await app.inject({ url: "/v1/pages/default/projection", headers: { ...auth, "consistency-level": level } })).statusCode;
  t.equal(await status("LOCAL"), 200);
  t.equal(await status("LOCAL_QUORUM"), 400);
  t.equal(await status("GLOBAL_QUORUM"), 400);
});

t.test("a session token comes with every answer and is understood; one from the future is 503", async (t) => {
  const { app, data } = await testServer(t);
  const created = await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "a" } });
  const token = String(created.headers["session-token"]);
  t.equal((await app.inject({ url: notes, headers: { ...auth, "session-token": token } })).statusCode, 200);
  const ahead = await app.inject({ url: notes, headers: { ...auth, "session-token": data.tokenOf({ "eu-west-1.1": 9 }), "session-wait": "0" } });
  t.equal(ahead.statusCode, 503);
  t.match(ahead.json(), { type: "/problems/session-behind" });
  t.ok(ahead.headers["retry-after"]);
  const missing = await app.inject({ url: `${notes}/none`, headers: auth });
  t.equal(missing.headers["session-token"], token, "a 404 read state too");
  t.equal(missing.headers["consistency-level"], "LOCAL");
});

t.test("a lost quorum is 503 with the outcome of the write, and without a level served", async (t) => {
  const { app, data } = await testServer(t);
  for (const outcome of ["rejected", "unknown"] as const) {
    data.refuse = ({ level }) => (level === "GLOBAL_QUORUM" ? new Fault("quorum-unavailable", "No majority.", { outcome, retryAfterSeconds: 2 }) : undefined);
    const answer = await app.inject({ method: "POST", url: notes, headers: { ...auth, "consistency-level": "GLOBAL_QUORUM" }, payload: { text: "a" } });
    t.equal(answer.statusCode, 503);
    t.match(answer.json(), { type: "/problems/quorum-unavailable", outcome });
    t.equal(answer.headers["retry-after"], "2");
    t.ok(answer.headers["session-token"]);
    t.notOk("consistency-level" in answer.headers);
  }
});

t.test("what a write asks for reaches the data plane", async (t) => {
  const { app, data } = await testServer(t);
  const headers = { ...auth, "consistency-level": "GLOBAL_QUORUM", "quorum-timeout": "700", "session-wait": "5", "if-match": '"a", W/"b"' };
  await app.inject({ method: "PATCH", url: `${notes}/x`, headers, payload: {} });
  t.match(data.committed.at(-1)?.options, { level: "GLOBAL_QUORUM", quorumTimeoutMs: 700, sessionWaitMs: 5, actor: "root", ifMatch: ["a", 'W/"b"'] });
});

t.test("If-Match succeeds with the ETag, fails with an old one, and If-None-Match answers 304", async (t) => {
  const { app } = await testServer(t);
  const created = await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "a" } });
  const url = String(created.headers["location"]);
  const etag = String(created.headers["etag"]);
  t.match(etag, /^"[^"]+"$/);
  const unchanged = await app.inject({ url, headers: { ...auth, "if-none-match": `W/${etag}` } });
  t.equal(unchanged.statusCode, 304);
  t.equal(unchanged.body, "");
  const first = await app.inject({ method: "PATCH", url, headers: { ...auth, "if-match": etag }, payload: { text: "b" } });
  t.equal(first.statusCode, 200);
  t.not(first.headers["etag"], etag);
  const second = await app.inject({ method: "PATCH", url, headers: { ...auth, "if-match": etag }, payload: { text: "c" } });
  t.equal(second.statusCode, 412);
  t.equal((await app.inject({ method: "PATCH", url, headers: auth, payload: {} })).statusCode, 200, "an empty PATCH is 200");
  t.equal((await app.inject({ method: "DELETE", url, headers: { ...auth, "if-match": "*" } })).statusCode, 204);
});

t.test("an Idempotency-Key gives the first answer again, with one id everywhere, and never the secret", async (t) => {
  const [one, two] = [await testServer(t), await testServer(t)];
  const request = { method: "POST", url: notes, headers: { ...auth, "idempotency-key": "k 1" }, payload: { text: "a", position: 1 } } as const;
  const first = await one.app.inject(request);
  t.equal(first.statusCode, 201);
  t.match(first.json(), { secret: String });
  const again = await one.app.inject({ ...request, payload: { position: 1, text: "a" } });
  t.equal(again.statusCode, 201);
  t.equal(again.headers["idempotent-replayed"], "true");
  t.equal(again.headers["location"], first.headers["location"]);
  t.notOk("secret" in again.json());
  t.equal((await two.app.inject(request)).json().id, first.json().id, "another region derives the same id");
  const other = await one.app.inject({ ...request, payload: { text: "b" } });
  t.equal(other.statusCode, 422);
  t.match(other.json(), { type: "/problems/idempotency-key-reused" });
  t.not((await one.app.inject({ ...request, url: "/v1/pages/other/notes" })).json().id, first.json().id, "another page is another scope");
  const unkeyed = { ...request, headers: auth };
  t.not((await one.app.inject(unkeyed)).json().id, (await one.app.inject(unkeyed)).json().id, "without a key each is new");
});

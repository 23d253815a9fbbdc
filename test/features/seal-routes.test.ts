/** The sealed history over HTTP. */
import t from "tap";
import { sealRoutes } from "../../src/features/monitors/seal-routes.js";
import { checkProof } from "../../src/features/monitors/proof.js";
import { inOrder, type SealedRecord } from "../../src/features/monitors/seal.js";
import { sealCommand } from "../../src/features/monitors/seal-store.js";
import { isFault } from "../../src/core/errors.js";
import { ROOT_KEY, testServer } from "../api/test-server.js";

const DAY = "2026-01-10";

function record(number: number, over: Partial<SealedRecord> = {}): SealedRecord {
  const ms = Date.UTC(2026, 0, 10, 7, number);
  return { kind: "opinion", page: "default", monitor: "m", region: "us-east", replica: "us-east-1", id: ms.toString(16).padStart(12, "0").padEnd(32, "0"), at: new Date(ms).toISOString(), value: { state: "down" }, ...over };
}

const day = record(0, { kind: "day", id: DAY, at: "2026-01-11T00:00:00.000Z", value: { up: 9 } });

async function server(t: { teardown(end: () => unknown): void }) {
  const { app, data, addKey } = await testServer(t, {}, [sealRoutes({ now: () => Date.UTC(2026, 0, 10, 12), monotonic: () => 0 })]);
  const seal = async (until: string, records: readonly SealedRecord[], incarnation = 1) => {
    const texts = inOrder(records);
    const done = await data.commit(sealCommand({ page: "default", life: { replica: "us-east-1", incarnation }, region: "us-east", until, texts, times: records.map(({ at }) => at) }), { level: "LOCAL", actor: "system" });
    if (isFault(done)) throw new Error(done.detail);
  };
  const get = async (path: string, key = ROOT_KEY) => {
    const { body, headers, statusCode } = await app.inject({ method: "GET", url: path, headers: { authorization: `Bearer ${key}` } });
    return { status: statusCode, body, headers, json: JSON.parse(body) as { data: { [name: string]: unknown }[]; detail?: string } };
  };
  await seal(`${DAY}T08:00:00.000Z`, [record(1), record(2, { monitor: "other" }), record(3)]);
  await seal(`${DAY}T09:00:00.000Z`, [record(65)]);
  await seal("2026-01-11T01:00:00.000Z", [day]);
  return { get, seal, addKey };
}

t.test("a proof is answered byte for byte as it is checked, with all seals that follow", async (t) => {
  const { get } = await server(t);
  const { body, headers, status } = await get(`/v1/pages/default/monitors/m/proof?record=${record(3).id}`);
  t.equal(status, 200, body);
  t.match(headers["content-type"], /^application\/json/);
  t.match(checkProof(Buffer.from(body)), { holds: true, record: record(3), proof: { index: 2, seals: [{ number: 1 }, { number: 2 }, { number: 3 }] } });
  const ofDay = await get(`/v1/pages/default/monitors/m/proof?record=${DAY}&replica=us-east-1`);
  t.match(checkProof(Buffer.from(ofDay.body)), { holds: true, record: day, proof: { seals: [{ number: 3 }] } });
});

t.test("what is sealed is listed, and each names its proof; the head of a chain is the one of its proofs", async (t) => {
  const { get } = await server(t);
  const { json } = await get("/v1/pages/default/monitors/m/sealed");
  t.match(json.data.map(({ record: id, seal }) => [id, seal]), [[record(65).id, 2], [record(3).id, 1], [record(1).id, 1]], "today by the replica's clock, latest first");
  const proof = await get(String(json.data[2]?.["proof"]));
  const check = checkProof(Buffer.from(proof.body));
  t.match((await get("/v1/pages/default/seals")).json.data, [{ origin: "us-east-1.1", number: 3, region: "us-east", until: "2026-01-11T01:00:00.000Z", hash: check.holds ? check.proof.head : "" }]);
  t.match((await get("/v1/pages/default/monitors/m/sealed?day=2026-01-11")).json.data, [{ kind: "day", record: DAY, value: { up: 9 } }]);
});

t.test("what cannot be proven is said: another monitor's record, one that is not sealed, and what is no record", async (t) => {
  const { addKey, get } = await server(t);
  t.equal((await get(`/v1/pages/default/monitors/m/proof?record=${record(2).id}`)).status, 404);
  t.match((await get(`/v1/pages/default/monitors/m/proof?record=${record(50).id}`)).json, { status: 404, detail: /sealed a minute after/ });
  t.equal((await get("/v1/pages/default/monitors/m/proof?record=2026-13-45&replica=us-east-1")).status, 400);
  t.match((await get(`/v1/pages/default/monitors/m/proof?record=${DAY}`)).json, { status: 400, detail: /name one in `replica`/ });
  t.equal((await get("/v1/pages/default/monitors/m/proof")).status, 400);
  t.equal((await get(`/v1/pages/nowhere/monitors/m/proof?record=${record(1).id}`)).status, 404);
  const viewer = await addKey("viewer", "viewer", "other");
  for (const path of ["seals", "monitors/m/sealed", `monitors/m/proof?record=${record(1).id}`]) t.equal((await get(`/v1/pages/default/${path}`, viewer)).status, 403, path);
});

t.test("chains of two lives are told apart", async (t) => {
  const { get, seal } = await server(t);
  await seal("2026-01-11T02:00:00.000Z", [record(70)], 2);
  const { json } = await get("/v1/pages/default/seals");
  t.match(json.data.map(({ number, origin }) => [origin, number]), [["us-east-1.1", 3], ["us-east-1.2", 1]]);
  const { body } = await get(`/v1/pages/default/monitors/m/proof?record=${record(70).id}`);
  t.match(checkProof(Buffer.from(body)), { holds: true, proof: { seals: [{ origin: "us-east-1.2", previous: json.data[0]?.["hash"] }] } });
});

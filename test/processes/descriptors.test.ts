/** A region that may have few files and sockets open, and clients that take all of them. */
import { readdir } from "node:fs/promises";
import t from "tap";
import { DESCRIPTORS_MIN, descriptorPlan, descriptorsMax } from "../../src/io/descriptors.js";
import { RawClient } from "./raw-client.js";
import { COMPONENTS, created } from "./workload.js";
import { settled, World } from "./world.js";

const FEW = 320;
const VERY_FEW = 160;

t.test("the store, clients and the rest share what the system allows", async (t) => {
  t.equal(descriptorsMax(() => "Limit  Soft Limit  Hard Limit  Units\nMax open files            256                  4096                 files\n"), 256);
  t.equal(descriptorsMax(() => "Max open files            unlimited            unlimited            files\n"), descriptorsMax(() => "nothing"));
  t.equal(descriptorsMax(() => { throw new Error("no such file"); }), descriptorsMax(() => ""));
  for (const max of [DESCRIPTORS_MIN, VERY_FEW, 1_024, 1_048_576]) {
    const { storeFiles, connections } = descriptorPlan(max);
    t.ok(storeFiles + connections < max && storeFiles >= 32 && connections >= 16, `${max}: ${storeFiles} and ${connections}`);
  }
});

t.test("a replica that may have very few descriptors starts, says so, and serves; one that may have too few says that, and nothing is started", { timeout: 300_000 }, async (t) => {
  const world = await World.prepare(t, {});
  world.us.descriptorsMax = DESCRIPTORS_MIN - 1;
  t.equal((await world.us.run()).code, 78);
  t.match(world.us.stderr, new RegExp(`^[^\\n]* at least ${DESCRIPTORS_MIN} descriptors[^\\n]*\\(ulimit -n\\)\\.\\n$`));
  await t.rejects(readdir(world.us.data), { code: "ENOENT" });

  world.us.descriptorsMax = VERY_FEW;
  await world.startAll();
  await world.voting();
  t.ok(world.us.logged(/few-descriptors/));
  t.notOk(world.eu.logged(/few-descriptors/), "the others have enough");
  const { connections } = descriptorPlan(VERY_FEW);
  const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "with few" }, { level: "GLOBAL_QUORUM" }))}`;
  const clients = await Promise.all(Array.from({ length: connections / 2 }, () => RawClient.open(world.us.http)));
  for (const client of clients) client.send(RawClient.head("GET", route));
  const answers = await Promise.all(clients.map((client) => client.answer(20_000)));
  t.same([...new Set(answers.map((answer) => answer?.status))], [200]);
  for (const client of clients) client.close();
  t.notOk(world.us.logged(/EMFILE|too many open files/i));
});

t.test("clients that take every descriptor are told so; who was there is served, writes stay durable, and all is well once they leave", { timeout: 300_000 }, async (t) => {
  const world = await World.prepare(t, {});
  world.us.descriptorsMax = FEW;
  await world.startAll();
  await world.voting();
  const { connections } = descriptorPlan(FEW);
  const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "before" }))}`;
  const early = await RawClient.open(world.us.http);
  early.send(RawClient.head("GET", route));
  t.equal((await early.answer(10_000))?.status, 200);

  const clients = await Promise.all(Array.from({ length: FEW * 2 }, () => RawClient.open(world.us.http)));
  for (const client of clients) client.send(RawClient.head("GET", route));
  const answers = await Promise.all(clients.map((client) => client.answer(20_000)));
  const served = answers.filter((answer) => answer?.status === 200).length;
  const told = answers.filter((answer) => answer?.status === 503);
  t.ok(served > 0 && served <= connections, `${served} served, of ${connections} places`);
  t.ok(told.length > 0, `${told.length} told`);
  for (const answer of told) {
    t.match(answer?.headers, { "content-type": /problem\+json/, "retry-after": /^[1-9]/, connection: "close", region: "us-east" });
    t.match(JSON.parse(answer?.body ?? "{}"), { type: "/problems/overloaded", status: 503, detail: /descriptors/ });
  }

  const body = JSON.stringify({ name: "crowded" });
  early.send(RawClient.head("POST", COMPONENTS, `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`) + body);
  const written = await early.answer(10_000);
  t.equal(written?.status, 201, "and its writes are durable");
  const { id } = JSON.parse(written?.body ?? "{}") as { id: string };
  early.send(RawClient.head("GET", "/readyz"));
  t.equal((await early.answer(10_000))?.status, 200);
  await settled("they are replicated", async () => (await world.ap.get(`${COMPONENTS}/${id}`)).status === 200);

  for (const client of [early, ...clients]) client.close();
  await settled("a new client is served", async () => (await world.us.get(route, { takesOverload: true })).status === 200);
  t.equal((await world.us.post(COMPONENTS, { name: "after" }, { level: "GLOBAL_QUORUM" })).status, 201);
  t.notOk(world.us.logged(/read-only|disk-failed/), "the store never failed");
});

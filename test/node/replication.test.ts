import t from "tap";
import { encodeHlc } from "../../src/core/hlc.js";
import { decodeChange, encodeChange } from "../../src/core/change.js";
import { limits } from "../../src/core/limits.js";
import type { Message } from "../../src/core/messages.js";
import { createHash } from "node:crypto";
import { Cluster, component, read, setting, write } from "./cluster.js";
import { isFault } from "../../src/core/errors.js";

t.test("a LOCAL write appears in every region, with the same ETag", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  const { etag } = await write(cluster.node("us-east"), setting("api", { name: "API" }));
  for (const region of ["eu-west", "ap-south"]) {
    await cluster.settled(`${region} has it`, async () => (await read(cluster.node(region), "api")) !== null);
    t.same(await read(cluster.node(region), "api"), { name: "API" });
    t.equal((await write(cluster.node(region), setting("api", {}))).etag, etag);
  }
  t.same(cluster.fatals, []);
});

t.test("two sides of a cut both take LOCAL writes, and merge by rule when it heals", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await write(cluster.node("us-east"), setting("api", { name: "API", status: "operational" }));
  await cluster.converged();
  cluster.isolate("us-east-1");
  await cluster.settled("the cut shows", () => cluster.node("us-east").cluster().degradation.level === 4);
  await write(cluster.node("us-east"), setting("api", { status: "major_outage", name: "by us" }));
  await cluster.later();
  await write(cluster.node("eu-west"), setting("api", { status: "degraded_performance", name: "by eu" }));
  t.equal((await read(cluster.node("us-east"), "api"))?.["status"], "major_outage");
  await cluster.settled("ap-south follows eu-west", async () => (await read(cluster.node("ap-south"), "api"))?.["status"] === "degraded_performance");
  cluster.rejoin("us-east-1");
  await cluster.converged();
  for (const region of ["us-east", "eu-west", "ap-south"]) t.same(await read(cluster.node(region), "api"), { status: "major_outage", name: "by eu" }, region);
  const history = await cluster.node("ap-south").history(component("api"), { level: "LOCAL" });
  if (isFault(history)) throw new Error(history.detail);
  t.same(history.value.filter(({ field }) => field === "name").map(({ to }) => to).sort(), ["API", "by eu", "by us"]);
});

t.test("a change goes round a cut link through the third region", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  cluster.mesh.cut("us-east-1", "eu-west-1");
  await cluster.settled("the cut shows", () => cluster.node("us-east").cluster().peers.some(({ replica, state }) => replica === "eu-west-1" && state === "down"));
  const { token } = await write(cluster.node("us-east"), setting("api", { name: "round" }));
  const seen = await read(cluster.node("eu-west"), "api", { level: "LOCAL", session: cluster.node("eu-west").parseToken(token) ?? {}, sessionWaitMs: 5_000 });
  t.same(seen, { name: "round" });
  t.equal(cluster.node("eu-west").cluster().peers.find(({ replica }) => replica === "us-east-1")?.state, "down", "the direct link is still cut");
});

t.test("a change that a region cannot apply is put aside there with what follows it, and the link goes on", async (t) => {
  await using cluster = new Cluster({ limitsOf: { "eu-west-1": { operationsMax: 3 } } });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  await write(us, setting("api", { name: "API" }));
  await write(us, setting("api", { a: 1, b: 2, c: 3, d: 4 }));
  await write(us, setting("api", { name: "after the poison" }));
  const { token } = await write(us, setting("web", { name: "Web" }));
  const eu = cluster.node("eu-west");
  t.same(await read(eu, "web", { level: "LOCAL", session: eu.parseToken(token) ?? {}, sessionWaitMs: 5_000 }), { name: "Web" });
  t.same(await read(eu, "api"), { name: "API" });
  t.equal(eu.cluster().quarantined, 2);
  t.ok(cluster.logged.some(({ replica, event }) => replica === "eu-west-1" && event["event"] === "poison-change"));
  const ap = cluster.node("ap-south");
  t.same(await read(ap, "api", { level: "LOCAL", session: ap.parseToken(token) ?? {} }), { a: 1, b: 2, c: 3, d: 4, name: "after the poison" });
  await write(eu, setting("api", { name: "eu goes on" }));
  await cluster.settled("others take its change", async () => (await read(us, "api"))?.["name"] === "eu goes on" && (await read(ap, "api"))?.["name"] === "eu goes on");
  t.same(cluster.fatals, []);
});

t.test("an entry that arrives damaged is asked for again", async (t) => {
  let damaged = 0;
  const tamper = (from: string, to: string, message: Message): Message | undefined => {
    if (from !== "us-east-1" || to !== "eu-west-1" || message.$case !== "entries" || damaged >= 2) return message;
    const entries = message.value.entries.map((entry) => ({ ...entry, body: entry.body.map((byte, index) => (index === 20 ? byte ^ 1 : byte)) }));
    damaged += 1;
    return { $case: "entries", value: { entries } };
  };
  await using cluster = new Cluster({ tamper });
  await cluster.start();
  await cluster.voting();
  const { token } = await write(cluster.node("us-east"), setting("api", { name: "API" }));
  const eu = cluster.node("eu-west");
  t.same(await read(eu, "api", { level: "LOCAL", session: eu.parseToken(token) ?? {}, sessionWaitMs: 8_000 }), { name: "API" });
  t.equal(damaged, 2, "the damage took place");
  t.equal(eu.cluster().quarantined, 0);
  t.ok(cluster.logged.some(({ event }) => event["event"] === "damaged-entry"));
});

t.test("a stamp from far in the future is kept, and the clock of the receiver is not dragged along", async (t) => {
  const future = Date.now() + 10 * limits.clockSkewMsMax;
  const tamper = (from: string, _to: string, message: Message): Message => {
    if (from !== "us-east-1" || message.$case !== "entries") return message;
    return { $case: "entries", value: { entries: message.value.entries.map((entry) => {
      const change = decodeChange(entry.body, limits);
      if ("fault" in change) return entry;
      const body = encodeChange({ ...change, hlc: encodeHlc(future, 0, "0000000000aa") });
      return { ...entry, body, checksum: createHash("sha256").update(body).digest().subarray(0, 16) };
    }) } };
  };
  await using cluster = new Cluster({ tamper });
  await cluster.start();
  await cluster.voting();
  const { token } = await write(cluster.node("us-east"), setting("api", { name: "from the future" }));
  const eu = cluster.node("eu-west");
  t.same(await read(eu, "api", { level: "LOCAL", session: eu.parseToken(token) ?? {} }), { name: "from the future" });
  t.ok(Number.parseInt(eu.cluster().clock.hlc.slice(0, 12), 16) < future - limits.clockSkewMsMax, "the clock stays");
  t.ok(cluster.logged.some(({ replica, event }) => replica === "eu-west-1" && event["event"] === "clock-ahead"));
});

t.test("a link that loses messages loses no change", async (t) => {
  let lost = 0;
  let count = 0;
  const tamper = (_from: string, _to: string, message: Message): Message | undefined => {
    if (message.$case !== "entries" || ++count % 3 !== 0 || lost >= 12) return message;
    lost += 1;
    return undefined;
  };
  await using cluster = new Cluster({ tamper });
  await cluster.start();
  await cluster.voting();
  for (let round = 0; round < 30; round++) {
    await Promise.all(["us-east", "eu-west", "ap-south"].map((region) => write(cluster.node(region), setting(`c-${round % 4}`, { [`by_${region}`]: round }))));
  }
  await cluster.converged();
  t.ok(lost > 0, "messages were lost");
  for (const region of ["us-east", "eu-west", "ap-south"]) {
    t.same(await read(cluster.node(region), "c-1"), { "by_us-east": 29, "by_eu-west": 29, "by_ap-south": 29 }, region);
  }
});

t.test("with a cache for less than one document, everything still works under load", async (t) => {
  await using cluster = new Cluster({ limits: { documentCacheBytes: 64 } });
  await cluster.start();
  await cluster.voting();
  const regions = ["us-east", "eu-west", "ap-south"];
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < 150; i++) {
    const id = `c-${i % 12}`;
    const level = i % 10 === 0 ? "GLOBAL_QUORUM" as const : "LOCAL" as const;
    work.push(write(cluster.node(regions[i % 3] ?? ""), setting(id, { [`field_${i}`]: "x".repeat(50) }), { level }));
    if (i % 25 === 24) await Promise.all(work.splice(0));
  }
  await Promise.all(work);
  await cluster.converged();
  const id = (index: number): string => `c-${index}`;
  for (let i = 0; i < 12; i++) {
    const wanted = [...Array(150).keys()].filter((n) => n % 12 === i).map((n) => `field_${n}`).sort();
    for (const region of regions) t.same(Object.keys((await read(cluster.node(region), id(i), { level: i === 0 ? "GLOBAL_QUORUM" : "LOCAL" })) ?? {}).sort(), wanted, `${region} ${id(i)}`);
  }
  const all = await cluster.node("us-east").read({ documents: [], render: (snapshot) => snapshot.list("default", "component").map(({ key }) => snapshot.document(key)?.fields().length) }, { level: "LOCAL" });
  if (isFault(all)) throw new Error(all.detail);
  t.equal(all.value.length, 12, "a list that needs all of them at once");
  t.same(cluster.fatals, []);
});

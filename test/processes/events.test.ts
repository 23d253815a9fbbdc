/** Event streams of real regions, read by the npm client `eventsource`. */
import { test } from "tap";
import { EventReader } from "./event-reader.js";
import { ROOT_KEY, type ReplicaProcess } from "../../chaos/replica-process.js";
import { settled, World } from "./world.js";

async function incident(node: ReplicaProcess, name: string): Promise<string> {
  const made = await node.post("/v1/pages/default/incidents", { name });
  if (made.status !== 201) throw new Error(made.text);
  return String(made.body["id"]);
}

async function post(node: ReplicaProcess, id: string, body: string, level?: "GLOBAL_QUORUM"): Promise<string> {
  const made = await node.post(`/v1/pages/default/incidents/${id}/updates`, { body }, { ...(level === undefined ? {} : { level }) });
  if (made.status !== 201) throw new Error(made.text);
  return String(made.body["id"]);
}

async function updatesOf(node: ReplicaProcess, id: string): Promise<string[]> {
  const found: string[] = [];
  for (let cursor = ""; ; ) {
    const page = await node.get(`/v1/pages/default/incidents/${id}/updates?limit=100${cursor === "" ? "" : `&cursor=${cursor}`}`);
    for (const update of page.body["data"] as { id: string }[]) found.push(update.id);
    if (typeof page.body["next_cursor"] !== "string") return found;
    cursor = page.body["next_cursor"];
  }
}

test("streams of one cluster", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);

  await t.test("the status in an event is that of the page: an open incident counts, though no component is down", async (t) => {
    const reader = new EventReader(() => world.eu.http);
    t.teardown(() => reader.close());
    await settled("the stream is open", () => reader.of("ready").length === 1, 30_000);
    const made = await world.us.post("/v1/pages/default/incidents", { name: "Nobody can log in", impact_override: "critical" });
    t.equal(made.status, 201);
    await settled("it is told", () => reader.of("incident.created").length === 1, 20_000);
    const pageStatus = async () => ((await world.eu.get("/pages/default/api/v2/status.json", { key: null })).body["status"]);
    t.same(reader.of("incident.created")[0]?.data["status"], { indicator: "critical", description: "Major Service Outage" });
    t.same(await pageStatus(), reader.of("incident.created")[0]?.data["status"], "and the same as in status.json");
    t.equal(((await world.eu.get("/pages/default/badge.json", { key: null })).body["message"]), "major outage");
    await world.us.patch(`/v1/pages/default/incidents/${String(made.body["id"])}`, { status: "resolved" });
    await settled("its end is told", () => reader.of("incident.updated").length >= 1, 20_000);
    t.match(reader.of("incident.updated").at(-1)?.data["status"], { indicator: "none" });
  });

  await t.test("the event log is a stream too, for those with a key who ask for one", async (t) => {
    const url = `${world.us.http}/v1/pages/default/events`;
    const headers = { accept: "text/event-stream", authorization: `Bearer ${ROOT_KEY}` };
    t.equal((await fetch(url, { headers: { accept: "text/event-stream" } })).status, 401);
    const read = async (from = ""): Promise<{ next: (pattern: RegExp) => Promise<string>; end: () => void; type: string | null }> => {
      const ending = new AbortController();
      const answer = await fetch(`${url}${from}`, { headers, signal: ending.signal });
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      const next = async (pattern: RegExp): Promise<string> => {
        for (;;) {
          const match = pattern.exec(text);
          if (match !== null) return match[1] ?? "";
          const piece = await reader?.read();
          if (piece === undefined || piece.done) throw new Error(`the stream ended before ${pattern}: ${text}`);
          text += piece.value;
        }
      };
      return { next, end: () => ending.abort(), type: answer.headers.get("content-type") };
    };
    const first = await read();
    t.teardown(() => first.end());
    t.equal(first.type, "text/event-stream; charset=utf-8");
    const position = await first.next(/id: (\S+)\nevent: ready/);
    const id = await incident(world.eu, "Streamed");
    t.equal(JSON.parse(await first.next(/event: incident\.created\ndata: (.*)\n/)).id, id);
    const second = await read(`?last_event_id=${encodeURIComponent(position)}`);
    t.teardown(() => second.end());
    t.equal(JSON.parse(await second.next(/event: incident\.created\ndata: (.*)\n/)).id, id, "it goes on from a position");
    const listed = await fetch(url, { headers: { authorization: headers.authorization, accept: "application/json" } });
    t.equal(listed.headers.get("content-type"), "application/json; charset=utf-8");
  });

  await t.test("a stream tells what happens in any region, in the public form", async (t) => {
    const reader = new EventReader(() => world.eu.http);
    t.teardown(() => reader.close());
    await settled("the stream is open", () => reader.of("ready").length === 1, 30_000);
    const component = await world.us.post("/v1/pages/default/components", { name: "API" });
    const api = String(component.body["id"]);
    await world.us.post("/v1/pages/default/incidents", { name: "Slow", body: "Looking.", components: { [api]: "major_outage" }, labels: ["internal"] });
    await settled("the incident is told", () => reader.of("incident_update.created").length === 1, 20_000);
    const told = reader.of("incident.created")[0]?.data ?? {};
    t.match(told, { page_id: "default", incident: { name: "Slow", status: "investigating", incident_updates: [{ body: "Looking." }] } });
    t.notMatch(JSON.stringify(told), /labels|internal|updated_hlc|updated_region|has_conflicts|deliver_notifications/);
    await settled("the component is told", () => reader.of("component.updated").some(({ data }) => JSON.stringify(data).includes("major_outage")), 20_000);
    t.match(reader.of("component.updated").at(-1)?.data, { component: { id: api, status: "major_outage" }, status: { indicator: "critical", description: "Major Service Outage" } });

    const listed = await world.eu.get("/v1/pages/default/events?limit=2");
    t.equal(listed.status, 200);
    const [latest] = listed.body["data"] as { id: string; type: string }[];
    t.ok(latest !== undefined && typeof listed.body["next_cursor"] === "string");
    await world.converged();
    const there = await world.ap.get(`/v1/pages/default/events?limit=100`);
    const here = await world.us.get(`/v1/pages/default/events?limit=100`);
    t.same(there.body, here.body, "the log is equal in every region");
    t.equal((await world.us.get("/v1/pages/default/events", { level: "GLOBAL_QUORUM" })).status, 400);
    t.equal((await world.us.get("/v1/pages/default/events", { key: null })).status, 401);
    t.equal((await world.us.get("/pages/default/events?consistency=LOCAL_QUORUM", { key: null })).status, 400);
    t.equal((await world.us.get("/pages/nowhere/events", { key: null })).status, 404);
    t.equal((await world.us.get("/pages/default/events?last_event_id=nonsense", { key: null })).status, 400);
  });
});

test("the region that served a stream is killed: another goes on, with nothing missed and nothing twice", async (t) => {
  const world = await World.start(t);
  let serving = world.eu;
  const readers = [new EventReader(() => serving.http), new EventReader(() => serving.http)];
  t.teardown(() => {
    for (const reader of readers) reader.close();
  });
  await settled("the streams are open", () => readers.every((reader) => reader.of("ready").length === 1), 30_000);
  const id = await incident(world.us, "Rolling");
  const posted: string[] = [];
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver || n < 60; n++) {
      const node = n % 3 === 1 ? world.ap : world.us;
      // Decided updates stand in the logs of more than one region.
      const update = await post(node, id, `Update ${n}`, n % 10 === 5 ? "GLOBAL_QUORUM" : undefined).catch(() => undefined);
      if (update !== undefined) posted.push(update);
    }
  })();
  await settled("some are told", () => readers.every((reader) => reader.of("incident_update.created").length >= 10), 30_000);
  await world.eu.kill();
  serving = world.ap;
  await settled("they have moved", () => readers.every((reader) => reader.of("ready").length === 2), 30_000);
  t.ok(readers.every((reader) => reader.connections.at(-1) !== ""), "with Last-Event-ID");
  isOver = true;
  await writing;
  await settled("both hold the same", async () => (await world.us.cluster()).merkle_root === (await world.ap.cluster()).merkle_root);
  // A write that lost its region may have taken effect without an answer: what counts is what there is.
  const all = await updatesOf(world.ap, id);
  t.ok(posted.every((update) => all.includes(update)));
  const idsOf = (reader: EventReader) => reader.of("incident_update.created").map(({ data }) => String(data["id"]));
  await settled("all are told", () => readers.every((reader) => new Set(idsOf(reader)).size >= all.length), 30_000);
  for (const reader of readers) {
    const ids = idsOf(reader);
    t.equal(new Set(ids).size, ids.length, "nothing twice");
    t.same([...ids].sort(), [...all].sort(), "nothing missed");
    t.equal(reader.of("reset").length, 0);
  }
});

test("a client from before a region's start goes on from its log, one from nowhere is told to begin anew, and a stopping region says so", async (t) => {
  const world = await World.start(t);
  const id = await incident(world.us, "Restarted");
  const first = new EventReader(() => world.us.http);
  await settled("the stream is open", () => first.of("ready").length === 1, 30_000);
  const position = first.of("ready")[0]?.id ?? "";
  const updates = [await post(world.us, id, "One"), await post(world.us, id, "Two")];
  await settled("both are told", () => first.of("incident_update.created").length === 2);
  const stopped = await world.us.stop();
  t.equal(stopped.code, 0);
  t.ok(stopped.ms < 4_500, `open streams do not hold the stop up (${Math.round(stopped.ms)} ms)`);
  t.equal(first.of("close").length, 1);
  first.close();
  await world.us.start();
  const second = new EventReader(() => world.us.http, `/pages/default/events?last_event_id=${encodeURIComponent(position)}`);
  t.teardown(() => second.close());
  await settled("the stream is open again", () => second.of("ready").length === 1, 30_000);
  t.same(second.of("incident_update.created").map(({ data }) => data["id"]), updates);
  const ancient = `v1.${Buffer.from("gone-1.1=7").toString("base64url")}`;
  const third = new EventReader(() => world.us.http, `/pages/default/events?last_event_id=${ancient}`);
  t.teardown(() => third.close());
  await settled("it is ready", () => third.of("ready").length === 1, 30_000);
  t.equal(third.of("incident_update.created").length, 3, "all that happened since is known here");
});

test("a client whose position is older than the log is told to begin anew, in any region, and goes on from there", async (t) => {
  const world = await World.start(t, { settings: { limits: { logEntriesKept: 20, trimEveryMs: 100 } } });
  const id = await incident(world.us, "Long");
  const first = new EventReader(() => world.us.http);
  await settled("the stream is open", () => first.of("ready").length === 1, 30_000);
  const position = encodeURIComponent(first.of("ready")[0]?.id ?? "");
  first.close();
  for (let n = 0; n < 80; n++) await post(world.us, id, `Update ${n}`);
  await world.converged();
  for (const node of [world.us, world.eu]) {
    await settled("the log is trimmed", async () => ((await node.metric("statusmesh_log_entries")) ?? 1_000) <= 30, 30_000);
    // A region that has just started knows no more than its log.
    await node.stop();
    await world.startOne(node.region as "us-east" | "eu-west");
  }
  await world.voting();
  const readers = [world.us, world.eu].map((node) => new EventReader(() => node.http, `/pages/default/events?last_event_id=${position}`));
  t.teardown(() => {
    for (const reader of readers) reader.close();
  });
  await settled("both are ready", () => readers.every((reader) => reader.of("ready").length === 1), 30_000);
  for (const reader of readers) {
    t.same(reader.heard.map(({ type }) => type), ["reset", "ready"], "nothing of what is left is told as if it were all");
    t.match(reader.of("reset")[0]?.data, { reason: /not known any more/ });
  }
  const after = await post(world.us, id, "After");
  await settled("both go on", () => readers.every((reader) => reader.of("incident_update.created").some(({ data }) => data["id"] === after)), 30_000);
  t.ok(readers.every((reader) => reader.of("incident_update.created").length === 1));
});

test("a component's days add up, are equal in every region, and are the same after a stop and after a kill, without its changes being read", async (t) => {
  const world = await World.start(t);
  const made = await world.us.post("/v1/pages/default/components", { name: "API" });
  const path = `/v1/pages/default/components/${String(made.body["id"])}`;
  for (const [node, status] of [[world.us, "major_outage"], [world.eu, "partial_outage"], [world.ap, "operational"]] as const) {
    await settled("the component is there", async () => (await node.get(path)).status === 200);
    await node.patch(path, { status });
  }
  await world.converged();
  const day = new Date().toISOString().slice(0, 10);
  const answers = await Promise.all(world.all.map((node) => node.get(`${path}/uptime?from=2026-01-01&to=${day}`)));
  const days = answers.map(({ body }) => body["days"] as { seconds: Record<string, number>; total_seconds: number }[]);
  const past = days.map((one) => one.slice(0, -1));
  t.same(past[1], past[0]);
  const uptimeIn = async (node: ReplicaProcess) => (await node.get(`${path}/uptime?from=2026-01-01&to=${day}`)).body["days"] as typeof days[number];
  await world.us.stop();
  await world.eu.kill();
  await world.startAll();
  for (const node of [world.us, world.eu]) {
    const [after, running] = await Promise.all([uptimeIn(node), uptimeIn(world.ap)]);
    t.same(after.slice(0, -1), past[0], "past days");
    // Today grows while it is asked for.
    const [today, todayThere] = [after.at(-1)?.seconds ?? {}, running.at(-1)?.seconds ?? {}];
    for (const [status, seconds] of Object.entries(todayThere)) t.ok(Math.abs((today[status] ?? 0) - seconds) <= 10, `${node.region}: ${today[status]} s of ${status} today, ${seconds} in the region that ran on`);
    t.ok((today["major_outage"] ?? 0) + (today["partial_outage"] ?? 0) + (today["operational"] ?? 0) > 0);
  }
  t.equal(await world.us.metric("statusmesh_component_histories_rebuilt"), 0, "nothing was read anew after the stop");
  for (const one of days.flat()) t.equal(Object.values(one.seconds).reduce((sum, seconds) => sum + seconds, 0), one.total_seconds);
  t.equal((await world.us.get(`${path}/uptime?from=2026-02-30&to=${day}`)).status, 400);
  t.equal((await world.us.get(`${path}/uptime?from=2020-01-01&to=${day}`)).status, 400);
  t.equal((await world.us.get(`${path}/uptime`, { level: "GLOBAL_QUORUM" })).status, 400);
  t.equal((await world.us.get("/v1/pages/default/components/nowhere/uptime")).status, 404);
});

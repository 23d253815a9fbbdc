import t from "tap";
import { connect, type Socket } from "node:net";
import { COMPONENTS, created, ok } from "./workload.js";
import { settled, World } from "./world.js";

t.test("a region that is treated badly", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t, { settings: { rateLimit: { perKeyPerSecond: 300, perAddressPerSecond: 20_000 } } });
  const id = created(await world.us.post(COMPONENTS, { name: "before" }));
  const alive = async (what: string): Promise<void> => {
    await settled(`alive after ${what}`, async () => (await world.us.get(`${COMPONENTS}/${id}`)).status === 200 && (await world.us.get("/readyz", { key: null })).status === 200);
    t.pass(`alive after ${what}`);
  };

  await t.test("more requests than a key may make are answered 429 with Retry-After, and the region stays alive", async (t) => {
    const answers = await Promise.all(Array.from({ length: 1_500 }, () => world.us.get(COMPONENTS, { takesOverload: true })));
    const refused = answers.filter(({ status }) => status !== 200);
    t.ok(refused.length > 100, `${refused.length} refused`);
    t.ok(refused.every(({ status, headers }) => (status === 429 || status === 503) && Number(headers["retry-after"]) > 0), "each with Retry-After");
    t.ok(refused.some(({ status }) => status === 429));
    await alive("too many requests");
  });

  await t.test("a huge body is 413", async (t) => {
    await alive("nothing");
    const big = JSON.stringify({ name: "big", description: "x".repeat(2 * 1024 * 1024) });
    // The connection may be closed before the whole body was taken.
    const status = await world.us.call("POST", COMPONENTS, { raw: big }).then((answer) => answer.status, () => 413);
    t.equal(status, 413);
    await alive("a huge body");
  });

  await t.test("deep JSON, keys that reach prototypes, broken JSON and odd bytes are refused", async (t) => {
    const bodies: readonly (readonly [string, string, readonly number[]])[] = [
      ["deep", `{"name":${"[".repeat(5_000)}${"]".repeat(5_000)}}`, [400, 422]],
      ["__proto__", `{"name":"x","__proto__":{"role":"owner"}}`, [400, 422]],
      ["escaped __proto__", `{"name":"x","\\u005f_proto__":{"role":"owner"}}`, [400, 422]],
      ["constructor", `{"name":"x","constructor":{"prototype":{"role":"owner"}}}`, [400, 422]],
      ["broken", `{"name":"x"`, [400]],
      ["empty", "", [400]],
      ["a list", "[]", [400, 422]],
      ["a lone surrogate", `{"name":"\\ud800"}`, [201, 400, 422]],
    ];
    for (const [what, raw, statuses] of bodies) {
      const answer = await world.us.call("POST", COMPONENTS, { raw });
      t.ok(statuses.includes(answer.status), `${what}: ${answer.status}`);
      if (answer.status >= 400) t.match(answer.headers["content-type"], /problem\+json/);
    }
    const labels = await world.us.post("/v1/pages/default/incidents", { name: "names", labels: ["__proto__", "constructor"], components: {} });
    t.equal(labels.status, 201, "as values they are only text");
    await world.converged();
    for (const node of world.all) t.same((await node.get(`/v1/pages/default/incidents/${created(labels)}`)).body["labels"], ["__proto__", "constructor"].sort());
    await alive("hostile bodies");
  });

  await t.test("clients that send slowly, say nothing, or go away take nobody's place", async (t) => {
    const port = Number(world.us.http.split(":").at(-1));
    const sockets: Socket[] = [];
    for (let i = 0; i < 200; i++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => undefined);
      sockets.push(socket);
      if (i % 2 === 0) socket.write(`POST ${COMPONENTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n`);
    }
    const startedAt = performance.now();
    ok(await world.us.get(`${COMPONENTS}/${id}`));
    t.ok(performance.now() - startedAt < 2_000, "another client is served meanwhile");
    for (const socket of sockets) socket.resetAndDestroy();
    await alive("slow clients");
  });

  await t.test("many writers on many connections at once: all are answered, none with anything but 201, 429 or 503", async (t) => {
    const tally = new Map<number, number>();
    const ids: string[] = [];
    await Promise.all(Array.from({ length: 1_000 }, async (_, i) => {
      const answer = await world.us.post(COMPONENTS, { name: `flood ${i}` }, { takesOverload: true });
      tally.set(answer.status, (tally.get(answer.status) ?? 0) + 1);
      if (answer.status === 201) ids.push(created(answer));
      else if (!(Number(answer.headers["retry-after"]) > 0)) throw new Error(`no Retry-After: ${answer.status} ${answer.text}`);
    }));
    t.same([...tally.keys()].filter((status) => ![201, 429, 503].includes(status)), [], JSON.stringify([...tally]));
    t.ok(ids.length > 0);
    await alive("a flood");
    await world.converged();
    t.equal((await world.ap.get(`${COMPONENTS}/${ids.at(-1) ?? ""}`)).status, 200, "what was acknowledged is everywhere");
  });

  await t.test("garbage on the replication port disturbs nobody", async (t) => {
    for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u0000\u0001\u0002".repeat(1_000)]) {
      const socket = connect(world.us.meshPort, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.end(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    await world.voting();
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "after garbage" }, { level: "GLOBAL_QUORUM" }))}`;
    await settled("it is replicated", async () => (await world.ap.get(route)).status === 200);
    t.pass();
  });
});

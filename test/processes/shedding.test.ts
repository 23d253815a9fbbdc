/** A region whose event loop is late for seconds on end: the process is stopped again and again, as on a machine that has no time for it. */
import t from "tap";
import { apiLimits } from "../../src/api/api-limits.js";
import { RawClient, type RawAnswer } from "./raw-client.js";
import { COMPONENTS, created } from "./workload.js";
import { settled, World } from "./world.js";

const CYCLES_MAX = 12;

t.test("a region that gets no time sheds requests with Retry-After, says that it lives, and serves again once it has time", { timeout: 400_000 }, async (t) => {
  const world = await World.start(t);
  const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "before" }))}`;
  const body = JSON.stringify({ name: "while late" });
  let shed: RawAnswer | undefined;
  let health: RawAnswer | undefined;
  for (let cycle = 0; cycle < CYCLES_MAX && (shed?.status !== 503 || health === undefined); cycle++) {
    const [writer, probe] = [await RawClient.open(world.us.http), await RawClient.open(world.us.http)];
    // Each stop is longer than what counts as late, and the time between two is too short to make up for it.
    world.us.signal("SIGSTOP");
    writer.send(RawClient.head("POST", COMPONENTS, `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`) + body);
    probe.send(RawClient.head("GET", "/healthz"));
    await new Promise((resolve) => setTimeout(resolve, apiLimits.eventLoopDelayMsMax * 2.5));
    world.us.signal("SIGCONT");
    shed = await writer.answer(10_000);
    health = await probe.answer(10_000);
    writer.close();
    probe.close();
  }
  t.equal(shed?.status, 503, "a write is shed");
  t.match(shed?.headers, { "retry-after": /^[1-9]/, "content-type": /problem\+json/, region: "us-east" });
  t.match(JSON.parse(shed?.body ?? "{}"), { type: "/problems/overloaded" });
  t.equal(health?.status, 200, "whoever asks whether it lives is answered");
  await settled("it serves again", async () => (await world.us.get(route, { takesOverload: true })).status === 200, 30_000);
  t.equal((await world.us.post(COMPONENTS, { name: "after" })).status, 201);
  t.ok(world.us.runs);
});

import t from "tap";
import { isFault } from "../../src/core/errors.js";
import type { Message } from "../../src/core/messages.js";
import { Cluster, component, read, setting, write } from "./cluster.js";

t.test("a session waits in another region until that region holds what it has seen", async (t) => {
  await using cluster = new Cluster({ delayMs: 60 });
  await cluster.start();
  await cluster.voting();
  const eu = cluster.node("eu-west");
  const { token } = await write(cluster.node("us-east"), setting("api", { name: "API" }));
  t.equal(await read(eu, "api"), null, "without the token it is not there yet");
  t.same(await read(eu, "api", { level: "LOCAL", session: eu.parseToken(token) ?? {} }), { name: "API" });
  t.ok(token.length <= 512);
});

t.test("a session that cannot be caught up with is told so in time, for reads and writes", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  cluster.isolate("us-east-1");
  const eu = cluster.node("eu-west");
  const { token } = await write(cluster.node("us-east"), setting("api", { name: "API" }));
  const session = eu.parseToken(token) ?? {};
  const startedAt = performance.now();
  const unread = await eu.read({ documents: [component("api")], render: () => 1 }, { level: "LOCAL", session, sessionWaitMs: 150 });
  t.ok(isFault(unread) && unread.code === "session-behind" && unread.extra.outcome === undefined);
  t.ok(performance.now() - startedAt >= 140);
  const unwritten = await eu.commit(setting("web", {}), { level: "LOCAL", actor: "test", session, sessionWaitMs: 0 });
  t.ok(isFault(unwritten) && unwritten.code === "session-behind" && unwritten.extra.outcome === "rejected");
  t.equal(await read(eu, "web"), null);
  cluster.rejoin("us-east-1");
  t.same(await read(eu, "api", { level: "LOCAL", session, sessionWaitMs: 5_000 }), { name: "API" });
});

t.test("a replica that is closed answers everybody who waits", async (t) => {
  const asked = new Set<string>();
  let muted = false;
  const tamper = (from: string, _to: string, message: Message): Message | undefined => {
    if (!muted || message.$case !== "quorum") return message;
    if (from === "us-east-1" && message.value.body !== undefined) asked.add(message.value.body.$case);
    return undefined;
  };
  await using cluster = new Cluster({ tamper });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  muted = true;
  const session = { "eu-west-1.zzz": 5 };
  const waiting = [
    us.read({ documents: [], render: () => 1 }, { level: "LOCAL", session, sessionWaitMs: 30_000 }),
    us.commit(setting("api", {}), { level: "GLOBAL_QUORUM", actor: "test", quorumTimeoutMs: 30_000 }),
    us.read({ documents: [component("api")], render: () => 1 }, { level: "GLOBAL_QUORUM", quorumTimeoutMs: 30_000 }),
  ];
  await cluster.settled("both wait for votes", () => asked.has("propose") && asked.has("query"));
  await cluster.stop("us-east-1");
  for (const result of await Promise.all(waiting)) t.ok(isFault(result));
  const late = await us.commit(setting("api", {}), { level: "LOCAL", actor: "test" });
  t.ok(isFault(late) && late.extra.outcome === "rejected");
});

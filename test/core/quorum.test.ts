import t from "tap";
import { limits } from "../../src/core/limits.js";
import { counted, majorityOf, nextBallot, recover } from "../../src/core/quorum-ballots.js";
import type { Candidate } from "../../src/core/quorum-messages.js";
import { freshState, QuorumEngine, type Effect, type QuorumHost } from "../../src/core/quorum.js";
import type { Vector } from "../../src/core/vector.js";
import { FOREVER_MS, generator, World, type Envelope, type Finished, type WorldOptions } from "./quorum-world.js";

const DOCUMENT = "page/component/d";

function world(options: Partial<WorldOptions> = {}): { world: World; finished: Map<string, Finished> } {
  const made = new World({ replicas: 3, random: generator(1), ...options });
  const finished = new Map<string, Finished>();
  made.onFinished = (one) => finished.set(one.operation, one);
  return { world: made, finished };
}

function begun(options: Partial<WorldOptions> = {}): { world: World; finished: Map<string, Finished> } {
  const made = world(options);
  made.world.settle(() => made.world.replicas.every(({ engine }) => engine?.voting === true));
  return made;
}

function write(at: World, replica: number, operation: string, ifMatch?: readonly string[], deadline = FOREVER_MS): void {
  at.replicas[replica]?.step({ kind: "write", operation, document: DOCUMENT, deadline, ...(ifMatch === undefined ? {} : { ifMatch }) });
}

function read(at: World, replica: number, operation: string): void {
  at.replicas[replica]?.step({ kind: "read", operation, document: DOCUMENT, deadline: FOREVER_MS });
}

function candidate(proposer: string, n: number, incarnation = 1): Candidate {
  return { document: DOCUMENT, version: 1, operationIds: [`${n}`], proposer, base: {}, change: Uint8Array.of(n), incarnation };
}

t.test("ballots belong to one member and rise", (t) => {
  for (const members of [1, 3, 5]) {
    const owners = new Map<number, number>();
    for (let index = 0; index < members; index++) {
      let ballot = 0;
      for (let i = 0; i < 50; i++) {
        const next = nextBallot(ballot, members, index);
        t.ok(next > ballot && !owners.has(next));
        owners.set(next, index);
        ballot = next;
      }
    }
  }
  t.same([1, 2, 3, 4, 5].map(majorityOf), [1, 2, 2, 3, 3]);
  t.end();
});

t.test("a vote of an earlier life does not count once anybody knows of the later one", (t) => {
  const old = { incarnation: 1, incarnations: {}, rejoined: {} };
  t.same(counted(new Map([["a", old], ["b", { ...old, incarnations: { a: 2 } }]]), {}), ["b"]);
  t.same(counted(new Map([["a", old], ["b", old]]), { a: 2 }), ["b"]);
  t.end();
});

t.test("what may have been decided at ballot 0 is carried on, and nothing else", (t) => {
  const members = ["a", "b", "c"];
  const ofC = candidate("c", 1);
  const vote = { ballot: 0, candidate: ofC };
  t.equal(recover(members, new Map([["a", vote], ["b", null]]), {}).chosen, ofC, "c, not heard of, may have counted a");
  t.equal(recover(members, new Map([["a", vote], ["c", vote]]), {}).chosen, undefined, "c promised and counts no more");
  const ofA = candidate("a", 2);
  t.equal(recover(members, new Map([["a", { ballot: 0, candidate: ofA }], ["b", { ballot: 4, candidate: ofC }]]), {}).chosen, ofC, "a later ballot wins");
  t.equal(recover(members, new Map([["a", { ballot: 0, candidate: ofA }], ["b", null]]), {}).seen.length, 1);
  t.end();
});

t.test("what an earlier life of a member proposed does not hide what its later life voted for", (t) => {
  const members = ["a", "b", "c", "d", "e"];
  const earlier = candidate("c", 1, 1);
  const later = candidate("d", 2, 1);
  const promises = new Map([["a", { ballot: 0, candidate: earlier }], ["b", null], ["e", { ballot: 0, candidate: later }]]);
  t.equal(recover(members, promises, {}).chosen, undefined, "as long as c does not vote again, it cannot have voted for d's");
  t.equal(recover(members, promises, { c: 2 }).chosen, later, "since it votes again, it may have");
  t.equal(recover(members, promises, { c: 1 }).chosen, undefined, "the life that proposed is the present one");
  const again = candidate("c", 3, 2);
  t.equal(recover(members, new Map([["a", { ballot: 0, candidate: earlier }], ["b", null], ["e", { ballot: 0, candidate: again }]]), {}).chosen, again, "who proposes votes");
  t.end();
});

t.test("a write is decided, and read everywhere", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  world.settle();
  t.equal(finished.get("w1")?.outcome, "decided");
  for (const replica of [0, 1, 2]) {
    read(world, replica, `read-${replica}`);
    world.settle();
    t.equal(finished.get(`read-${replica}`)?.view?.values.get(DOCUMENT), "w1");
  }
  t.end();
});

t.test("waiting writes share the next version", (t) => {
  const { world, finished } = begun();
  for (let i = 0; i < 20; i++) write(world, 0, `w${i}`);
  world.settle();
  t.equal([...finished.values()].filter(({ outcome }) => outcome === "decided").length, 20);
  t.equal(world.replicas[0]?.version(DOCUMENT), 2);
  t.end();
});

t.test("of several conditional writes with one tag in three regions one succeeds", (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { world, finished } = begun({ random: generator(seed) });
    write(world, 0, "first");
    world.settle();
    for (const replica of [0, 1, 2]) for (const n of [1, 2]) write(world, replica, `swap-${replica}-${n}`, ["first"]);
    world.settle();
    const outcomes = [...finished.values()].filter(({ operation }) => operation.startsWith("swap")).map(({ outcome }) => outcome).sort();
    t.same(outcomes, ["decided", ...Array.from({ length: 5 }, () => "precondition")], `seed ${seed}`);
  }
  t.end();
});

t.test("a condition that fails on a stale replica is looked up before it is refused", (t) => {
  const { world, finished } = begun();
  write(world, 0, "first");
  // The third replica hears nothing of it until it asks.
  world.net = world.net.filter(({ to }) => to !== 2);
  world.settle(() => finished.has("first"));
  world.net = world.net.filter(({ to }) => to !== 2);
  t.equal(world.replicas[2]?.version(DOCUMENT), 0);
  write(world, 2, "swap", ["first"]);
  world.settle();
  t.equal(finished.get("swap")?.outcome, "decided");
  t.end();
});

t.test("a write that the plan refuses on a stale replica is looked up first too", (t) => {
  const { world, finished } = begun({ refuses: (operation, value) => operation.startsWith("update") && value === "" });
  write(world, 1, "update-early");
  world.settle();
  t.equal(finished.get("update-early")?.outcome, "refused");
  write(world, 0, "first");
  world.net = world.net.filter(({ to }) => to !== 2);
  world.settle(() => finished.has("first"));
  world.net = world.net.filter(({ to }) => to !== 2);
  write(world, 2, "update-late");
  world.settle();
  t.equal(finished.get("update-late")?.outcome, "decided");
  t.end();
});

/** A write of replica 0 has the vote of replica 1 and has not heard of it; then something comes in between. */
function halfProposed(at: World, operation: string, ifMatch: readonly string[] | undefined, between: () => void): void {
  write(at, 0, operation, ifMatch);
  for (const envelope of at.net.splice(0)) if (envelope.to === 1) at.replicas[1]?.deliver(envelope);
  at.net = [];
  between();
}

t.test("a conditional write that was proposed is not called refused while its candidate may yet be decided", (t) => {
  for (const isShown of [false, true]) {
    const { world, finished } = begun({ vectorTags: true });
    write(world, 0, "first");
    world.settle();
    halfProposed(world, "swap", [world.replicas[0]?.etag(DOCUMENT) ?? ""], () => {
      world.replicas[0]?.local(DOCUMENT, "a LOCAL write");
      if (isShown) read(world, 0, "look");
    });
    world.settle();
    t.equal(finished.get("swap")?.outcome, isShown ? "precondition" : "decided", isShown ? "what a quorum read has shown must be covered: another candidate closes the version" : "its candidate is carried on");
    t.equal(world.value("swap") !== undefined, !isShown);
    write(world, 1, "next");
    world.settle();
    t.equal(finished.get("next")?.outcome, "decided");
    t.equal(world.value("swap") !== undefined, !isShown, "nor later");
  }
  t.end();
});

t.test("a write that was proposed, and that the plan then refuses, is not called refused while its candidate may yet be decided", (t) => {
  for (const isShown of [false, true]) {
    let isTaken = false;
    const { world, finished } = begun({ refuses: (operation) => operation === "create" && isTaken });
    halfProposed(world, "create", undefined, () => {
      isTaken = true;
      world.replicas[0]?.local(DOCUMENT, "a LOCAL creation");
      if (isShown) read(world, 0, "look");
    });
    world.settle();
    t.equal(finished.get("create")?.outcome, isShown ? "refused" : "decided");
    t.equal(world.value("create") !== undefined, !isShown);
  }
  t.end();
});

t.test("a write that comes back from where it was handed over is not called refused while its first candidate may yet be decided", (t) => {
  let handed = 0;
  for (const [proposer, rival, voter] of [[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]] as const) {
    let isTaken = false;
    const { world, finished } = begun({ handover: true, refuses: (operation) => operation === "create" && isTaken });
    world.onHandover = (from, operation) => {
      if (from !== proposer || operation !== "create") return;
      handed++;
      world.replicas[rival]?.crash();
      isTaken = true;
    };
    write(world, proposer, "create");
    const proposals = world.net.splice(0);
    for (const envelope of proposals) if (envelope.to === voter) world.replicas[voter]?.deliver(envelope);
    write(world, rival, "other");
    world.net = [];
    for (const envelope of proposals) if (envelope.to === rival) world.replicas[rival]?.deliver(envelope);
    for (const envelope of world.net.splice(0)) if (envelope.to === proposer) world.replicas[proposer]?.deliver(envelope);
    if (!isTaken) continue;
    world.replicas[proposer]?.step({ kind: "write", operation: "create", document: DOCUMENT, deadline: FOREVER_MS, forwarded: true });
    world.settle();
    read(world, voter, "look");
    world.settle();
    t.not(finished.get("look"), undefined);
    t.equal(finished.get("create")?.outcome === "decided", world.value("create") !== undefined, `${proposer} before ${rival}: ${finished.get("create")?.outcome}`);
  }
  t.ok(handed > 0, "it was handed over");
  t.end();
});

t.test("an operation that the chain holds is done, and takes effect once", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  world.settle();
  world.replicas[1]?.follow(world.replicas[0]?.disk.vector ?? {});
  finished.clear();
  write(world, 1, "w1");
  t.equal(finished.get("w1")?.outcome, "decided");
  t.equal(world.replicas[1]?.version(DOCUMENT), 1);
  t.end();
});

t.test("a crashed proposer's version is settled by the next writer, at most once", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  for (const envelope of world.net.splice(0)) world.replicas[envelope.to]?.deliver(envelope);
  world.replicas[0]?.crash();
  world.net = [];
  write(world, 1, "w2");
  world.settle(() => finished.has("w2"));
  t.equal(finished.get("w2")?.outcome, "decided");
  t.equal(world.value("w1")?.version, 1, "both others had voted for it, so it may have been decided");
  world.replicas[0]?.start();
  read(world, 0, "read");
  world.settle();
  t.equal(finished.get("read")?.view?.values.get(DOCUMENT), "w2");
  t.end();
});

t.test("a write whose time is over is unknown if it was proposed, and rejected if it was not", (t) => {
  const { world, finished } = begun();
  write(world, 0, "proposed", undefined, 100);
  write(world, 0, "queued", undefined, 100);
  world.net = [];
  const replica = world.replicas[0];
  if (replica !== undefined) replica.now = 100;
  replica?.step({ kind: "tick" });
  t.equal(finished.get("proposed")?.outcome, "unknown");
  t.equal(finished.get("queued")?.outcome, "rejected");
  world.settle();
  write(world, 1, "later");
  world.settle();
  t.equal(world.value("queued"), undefined);
  t.end();
});

t.test("without a majority for long, operations fail at once, and go on when it is back", (t) => {
  const { world, finished } = begun();
  const replica = world.replicas[0];
  for (const peer of ["r1", "r2"]) replica?.step({ kind: "peer", replica: peer, up: false });
  write(world, 0, "proposed");
  read(world, 0, "read");
  world.net = [];
  if (replica !== undefined) replica.now += limits.majorityLostMs;
  replica?.step({ kind: "tick" });
  t.equal(finished.get("proposed")?.outcome, "unknown");
  t.equal(finished.get("read")?.outcome, "unavailable");
  write(world, 0, "late");
  t.equal(finished.get("late")?.outcome, "rejected");
  replica?.step({ kind: "peer", replica: "r1", up: true });
  write(world, 0, "again");
  world.settle();
  t.equal(finished.get("again")?.outcome, "decided");
  t.end();
});

t.test("a link that comes back carries what was lost with it", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  world.net = [];
  world.replicas[0]?.step({ kind: "peer", replica: "r1", up: false });
  world.replicas[0]?.step({ kind: "peer", replica: "r1", up: true });
  t.ok(world.net.some(({ to, message }) => to === 1 && message?.body?.$case === "propose"));
  world.settle(() => finished.has("w1"));
  t.equal(finished.get("w1")?.outcome, "decided");
  t.end();
});

t.test("a request whose base is not held waits for the stream", (t) => {
  const { world, finished } = begun();
  world.replicas[0]?.local(DOCUMENT, "local");
  write(world, 0, "w1");
  for (const envelope of world.net.splice(0)) world.replicas[envelope.to]?.deliver({ ...envelope, vector: {} });
  t.equal(world.replicas[1]?.engine?.load.held, 1);
  t.notOk(finished.has("w1"));
  world.replicas[1]?.follow(world.replicas[0]?.disk.vector ?? {});
  t.equal(world.replicas[1]?.engine?.load.held, 0);
  world.settle();
  t.equal(finished.get("w1")?.outcome, "decided");
  t.end();
});

t.test("requests that wait are bounded", (t) => {
  const { world } = begun();
  world.replicas[0]?.local(DOCUMENT, "local");
  for (let i = 0; i < limits.quorumMessagesHeld + 50; i++) read(world, 0, `read-${i}`);
  for (const envelope of world.net.splice(0)) if (envelope.to === 1) world.replicas[1]?.deliver({ ...envelope, vector: {} });
  t.equal(world.replicas[1]?.engine?.load.held, limits.quorumMessagesHeld);
  t.end();
});

t.test("operations are bounded", (t) => {
  const { world, finished } = begun();
  for (let i = 0; i <= limits.quorumOperationsMax; i++) {
    read(world, 0, `read-${i}`);
    world.net = [];
  }
  t.equal(finished.get(`read-${limits.quorumOperationsMax}`)?.outcome, "unavailable");
  t.end();
});

t.test("a list sees every write that was acknowledged before it began", (t) => {
  const { world, finished } = begun();
  for (const name of ["a", "b"]) {
    world.replicas[0]?.step({ kind: "write", operation: name, document: `page/component/${name}`, deadline: FOREVER_MS });
    world.settle(() => finished.has(name));
    world.net = world.net.filter(({ to }) => to !== 2);
  }
  world.replicas[2]?.step({ kind: "list", operation: "list", scope: "page/component", deadline: FOREVER_MS });
  world.settle();
  t.equal(finished.get("list")?.outcome, "listed");
  t.same([...(finished.get("list")?.view?.values ?? [])].sort(), [["page/component/a", "a"], ["page/component/b", "b"]]);
  t.end();
});

t.test("a cluster of empty disks begins to vote with a majority", (t) => {
  const { world, finished } = world3Virgin();
  world.replicas[2]?.crash();
  world.settle(() => world.replicas[0]?.engine?.voting === true && world.replicas[1]?.engine?.voting === true);
  write(world, 0, "w1");
  world.settle(() => finished.has("w1"));
  t.equal(finished.get("w1")?.outcome, "decided");
  world.replicas[2]?.start();
  world.settle(() => world.replicas[2]?.engine?.voting === true);
  t.equal(world.replicas[2]?.engine?.voting, true, "the third joins by the ordinary rule");
  t.equal(world.replicas[2]?.version(DOCUMENT), 1);
  t.end();
});

function world3Virgin(): { world: World; finished: Map<string, Finished> } {
  return world({ virgin: true });
}

t.test("an emptied disk does not vote before a majority of the others has told it all", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  world.settle();
  const emptied = world.replicas[1];
  if (emptied === undefined) throw new Error("no replica");
  emptied.crash();
  world.empty(emptied);
  world.replicas[2]?.crash();
  emptied.start();
  for (let i = 0; i < 50; i++) world.settle(undefined, 20);
  t.equal(emptied.engine?.voting, false, "one answer is not enough");
  write(world, 0, "w2");
  world.settle(undefined, 200);
  t.notOk(finished.has("w2"));
  world.replicas[2]?.start();
  world.settle(() => emptied.engine?.voting === true && finished.has("w2"));
  t.equal(emptied.engine?.voting, true);
  t.equal(finished.get("w2")?.outcome, "decided");
  t.end();
});

t.test("an emptied disk that is always behind what the others have told last comes to vote all the same", (t) => {
  const { world } = begun();
  const [writer, emptied, third] = world.replicas;
  if (writer === undefined || emptied === undefined || third === undefined) throw new Error("no replica");
  emptied.crash();
  world.empty(emptied);
  emptied.start();
  const held: Vector[] = [{}, {}, {}];
  for (let round = 0; round < 10 && emptied.engine?.voting !== true; round++) {
    // What one region writes reaches the third at once, and the emptied one three questions later.
    writer.local("page/component/busy", `w${round}`);
    third.follow(writer.disk.vector);
    held.push({ ...writer.disk.vector });
    const arrived = held.shift() ?? {};
    for (let envelope = world.net.shift(); envelope !== undefined; envelope = world.net.shift()) {
      world.replicas[envelope.to]?.deliver(envelope.to === emptied.index ? { ...envelope, vector: arrived } : envelope);
    }
    emptied.tick();
  }
  t.equal(emptied.engine?.voting, true);
  t.end();
});

t.test("two voters whose disks are emptied one after the other do not wait for each other", (t) => {
  const { world, finished } = begun();
  write(world, 0, "w1");
  world.settle();
  const [first, second, third] = world.replicas;
  if (first === undefined || second === undefined || third === undefined) throw new Error("no replica");
  // The third proposes; the first votes, and its answer is under way.
  second.crash();
  write(world, 2, "w2");
  const isVoted = ({ to, message }: Envelope): boolean => to === 2 && message?.body?.$case === "voted";
  world.settle(() => world.net.some(isVoted));
  const voted = world.net.filter(isVoted);
  world.net = [];
  world.empty(second);
  second.start();
  const isPrepare = ({ from, message }: Envelope): boolean => from === 1 && message?.body?.$case === "prepare";
  world.settle(() => world.net.some(isPrepare));
  t.ok(world.net.some(isPrepare), "both told the second, and it settles what is open");
  for (const envelope of voted) third.deliver(envelope);
  t.equal(finished.get("w2")?.outcome, "decided");
  t.equal(first.version(DOCUMENT), 1, "of the decision the first has its vote only");
  third.crash();
  world.net = world.net.filter(({ from, to }) => from !== 2 && to !== 2);
  world.empty(third);
  third.start();
  world.settle(() => world.replicas.every(({ engine }) => engine?.voting === true));
  t.same(world.replicas.map(({ engine }) => engine?.voting), [true, true, true]);
  world.settle();
  write(world, 1, "w3");
  world.settle(() => finished.has("w3"));
  t.equal(finished.get("w3")?.outcome, "decided");
  world.settle();
  t.same(world.replicas.map((replica) => replica.hasOperation(DOCUMENT, "w2")), [true, true, true], "the vote that was left carried the decision on");
  t.end();
});

t.test("five regions: what a region proposed before it lost its disk does not hide a decision that it voted for afterwards", (t) => {
  const { world, finished } = begun({ replicas: 5 });
  const [a, b, c, d, e] = world.replicas;
  if (a === undefined || b === undefined || c === undefined || d === undefined || e === undefined) throw new Error("no replica");
  let cut = (_envelope: Envelope): boolean => false;
  const until = (done: () => boolean): void => world.settle(() => {
    world.net = world.net.filter((envelope) => !cut(envelope));
    return done();
  });
  // Only a hears of what c proposes, and nobody of a's vote. Then a is cut off.
  cut = ({ from, to }) => (from === 2 && to !== 0) || to === 2;
  write(world, 2, "old");
  until(() => a.disk.slots.size > 0);
  t.equal(a.disk.slots.get(DOCUMENT)?.vote?.candidate.proposer, "r2");
  world.net = [];
  c.crash();
  world.empty(c);
  cut = ({ from, to }) => from === 0 || to === 0;
  c.start();
  until(() => c.engine?.voting === true);
  t.equal(c.engine?.voting, true, "the others told c");
  // d decides with e and c; nobody else hears of it, and both are gone.
  cut = ({ from, to, message }) => from === 0 || to === 0 || to === 1 || (from === 3 && message?.body?.$case !== "propose");
  write(world, 3, "new");
  until(() => finished.has("new"));
  t.equal(finished.get("new")?.outcome, "decided");
  world.net = [];
  c.crash();
  d.crash();
  cut = () => false;
  write(world, 0, "last");
  until(() => finished.has("last"));
  t.equal(finished.get("last")?.outcome, "decided");
  until(() => false);
  for (const replica of [a, b, e]) t.ok(replica.hasOperation(DOCUMENT, "new"), "the decision stands");
  t.end();
});

t.test("a disk put back from an old copy is found out by a peer and does not vote", (t) => {
  const { world } = begun();
  const replica = world.replicas[1];
  if (replica === undefined) throw new Error("no replica");
  const copy = structuredClone(replica.disk);
  write(world, 0, "w1");
  world.settle();
  t.ok(replica.disk.position > copy.position, "it has voted since");
  replica.crash();
  replica.disk = copy;
  t.throws(() => {
    replica.start();
    world.settle();
  }, /in doubt/);
  t.end();
});

t.test("a single region decides alone", (t) => {
  const { world, finished } = begun({ replicas: 1 });
  write(world, 0, "w1");
  read(world, 0, "read");
  world.replicas[0]?.step({ kind: "list", operation: "list", scope: "page/component", deadline: FOREVER_MS });
  t.equal(finished.get("w1")?.outcome, "decided");
  t.equal(finished.get("read")?.view?.values.get(DOCUMENT), "w1");
  t.equal(finished.get("list")?.outcome, "listed");
  t.end();
});

t.test("seven regions decide without ballot 0", (t) => {
  const { world, finished } = begun({ replicas: 7 });
  write(world, 3, "w1");
  t.notOk(world.net.some(({ message }) => message?.body?.$case === "propose"));
  world.settle(() => finished.has("w1"));
  t.equal(finished.get("w1")?.outcome, "decided");
  t.end();
});

t.test("a replica that is no voter takes no operation and casts no vote", (t) => {
  const host: QuorumHost = {
    version: () => 0, vector: () => ({}), etag: () => "", hasOperation: () => false, replicaVector: () => ({}), scopeDecided: () => ({}), roundTripMs: () => 1,
  };
  const engine = new QuorumEngine(host, {
    replica: "edge", voters: ["r0", "r1", "r2"], incarnation: 1, instance: "e", random: () => 0.5, limits, state: freshState("edge", 1, true), slots: [], position: 0,
  });
  const effects: Effect[] = engine.step({ kind: "write", operation: "w", document: DOCUMENT, deadline: 1_000 }, 0);
  t.same(effects.map((effect) => effect.kind === "failed" && effect.cause), ["not-a-voter"]);
  const message = { operation: "x", incarnation: 1, incarnations: {}, rejoined: {}, position: 0, body: { $case: "prepare", value: { document: DOCUMENT, version: 1, ballot: 4 } } } as const;
  t.same(engine.step({ kind: "message", from: "r0", message }, 0), []);
  t.end();
});

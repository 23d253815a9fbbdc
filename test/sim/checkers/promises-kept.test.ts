/** Durability, regions, repetitions and what is excused: histories by hand, good ones and lies. */
import t from "tap";
import { encodeHlc } from "../../../src/core/hlc.js";
import { durability } from "../../../src/sim/checkers/durability.js";
import { idempotency } from "../../../src/sim/checkers/idempotency.js";
import { lostWrites } from "../../../src/sim/checkers/lost-writes.js";
import { quorumOrder } from "../../../src/sim/checkers/quorum-order.js";
import { regionOrder } from "../../../src/sim/checkers/region-order.js";
import { sessions } from "../../../src/sim/checkers/sessions.js";
import type { FinalObservation, History, RecordedEntry } from "../../../src/sim/history.js";
import type { Checker } from "../../../src/sim/verdict.js";
import { HandRecorder, SUBJECT, verdictOf, type Part } from "./recorder.js";

const kindOf = (checker: Checker, recorder: HandRecorder, rest: Partial<History> = {}): string => verdictOf(checker, recorder.history(rest)).kind;
const token = (seq: number) => ({ text: `t${seq}`, vector: { "us-east.1": seq } });
const atRegion = (part: Part = {}): Part => ({ level: "LOCAL_QUORUM", ...part });
const begun = (): HandRecorder => new HandRecorder().create(0, 1, "a", { tokenOut: token(1), session: "s" });

function finalWith(entries: readonly Partial<RecordedEntry>[]): FinalObservation[] {
  const history = entries.map((entry, place): RecordedEntry => ({
    hlc: encodeHlc(100 - place, 0, "000000000001"), at: "", region: "us-east", replica: "us-east", actor: "key", field: "name", from: null, to: "a", ...entry,
  }));
  return [{ replica: "us-east", region: "us-east", observedAtMs: 1_000, documents: [{ resource: SUBJECT, sight: { found: true, fields: { name: String(history[0]?.to) } }, history }] }];
}

t.test("durability: what a replica tells is on its disk", async (t) => {
  const claim = { replica: "us-east", atMs: 5, to: "eu-west", in: "an acknowledgement", of: "eu-west.1", told: 4, onDisk: 3 };
  t.equal(kindOf(durability, begun(), { claims: { compared: 10, beyondDisk: [] } }), "ok");
  t.match(verdictOf(durability, begun().history({ claims: { compared: 10, beyondDisk: [claim] } })), { kind: "violation", violations: [{ happened: /us-east told eu-west of 4 of eu-west\.1 in an acknowledgement at 5 ms, when its disk held 3/ }] });
  t.match(verdictOf(durability, begun().history()), { kind: "ok", checked: 0 }, "who cannot look at disks has looked at nothing");
});

t.test("region-order: what a region's majority acknowledged, later reads at its majority show", async (t) => {
  const wrote = (part: Part = {}): HandRecorder => begun().write(2, 3, "b", atRegion({ tokenIn: token(1), ...part }));
  t.equal(kindOf(regionOrder, wrote().read(4, 5, "b", atRegion())), "ok");
  t.match(verdictOf(regionOrder, wrote().read(4, 5, "a", atRegion({ replica: "us-east-2" })).history()), { kind: "violation", violations: [{ operations: [2, 3] }] });
  t.equal(kindOf(regionOrder, wrote().list(4, 5, { one: "a" }, atRegion())), "violation", "lists, too");
  t.equal(kindOf(regionOrder, wrote().read(4, 5, "a", atRegion({ region: "eu-west", replica: "eu-west" }))), "ok", "another region is promised nothing");
  t.equal(kindOf(regionOrder, wrote().read(2, 5, "a", atRegion())), "ok", "nor who asked before the answer");
  t.equal(kindOf(regionOrder, wrote().read(4, 5, "a", { level: "LOCAL" })), "ok", "nor who reads at LOCAL");
  t.equal(kindOf(regionOrder, wrote({ level: "LOCAL" }).read(4, 5, "a", atRegion())), "ok", "a LOCAL write is in one replica");
  t.equal(kindOf(regionOrder, begun().read(2, 3, "b", atRegion()).write(2, 4, "b", { level: "LOCAL", tokenIn: token(1) }).read(5, 6, "a", atRegion())), "ok", "and so may be what a read showed");
  const faults = [{ kind: "disk-emptied" as const, targets: ["us-east"], fromMs: 3.5 }];
  t.equal(kindOf(regionOrder, wrote().read(4, 5, "a", atRegion()), { faults }), "ok", "a region that lost a disk has to learn again");
});

t.test("quorum-order: what a session knows of a resource, its quorum operations on others do not tell", async (t) => {
  const other = { subject: { ...SUBJECT, id: "two" }, tokenIn: token(2), tokenOut: token(3), session: "s" };
  const knew = (part: Part): HandRecorder => begun()
    .write(2, 3, "b", { level: "LOCAL", tokenIn: token(1), tokenOut: token(2), session: "s" })
    .read(4, 5, "x", part);
  t.equal(kindOf(quorumOrder, knew(other).read(6, 7, "a", { replica: "eu-west" })), "ok");
  t.equal(kindOf(quorumOrder, knew({ ...other, subject: SUBJECT, returned: { sight: { found: true, fields: { name: "b" } } } }).read(6, 7, "a", { replica: "eu-west" })), "violation");
});

t.test("idempotency: who brings the token of the first answer gets that answer", async (t) => {
  const asked = (part: Part): HandRecorder => begun()
    .write(2, 3, "b", { idempotencyKey: "k", session: "s", tokenIn: token(1), tokenOut: token(2), level: "LOCAL" })
    .write(4, 5, "b", { idempotencyKey: "k", session: "s", level: "LOCAL", ...part });
  t.equal(kindOf(idempotency, asked({ tokenIn: token(2), replayed: true })), "ok");
  t.match(verdictOf(idempotency, asked({ tokenIn: token(2) }).history()), { kind: "violation", violations: [{ promised: "A repetition gets the first answer.", operations: [2, 3] }] });
  t.equal(kindOf(idempotency, asked({ tokenIn: token(1), replica: "eu-west" })), "ok", "an older token may meet a replica that does not know");
});

t.test("idempotency: without a quorum one replica makes one change of a repeated write", async (t) => {
  const asked = (replica: string): HandRecorder => begun()
    .write(2, null, "b", { idempotencyKey: "k", level: "LOCAL" })
    .write(4, 5, "b", { idempotencyKey: "k", level: "LOCAL", replica });
  t.equal(kindOf(idempotency, asked("us-east"), { final: finalWith([{ to: "b" }, { to: "a" }]) }), "ok");
  t.equal(kindOf(idempotency, asked("us-east"), { final: finalWith([{ to: "b" }, { to: "c" }, { to: "b" }, { to: "a" }]) }), "violation");
  t.equal(kindOf(idempotency, asked("eu-west"), { final: finalWith([{ to: "b", replica: "eu-west" }, { to: "b" }, { to: "a" }]) }), "ok", "two replicas make two, which merge");
  const faults = [{ kind: "disk-restored" as const, targets: ["us-east"], fromMs: 3, untilMs: 4 }];
  t.equal(kindOf(idempotency, asked("us-east"), { faults, final: finalWith([{ to: "b" }, { to: "b" }, { to: "a" }]) }), "ok", "one that lost its disk may make it anew");
});

t.test("sessions: a write that two replicas made without a quorum may come back after one of the two was replaced", async (t) => {
  const twice = (replica: string): HandRecorder => begun()
    .write(2, 3, "b", { idempotencyKey: "k", level: "LOCAL", tokenIn: token(1), tokenOut: token(2), session: "s" })
    .write(2, 4, "b", { idempotencyKey: "k", level: "LOCAL", tokenIn: token(1), replica })
    .write(5, 6, "c", { level: "LOCAL", tokenIn: token(2), tokenOut: token(3), session: "s" })
    .read(7, 8, "b", { level: "LOCAL", tokenIn: token(3), session: "s" });
  t.equal(kindOf(sessions, twice("eu-west")), "ok");
  t.equal(kindOf(sessions, twice("us-east")), "violation");
});

t.test("sessions: what two sessions saw under one token, both know, and a token that is used twice stands for the same both times", async (t) => {
  const shared = (): HandRecorder => begun()
    .write(2, 3, "b", { level: "LOCAL", tokenIn: token(1), tokenOut: token(2), session: "s" })
    .read(4, 5, "b", { level: "LOCAL", tokenOut: token(2), session: "r" })
    .read(6, 7, "b", { level: "LOCAL", tokenIn: token(2), tokenOut: token(3), session: "s" });
  t.equal(kindOf(sessions, shared().read(8, 9, "b", { level: "LOCAL", tokenIn: token(2), session: "r" })), "ok");
  t.equal(kindOf(sessions, shared().read(8, 9, "a", { level: "LOCAL", tokenIn: token(2), session: "r" })), "violation");
  t.equal(kindOf(sessions, shared().read(8, 9, "a", { level: "LOCAL", tokenIn: token(3), session: "s" })), "violation");
});

t.test("lost-writes: a LOCAL write is excused only if nobody else held it when its replica lost the disk", async (t) => {
  const wrote = (): HandRecorder => begun().write(2, 3, "b", { level: "LOCAL", tokenIn: token(1), tokenOut: token(2) });
  const final = finalWith([{ to: "a", field: "created" }, { to: "a" }]);
  const lost = (held?: Record<string, number>) => ({ final, faults: [{ kind: "disk-emptied" as const, targets: ["us-east"], fromMs: 5, ...(held === undefined ? {} : { held }) }] });
  t.equal(kindOf(lostWrites, wrote(), { final }), "violation");
  t.equal(kindOf(lostWrites, wrote(), lost({ "us-east.1": 1 })), "ok");
  t.equal(kindOf(lostWrites, wrote(), lost({ "us-east.1": 2 })), "violation", "somebody held it");
  t.equal(kindOf(lostWrites, wrote(), lost()), "ok", "where nobody could look it may have been lost");
});

import t from "tap";
import { encodeHlc } from "../../../src/core/hlc.js";
import { checkAll, tellReport } from "../../../src/sim/check-all.js";
import { bounds } from "../../../src/sim/checkers/bounds.js";
import { clocks } from "../../../src/sim/checkers/clocks.js";
import { compareAndSet } from "../../../src/sim/checkers/compare-and-set.js";
import { conflictsListed } from "../../../src/sim/checkers/conflicts.js";
import { convergence } from "../../../src/sim/checkers/convergence.js";
import { effects } from "../../../src/sim/checkers/effects.js";
import { idempotency } from "../../../src/sim/checkers/idempotency.js";
import { levels } from "../../../src/sim/checkers/levels.js";
import { lostWrites } from "../../../src/sim/checkers/lost-writes.js";
import { projections } from "../../../src/sim/checkers/projections.js";
import { quorumOrder } from "../../../src/sim/checkers/quorum-order.js";
import { resurrection } from "../../../src/sim/checkers/resurrection.js";
import { sessions } from "../../../src/sim/checkers/sessions.js";
import { validateHistory } from "../../../src/sim/history-file.js";
import type { Conflict, FinalDocument, FaultKind, FinalObservation, History, RecordedEntry } from "../../../src/sim/history.js";
import type { Checker } from "../../../src/sim/verdict.js";
import { HandRecorder, historyOf, SUBJECT, verdictOf, type Part } from "./recorder.js";

const local = (part: Part = {}): Part => ({ level: "LOCAL", ...part });
const token = (text: string) => ({ text });
const begun = (): HandRecorder => new HandRecorder().create(0, 1, "a", { tokenOut: token("t0"), session: "s" });
const kindOf = (checker: Checker, recorder: HandRecorder, rest: Partial<History> = {}): string => verdictOf(checker, recorder.history(rest)).kind;
const hlc = (ms: number, node = 1): string => encodeHlc(ms, 0, node.toString(16).padStart(12, "0"));

function entry(field: string, to: RecordedEntry["to"], ms: number, rest: Partial<RecordedEntry> = {}): RecordedEntry {
  return { hlc: hlc(ms), at: new Date(ms).toISOString(), region: "us-east", replica: "us-east", actor: "key", field, from: null, to, ...rest };
}

function finalOf(document: Partial<FinalDocument>, rest: Partial<FinalObservation> = {}): FinalObservation {
  return { replica: "us-east", region: "us-east", observedAtMs: 1_000, documents: [{ resource: SUBJECT, sight: { found: true, fields: { name: "a" } }, ...document }], ...rest };
}

t.test("sessions: a session that moves to another region reads its own writes", async (t) => {
  const wrote = (): HandRecorder => begun().write(2, 3, "b", local({ session: "s", tokenIn: token("t0"), tokenOut: token("t1") }));
  t.equal(kindOf(sessions, wrote().read(4, 5, "b", local({ session: "s", replica: "eu-west", tokenIn: token("t1") }))), "ok");
  const lie = verdictOf(sessions, wrote().read(4, 5, "a", local({ session: "s", replica: "eu-west", tokenIn: token("t1") })).history());
  t.match(lie, { kind: "violation", violations: [{ promised: /^Read your writes/, operations: [2, 3] }] });
  t.equal(kindOf(sessions, wrote().read(4, 5, "a", local({ replica: "eu-west" }))), "ok", "who has no token is promised nothing");
  t.equal(kindOf(sessions, wrote().read(4, 5, null, local({ session: "s", tokenIn: token("t1") }))), "violation", "nor is it gone");
  t.equal(kindOf(sessions, wrote().add("list", 4, 5, local({ tokenIn: token("t1"), returned: { list: { items: [], complete: true } } }))), "violation", "nor missing in a list");
});

t.test("sessions: what was read once is not read older again, and concurrent values may take turns", async (t) => {
  const read = (): HandRecorder => begun().write(2, 3, "b", local({ tokenIn: token("t0") })).read(4, 5, "b", local({ session: "r", tokenOut: token("r1") }));
  t.match(verdictOf(sessions, read().read(6, 7, "a", local({ session: "r", tokenIn: token("r1") })).history()), { kind: "violation", violations: [{ promised: /^Monotonic reads/ }] });
  t.equal(kindOf(sessions, read().write(2, 3, "c", local()).read(6, 7, "c", local({ session: "r", tokenIn: token("r1") }))), "ok");
});

t.test("sessions: a write comes after what its session had read and written, for everybody", async (t) => {
  const follows = (session: string): HandRecorder => begun()
    .add("post-update", 2, 3, local({ session: "s", tokenIn: token("t0"), tokenOut: token("t1"), written: { added: { updates: ["first"] } } }))
    .add("post-update", 4, 5, local({ session, tokenIn: token("t1"), written: { added: { updates: ["second"] } } }));
  const sees = (updates: readonly string[]) => ["read", 6, 7, local({ replica: "eu-west", returned: { sight: { found: true, sets: { updates } } } })] as const;
  t.equal(kindOf(sessions, follows("s").add(...sees(["second", "first"]))), "ok");
  t.match(verdictOf(sessions, follows("s").add(...sees(["second"])).history()), { kind: "violation", violations: [{ promised: /^Writes follow reads|^Monotonic writes/ }] });
  t.equal(kindOf(sessions, follows("other").add(...sees(["second"]))), "violation");
  t.equal(kindOf(sessions, follows("other").add(...sees([]))), "ok");
});

t.test("sessions: of a LOCAL write whose volume went back as a whole nobody is owed more than he saw before", async (t) => {
  const fault = (kind: FaultKind): Partial<History> => ({ faults: [{ kind, targets: ["us-east"], fromMs: 2, untilMs: 6 }] });
  const wrote = (part: Part = {}): HandRecorder => begun().write(3, 4, "b", { session: "s", tokenIn: token("t0"), tokenOut: token("t1"), ...part });
  const read = (recorder: HandRecorder, fromMs: number, kind: FaultKind): string => kindOf(sessions, recorder.read(fromMs, fromMs + 1, "a", local({ session: "s", replica: "eu-west", tokenIn: token("t1") })), fault(kind));
  t.equal(read(wrote(local()), 7, "volume-restored"), "ok", "its number may stand for another write by now");
  t.equal(read(wrote(local()), 4.5, "volume-restored"), "violation", "not yet");
  t.equal(read(wrote(local()), 7, "disk-restored"), "violation", "a copy of the folder begins another life, and its numbers are not given again");
  t.equal(read(wrote(local()), 7, "disk-truncated"), "violation", "nor are those of a store that lost its end");
  t.equal(read(wrote(local({ replica: "ap-south" })), 7, "volume-restored"), "violation", "another replica's write");
  t.equal(read(wrote(), 7, "volume-restored"), "violation", "a majority holds what was decided");
});

t.test("sessions: a token forgets nothing but logs that are over", async (t) => {
  const answered = (vector: Readonly<Record<string, number>>): HandRecorder => begun().read(2, 3, "a", local({ tokenIn: { text: "x", vector: { "us-east.1": 5 } }, tokenOut: { text: "y", vector } }));
  t.equal(kindOf(sessions, answered({ "us-east.1": 5, "eu-west.1": 2 })), "ok");
  t.equal(kindOf(sessions, answered({ "us-east.2": 1 })), "ok");
  t.equal(kindOf(sessions, answered({ "us-east.1": 4 })), "violation");
  t.equal(kindOf(sessions, answered({ "eu-west.1": 9 })), "violation");
  const ending = (vector: Readonly<Record<string, number>>) => ({ final: [{ replica: "eu-west", region: "eu-west", observedAtMs: 9, documents: [], vector }] });
  t.equal(kindOf(sessions, answered({ "eu-west.1": 9 }), ending({ "us-east.1": 5, "us-east.2": 1 })), "ok", "its owner writes to another one, of which the replica held nothing yet");
  t.equal(kindOf(sessions, answered({ "eu-west.1": 9 }), ending({ "us-east.1": 5 })), "violation");
});

t.test("quorum order: with LOCAL writes about, what a quorum read showed is shown later, and a quorum write replaces it", async (t) => {
  const mixed = (): HandRecorder => begun().write(2, 3, "here", local()).read(4, 5, "here");
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").read(8, 9, "b")), "ok");
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").read(8, 9, "here")), "violation");
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").write(6, 8, "there", local()).read(9, 10, "there")), "ok");
  t.equal(kindOf(quorumOrder, mixed().remove(6, 7).read(8, 9, "here")), "violation");
  t.equal(kindOf(quorumOrder, mixed().read(8, 9, null)), "violation");
  const decided = (first: number, second: number): readonly FinalObservation[] => [finalOf({
    history: [entry("name", "c", 20, { dot: { origin: "~", seq: second } }), entry("name", "b", 10, { dot: { origin: "~", seq: first } })],
  })];
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").write(8, 9, "c"), { final: decided(2, 3) }), "ok");
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").write(8, 9, "c"), { final: decided(3, 2) }), "violation");
  t.equal(kindOf(quorumOrder, mixed().write(6, 7, "b").write(8, 9, "c"), { final: decided(2, 2) }), "violation");
});

t.test("lost writes: what was acknowledged is shown, or in the history, or was replaced", async (t) => {
  const wrote = (): HandRecorder => begun().write(2, 3, "b", local());
  const created = entry("created", true, 1);
  t.equal(kindOf(lostWrites, wrote(), { final: [finalOf({ history: [entry("name", "b", 3), entry("name", "a", 1), created], sight: { found: true, fields: { name: "b" } } })] }), "ok");
  t.equal(kindOf(lostWrites, wrote(), { final: [finalOf({ history: [entry("name", "a", 1), created] })] }), "violation");
  t.equal(kindOf(lostWrites, begun().write(2, 3, "b"), { final: [finalOf({})] }), "violation", "without a history: nothing can have replaced it");
  t.equal(kindOf(lostWrites, begun().write(2, 3, "b").write(4, null, "a"), { final: [finalOf({})] }), "ok");
  t.equal(kindOf(lostWrites, begun(), { final: [finalOf({ sight: { found: false } })] }), "violation", "gone, and nobody deleted it");
  t.equal(kindOf(lostWrites, begun(), { final: [finalOf({ documents: undefined } as never, { documents: [] })] }), "undecided", "nobody looked");
});

t.test("lost writes: updates and labels are all kept, and what was refused is nowhere", async (t) => {
  const posted = (): HandRecorder => begun().add("post-update", 2, 3, local({ written: { added: { updates: ["x"] } } })).add("add-label", 2, 3, local({ written: { added: { labels: ["l"] } } }));
  const shows = (updates: readonly string[], labels: readonly string[]) => ({ final: [finalOf({ sight: { found: true, fields: { name: "a" }, sets: { updates, labels } } })] });
  t.equal(kindOf(lostWrites, posted(), shows(["x"], ["l"])), "ok");
  t.equal(kindOf(lostWrites, posted(), shows([], ["l"])), "violation");
  t.equal(kindOf(lostWrites, posted(), shows(["x"], [])), "violation");
  t.equal(kindOf(lostWrites, posted().add("remove-label", 4, 5, local({ written: { removed: { labels: ["l"] } } })), shows(["x"], [])), "ok");
  const rejected = begun().write(2, 3, "b", { outcome: "rejected", status: 503 });
  t.equal(kindOf(lostWrites, rejected, { final: [finalOf({})] }), "ok");
  t.equal(kindOf(lostWrites, rejected, { final: [finalOf({ history: [entry("name", "b", 3), entry("name", "a", 1), entry("created", true, 1)] })] }), "violation");
});

t.test("convergence: views, tags, roots and vectors are equal in time", async (t) => {
  const eu = { replica: "eu-west", region: "eu-west" };
  const equal = (a: Partial<FinalObservation>, b: Partial<FinalObservation>, rest: Partial<History> = {}): string => kindOf(convergence, begun(), { healedAtMs: 100, convergedAtMs: 500, final: [finalOf({}, { observedAtMs: 40_000, ...a }), finalOf({}, { observedAtMs: 40_000, ...eu, ...b })], ...rest });
  const view = (sight: FinalDocument["sight"]) => ({ documents: [{ resource: SUBJECT, sight }] });
  t.equal(equal({ vector: { "a.1": 1 }, merkleRoot: "r" }, { vector: { "a.1": 1 }, merkleRoot: "r" }), "ok");
  t.equal(equal({ vector: { "a.1": 1 } }, { vector: { "a.1": 2 } }), "violation");
  t.equal(equal({ merkleRoot: "r" }, { merkleRoot: "q" }), "violation");
  t.equal(equal(view({ found: true, etag: "1" }), view({ found: true, etag: "2" })), "violation");
  t.equal(equal({}, view({ found: true, fields: { name: "b" } })), "violation");
  t.equal(equal({}, { documents: [] }), "violation");
  t.equal(equal({}, {}, { convergedAtMs: 39_000 }), "violation", "too late");
  t.equal(equal({ observedAtMs: 200 }, { observedAtMs: 200, documents: [] }), "undecided", "looked at before the time was over");
});

t.test("resurrection: what was deleted does not come back", async (t) => {
  const deleted = (): HandRecorder => begun().remove(2, 3, local());
  t.equal(kindOf(resurrection, deleted().read(4, 5, null, local()).read(4, 5, "a", local({ replica: "eu-west" }))), "ok", "elsewhere it may be known later");
  t.equal(kindOf(resurrection, deleted().read(4, 5, "a", local())), "violation");
  t.equal(kindOf(resurrection, deleted(), { final: [finalOf({})] }), "violation");
  t.equal(kindOf(resurrection, deleted(), { final: [finalOf({ sight: { found: false } }, { lists: { "default/component": ["one"] } })] }), "violation");
  t.equal(kindOf(resurrection, deleted().create(6, 7, "again", local())), "violation");
  const emptied = { faults: [{ kind: "disk-emptied" as const, targets: ["us-east"], fromMs: 3 }] };
  t.equal(kindOf(resurrection, deleted().read(4, 5, "a", local()), emptied), "ok", "an emptied replica learns it again");
});

t.test("compare-and-set: one success per ETag, and one state per ETag", async (t) => {
  t.equal(kindOf(compareAndSet, begun().swap(2, 9, "A", "b").swap(2, 9, "A", "c", { outcome: "precondition", status: 412 })), "ok");
  t.equal(kindOf(compareAndSet, begun().swap(2, 9, "A", "b").swap(2, 9, "A", "c")), "violation");
  t.equal(kindOf(compareAndSet, begun().swap(2, 3, "A", "b", local()).swap(4, 5, "A", "c", local())), "violation");
  t.equal(kindOf(compareAndSet, begun().swap(2, 3, "A", "b", local()).swap(4, 5, "A", "c", local({ replica: "eu-west" }))), "ok", "at LOCAL in two regions both may");
  const restored = (replica: string, untilMs: number): Partial<History> => ({ faults: [{ kind: "disk-restored", targets: [replica], fromMs: 1, untilMs }] });
  const twice = (): HandRecorder => begun().swap(2, 3, "A", "b", local()).swap(4, 5, "A", "c", local());
  t.equal(kindOf(compareAndSet, twice(), restored("us-east", 3.5)), "ok", "a replica that was put back in between knows of the first no more");
  t.equal(kindOf(compareAndSet, twice(), restored("us-east", 5.5)), "violation", "one that was put back later does");
  t.equal(kindOf(compareAndSet, twice(), restored("eu-west", 3.5)), "violation", "and so does one beside it");
  const atQuorum = begun().swap(2, 3, "A", "b").swap(4, 5, "A", "c");
  t.equal(kindOf(compareAndSet, atQuorum, restored("us-east", 3.5)), "violation", "what a quorum decided nobody forgets");
  t.equal(kindOf(compareAndSet, begun().read(2, 3, "a", {}, "A").write(4, 5, "b").read(6, 7, "b", {}, "A")), "violation");
});

t.test("idempotency: one key makes one resource, one answer and one effect", async (t) => {
  const key = { idempotencyKey: "k" };
  const made = (id: string, part: Part = {}): Part => ({ ...key, subject: { ...SUBJECT, id }, ...part });
  t.equal(kindOf(idempotency, new HandRecorder().create(0, 5, "a", made("one")).create(1, 6, "a", made("one", { replica: "eu-west" }))), "ok");
  t.equal(kindOf(idempotency, new HandRecorder().create(0, 5, "a", made("one")).create(1, 6, "a", made("two", { replica: "eu-west" }))), "violation");
  t.equal(kindOf(idempotency, begun().write(2, 3, "b", key).write(4, 5, "c", key)), "violation", "another body");
  t.equal(kindOf(idempotency, begun().write(2, 3, "b", key).write(4, 5, "b", { ...key, outcome: "precondition", status: 412 })), "violation");
  t.equal(kindOf(idempotency, begun().write(2, 3, "b", key).write(4, 5, "b", { ...key, replayed: true })), "ok");
  t.equal(kindOf(idempotency, begun().write(2, 3, "b"), { final: [finalOf({ history: [entry("name", "b", 5), entry("name", "b", 3)] })] }), "violation", "took effect twice");
  t.equal(kindOf(idempotency, begun().add("read", 2, 3, { returned: { sight: { found: true, sets: { updates: ["x", "x"] } } } })), "violation");
});

const conflict = (values: readonly (readonly [value: string, ms: number])[], shown: string, field = "name"): Conflict => ({ field, rule: "siblings", shown, values: values.map(([value, ms]) => ({ value, hlc: hlc(ms), region: "us-east", actor: "key" })) });

t.test("conflicts: by what the authors saw, concurrent values are listed and the rule's value is shown", async (t) => {
  const dot = (origin: string, seq: number, context: Readonly<Record<string, number>>) => ({ dot: { origin, seq }, context });
  const rivals = [entry("name", "c", 30, dot("eu.1", 1, { "us.1": 1 })), entry("name", "b", 20, dot("us.1", 2, { "us.1": 1 })), entry("name", "a", 10, dot("us.1", 1, {}))];
  const found = (name: string, conflicts: readonly Conflict[], history = rivals, type = "component", field = "name"): string =>
    kindOf(conflictsListed, begun(), { final: [finalOf({ resource: { ...SUBJECT, type }, sight: { found: true, fields: { [field]: name }, hasConflicts: conflicts.length > 0 }, conflicts, history })] });
  t.equal(found("c", [conflict([["c", 30], ["b", 20]], "c")]), "ok");
  t.equal(found("b", [conflict([["c", 30], ["b", 20]], "b")]), "violation", "the earlier one is shown");
  t.equal(found("c", []), "violation", "not listed");
  t.equal(found("c", [conflict([["c", 30], ["b", 20], ["a", 10]], "c")]), "violation", "what was replaced is listed");
  const resolved = [entry("name", "d", 40, dot("us.1", 3, { "us.1": 2, "eu.1": 1 })), ...rivals];
  t.equal(found("d", [], resolved), "ok");
  t.equal(found("d", [conflict([["c", 30], ["b", 20]], "c")], resolved), "violation", "resolved, and still listed");
  const statuses = rivals.map((made) => ({ ...made, field: "status", to: made.to === "b" ? "major_outage" : made.to === "c" ? "partial_outage" : "operational" }));
  const both = conflict([["partial_outage", 30], ["major_outage", 20]], "major_outage", "status");
  t.equal(found("major_outage", [both], statuses, "component", "status"), "ok");
  t.equal(found("partial_outage", [{ ...both, shown: "partial_outage" }], statuses, "component", "status"), "violation", "not the worst");
  const reopened = [entry("status", "resolved", 30, { ...dot("eu.1", 1, { "us.1": 1 }), from: "resolved" }), entry("status", "identified", 20, { ...dot("us.1", 2, { "us.1": 1 }), from: "resolved" }), entry("status", "resolved", 10, dot("us.1", 1, {}))];
  const open = conflict([["resolved", 30], ["identified", 20]], "identified", "status");
  t.equal(found("identified", [open], reopened, "incident", "status"), "ok");
  t.equal(found("resolved", [{ ...open, shown: "resolved" }], reopened, "incident", "status"), "violation", "a resolve beats a reopening");
});

t.test("conflicts: a creation that was repeated elsewhere takes back no edit, and is listed only where it says something else", async (t) => {
  const dot = (origin: string, seq: number, context: Readonly<Record<string, number>>) => ({ dot: { origin, seq }, context });
  const created = (name: string, ms: number, origin: string) => [entry("name", name, ms, dot(origin, 1, {})), entry("created", true, ms, dot(origin, 1, {}))];
  const edit = entry("name", "b", 20, { ...dot("us.1", 2, { "us.1": 1 }), from: "a" });
  const history = (repeated: string): RecordedEntry[] => [...created(repeated, 30, "eu.1"), edit, ...created("a", 10, "us.1")];
  const found = (name: string, conflicts: readonly Conflict[], entries: readonly RecordedEntry[]): string =>
    kindOf(conflictsListed, begun(), { final: [finalOf({ sight: { found: true, fields: { name }, hasConflicts: conflicts.length > 0 }, conflicts, history: entries })] });
  t.equal(found("b", [], history("a")), "ok");
  t.equal(found("a", [], history("a")), "violation", "the edit is taken back");
  t.equal(found("b", [conflict([["a", 30], ["b", 20]], "b")], history("a")), "violation", "its author had seen just that");
  t.equal(found("b", [conflict([["c", 30], ["b", 20]], "b")], history("c")), "ok", "another body under the same id");
  t.equal(found("c", [conflict([["c", 30], ["b", 20]], "c")], history("c")), "violation");
  const told = history("a").map(({ dot: _dot, context: _context, ...rest }) => rest);
  t.equal(found("b", [], told), "ok");
  t.equal(found("a", [], told), "violation", "also where nobody says what the authors saw");
});

t.test("conflicts: without that, two writes over the same value are known to be concurrent", async (t) => {
  const history = [entry("name", "c", 30, { from: "a" }), entry("name", "b", 20, { from: "a" }), entry("name", "a", 10)];
  const found = (conflicts: readonly Conflict[], entries = history): string => kindOf(conflictsListed, begun(), { final: [finalOf({ sight: { found: true, fields: { name: "c" } }, conflicts, history: entries })] });
  t.equal(found([conflict([["c", 30], ["b", 20]], "c")]), "ok");
  t.equal(found([]), "violation");
  t.equal(found([], [entry("name", "d", 40, { from: "c" }), ...history]), "ok", "a later write may have resolved it");
  const settled = [entry("name", "c", 30, { from: "a" }), entry("name", "a", 25, { from: "a" }), entry("name", "b", 20, { from: "a" }), entry("name", "a", 10)];
  t.equal(found([], settled), "ok", "who settled it wrote a value that was there before: the latest may have replaced that one, and known the other");
});

t.test("clocks: stamps only go forward", async (t) => {
  const stamps = (...ms: readonly number[]) => ({ stamps: ms.map((at, place) => ({ replica: "us-east", incarnation: 1, atMs: place, hlc: hlc(at) })) });
  t.equal(kindOf(clocks, begun(), stamps(10, 10, 20)), "ok");
  t.equal(kindOf(clocks, begun(), stamps(10, 20, 15)), "violation");
  const wrote = (): HandRecorder => begun().write(2, 3, "b", local()).write(4, 5, "c", local());
  const held = (b: number, c: number, rest: Partial<RecordedEntry> = {}) => ({ final: [finalOf({ history: [entry("name", "c", c, rest), entry("name", "b", b)] })] });
  t.equal(kindOf(clocks, wrote(), held(20, 30)), "ok");
  t.equal(kindOf(clocks, wrote(), held(20, 19)), "violation");
  t.equal(kindOf(clocks, wrote(), held(20, 30, { replica: "eu-west" })), "violation", "two replicas stamp with one name");
});

t.test("projections, bounds, effects and levels", async (t) => {
  const projected = (kept: string) => ({ projections: [{ replica: "us-east", projection: "uptime", kept: { day: kept }, rebuilt: { day: "x" } }] });
  t.equal(kindOf(projections, begun(), projected("x")), "ok");
  t.equal(kindOf(projections, begun(), projected("y")), "violation");
  const compared = (kept: RecordedEntry["to"], rebuilt: RecordedEntry["to"]) => ({ projections: [{ replica: "us-east", projection: "uptime", kept, rebuilt }] });
  t.equal(kindOf(projections, begun(), compared({ a: 1, b: 2 }, { b: 2, a: 1 })), "ok", "the order of members says nothing");
  t.equal(kindOf(projections, begun(), compared([1, 2], [2, 1])), "violation", "the order of a list does");
  t.equal(kindOf(projections, begun(), compared({ a: 1 }, { a: 1, b: 2 })), "violation", "a day is missing");
  const sample = (value: number) => ({ samples: [{ replica: "us-east", atMs: 1, name: "pendingEntriesBytes", value, limit: 10 }] });
  t.equal(kindOf(bounds, begun(), sample(10)), "ok");
  t.equal(kindOf(bounds, begun(), sample(11)), "violation");
  t.equal(kindOf(bounds, begun(), { samples: [...sample(1).samples, { replica: "eu-west", atMs: 2, name: "pendingEntriesBytes", value: 12, limit: 10 }] }), "violation");
  const often = verdictOf(bounds, begun().history({ samples: [11, 25, 12].map((value, atMs) => ({ replica: "us-east", atMs, name: "waitingWrites", value, limit: 10 })) }));
  t.match(often, { kind: "violation", violations: [{ happened: /it was 25 at 1 ms, and over its limit in 3 of 3/ }] });
  const sent = (...copies: readonly (readonly [key: string, content: string])[]) => ({ effects: { expected: [{ key: "k", because: "it was resolved" }], delivered: copies.map(([key, content]) => ({ key, content, replica: "us-east", atMs: 1 })) } });
  t.equal(kindOf(effects, begun(), sent(["k", "x"], ["k", "x"])), "ok");
  t.equal(kindOf(effects, begun(), sent()), "violation");
  t.equal(kindOf(effects, begun(), sent(["k", "x"], ["k", "y"])), "violation");
  t.equal(kindOf(effects, begun(), sent(["k", "x"], ["other", "x"])), "violation");
  t.equal(kindOf(levels, begun().read(2, 3, "a", { servedLevel: "GLOBAL_QUORUM" })), "ok");
  t.equal(kindOf(levels, begun().read(2, 3, "a", { servedLevel: "LOCAL" })), "violation");
  t.equal(kindOf(levels, begun().write(2, 3, "b", { level: "LOCAL_QUORUM", servedLevel: "LOCAL" })), "violation");
  t.equal(kindOf(levels, begun().list(2, 3, {}, { servedLevel: "LOCAL_QUORUM" })), "violation");
});

t.test("a history file that is no history says where and why", async (t) => {
  const history = begun().history();
  t.same(validateHistory(JSON.parse(JSON.stringify(history))), history);
  t.match(validateHistory({ ...history, format: 2 }), [{ pointer: "/format" }]);
  t.match(validateHistory({ ...history, operations: [...history.operations, ...history.operations] }), [{ pointer: "/operations/1/id", message: "is there twice" }]);
  t.match(validateHistory({ ...history, operations: history.operations.map(({ returnedAtMs, ...operation }) => operation) }), [{ pointer: "/operations/0/returnedAtMs" }]);
});

t.test("the report says what was promised and what happened", async (t) => {
  const report = checkAll(begun().write(2, 3, "b").read(4, 5, "a").history());
  t.equal(report.verdict, "violation");
  t.match(tellReport(report), /promised: GLOBAL_QUORUM operations[\s\S]*happened: No order explains[\s\S]*#3 read of default\/component\/one/);
  t.equal(checkAll(historyOf([])).verdict, "ok");
});

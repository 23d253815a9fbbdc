import t from "tap";
import { linearizability } from "../../../src/sim/checkers/linearizability.js";
import { HandRecorder, verdictOf, type Part } from "./recorder.js";

const begun = (): HandRecorder => new HandRecorder().create(0, 1, "a", { returned: { sight: { found: true, etag: "A", fields: { name: "a" } } } });
const kindOf = (recorder: HandRecorder): string => verdictOf(linearizability, recorder.history()).kind;

t.test("a read that sees an older value than an earlier read is found out", async (t) => {
  t.equal(kindOf(begun().write(2, 20, "b").read(3, 5, "b").read(6, 7, "b")), "ok");
  t.equal(kindOf(begun().write(2, 20, "b").read(3, 5, "b").read(6, 7, "a")), "violation");
});

t.test("a read must see a write that was acknowledged before it, and may see one that is under way", async (t) => {
  t.equal(kindOf(begun().write(2, 5, "b").read(6, 7, "a")), "violation");
  t.equal(kindOf(begun().write(2, 8, "b").read(6, 7, "a")), "ok");
  t.equal(kindOf(begun().write(2, 8, "b").read(6, 7, "b")), "ok");
});

t.test("a value that nobody wrote, or whose write was rejected, is a violation", async (t) => {
  t.equal(kindOf(begun().read(2, 3, "z")), "violation");
  t.equal(kindOf(begun().write(2, 3, "b", { outcome: "rejected", status: 503 }).read(4, 5, "b")), "violation");
  t.equal(kindOf(begun().write(2, 3, "b", { outcome: "unknown", status: 503 }).read(4, 5, "b")), "ok");
});

t.test("two compare-and-sets from the same ETag cannot both succeed", async (t) => {
  t.equal(kindOf(begun().swap(2, 20, "A", "b").swap(3, 20, "A", "c")), "violation");
  t.equal(kindOf(begun().swap(2, 20, "A", "b").swap(3, 20, "A", "c", { outcome: "precondition", status: 412 })), "ok");
  t.equal(kindOf(begun().write(2, 4, "b").swap(5, 20, "A", "c")), "violation");
});

t.test("a compare-and-set is refused only where something changed", async (t) => {
  t.equal(kindOf(begun().swap(2, 3, "A", "b", { outcome: "precondition", status: 412 })), "violation");
  t.equal(kindOf(begun().write(1.5, null, "c").swap(2, 3, "A", "b", { outcome: "precondition", status: 412 })), "ok");
  t.equal(kindOf(begun().swap(2, 3, "A", "b", { outcome: "precondition", status: 412 }).write(4, null, "c")), "violation");
});

t.test("a write of unknown outcome may take effect late or never, but not go away again", async (t) => {
  t.equal(kindOf(begun().write(2, null, "b").read(5, 6, "a").read(700, 800, "b")), "ok");
  t.equal(kindOf(begun().write(2, null, "b").read(5, 6, "a").read(700, 800, "a")), "ok");
  t.equal(kindOf(begun().write(2, null, "b").read(5, 6, "b").read(700, 800, "a")), "violation");
});

t.test("what was deleted stays away, and is not away before it was deleted", async (t) => {
  t.equal(kindOf(begun().remove(2, 3).read(4, 5, null).write(6, 7, "b", { outcome: "refused", status: 404 })), "ok");
  t.equal(kindOf(begun().remove(2, 3).read(4, 5, "a")), "violation");
  t.equal(kindOf(begun().read(4, 5, null)), "violation");
  t.equal(kindOf(begun().remove(2, null).read(4, 5, null).read(6, 7, "a")), "violation");
  t.equal(kindOf(begun().write(2, 3, "b", { outcome: "refused", status: 404 }).read(6, 7, "a")), "violation");
  t.equal(kindOf(new HandRecorder().read(0, 1, null).create(2, 9, "a").read(3, 4, "a").read(5, 6, "a")), "ok");
});

t.test("a refusal that is given again tells of what was when it was first given", async (t) => {
  const refused = { outcome: "refused", status: 404 } as const;
  const asked = (again: Part): HandRecorder => new HandRecorder().write(0, 1, "b", refused).create(2, 3, "a").write(4, 5, "b", again).read(6, 7, "a");
  t.equal(kindOf(asked({ ...refused, replayed: true })), "ok");
  t.equal(kindOf(asked(refused)), "violation");
});

t.test("an ETag names one state", async (t) => {
  t.equal(kindOf(begun().read(2, 3, "a", {}, "A").write(4, 5, "b").read(6, 7, "b", {}, "B")), "ok");
  t.equal(kindOf(begun().read(2, 3, "a", {}, "A").write(4, 5, "b").read(6, 7, "b", {}, "A")), "violation");
  t.equal(kindOf(begun().read(2, 3, "a", {}, "other")), "violation");
  t.equal(kindOf(begun().read(2, 3, "a", {}, "A.borrowed")), "ok");
});

t.test("elements of sets are kept until someone removes them", async (t) => {
  const sets = (fromMs: number, labels: readonly string[]) => ["read", fromMs, fromMs + 1, { returned: { sight: { found: true, sets: { labels } } } }] as const;
  const label = (fromMs: number, element: string) => ["add-label", fromMs, fromMs + 1, { written: { added: { labels: [element] } } }] as const;
  const unlabel = (fromMs: number, element: string) => ["remove-label", fromMs, fromMs + 1, { written: { removed: { labels: [element] } } }] as const;
  t.equal(kindOf(begun().add(...label(2, "x")).add(...label(4, "y")).add(...sets(6, ["y", "x"]))), "ok");
  t.equal(kindOf(begun().add(...label(2, "x")).add(...label(4, "y")).add(...sets(6, ["y"]))), "violation");
  t.equal(kindOf(begun().add(...label(2, "x")).add(...unlabel(4, "x")).add(...sets(6, []))), "ok");
  t.equal(kindOf(begun().add(...label(2, "x")).add(...unlabel(4, "x")).add(...sets(6, ["x"]))), "violation");
});

t.test("requests with one Idempotency-Key take effect once", async (t) => {
  const key = { idempotencyKey: "k" };
  t.equal(kindOf(begun().write(2, null, "b", key).write(4, 5, "b", { ...key, replayed: true }).read(6, 7, "b")), "ok");
  t.equal(kindOf(begun().write(2, 3, "b", key).write(3.5, 4, "c").write(5, 6, "b", { ...key, replayed: true }).read(7, 8, "c")), "ok");
  t.equal(kindOf(begun().write(2, 3, "b", key).write(3.5, 4, "c").write(5, 6, "b", { ...key, replayed: true }).read(7, 8, "b")), "violation");
});

t.test("a resource that is also written at LOCAL is no register", async (t) => {
  const verdict = verdictOf(linearizability, begun().write(2, 3, "b", { level: "LOCAL" }).read(4, 5, "a").history());
  t.same(verdict, { kind: "ok", checked: 0 });
});

t.test("a search that does not end within its bound is undecided, never ok", async (t) => {
  const recorder = begun();
  for (let i = 0; i < 9; i++) recorder.write(2, 100, `w${i}`);
  recorder.read(101, 102, "z");
  t.equal(verdictOf(linearizability, recorder.history(), { statesMax: 500 }).kind, "undecided");
  t.equal(verdictOf(linearizability, recorder.history(), { statesMax: 100_000 }).kind, "violation");
});

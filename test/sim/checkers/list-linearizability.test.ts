import t from "tap";
import { listLinearizability } from "../../../src/sim/checkers/list-linearizability.js";
import { HandRecorder, SUBJECT, verdictOf } from "./recorder.js";

const two = { subject: { ...SUBJECT, id: "two" } };
const begun = (): HandRecorder => new HandRecorder().create(0, 1, "a").create(0, 1, "x", two);
const kindOf = (recorder: HandRecorder): string => verdictOf(listLinearizability, recorder.history()).kind;

t.test("a list shows what was written before it, everywhere", async (t) => {
  t.equal(kindOf(begun().list(2, 3, { one: "a", two: "x" })), "ok");
  t.equal(kindOf(begun().list(2, 3, { one: "a" })), "violation", "one is missing");
  t.equal(kindOf(begun().write(2, 3, "b").list(4, 5, { one: "a", two: "x" })), "violation", "one is old");
  t.equal(kindOf(begun().remove(2, 3).list(4, 5, { one: "a", two: "x" })), "violation", "one was deleted");
  t.equal(kindOf(begun().list(2, 3, { one: "a", two: "x", three: "z" })), "ok", "others may have been there before the run");
});

t.test("a list does not show a later write without an earlier one to another resource", async (t) => {
  const writes = (): HandRecorder => begun().write(2, 9, "b").write(10, 20, "y", two);
  t.equal(kindOf(writes().list(3, 25, { one: "a", two: "x" })), "ok");
  t.equal(kindOf(writes().list(3, 25, { one: "b", two: "x" })), "ok");
  t.equal(kindOf(writes().list(3, 25, { one: "a", two: "y" })), "violation");
});

t.test("two lists see two concurrent writes in one order, and a list agrees with reads", async (t) => {
  const writes = (): HandRecorder => begun().write(2, 50, "b").write(2, 50, "y", two);
  t.equal(kindOf(writes().list(3, 5, { one: "b", two: "x" }).list(6, 8, { one: "b", two: "y" })), "ok");
  t.equal(kindOf(writes().list(3, 15, { one: "b", two: "x" }).list(3, 15, { one: "a", two: "y" })), "violation");
  t.equal(kindOf(writes().read(3, 5, "b").list(6, 8, { one: "a", two: "x" })), "violation");
  t.equal(kindOf(writes().list(3, 5, { one: "b", two: "x" }).read(6, 8, "a")), "violation");
});

t.test("what was deleted or created at an unknown time is in a list or not, but not there and back", async (t) => {
  t.equal(kindOf(begun().remove(2, null).list(3, 4, { two: "x" }).list(5, 6, { two: "x" })), "ok");
  t.equal(kindOf(begun().remove(2, null).list(3, 4, { two: "x" }).list(5, 6, { one: "a", two: "x" })), "violation");
  const third = { subject: { ...SUBJECT, id: "three" } };
  const unnamed = { subject: { page: "default", type: "component" } };
  t.equal(kindOf(begun().create(2, null, "z", unnamed).list(3, 4, { one: "a", two: "x" }).list(5, 6, { one: "a", two: "x", three: "z" })), "ok");
  t.equal(kindOf(begun().create(2, null, "z", unnamed).list(3, 4, { one: "a", two: "x", three: "z" }).list(5, 6, { one: "a", two: "x" })), "violation");
  t.equal(kindOf(begun().create(2, 3, "z", third).list(4, 5, { one: "a", two: "x" })), "violation");
});

t.test("resources that are written at LOCAL, and lists that took several requests, are left out", async (t) => {
  t.equal(kindOf(begun().write(2, 3, "b", { level: "LOCAL" }).list(4, 5, { one: "a", two: "x" })), "ok");
  const partial = { returned: { list: { items: [], complete: false } } };
  t.same(verdictOf(listLinearizability, begun().add("list", 2, 3, partial).history()), { kind: "ok", checked: 0 });
});

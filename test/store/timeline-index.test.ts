/** The index of a timeline says what the document says, whatever was written to it in between, and by whom. */
import fc from "fast-check";
import { createHash } from "node:crypto";
import t from "tap";
import { encodeChange, type Json, type Operation } from "../../src/core/change.js";
import { DocumentState, encodeSection } from "../../src/core/document.js";
import { encodeHlc, hlcTime } from "../../src/core/hlc.js";
import { copyVector, type Vector } from "../../src/core/vector.js";
import { COMPONENT_STATUSES, type PageRules } from "../../src/store/conflicts.js";
import { DocumentReader } from "../../src/store/document-reader.js";
import { affectedBy } from "../../src/store/timeline.js";
import { readTimelineAhead, timelineOf } from "../../src/store/timeline-index.js";

const KEY = "default/incident/one";
const NODE = "0".repeat(12);

/** By the document alone, all of it looked at. */
function expectedOf(document: DocumentReader): { made: string[]; shown: string[]; worst: string | undefined } {
  const made = document.sections().reverse();
  const at = ({ id, born }: { id: string; born: { hlc: string } }) => String(document.value("display_at", id) ?? hlcTime(born.hlc));
  const shown = [...made].sort((a, b) => (at(a) < at(b) ? 1 : at(a) > at(b) ? -1 : 0));
  const places = made.flatMap(({ id }) => affectedBy(document, id).filter(({ restored }) => restored !== true).map(({ new_status }) => (COMPONENT_STATUSES as readonly string[]).indexOf(new_status)));
  return { made: made.map(({ id }) => `${id} ${document.text("status", id)}`), shown: shown.map(({ id }) => id), worst: COMPONENT_STATUSES[Math.max(-1, ...places)] };
}

const ids = fc.constantFrom(...Array.from({ length: 12 }, (_none, n) => `u${n}`));
const set = (field: string, values: fc.Arbitrary<Json>) => fc.record({ op: fc.constant("set" as const), section: ids, field: fc.constant(field), value: values, was: fc.constant(null) });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant("create" as const), section: ids }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("delete" as const), section: ids }) },
  { weight: 3, arbitrary: set("status", fc.constantFrom<Json>("investigating", "monitoring", "resolved", null)) },
  { weight: 2, arbitrary: set("display_at", fc.constantFrom<Json>("2026-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z", "1999-01-01T00:00:00.000Z", null)) },
  { weight: 3, arbitrary: set("affected", fc.array(fc.record({ id: fc.constant("c"), name: fc.constant("C"), old_status: fc.constant("operational"), new_status: fc.constantFrom(...COMPONENT_STATUSES) }).chain((one) => fc.constantFrom<Json>(one, { ...one, restored: true })), { maxLength: 2 })) },
);
type Step = { readonly operations: readonly Operation[]; readonly origin: number; readonly isBlind: boolean; readonly next: "read" | "ahead" | "pack" | "nothing" };
const steps: fc.Arbitrary<Step[]> = fc.array(fc.record({ operations: fc.array(operation, { minLength: 1, maxLength: 90 }), origin: fc.nat(1), isBlind: fc.boolean(), next: fc.constantFrom("read" as const, "ahead" as const, "pack" as const, "nothing" as const) }), { minLength: 1, maxLength: 25 });

t.test("whatever is written, the index is what a reading of the whole document gives", async (t) => {
  const seed = Number(process.env["TIMELINE_SEED"] ?? Date.now() % 1_000_000);
  t.comment(`seed ${seed}`);
  fc.assert(fc.property(steps, (all) => {
    const state = new DocumentState(KEY);
    // What the page has chosen changes, too.
    let rules: PageRules | undefined;
    const document = new DocumentReader(state, () => rules);
    const ms = Date.UTC(2026, 5, 1);
    let before: Vector = {};
    all.forEach(({ operations, origin: nth, isBlind, next }, at) => {
      const origin = nth === 0 ? "us-east-1.1" : "eu-west-1.1";
      // Blind: it has not seen what the other origin wrote last.
      const context = { ...(isBlind ? before : state.vector), [origin]: state.vector[origin] ?? 0 };
      before = copyVector(state.vector);
      const stamp = { hlc: encodeHlc(ms + (at >> 1), at, NODE), region: "us-east", replica: "us-east-1", actor: "a" };
      const change = { document: KEY, ...stamp, context: copyVector(context), operations: at === 0 ? [{ op: "create" as const, section: "" }, ...operations] : operations };
      state.apply(change, { origin, seq: (state.vector[origin] ?? 0) + 1 }, createHash("sha256").update(encodeChange(change)).digest());
      if (next === "pack") for (const [id, section] of [...state.sections]) if (id !== "") state.sections.pack(id, Buffer.from(encodeSection(section)));
      if (next === "ahead") readTimelineAhead(document, 3);
      if (next !== "read" && at !== all.length - 1) return;
      rules = rules === undefined ? new Map([["incident.status", "custom:earliest"]]) : undefined;
      const index = timelineOf(document);
      const expected = expectedOf(document);
      const found = { made: [...index.newestFirst()].map(({ id, status }) => `${id} ${status}`), shown: [...(index.shown(1_000) ?? [])], worst: index.worstStated };
      if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`);
      if (index.count !== expected.made.length) throw new Error("the count");
      for (const id of expected.shown) if (JSON.stringify(index.shown(2, id)) !== JSON.stringify(expected.shown.slice(expected.shown.indexOf(id) + 1).slice(0, 2))) throw new Error(`what follows ${id}`);
      if (index.shown(1, "nothing") !== undefined) throw new Error("what follows nothing");
    });
  }), { seed, numRuns: 300 });
});

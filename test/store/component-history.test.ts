/** Status over time: what it is made of, and that it is the same however the changes came. */
import fc from "fast-check";
import { test } from "tap";
import type { Operation } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { daysOf, type DayUptime } from "../../src/store/component-history.js";
import { StatusFold, type Transition } from "../../src/store/status-fold.js";
import type { DocumentChange } from "../../src/store/data-plane.js";

const KEY = "default/component/api";
const NODES: Readonly<Record<string, string>> = { us: "000000000001", eu: "000000000002", ap: "000000000003" };
const set = (value: string): Operation => ({ op: "set", section: "", field: "status", value, was: null });

function change(region: string, seq: number, ms: number, context: Readonly<Record<string, number>>, ...operations: Operation[]): DocumentChange {
  return {
    dot: { origin: `${region}-1.1`, seq },
    change: { document: KEY, hlc: encodeHlc(ms, 0, NODES[region] ?? ""), region, replica: `${region}-1`, actor: "system", context, operations },
  };
}

const transitionsOf = (changes: readonly DocumentChange[]): readonly Transition[] => StatusFold.of(changes).transitions;
const at = (text: string) => Date.parse(text);
const sum = (day: DayUptime | undefined) => Object.values(day?.seconds ?? {}).reduce((total, seconds) => total + seconds, 0);

test("a component's day has the seconds of each status, and none from before it was there or after now", async (t) => {
  const changes = [
    change("us", 1, at("2026-03-01T06:00:00.400Z"), {}, { op: "create", section: "" }),
    change("us", 2, at("2026-03-01T12:00:00.900Z"), { "us-1.1": 1 }, set("major_outage")),
    change("us", 3, at("2026-03-01T13:00:00.100Z"), { "us-1.1": 2 }, set("operational")),
  ];
  const [before, first, second, last] = daysOf(transitionsOf(changes), "2026-02-28", "2026-03-03", "UTC", at("2026-03-02T12:00:00Z"));
  t.equal(before?.seconds.no_data, 86_400);
  t.equal(before?.uptime, null);
  t.match(first?.seconds, { no_data: 6 * 3_600, operational: 17 * 3_600, major_outage: 3_600 });
  t.equal(first?.uptime, 17 / 18);
  t.match(second?.seconds, { operational: 12 * 3_600, no_data: 12 * 3_600 });
  t.equal(last?.seconds.no_data, 86_400);
});

test("of concurrent statuses the worse one holds from its own time on, until somebody who saw both says otherwise", async (t) => {
  const changes = [
    change("us", 1, 1_000_000, {}, { op: "create", section: "" }),
    change("us", 2, 2_000_000, { "us-1.1": 1 }, set("major_outage")),
    change("eu", 1, 3_000_000, { "us-1.1": 1 }, set("degraded_performance")),
    change("ap", 1, 4_000_000, { "us-1.1": 2, "eu-1.1": 1 }, set("operational")),
  ];
  t.same(transitionsOf(changes), [
    { atMs: 1_000_000, status: "operational" }, { atMs: 2_000_000, status: "major_outage" }, { atMs: 4_000_000, status: "operational" },
  ]);
});

test("a creation that was repeated on the other side of a cut brings no status back", async (t) => {
  const create: Operation[] = [{ op: "create", section: "" }, set("major_outage")];
  const changes = [
    change("us", 1, 1_000_000, {}, ...create),
    change("us", 2, 2_000_000, { "us-1.1": 1 }, set("degraded_performance")),
    change("us", 3, 3_000_000, { "us-1.1": 2 }, set("operational")),
    change("eu", 1, 4_000_000, {}, ...create),
  ];
  t.same(transitionsOf(changes), [
    { atMs: 1_000_000, status: "major_outage" }, { atMs: 2_000_000, status: "degraded_performance" }, { atMs: 3_000_000, status: "operational" },
  ]);
});

test("a clock that is behind moves nothing before its cause, and a deletion ends what is known", async (t) => {
  const changes = [
    change("us", 1, 5_000_000, {}, { op: "create", section: "" }, set("partial_outage")),
    change("eu", 1, 1_000_000, { "us-1.1": 1 }, set("operational")),
    change("us", 2, 6_000_000, { "us-1.1": 1, "eu-1.1": 1 }, set("under_maintenance")),
    change("us", 3, 7_000_000, { "us-1.1": 2, "eu-1.1": 1 }, { op: "delete", section: "" }),
  ];
  t.same(transitionsOf(changes), [{ atMs: 5_000_000, status: "operational" }, { atMs: 6_000_000, status: "under_maintenance" }, { atMs: 7_000_000, status: "no_data" }]);
});

test("nor does one that is behind take an outage away that it had seen", async (t) => {
  const changes = [
    change("us", 1, 4_000_000, {}, { op: "create", section: "" }),
    change("us", 2, 5_000_000, { "us-1.1": 1 }, set("major_outage")),
    change("eu", 1, 4_500_000, { "us-1.1": 2 }, set("degraded_performance")),
    change("us", 3, 6_000_000, { "us-1.1": 2, "eu-1.1": 1 }, set("operational")),
  ];
  t.same(transitionsOf(changes), [{ atMs: 4_000_000, status: "operational" }, { atMs: 5_000_000, status: "degraded_performance" }, { atMs: 6_000_000, status: "operational" }]);
});

test("what a clock that is ahead has written has happened, for whoever holds it", async (t) => {
  const changes = [
    change("us", 1, at("2026-03-01T12:00:00Z"), {}, { op: "create", section: "" }),
    change("us", 2, at("2026-03-01T12:10:00Z"), { "us-1.1": 1 }, set("major_outage")),
    change("eu", 1, at("2026-03-01T12:11:00Z"), { "us-1.1": 2 }, set("operational")),
  ];
  const secondsAt = (now: string) => daysOf(transitionsOf(changes), "2026-03-01", "2026-03-01", "UTC", at(now))[0]?.seconds;
  t.match(secondsAt("2026-03-01T12:10:05Z"), { operational: 600, major_outage: 60, no_data: 86_400 - 660 }, "where the clock is behind that");
  t.match(secondsAt("2026-03-01T12:11:30Z"), { operational: 630, major_outage: 60 }, "where it is not");
});

test("days on which the clocks change have their own length, and their seconds add up to it", async (t) => {
  const changes = [change("us", 1, at("2025-01-01T00:00:00Z"), {}, { op: "create", section: "" })];
  const lengthOf = (day: string, zone: string) => {
    const [one] = daysOf(transitionsOf(changes), day, day, zone, at("2027-01-01T00:00:00Z"));
    t.equal(sum(one), one?.totalSeconds, `${day} ${zone}`);
    return one?.totalSeconds;
  };
  t.equal(lengthOf("2026-03-29", "Europe/Berlin"), 23 * 3_600);
  t.equal(lengthOf("2026-10-25", "Europe/Berlin"), 25 * 3_600);
  t.equal(lengthOf("2026-04-05", "Australia/Lord_Howe"), 24.5 * 3_600);
  t.equal(lengthOf("2026-04-24", "Africa/Cairo"), 23 * 3_600, "midnight itself is skipped");
  t.equal(lengthOf("2011-12-30", "Pacific/Apia"), 0, "a day that the zone never had");
});

test("the fold is the same in whatever order independent changes come, and its seconds always add up", async (t) => {
  const statuses = ["operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"];
  const step = fc.record({ region: fc.constantFrom("us", "eu", "ap"), afterMs: fc.integer({ min: 0, max: 20_000_000 }), skewMs: fc.integer({ min: -5_000_000, max: 5_000_000 }), status: fc.constantFrom(...statuses), sees: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }) });
  let [taken, late] = [0, 0];
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), fc.infiniteStream(fc.nat()), (steps, picks) => {
    const seqs: Record<string, number> = {};
    const known: Record<string, Record<string, number>> = { us: {}, eu: {}, ap: {} };
    let ms = at("2026-05-01T00:00:00Z");
    const changes: DocumentChange[] = [];
    for (const { region, afterMs, skewMs, status, sees } of steps) {
      ms += afterMs;
      const context = known[region] ?? {};
      // What another region has is taken over whole: contexts are transitive, as the document's vector is.
      ["us", "eu", "ap"].forEach((other, index) => {
        if (sees[index] === true) for (const [origin, seq] of Object.entries(known[other] ?? {})) context[origin] = Math.max(context[origin] ?? 0, seq);
      });
      const seq = (seqs[region] ?? 0) + 1;
      seqs[region] = seq;
      changes.push(change(region, seq, ms + skewMs, { ...context }, { op: "create", section: "" }, set(status)));
      context[`${region}-1.1`] = seq;
    }
    const expected = transitionsOf(causalShuffle(changes, () => 0));
    const shuffled = causalShuffle(changes, () => picks.next().value);
    t.strictSame(transitionsOf(shuffled), expected);
    // One by one, written down and taken up again now and then; what is too late for that is folded anew.
    let fold = new StatusFold();
    let early = 0;
    for (const [index, one] of shuffled.entries()) {
      if (picks.next().value % 3 === 0) fold = StatusFold.decode(fold.encode()) ?? fold;
      if (fold.take(one)) early++;
      else fold = StatusFold.of(shuffled.slice(0, index + 1));
      t.strictSame(fold.transitions, transitionsOf(shuffled.slice(0, index + 1)));
    }
    taken += early;
    late += shuffled.length - early;
    for (const day of daysOf(expected, "2026-04-30", "2026-05-04", "America/New_York", ms)) if (sum(day) !== day.totalSeconds) throw new Error(`${day.day} does not add up`);
  }), { numRuns: 150, seed: 20_261_125 });
  t.ok(taken > 100 && late > 100, `${taken} changes were taken one by one, ${late} came too late for that`);
});

test("a fold takes nothing whose cause it lacks, and no text of another format", async (t) => {
  const first = change("us", 1, at("2026-03-01T06:00:00Z"), {}, { op: "create", section: "" });
  const second = change("us", 2, at("2026-03-01T07:00:00Z"), { "us-1.1": 1 }, set("major_outage"));
  const fold = new StatusFold();
  t.notOk(fold.take(second));
  t.same(fold.transitions, []);
  t.ok(fold.take(first) && fold.take(second) && fold.take(first));
  t.same(fold.transitions.map(({ status }) => status), ["operational", "major_outage"]);
  t.equal(StatusFold.decode(JSON.stringify({ ...JSON.parse(fold.encode()), format: 0 })), undefined);
});

/** Another order in which each change comes after what it depends on. */
function causalShuffle(changes: readonly DocumentChange[], pick: () => number): DocumentChange[] {
  const left = [...changes];
  const done: Record<string, number> = {};
  const ordered: DocumentChange[] = [];
  while (left.length > 0) {
    const ready = left.filter(({ dot, change: { context } }) => dot.seq === (done[dot.origin] ?? 0) + 1 && Object.entries(context).every(([origin, seq]) => (done[origin] ?? 0) >= seq));
    const next = ready[pick() % ready.length];
    if (next === undefined) throw new Error("no change is ready");
    left.splice(left.indexOf(next), 1);
    done[next.dot.origin] = next.dot.seq;
    ordered.push(next);
  }
  return ordered;
}

import t from "tap";
import { explain } from "./linearizability.js";

t.test("a read that sees an older value than an earlier read is found out", async (t) => {
  const write = { kind: "write", value: "1", startMs: 0, endMs: 10 } as const;
  const later = { kind: "read", value: "1", startMs: 1, endMs: 3 } as const;
  t.ok(explain("0", [write, later, { kind: "read", value: "1", startMs: 4, endMs: 5 }]));
  t.notOk(explain("0", [write, later, { kind: "read", value: "0", startMs: 4, endMs: 5 }]));
});

t.test("two compare-and-sets from the same value cannot both succeed", async (t) => {
  const first = { kind: "swap", from: "0", value: "1", startMs: 0, endMs: 10 } as const;
  t.notOk(explain("0", [first, { kind: "swap", from: "0", value: "2", startMs: 0, endMs: 10 }]));
  t.ok(explain("0", [first, { kind: "refusal", from: "0", startMs: 0, endMs: 10 }]));
});

t.test("a write of unknown outcome may have taken effect, late or never", async (t) => {
  const unknown = { kind: "write", value: "1", startMs: 0, endMs: Number.POSITIVE_INFINITY } as const;
  t.ok(explain("0", [unknown, { kind: "read", value: "0", startMs: 5, endMs: 6 }, { kind: "read", value: "1", startMs: 7, endMs: 8 }]));
  t.notOk(explain("0", [unknown, { kind: "read", value: "1", startMs: 5, endMs: 6 }, { kind: "read", value: "0", startMs: 7, endMs: 8 }]));
});

t.test("a refusal may be explained by a write of unknown outcome that nobody saw", async (t) => {
  const refusal = { kind: "refusal", from: "0", startMs: 5, endMs: 6 } as const;
  t.notOk(explain("0", [refusal]));
  t.ok(explain("0", [refusal, { kind: "write", value: "1", startMs: 0, endMs: Number.POSITIVE_INFINITY }]));
  t.notOk(explain("0", [refusal, { kind: "read", value: "0", startMs: 7, endMs: 8 }, { kind: "write", value: "1", startMs: 0, endMs: Number.POSITIVE_INFINITY }]));
});

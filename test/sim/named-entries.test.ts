import t from "tap";
import type { Change, Operation } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { namedEntries } from "../../src/sim/named-entries.js";
import type { DocumentChange } from "../../src/store/data-plane.js";

t.test("two lives of a replica that gave one stamp twice are told apart by what they changed", async (t) => {
  const hlc = encodeHlc(1_000, 4, "0000000000aa");
  const changed = (origin: string, context: Change["context"], ...operations: Operation[]): DocumentChange =>
    ({ dot: { origin, seq: 1 }, change: { document: "default/incident/i", hlc, region: "ap-south", replica: "ap-south-1", actor: "key", context, operations } });
  const entry = (field: string, to: string | boolean) => ({ hlc, at: new Date(1_000).toISOString(), region: "ap-south", replica: "ap-south-1", actor: "key", field, from: null, to });
  const changes = [
    changed("ap-south-1.1", {}, { op: "create", section: "u1" }, { op: "set", section: "", field: "status", value: "monitoring", was: null }),
    changed("ap-south-1.2", { "ap-south-1.1": 1 }, { op: "add", section: "", field: "labels", element: "urgent" }),
  ];
  t.match(namedEntries([entry("labels", "urgent"), entry("status", "monitoring"), entry("u1.created", true), entry("name", "unknown")], changes), [
    { field: "labels", dot: { origin: "ap-south-1.2" }, context: { "ap-south-1.1": 1 } }, { field: "status", dot: { origin: "ap-south-1.1" }, context: {} }, { field: "u1.created", dot: { origin: "ap-south-1.1" } },
    { field: "name", dot: undefined },
  ]);
});

/** What a client that left at a position has missed. */
import { test } from "tap";
import { CHAIN, type Change, type Operation } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { EventRing, eventsOf, type LogItem } from "../../src/store/page-events.js";

const create = (section: string): Operation => ({ op: "create", section });
const set = (field: string, section = ""): Operation => ({ op: "set", section, field, value: "x", was: null });

function changeOf(document: string, ms: number, operations: readonly Operation[], version?: number): Change {
  return { document, hlc: encodeHlc(ms, 0, "000000000001"), region: "us", replica: "us-1", actor: "system", context: {}, operations, ...(version === undefined ? {} : { version }) };
}

function item(origin: string, seq: number, document: string, operations: readonly Operation[], version?: number): LogItem {
  return { origin, seq, document, dot: version === undefined ? { origin, seq } : { origin: CHAIN, seq: version }, change: changeOf(document, seq * 1_000, operations, version) };
}

const ids = (entries: readonly { origin: string; seq: number }[] | undefined) => entries?.map(({ origin, seq }) => `${origin} ${seq}`);

test("changes are events in the words of the API, and bookkeeping and what is private are none", async (t) => {
  const typesOf = (document: string, ...operations: Operation[]) => eventsOf(changeOf(document, 1, operations)).map(({ type }) => type);
  t.same(typesOf("p/incident/i", create(""), set("name"), create("u1"), set("body", "u1")), ["incident.created", "incident_update.created"]);
  t.same(typesOf("p/maintenance/m", set("status"), set("body", "u1")), ["maintenance.updated", "maintenance_update.updated"]);
  t.same(typesOf("p/component-group/g", { op: "delete", section: "" }), ["component_group.deleted"]);
  t.same(typesOf("~/page/p", set("name")), ["page.updated"]);
  t.same(typesOf("p/component/c", { op: "add", section: "", field: "_claims", element: "incident/i" }), []);
  for (const document of ["~/key/k", "p/monitor/m", "p/subscriber/s", "p/page/x", "~/component/c"]) t.same(typesOf(document, create(""), set("name")), []);
  const [incident] = eventsOf(changeOf("p/incident/i", 5, [set("name")]));
  const [component] = eventsOf(changeOf("p/component/i", 5, [set("name")]));
  t.not(incident?.id, component?.id, "changes of one request share a stamp and are events of their own");
});

test("what lies beyond a position comes in the order of arrival, and is refused once some of it is gone", async (t) => {
  const ring = new EventRing(4);
  ring.restart({ "us-1.1": 3 });
  ring.take(item("us-1.1", 4, "p/component/a", [set("name")]));
  ring.take(item("eu-1.1", 1, "p/component/b", [set("name")]));
  ring.take(item("us-1.1", 5, "p/component/a", [set("name")]));
  t.same(ids(ring.beyond({ "us-1.1": 4 })), ["eu-1.1 1", "us-1.1 5"]);
  t.same(ids(ring.beyond({ "us-1.1": 4, "eu-1.1": 1, "ap-1.1": 9 })), ["us-1.1 5"], "a position ahead in another log");
  t.same(ids(ring.beyond({ "us-1.1": 5, "eu-1.1": 7 })), []);
  t.equal(ring.beyond({ "us-1.1": 2 }), undefined, "from before what is known here");
  ring.take(item("eu-1.1", 2, "p/component/b", [set("name")]));
  ring.take(item("eu-1.1", 3, "p/component/b", [set("name")]));
  t.equal(ring.beyond({ "us-1.1": 3 }), undefined, "the oldest was dropped");
  t.equal(ring.beyond({ "us-1.1": 4 })?.length, 4);
  ring.vector["ap-1.1"] = 6;
  t.equal(ring.beyond({ "us-1.1": 5, "eu-1.1": 3 }), undefined, "anti-entropy brought what stands in no log");
});

test("a decided change that two logs carry is one event, whichever log a client has read it in", async (t) => {
  const ring = new EventRing(10);
  ring.restart({});
  const first = ring.take(item("us-1.1", 1, "p/incident/i", [set("name")], 1));
  const second = ring.take(item("eu-1.1", 1, "p/incident/i", [set("name")], 1));
  t.equal(first.events.length, 1);
  t.equal(second.events.length, 0);
  t.equal(ring.hadOtherwise(first, { "eu-1.1": 1 }), true);
  t.equal(ring.hadOtherwise(first, {}), false);
  t.equal(ring.of("p").length, 1);
});

test("a page's log is ordered by time, latest first, whatever the order of arrival", async (t) => {
  const ring = new EventRing(10);
  ring.restart({});
  ring.take(item("us-1.1", 5, "p/component/a", [set("name")]));
  ring.take(item("eu-1.1", 2, "p/component/b", [set("name")]));
  ring.take(item("eu-1.1", 9, "q/component/b", [set("name")]));
  t.same(ring.of("p").map(({ document }) => document), ["p/component/a", "p/component/b"]);
});

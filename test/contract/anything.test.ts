import fc from "fast-check";
import t from "tap";
import type { Json } from "./contract-client.js";
import { until, World } from "./contract-world.js";

const world = await World.start({ running: ["us-east", "eu-west", "ap-south"] });
t.teardown(() => world.stop());
const owner = world.client();
const regions = [owner, world.client("eu-west"), world.client("ap-south")];

/** Things that exist, so that some of what is made up refers to them. */
const page = "/v1/pages/default";
const component: string = (await owner.post(`${page}/components`, { name: "c" })).body.id;
const group: string = (await owner.post(`${page}/component-groups`, { name: "g" })).body.id;
const incident: Json = (await owner.post(`${page}/incidents`, { name: "i", components: { [component]: "major_outage" } })).body;
const maintenance: Json = (await owner.post(`${page}/maintenances`, { name: "m", scheduled_for: "2040-01-01T00:00:00Z", scheduled_until: "2040-01-02T00:00:00Z" })).body;
const key: string = (await owner.post("/v1/keys", { name: "k", role: "viewer", page: "default" })).body.id;
const ids = [component, group, incident.id, maintenance.id, incident.incident_updates[0].id, maintenance.incident_updates[0].id, key];

const fields = ["name", "status", "description", "group_id", "position", "show_uptime", "body", "components", "labels", "impact_override", "deliver_notifications", "scheduled_for", "scheduled_until", "auto_completed", "remind_minutes", "url", "time_zone", "theme", "custom_domains", "role", "page", "display_at", "value", "id", "x"];
const words = fc.constantFrom("", " ", "default", "operational", "major_outage", "resolved", "investigating", "in_progress", "completed", "none", "critical", "2040-01-01T10:00:00Z", "2039-12-31T23:59:60Z", "9999-12-31T23:59:59.999Z", "-1", "https://example.com", "UTC", "viewer", "owner", "null", "\u0000", "__proto__", "constructor", "x".repeat(300), "\u{1f6a8}", ...ids);
const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: words }, fc.string({ maxLength: 12 }), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.constantFrom(null, true, false, 0, -0, 1e308, 2 ** 53, [], {}),
  fc.array(words, { maxLength: 4 }), fc.dictionary(fc.constantFrom(...ids, "a/b", "~", "toString"), fc.constantFrom<Json>("operational", "major_outage", null, 5, {}), { maxKeys: 3 }), fc.jsonValue({ maxDepth: 3 }),
);
const dictionary = fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 4, noNullPrototype: true });
// Half of them have the members that most routes ask for, so that more than the schema is put to the test.
const body = fc.oneof(dictionary, fc.tuple(dictionary, fc.constantFrom<Json>({ name: "n" }, { body: "b" }, { name: "n", components: { [component]: "partial_outage" } }, { status: "resolved" }, { value: "v" })).map(([made, sure]) => ({ ...made, ...sure })), fc.constantFrom<Json>({}, { name: "n" }, { body: "b", status: "monitoring" }, { name: "n", role: "viewer", page: "default" }, { name: "n", type: "http", target: "http://127.0.0.1:9/" }));
const someHeaders = fc.record({
  "if-match": fc.constantFrom('"x"', "*", "W/\"x\"", "x"), "idempotency-key": fc.constantFrom("one", "two", "three"), "consistency-level": fc.constantFrom("LOCAL", "LOCAL_QUORUM", "NONE"),
  "session-wait": fc.constantFrom("0", "x"), "content-type": fc.constantFrom("application/json", "application/merge-patch+json", "text/plain"),
}, { requiredKeys: [] });
const headers: typeof someHeaders = fc.oneof({ weight: 5, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: someHeaders });
const segment = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...ids, "default", "none", "name", "status") }, fc.string({ minLength: 1, maxLength: 8, unit: "grapheme" }));
const operations = world.openapi.operations.filter(({ method, path }) => path.startsWith("/v1/") && !(method === "DELETE" && (path === "/v1/pages/{page}" || path === "/v1/keys/{id}")) && !path.startsWith("/v1/cluster") && !path.endsWith("/rotate"));
/** Routes that make something come up often enough that something is made. */
const making = operations.filter(({ method, path }) => method === "POST" && path.startsWith("/v1/pages/{page}/") && !path.includes("{id}"));
const request = fc.record({ region: fc.constantFrom(...regions), operation: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...operations) }, { weight: 1, arbitrary: fc.constantFrom(...making) }), segments: fc.array(segment, { minLength: 3, maxLength: 3 }), body: fc.option(body, { freq: 10 }), headers, query: fc.oneof({ weight: 8, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom("limit=3", "limit=x", "cursor=abc", "consistency=LOCAL", "q=1") }) });

t.test("whatever is asked of any region, the answer is one that the description knows and no fault of the server; all agree in the end", async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.comment(`seed ${seed}`);
  const statuses = new Map<number, number>();
  await fc.assert(fc.asyncProperty(request, async ({ region, operation, segments, body: content, headers: given, query }) => {
    let next = 0;
    const path = operation.path.replace("{page}", "default").replace(/\{[a-z]+\}/g, () => encodeURIComponent(segments[next++] ?? "none").replaceAll(".", "%2E"));
    const isRead = operation.method === "GET";
    const text = isRead || content === null ? undefined : JSON.stringify(content);
    const { "content-type": type, ...others } = given;
    const answer = await region.raw(operation.method, query === null ? path : `${path}?${query}`, text, { ...(text === undefined ? {} : { "content-type": type ?? "application/json" }), ...others });
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    return answer.status < 500;
  }), { numRuns: 900, seed, interruptAfterTimeLimit: 90_000 });
  t.comment([...statuses].sort().map(([status, count]) => `${status}: ${count}`).join(", "));
  for (const status of [200, 201, 400, 404, 422]) t.ok(statuses.has(status), `some answers are ${status}`);
  await until("all regions hold the same", async () => new Set(await Promise.all(regions.map(async (region) => (await region.get("/v1/cluster")).body.merkle_root))).size === 1);
  for (const path of [page, "/v1/pages", "/v1/keys", `${page}/components?limit=100`, `${page}/component-groups?limit=100`, `${page}/incidents?limit=100`, `${page}/maintenances?limit=100`, `${page}/conflicts`, ...ids.map((id) => `${page}/incidents/${id}`), `${page}/incidents/${incident.id}/history?limit=100`]) {
    const answers = await Promise.all(regions.map((region) => region.get(path)));
    const shown = answers.map(({ text, headers }) => `${headers["etag"]} ${text.replace(/"(instance|last_used_at)":("[^"]*"|null)/g, "")}`);
    t.equal(new Set(shown).size, 1, `${path} is equal in all regions`);
  }
  for (const region of regions) t.equal((await region.get("/v1/cluster")).body.quarantined, 0);
});

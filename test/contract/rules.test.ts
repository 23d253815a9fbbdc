import { connect } from "node:net";
import t from "tap";
import { until, World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const nobody = owner.as(null);
const components = "/v1/pages/default/components";
const CLIENT_JSON = { "content-type": "application/json" };

t.test("every route of the description refuses a request without a key, and with a wrong one, by 401", async (t) => {
  for (const { method, path, description } of world.openapi.operations) {
    if (!path.startsWith("/v1/")) continue;
    const url = path.replace(/\{page\}/g, "default").replace(/\{[a-z]+\}/g, "x1");
    t.same(description.security, [{ key: [] }], `${method} ${path} names its key`);
    for (const [headers, what] of [[{}, "no key"], [{ authorization: "Bearer wrong-key-wrong-key-wrong-key" }, "a wrong key"], [{ authorization: "Basic abc" }, "another scheme"]] as const) {
      const answer = await nobody.send(method, url, method === "GET" || method === "DELETE" ? undefined : {}, headers);
      t.equal(answer.status, 401, `${method} ${path} with ${what}`);
      t.equal(answer.body.type, "/problems/unauthorized");
    }
  }
});

t.test("every route of the contract that this product has is described", async (t) => {
  const described = new Set(world.openapi.operations.map(({ method, path }) => `${method} ${path.replace(/\{[a-z]+\}/g, "{}")}`));
  const one = ["GET", "PATCH", "DELETE"];
  const expected: [string, string[]][] = [["/v1/pages", ["GET", "POST"]], ["/v1/pages/{}", one], ["/v1/keys", ["GET", "POST"]], ["/v1/keys/{}", one], ["/v1/cluster", ["GET"]], ["/v1/cluster/anti-entropy", ["POST"]], ["/v1/pages/{}/conflicts", ["GET"]]];
  for (const type of ["components", "component-groups", "incidents", "maintenances"]) {
    expected.push([`/v1/pages/{}/${type}`, ["GET", "POST"]], [`/v1/pages/{}/${type}/{}`, one], [`/v1/pages/{}/${type}/{}/conflicts`, ["GET"]], [`/v1/pages/{}/${type}/{}/conflicts/{}/resolve`, ["POST"]]);
    if (type !== "component-groups") expected.push([`/v1/pages/{}/${type}/{}/history`, ["GET"]]);
    if (type === "incidents" || type === "maintenances") expected.push([`/v1/pages/{}/${type}/{}/updates`, ["GET", "POST"]], [`/v1/pages/{}/${type}/{}/updates/{}`, one]);
  }
  expected.push(["/v1/pages/{}/incidents/{}/postmortem", ["GET", "PUT", "DELETE"]], ["/v1/pages/{}/incidents/{}/postmortem/publish", ["POST"]]);
  for (const path of ["/healthz", "/readyz", "/metrics"]) expected.push([path, ["GET"]]);
  for (const [path, methods] of expected) for (const method of methods) t.ok(described.has(`${method} ${path}`), `${method} ${path}`);
});

t.test("the description is a valid OpenAPI 3.1 document in which everything that is named exists", async (t) => {
  const { document, operations } = world.openapi;
  t.match(document.openapi, /^3\.1\.\d+$/);
  t.ok(document.info.title && document.info.version);
  t.equal(new Set(operations.map(({ description }) => description.operationId)).size, operations.length, "every operation has an id of its own");
  for (const { method, path, description } of operations) {
    const parameters = (description.parameters ?? []).map((parameter: unknown) => world.openapi.resolve(parameter, "")?.value);
    for (const parameter of parameters) {
      t.ok(parameter?.name && ["path", "query", "header", "cookie"].includes(parameter.in) && (parameter.schema ?? parameter.content), `${method} ${path} parameter ${parameter?.name}`);
      if (parameter.in === "path") t.equal(parameter.required, true);
    }
    const names = parameters.map((parameter: { in: string; name: string }) => `${parameter.in} ${parameter.name}`);
    t.equal(new Set(names).size, names.length, `${method} ${path} names each parameter once`);
    for (const [, name] of path.matchAll(/\{([^}]+)\}/g)) t.ok(names.includes(`path ${name}`), `${method} ${path} describes {${name}}`);
    for (const [status, response] of Object.entries(description.responses)) {
      const resolved = world.openapi.resolve(response, "")?.value;
      t.equal(typeof resolved?.description, "string", `${method} ${path} ${status} has a description`);
      if (status === "204" || status === "304") t.notOk(resolved.content, `${method} ${path} ${status} has no content`);
      else t.ok(Object.values(resolved.content ?? {}).every((media) => (media as { schema?: unknown }).schema !== undefined) && resolved.content, `${method} ${path} ${status} has a schema`);
      for (const header of Object.values(resolved.headers ?? {})) t.ok(world.openapi.resolve(header, "")?.value?.schema, `${method} ${path} ${status} headers`);
    }
    if (path.startsWith("/v1/") && ["POST", "PUT", "PATCH"].includes(method) && !/\/(publish|rotate|anti-entropy|run)$/.test(path) && !/\/webhooks\/(alertmanager|grafana)$/.test(path)) {
      const schema = description.requestBody?.content?.["application/json"]?.schema;
      t.equal(schema?.additionalProperties, false, `${method} ${path} refuses unknown fields`);
    }
  }
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference);
  for (const reference of new Set(references)) t.ok(world.openapi.resolve({ $ref: reference }, "")?.value, `${reference} exists`);
  t.notMatch(JSON.stringify(document), /"nullable":/, "no keyword of OpenAPI 3.0");
});

t.test("the reference at /docs works without a key, and loads nothing from elsewhere", async (t) => {
  let page = await nobody.get("/docs");
  for (let redirects = 0; page.status >= 300 && page.status < 400 && redirects < 3; redirects++) page = await nobody.get(new URL(page.headers["location"] ?? "", `${nobody.base}/docs`).pathname);
  t.equal(page.status, 200);
  t.match(page.headers["content-type"], /^text\/html/);
  const parts = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => new URL(url ?? "", `${nobody.base}/docs/`));
  t.ok(parts.some(({ pathname }) => pathname.endsWith(".js")), "it has scripts");
  for (const { pathname, origin } of parts) {
    t.equal(origin, nobody.base, pathname);
    t.equal((await nobody.get(pathname)).status, 200, pathname);
  }
});

t.test("each type of problem has a page, without a key, and unknown ones are 404", async (t) => {
  const types: string[] = world.openapi.document.components.schemas.Problem.properties.type.enum;
  for (const expected of ["quorum-unavailable", "session-behind"]) t.ok(types.includes(`/problems/${expected}`));
  for (const type of types) {
    const page = await nobody.get(type);
    t.equal(page.status, 200, type);
    t.match(page.text, type.split("/").at(-1));
  }
  t.equal((await nobody.get("/problems/there-is-none")).status, 404);
});

t.test("healthz, readyz and metrics need no key and say nothing of a page", async (t) => {
  const marker = `marker-${"x".repeat(8)}`;
  const made = await owner.post("/v1/pages", { id: marker, name: marker });
  t.equal(made.status, 201);
  t.equal((await owner.post(`/v1/pages/${marker}/components`, { name: marker })).status, 201);
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    const answer = await nobody.get(path);
    t.equal(answer.status, 200, path);
    t.notMatch(answer.text, marker, path);
    t.equal((await nobody.head(path)).status, 200, `HEAD ${path}`);
  }
  const metrics = await nobody.get("/metrics");
  t.match(metrics.headers["content-type"], /openmetrics-text|text\/plain/);
  t.match((await nobody.get("/metrics", { accept: "application/openmetrics-text; version=1.0.0" })).text, /# EOF\n$/);
  t.match(await nobody.get("/readyz"), { body: { level: Number } });
  const ready = (await nobody.get("/readyz")).body;
  t.ok(ready.level >= 0 && ready.level <= 4);
});

t.test("an unknown route is 404, a method that a route does not take is 405 with Allow", async (t) => {
  for (const path of ["/v1", "/v1/none", "/v1/pages/default/none", "/none", "/v1/pages/default/components/x/none", "/v1/pages/default/components/x/none/none"]) {
    for (const client of [owner, nobody]) for (const method of ["GET", "POST"]) t.equal((await client.send(method, path, undefined)).status, 404, `${method} ${path}`);
  }
  for (const [method, path] of [["PUT", components], ["DELETE", components], ["POST", `${components}/x`], ["PATCH", "/v1/cluster"], ["POST", "/healthz"], ["DELETE", "/v1/keys"]] as const) {
    const answer = await owner.send(method, path, undefined);
    t.equal(answer.status, 405, `${method} ${path}`);
    t.match(answer.headers["allow"], /GET/);
    t.notMatch(answer.headers["allow"], new RegExp(`\\b${method}\\b`));
  }
  t.equal((await nobody.send("OPTIONS", components, undefined)).status, 204);
});

t.test("a HEAD is a GET without its body", async (t) => {
  const { body } = await owner.post(components, { name: "head" });
  for (const path of [components, `${components}/${body.id}`, "/v1/pages/default", "/v1/cluster"]) {
    const [get, head] = [await owner.get(path), await owner.head(path)];
    t.equal(head.status, 200, path);
    t.equal(head.text, "");
    for (const name of ["etag", "consistency-level", "content-type", "region"]) t.equal(head.headers[name], get.headers[name], `${path} ${name}`);
  }
  t.equal((await owner.head(`${components}/none`)).status, 404);
});

t.test("a caller's request id comes back, in the problem too; one that cannot stand in a header is replaced", async (t) => {
  const answer = await owner.get("/v1/pages/none", { "x-request-id": "trace-1.2_3" });
  t.equal(answer.headers["x-request-id"], "trace-1.2_3");
  t.match(answer.body.instance, "trace-1.2_3");
  const replaced = await owner.get("/v1/pages/none", { "x-request-id": "a b<script>" });
  t.not(replaced.headers["x-request-id"], "a b<script>");
  t.not((await owner.get("/v1/pages")).headers["x-request-id"], (await owner.get("/v1/pages")).headers["x-request-id"]);
});

t.test("a body that is not JSON, or missing where one is needed, is 400", async (t) => {
  for (const [text, what] of [["{", "cut off"], ["{'name': 1}", "single quotes"], ["", "empty"], ['{"name":"a"} x', "more after it"], ["\u{feff}{}", "with a byte order mark"], [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "no UTF-8"]] as const) {
    const answer = await owner.raw("POST", components, text, CLIENT_JSON);
    t.equal(answer.status, 400, what);
    t.equal(answer.body.type, "/problems/malformed");
  }
  t.equal((await owner.raw("POST", components, undefined)).status, 400, "no body and no content type");
  t.equal((await owner.raw("PATCH", "/v1/pages/default", undefined)).status, 400);
  t.equal((await owner.raw("PATCH", "/v1/pages/default", "", CLIENT_JSON)).status, 400);
});

t.test("a body of another shape is 422 and says where", async (t) => {
  for (const text of ["[]", "1", '"x"', "null", "true"]) {
    const answer = await owner.raw("POST", components, text, CLIENT_JSON);
    t.equal(answer.status, 422, text);
    t.equal(answer.body.errors[0].pointer, "#", text);
  }
});

t.test("an action takes no body, or an empty one, and does not overlook what it does not know", async (t) => {
  const incident = (await owner.post("/v1/pages/default/incidents", { name: "i", status: "resolved" })).body.id;
  await owner.put(`/v1/pages/default/incidents/${incident}/postmortem`, { body: "x" });
  const key = (await owner.post("/v1/keys", { name: "k", role: "viewer", page: "default" })).body.id;
  for (const path of [`/v1/pages/default/incidents/${incident}/postmortem/publish`, `/v1/keys/${key}/rotate`, "/v1/cluster/anti-entropy"]) {
    t.equal((await owner.post(path)).status, 200, path);
    t.equal((await owner.raw("POST", path, "", CLIENT_JSON)).status, 200);
    t.equal((await owner.post(path, {})).status, 200);
    t.match(await owner.post(path, { x: 1 }), { status: 422, body: { errors: [{ pointer: "#/x" }] } });
    t.equal((await owner.post(path, [])).status, 422);
  }
  const component = (await owner.post(components, { name: "c" })).body.id;
  t.equal((await owner.raw("DELETE", `${components}/${component}`, "", CLIENT_JSON)).status, 204, "a DELETE that names a type and sends nothing");
});

t.test("a body of another type is 415, one over 1 MiB is 413, whatever it holds", async (t) => {
  for (const type of ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]) {
    t.equal((await owner.raw("POST", components, '{"name":"a"}', { "content-type": type })).status, 415, type);
  }
  t.equal((await owner.raw("POST", components, '{"name":"a"}')).status, 415, "no content type");
  for (const coding of ["gzip", "br", "identity, gzip"]) t.equal((await owner.raw("POST", components, '{"name":"a"}', { ...CLIENT_JSON, "content-encoding": coding })).status, 415, coding);
  t.equal((await owner.raw("POST", components, '{"name":"as it is"}', { ...CLIENT_JSON, "content-encoding": "identity" })).status, 201);
  t.equal((await owner.raw("POST", components, '{"name":"with a charset"}', { "content-type": "application/json; charset=utf-8" })).status, 201);
  t.equal((await owner.raw("PATCH", "/v1/pages/default", "{}", { "content-type": "application/merge-patch+json" })).status, 200);
  t.equal((await owner.raw("POST", components, JSON.stringify({ name: "a", description: "x".repeat(1024 * 1024) }), CLIENT_JSON)).status, 413);
  t.equal((await owner.raw("POST", components, JSON.stringify({ name: "a", description: "x".repeat(1024 * 1024 - 100) }), CLIENT_JSON)).status, 422, "under the limit of a body, over that of a text");
  const frame = Buffer.byteLength(JSON.stringify({ name: "" }));
  t.equal((await owner.raw("POST", components, JSON.stringify({ name: "x".repeat(1024 * 1024 - frame) }), CLIENT_JSON)).status, 422, "exactly 1 MiB is not over it");
  t.equal((await owner.raw("POST", components, JSON.stringify({ name: "x".repeat(1024 * 1024 - frame + 1) }), CLIENT_JSON)).status, 413);
});

t.test("a body nested too deep, or reaching for a prototype, is refused and does no harm", async (t) => {
  t.equal((await owner.raw("POST", components, `${"[".repeat(50_000)}${"]".repeat(50_000)}`, CLIENT_JSON)).status, 400);
  for (const text of ['{"name":"a\\ud800"}', '{"name":"a","position":1e400}', '{"name":"a","\\udc00":1}', `{"name":"a","position":${"9".repeat(400)}}`]) t.equal((await owner.raw("POST", components, text, CLIENT_JSON)).status, 400, "what could not be kept as it came");
  t.equal((await owner.raw("POST", components, '{"name":"\\ud83d\\ude80 1e400"}', CLIENT_JSON)).body.name, "\u{1f680} 1e400", "pairs are whole");
  for (const text of ['{"name":"a","__proto__":{"admin":true}}', '{"name":"a","constructor":{"prototype":{"x":1}}}', '{"name":"a","\\u005f_proto__":{"x":1}}']) {
    t.ok([400, 422].includes((await owner.raw("POST", components, text, CLIENT_JSON)).status), text);
  }
  const labelled = await owner.raw("POST", "/v1/pages/default/incidents", '{"name":"a","labels":["__proto__","constructor","toString"]}', CLIENT_JSON);
  t.equal(labelled.status, 201, "as texts they are texts");
  t.same([...labelled.body.labels].sort(), ["__proto__", "constructor", "toString"]);
});

t.test("unknown query parameters and values out of bounds are 400", async (t) => {
  for (const query of ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=1.5", "limit=", "limit=0x10", "limit=1e1", "limit=%2010", "limit=+5", "limit=5.0", "cursor=x", "cursor=", "cursor=e30", "unknown=1", "limit=1&limit=2", "consistency=NONE", "consistency=local", "consistency="]) {
    t.equal((await owner.get(`${components}?${query}`)).status, 400, query);
  }
  for (const path of ["/v1/pages/default?x=1", `${components}/none?limit=1`, "/v1/cluster?x=1"]) t.equal((await owner.get(path)).status, 400, path);
  t.equal((await owner.post(`${components}?x=1`, { name: "a" })).status, 400);
  t.equal((await owner.delete(`${components}/none?x=1`)).status, 400);
});

t.test("what cannot be an id is 404, and never a fault of the server", async (t) => {
  for (const id of ["%00", "%2e%2e", "a%2Fb", "~", "%7E", "x".repeat(65), "x".repeat(500), "%F0%9F%92%A9", "_", "__proto__", "constructor", "a=b", "a%20b", "a,b"]) {
    for (const path of [`/v1/pages/${id}`, `/v1/pages/${id}/components`, `${components}/${id}`, `/v1/keys/${id}`, `/v1/pages/default/incidents/${id}/updates/${id}`, `${components}/${id}/history`]) {
      const answer = await owner.get(path);
      t.equal(answer.status, 404, path);
    }
  }
  t.equal((await owner.get("/v1/pages/%ZZ")).status, 400, "a path that is no URL is malformed");
});

t.test("what is not HTTP gets 400 and the server goes on", async (t) => {
  const { hostname, port } = new URL(owner.base);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write("HELLO\r\n\r\n"));
    let text = "";
    socket.on("data", (bytes) => { text += String(bytes); }).on("close", () => resolve(text)).on("error", reject);
  });
  t.match(answer, /^HTTP\/1\.1 400 /);
  t.match(answer, /application\/problem\+json/);
  const [head, body] = answer.split("\r\n\r\n");
  t.match(head, /^x-request-id: \S+/im, "X-Request-Id is on every answer");
  t.match(head, /^region: us-east/im, "Region is on every answer");
  t.match(JSON.parse(body ?? ""), { status: 400, type: /^\/problems\// });
  const big = await owner.get("/v1/pages", { "x-filler": "x".repeat(20_000) }).catch((error: unknown) => error);
  t.notMatch(String(big), /→ 5\d\d/);
  t.equal((await owner.get("/healthz")).status, 200);
});

t.test("a limit that is passed is 429 for that second, with all that an error has; nobody else is kept out", async (t) => {
  const limited = await World.start({ settings: { rateLimit: { perKeyPerSecond: 5, perAddressPerSecond: 1_000 }, cors: ["https://dashboard.example.com"] } });
  t.teardown(() => limited.stop());
  const client = limited.client();
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push(await client.get("/v1/pages"));
  t.ok(answers.some(({ status }) => status === 429));
  t.match(answers.find(({ status }) => status === 429), { body: { type: "/problems/too-many-requests" } });
  t.equal((await client.as(null).get("/healthz")).status, 200);
  await until("the second is over", async () => (await client.get("/v1/pages")).status === 200);

  const origin = "https://dashboard.example.com";
  const preflight = await client.as(null).send("OPTIONS", components, undefined, { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization, idempotency-key" });
  t.match(preflight, { status: 204, headers: { "access-control-allow-origin": origin, "access-control-allow-methods": /POST.*PATCH/, "access-control-allow-headers": /Authorization.*Idempotency-Key.*Session-Token/, vary: /Origin/ } });
  for (const path of ["/healthz", "/v1/none", "/v1/pages"]) {
    const answer = await client.as(null).get(path, { origin });
    t.equal(answer.headers["access-control-allow-origin"], origin, path);
    t.match(answer.headers["access-control-expose-headers"], /Session-Token/);
    t.equal((await client.as(null).get(path, { origin: "https://elsewhere.example.com" })).headers["access-control-allow-origin"], undefined);
  }
});

/** Health, metrics, cluster, and the API's description of itself. */
import t from "tap";
import { Ajv2020 } from "ajv/dist/2020.js";
import { FAULT_CODES } from "../../src/core/errors.js";
import { ROOT_KEY, testServer } from "./test-server.js";

const auth = { authorization: `Bearer ${ROOT_KEY}` };

t.test("health and readiness answer without a key; a read-only replica is not ready", async (t) => {
  const { app, data } = await testServer(t);
  t.equal((await app.inject({ url: "/healthz" })).statusCode, 200);
  for (const level of [0, 1, 2, 3, 4, 5]) {
    data.level = level;
    const answer = await app.inject({ url: "/readyz" });
    t.equal(answer.statusCode, level === 5 ? 503 : 200, `level ${level}`);
    t.equal(answer.json().level, level);
    t.equal(answer.json().reasons.length, level === 0 ? 0 : 1);
  }
});

t.test("metrics count requests by route, show every peer, and name no page", async (t) => {
  const { app } = await testServer(t);
  await app.inject({ url: "/v1/pages/default/notes", headers: auth });
  await app.inject({ url: "/v1/pages/default/notes/none", headers: auth });
  await app.inject({ url: "/v1/pages/default/notes" });
  const answer = await app.inject({ url: "/metrics" });
  t.match(answer.headers["content-type"], /^application\/openmetrics-text/);
  t.match(answer.body, 'statusmesh_http_request_duration_seconds_count{method="GET",route="/v1/pages/:page/notes",status="2xx"} 1\n');
  t.match(answer.body, 'statusmesh_http_request_duration_seconds_count{method="GET",route="/v1/pages/:page/notes",status="4xx"} 1\n');
  t.match(answer.body, 'statusmesh_http_request_duration_seconds_count{method="GET",route="/v1/pages/:page/notes/:id",status="4xx"} 1\n');
  t.match(answer.body, 'statusmesh_peer_unacknowledged_changes{peer="eu-west-1",peer_region="eu-west"} 3\n');
  t.match(answer.body, "statusmesh_degradation_level 0\n");
  t.match(answer.body, /# EOF\n$/);
  t.notMatch(answer.body, "pages/default");
  const plain = await app.inject({ url: "/metrics", headers: { accept: "text/plain;version=0.0.4" } });
  t.match(plain.headers["content-type"], /^text\/plain; version=0\.0\.4/);
  t.notMatch(plain.body, "# EOF");
  t.match((await app.inject({ url: "/metrics", headers: { accept: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5" } })).headers["content-type"], /^application\/openmetrics-text/);
});

t.test("the cluster's state needs a key, anti-entropy an owner's", async (t) => {
  const server = await testServer(t);
  t.equal((await server.app.inject({ url: "/v1/cluster" })).statusCode, 401);
  const viewer = { authorization: `Bearer ${await server.addKey("v", "viewer", "default")}` };
  t.match((await server.app.inject({ url: "/v1/cluster", headers: viewer })).json(), { replica: "us-east-1", degradation: { level: 0, reasons: [] }, peers: [{ replica: "eu-west-1", state: "up" }] });
  t.equal((await server.app.inject({ method: "POST", url: "/v1/cluster/anti-entropy", headers: viewer })).statusCode, 403);
  const round = await server.app.inject({ method: "POST", url: "/v1/cluster/anti-entropy", headers: { ...auth, "content-type": "application/json" } });
  t.equal(round.statusCode, 200);
  t.match(round.json(), { peers: [{ replica: "eu-west-1", equal: true, round_trips: 1 }] });
});

t.test("every problem type has a page, without a key", async (t) => {
  const { app } = await testServer(t);
  for (const code of FAULT_CODES) {
    const answer = await app.inject({ url: `/problems/${code}` });
    t.equal(answer.statusCode, 200, code);
    t.match(answer.body, code);
  }
  t.equal((await app.inject({ url: "/problems/nonsense" })).statusCode, 404);
});

t.test("the description covers every route with its answers, problems, key and headers", async (t) => {
  const { app } = await testServer(t);
  const answer = await app.inject({ url: "/openapi.json" });
  t.equal(answer.statusCode, 200);
  const document = answer.json();
  t.match(document.openapi, /^3\.1\./);
  const post = document.paths["/v1/pages/{page}/notes"].post;
  t.match(post, { security: [{ key: [] }], requestBody: { content: { "application/json": { schema: { required: ["text"] } } } } });
  t.ok(post.responses["201"].content["application/json"].schema);
  for (const status of ["400", "401", "403", "404", "409", "413", "415", "422", "429", "503"]) t.same(post.responses[status], { $ref: `#/components/responses/Problem${status}` });
  const names = post.parameters.map((parameter: { $ref?: string; name?: string }) => parameter.name ?? parameter.$ref);
  t.ok(names.includes("#/components/parameters/idempotencyKey") && names.includes("page") && names.includes("consistency"));
  t.same(document.paths["/healthz"].get.security, []);
  const ids = Object.values(document.paths as Record<string, Record<string, { operationId: string }>>).flatMap((path) => Object.values(path).map(({ operationId }) => operationId));
  t.equal(new Set(ids).size, ids.length, "operation ids are unique");
  const references = [...answer.body.matchAll(/"\$ref":"#\/components\/(\w+)\/([\w-]+)"/g)];
  t.ok(references.length > 10);
  for (const [, kind = "", name = ""] of references) t.ok(document.components[kind]?.[name], `${kind}/${name}`);
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  t.doesNotThrow(() => ajv.compile(post.requestBody.content["application/json"].schema));
});

t.test("the reference can be browsed without a key, under a content security policy that allows no other origin", async (t) => {
  const { app } = await testServer(t);
  const page = await app.inject({ url: "/docs" });
  t.equal(page.statusCode, 200);
  t.match(page.headers["content-security-policy"], /default-src 'none'/);
  t.notMatch(page.headers["content-security-policy"], /upgrade-insecure-requests|https:/);
  t.notMatch(page.body, /<script>|src="https?:/);
  for (const [, path = ""] of page.body.matchAll(/(?:src|href)="([^"]+\.(?:js|css))"/g)) {
    t.equal((await app.inject({ url: path.replace("./", "/docs/") })).statusCode, 200, path);
  }
  t.match((await app.inject({ url: "/docs/static/swagger-initializer.js" })).body, "/openapi.json");
});

t.test("a route under /v1 that names no role is refused when the server is built", async (t) => {
  await t.rejects(testServer(t, {}, [async (app) => void app.get("/v1/open", () => "open")]), { name: "InvariantViolation" });
});

t.test("a start that holds the event loop up is no overload: the first requests are served", async (t) => {
  // Not one turn of the event loop meanwhile, as when a slow machine loads and compiles.
  const slow = async (): Promise<void> => {
    const until = performance.now() + 1_500;
    while (performance.now() < until);
  };
  const { app } = await testServer(t, {}, [slow]);
  // The gauge takes its first sample in one of these turns.
  for (let i = 0; i < 20; i++) {
    t.equal((await app.inject("/problems/invalid")).statusCode, 200);
    await new Promise((resolve) => setImmediate(resolve));
  }
});

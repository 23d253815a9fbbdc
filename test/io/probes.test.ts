import { chmodSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Check, CheckType } from "../../src/core/check.js";
import { probeIcmp } from "../../src/io/probes/icmp-probe.js";
import { NetworkProbe } from "../../src/io/probes/network-probe.js";
import { Stopwatch } from "../../src/io/probes/target-connection.js";
import { systemClock } from "../../src/io/system-clock.js";
import { TestAuthority } from "./mesh-certificates.js";
import { freePort } from "../../chaos/free-ports.js";
import { dnsData, dnsTarget, grpcTarget, httpTarget, tcpTarget, tlsTarget } from "./targets.js";

const open = new NetworkProbe({ allowPrivateTargets: true }, systemClock);
const guarded = new NetworkProbe({ allowPrivateTargets: false }, systemClock);
const check = (type: CheckType, target: string, options: Check["options"] = {}, timeoutMs = 5_000): Check => ({ type, target, timeoutMs, options });

t.test("an HTTP target that answers as expected is up, and its phases add up to less than the total", async (t) => {
  const asked: unknown[] = [];
  const port = await httpTarget(t, (request, response) => {
    asked.push([request.method, request.url, request.headers["x-token"]]);
    response.setHeader("x-kind", "health").end(JSON.stringify({ status: "ok", parts: [{ name: "db", up: true }] }));
  });
  const outcome = await open.run(check("http", `http://127.0.0.1:${port}/health?x=1`, {
    method: "POST", body: "x", headers: { "X-Token": "t" }, body_contains: "ok", body_not_contains: "error", body_matches: "\"db\".*true", json_path: "$.parts[?@.name == 'db'].up", json_value: true,
    expected_headers: { "X-Kind": "health" }, expected_status: ["200-204"],
  }));
  t.match(outcome, { state: "up", error: null, details: { status_code: 200 } });
  t.same(asked, [["POST", "/health?x=1", "t"]]);
  const { connect, first_byte, total, tls } = outcome.phases;
  t.equal(tls, null);
  t.ok((connect ?? -1) > 0 && (first_byte ?? -1) > 0 && (connect ?? 0) + (first_byte ?? 0) <= (total ?? 0), JSON.stringify(outcome.phases));
});

t.test("what an HTTP answer lacks is said", async (t) => {
  const port = await httpTarget(t, (request, response) => {
    response.statusCode = request.url === "/missing" ? 404 : 200;
    response.end("{\"status\":\"bad\"}");
  });
  const at = (path: string, options: Check["options"]) => open.run(check("http", `http://127.0.0.1:${port}${path}`, options));
  t.match(await at("/missing", {}), { state: "down", error: { code: "status", message: "the status is 404" } });
  t.match(await at("/missing", { expected_status: "4xx" }), { state: "up" });
  t.match(await at("/", { body_contains: "ok" }), { state: "down", error: { code: "body" } });
  t.match(await at("/", { body_not_contains: "bad" }), { state: "down", error: { code: "body" } });
  t.match(await at("/", { body_matches: "^o" }), { state: "down", error: { code: "body" } });
  t.match(await at("/", { json_path: "$.state" }), { state: "down", error: { code: "json" } });
  t.match(await at("/", { json_path: "$.status", json_value: "ok" }), { state: "down", error: { code: "json" } });
  t.match(await at("/", { expected_headers: { "x-kind": "health" } }), { state: "down", error: { code: "header" } });
  t.match(await open.run(check("http", `http://127.0.0.1:${await freePort()}/`)), { state: "down", error: { code: "ECONNREFUSED" } });
});

t.test("a target that accepts and says nothing, or never ends, costs no more than its time", async (t) => {
  const silent = await tcpTarget(t, () => undefined);
  const started = performance.now();
  t.match(await open.run(check("http", `http://127.0.0.1:${silent}/`, {}, 300)), { state: "down", error: { code: "timeout" } });
  const dripping = await httpTarget(t, (_request, response) => {
    response.write("x");
    const drip = setInterval(() => response.write("x"), 20);
    response.on("close", () => clearInterval(drip));
  });
  t.match(await open.run(check("http", `http://127.0.0.1:${dripping}/`, {}, 300)), { state: "down", error: { code: "timeout" } });
  t.ok(performance.now() - started < 5_000);
});

t.test("of an endless body no more than the bound is read", async (t) => {
  let sent = 0;
  const port = await httpTarget(t, (_request, response) => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) sent += chunk.length;
    };
    response.on("drain", more);
    more();
  });
  t.match(await open.run(check("http", `http://127.0.0.1:${port}/`, { body_contains: "xxx" })), { state: "up" });
  t.ok(sent < 16 * 1024 * 1024, `${sent} bytes`);
});

t.test("redirects are followed up to the bound, and secrets stay with their origin", async (t) => {
  const seen: (string | undefined)[] = [];
  const elsewhere = await httpTarget(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.end("there");
  });
  const port = await httpTarget(t, (request, response) => {
    if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
    else response.writeHead(307, { location: `http://127.0.0.1:${elsewhere}/` }).end();
  });
  const headers = { Authorization: "Bearer secret" };
  t.match(await open.run(check("http", `http://127.0.0.1:${port}/`, { headers, body_contains: "there" })), { state: "up", details: { redirects: 1 } });
  t.same(seen, [undefined]);
  t.match(await open.run(check("http", `http://127.0.0.1:${port}/loop`, { max_redirects: 3 })), { state: "down", error: { code: "redirects" } });
  t.match(await open.run(check("http", `http://127.0.0.1:${port}/`, { follow_redirects: false, expected_status: 307 })), { state: "up" });
});

t.test("nothing connects to private addresses unless they were opened, neither by name nor in disguise", async (t) => {
  let reached = 0;
  const port = await httpTarget(t, (_request, response) => {
    reached++;
    response.end();
  });
  for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "0x7f.1", "[64:ff9b::7f00:1]", "0.0.0.0"]) {
    t.match(await guarded.run(check("http", `http://${host}:${port}/`)), { state: "unknown", error: { code: "target-refused" } }, host);
  }
  for (const type of ["tcp", "tls", "grpc"] as const) t.match(await guarded.run(check(type, `127.0.0.1:${port}`)), { state: "unknown", error: { code: "target-refused" } }, type);
  t.match(await guarded.run(check("icmp", "127.0.0.1")), { state: "unknown", error: { code: "target-refused" } });
  t.match(await guarded.run(check("dns", "example.com", { server: "127.0.0.1:53" })), { state: "unknown", error: { code: "target-refused" } });
  t.equal(reached, 0);
  const ranged = new NetworkProbe({ allowPrivateTargets: false, allowedTargetRanges: ["127.0.0.0/30"] }, systemClock);
  t.match(await ranged.run(check("http", `http://127.0.0.1:${port}/`)), { state: "up" });
  t.equal(reached, 1);
  for (const host of ["127.0.0.4", "[::1]", "10.0.0.1"]) t.match(await ranged.run(check("http", `http://${host}:${port}/`)), { state: "unknown", error: { code: "target-refused" } }, host);
});

t.test("the guard stands before every hop of a redirect", async (t) => {
  let reached = 0;
  const inner = await httpTarget(t, (_request, response) => {
    reached++;
    response.end();
  });
  const outer = await httpTarget(t, (_request, response) => response.writeHead(302, { location: `http://127.0.0.1:${inner}/` }).end());
  let looks = 0;
  // The first target passes for one of the public internet.
  const firstOnly = { get allowPrivateTargets() { return looks++ === 0; } };
  t.match(await new NetworkProbe(firstOnly, systemClock).run(check("http", `http://127.0.0.1:${outer}/`)), { state: "unknown", error: { code: "target-refused" } });
  t.equal(reached, 0);
});

t.test("a TCP target is connected to, and answers what is expected", async (t) => {
  const port = await tcpTarget(t, (socket) => socket.on("data", (data) => socket.end(`echo ${data}`)));
  t.match(await open.run(check("tcp", `127.0.0.1:${port}`)), { state: "up" });
  t.match(await open.run(check("tcp", `127.0.0.1:${port}`, { send: "PING", expect: "echo PING" })), { state: "up" });
  t.match(await open.run(check("tcp", `127.0.0.1:${port}`, { send: "PING", expect: "PONG" })), { state: "down", error: { code: "answer" } });
  t.match(await open.run(check("tcp", `127.0.0.1:${await freePort()}`)), { state: "down", error: { code: "ECONNREFUSED" } });
});

t.test("certificates are held against name, issuer and time", async (t) => {
  const authority = await TestAuthority.create(400);
  const fresh = await authority.issue("target.test", "target.test", 90);
  const soon = await authority.issue("target.test", "target.test", 5);
  const over = await authority.issue("target.test", "target.test", -2);
  const { ca } = fresh;
  const tls = (port: number, options: Check["options"]) => open.run(check("tls", `127.0.0.1:${port}`, options));
  const port = await tlsTarget(t, fresh);
  t.match(await tls(port, { ca, server_name: "target.test" }), { state: "up", details: { days_valid: 89 }, phases: { tls: Number } });
  t.match(await tls(port, { ca, server_name: "other.test" }), { state: "down", error: { code: "ERR_TLS_CERT_ALTNAME_INVALID" } });
  t.match(await tls(port, { server_name: "target.test" }), { state: "down", error: { code: /UNABLE_TO|SELF_SIGNED/ } });
  t.match(await tls(port, { verify: false }), { state: "up" });
  t.match(await tls(port, { ca, min_days_valid: 100 }), { state: "down", error: { code: "certificate-expires" } });
  t.match(await tls(await tlsTarget(t, soon), { ca }), { state: "down", error: { code: "certificate-expires", message: "a certificate expires in 4 days" } });
  t.match(await tls(await tlsTarget(t, over), { ca }), { state: "down", error: { code: "CERT_HAS_EXPIRED" } });
  const https = await httpTarget(t, (_request, response) => response.end("secure"), soon);
  t.match(await open.run(check("http", `https://127.0.0.1:${https}/`, { ca })), { state: "up", details: { days_valid: 4 }, phases: { tls: Number } });
  t.match(await open.run(check("http", `https://127.0.0.1:${https}/`, { ca, min_days_valid: 14 })), { state: "down", error: { code: "certificate-expires" } });
});

t.test("DNS records are asked of the server that is named", async (t) => {
  const server = `127.0.0.1:${await dnsTarget(t, { "www.example.test": ["192.0.2.1", "192.0.2.2"], "empty.example.test": [] })}`;
  const dns = (name: string, options: Check["options"] = {}) => open.run(check("dns", name, { server, ...options }));
  t.match(await dns("www.example.test", { expect: ["192.0.2.1", "192.0.2.2"] }), { state: "up", details: { answers: 2 }, phases: { dns: Number } });
  t.match(await dns("www.example.test", { expect: "192.0.2.9" }), { state: "down", error: { code: "answer" } });
  t.match(await dns("nothing.example.test"), { state: "down", error: { code: "ENOTFOUND" } });
  t.match(await dns("empty.example.test"), { state: "down", error: { code: "ENODATA" } });
  t.match(await open.run(check("dns", "www.example.test", { server: `127.0.0.1:${await freePort()}` }, 1_000)), { state: "down" });
});

t.test("DNS records of every type read as in a zone file", async (t) => {
  const zone = {
    ...dnsData.address6("20010db8000000000000000000000001"), ...dnsData.alias("www.example.test"), ...dnsData.mail(10, "mail.example.test"), ...dnsData.nameServer("ns1.example.test"),
    ...dnsData.text("v=spf1 ", "-all"), ...dnsData.service(1, 2, 443, "srv.example.test"), ...dnsData.authority("issue", "ca.example.test"), ...dnsData.pointer("host.example.test"),
    ...dnsData.start("ns1.example.test", "admin.example.test", 7, 3_600, 600, 86_400, 300),
  };
  const server = `127.0.0.1:${await dnsTarget(t, { "example.test": zone })}`;
  for (const [record, line] of [
    ["AAAA", "2001:db8::1"], ["CNAME", "www.example.test"], ["MX", "10 mail.example.test"], ["NS", "ns1.example.test"], ["TXT", "v=spf1 -all"], ["SRV", "1 2 443 srv.example.test"],
    ["CAA", "0 issue ca.example.test"], ["PTR", "host.example.test"], ["SOA", "ns1.example.test admin.example.test 7 3600 600 86400 300"],
  ] as const) {
    t.match(await open.run(check("dns", "example.test", { server, record, expect: line })), { state: "up" }, record);
    t.match(await open.run(check("dns", "example.test", { server, record, expect: `${line} x` })), { state: "down", error: { code: "answer" } }, record);
  }
});

t.test("gRPC services are asked for their health", async (t) => {
  const authority = await TestAuthority.create(400);
  const keys = await authority.issue("target.test", "target.test", 90);
  const port = await grpcTarget(t, { "": 1, ready: 1, resting: 2 });
  const grpc = (options: Check["options"], at = port) => open.run(check("grpc", `127.0.0.1:${at}`, options));
  t.match(await grpc({}), { state: "up", phases: { first_byte: Number } });
  t.match(await grpc({ service: "ready" }), { state: "up" });
  t.match(await grpc({ service: "resting" }), { state: "down", error: { code: "not-serving" } });
  t.match(await grpc({ service: "none" }), { state: "down", error: { code: "no-service" } });
  t.match(await grpc({}, await freePort()), { state: "down", error: { code: "ECONNREFUSED" } });
  const secure = await grpcTarget(t, { "": 1 }, keys);
  t.match(await grpc({ tls: true, ca: keys.ca, server_name: "target.test" }, secure), { state: "up", phases: { tls: Number } });
  t.match(await grpc({ tls: true, ca: keys.ca, server_name: "other.test" }, secure), { state: "down" });
});

t.test("another status page is up while its API says its status", async (t) => {
  const port = await httpTarget(t, (request, response) => {
    response.statusCode = request.url === "/pages/default/api/v2/status.json" ? 200 : 404;
    response.end(JSON.stringify({ status: { indicator: "none" } }));
  });
  t.match(await open.run(check("smesh", `http://127.0.0.1:${port}/pages/default/`)), { state: "up" });
  t.match(await open.run(check("smesh", `http://127.0.0.1:${port}/`)), { state: "down", error: { code: "status" } });
});

t.test("an echo comes back from loopback, and where ping is missing nothing is called down", async (t) => {
  const outcome = await open.run(check("icmp", "127.0.0.1"));
  if (outcome.error?.code === "no-ping" || outcome.error?.code === "not-permitted") {
    t.equal(outcome.state, "unknown");
    t.comment(`not tried: ${outcome.error.message}`);
  } else t.match(outcome, { state: "up" });
  await t.rejects(probeIcmp(check("icmp", "127.0.0.1"), { allowPrivateTargets: true }, new Stopwatch(1_000), "no-such-ping"), { code: "no-ping", state: "unknown" });
  const folder = t.testdir({ ping: "#!/bin/sh\necho 'ping: socktype: SOCK_RAW' >&2\necho 'ping: socket: Operation not permitted' >&2\nexit 2\n", mute: "#!/bin/sh\necho '1 packets transmitted, 0 received'\nexit 1\n" });
  for (const [program, expected] of [["ping", { code: "not-permitted", state: "unknown" }], ["mute", { code: "timeout", state: "down" }]] as const) {
    chmodSync(join(folder, program), 0o755);
    await t.rejects(probeIcmp(check("icmp", "127.0.0.1"), { allowPrivateTargets: true }, new Stopwatch(1_000), join(folder, program)), expected, program);
  }
});

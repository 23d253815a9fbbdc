/** Debian's blackbox_exporter beside our runner, on the same targets: both say the same of each. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import t from "tap";
import { ensureBuilt } from "../../chaos/built-program.js";
import { checkout } from "../../chaos/checkout.js";
import { settled } from "../../chaos/waiting.js";
import type { Check } from "../../src/core/check.js";
import { systemTimers } from "../../src/io/system-clock.js";
import { TestAuthority } from "../io/mesh-certificates.js";
import { freePort } from "../../chaos/free-ports.js";
import { dnsTarget, httpTarget, tcpTarget, tlsTarget } from "../io/targets.js";
import { folderFor, missing, runPart } from "./real-part.js";

const PROGRAM = "prometheus-blackbox-exporter";
const TIMEOUT_MS = 2_000;
/** What a check of type `tls` asks for by default; with blackbox_exporter it is an alert on this metric. */
const MIN_DAYS_VALID = 14;

interface Case {
  readonly title: string;
  readonly expected: "up" | "down";
  /** Module and target of blackbox_exporter. */
  readonly module: string;
  readonly target: string;
  readonly check: Pick<Check, "type" | "target" | "options">;
}

const MODULES = (ca: string): string => `modules:
  http: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4 } }
  http_404: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, valid_status_codes: [404] } }
  http_body: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: ["all .* well"] } }
  http_still: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, follow_redirects: false } }
  http_ca: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, tls_config: { ca_file: ${ca}, server_name: target.test } } }
  tcp: { prober: tcp, timeout: 2s, tcp: { preferred_ip_protocol: ip4 } }
  tcp_answer: { prober: tcp, timeout: 2s, tcp: { preferred_ip_protocol: ip4, query_response: [{ send: "PING" }, { expect: "PONG" }] } }
  tls: { prober: tcp, timeout: 2s, tcp: { preferred_ip_protocol: ip4, tls: true, tls_config: { ca_file: ${ca}, server_name: target.test } } }
  dns_known: { prober: dns, timeout: 2s, dns: { preferred_ip_protocol: ip4, query_name: www.example.test, query_type: A, validate_answer_rrs: { fail_if_none_matches_regexp: [".*192.0.2.1"] } } }
  dns_other: { prober: dns, timeout: 2s, dns: { preferred_ip_protocol: ip4, query_name: www.example.test, query_type: A, validate_answer_rrs: { fail_if_none_matches_regexp: [".*192.0.2.9"] } } }
  dns_unknown: { prober: dns, timeout: 2s, dns: { preferred_ip_protocol: ip4, query_name: none.example.test, query_type: A } }
`;

t.test("both say the same of each target", { timeout: 400_000, skip: missing(PROGRAM) }, async (t) => {
  await ensureBuilt();
  // Threads are started from what was compiled: the loaders of the test runner do not reach into them.
  const { RunnerThread } = (await import(pathToFileURL(path.join(checkout, "dist", "runner-thread.js")).href)) as typeof import("../../src/runner-thread.js");
  const runner = new RunnerThread({ settings: { region: "us-east", allowPrivateTargets: true, canaries: [] }, timers: systemTimers, log: () => undefined });
  t.teardown(() => runner[Symbol.asyncDispose]());

  const folder = await folderFor(t);
  const authority = await TestAuthority.create(400);
  const [fresh, soon, over] = [await authority.issue("target.test", "target.test", 90), await authority.issue("target.test", "target.test", 5), await authority.issue("target.test", "target.test", -2)];
  const { ca } = fresh;
  await writeFile(path.join(folder, "ca.pem"), ca);
  await writeFile(path.join(folder, "blackbox.yml"), MODULES(path.join(folder, "ca.pem")));
  const port = await freePort();
  const part = runPart(t, PROGRAM, [`--config.file=${path.join(folder, "blackbox.yml")}`, `--web.listen-address=127.0.0.1:${port}`], folder);
  await settled("blackbox_exporter answers", async () => (await fetch(`http://127.0.0.1:${port}/-/healthy`)).ok).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${part.said()}`);
  });

  const http = await httpTarget(t, (request, response) => {
    if (request.url === "/silent") return;
    response.statusCode = request.url === "/broken" ? 500 : request.url === "/missing" ? 404 : request.url === "/moved" ? 302 : 200;
    if (request.url === "/moved") response.setHeader("location", "/broken");
    response.end("all is well");
  });
  const https = await httpTarget(t, (_request, response) => void response.end("all is well"), fresh);
  const echo = await tcpTarget(t, (socket) => socket.on("data", (data) => socket.end(String(data).includes("PING") ? "PONG" : "?")));
  const mute = await tcpTarget(t, (socket) => socket.on("data", () => socket.end("what?\n")));
  const dns = `127.0.0.1:${await dnsTarget(t, { "www.example.test": ["192.0.2.1"] })}`;
  const closed = await freePort();

  const httpCase = (title: string, expected: Case["expected"], module: string, url: string, options: Check["options"] = {}): Case => ({ title, expected, module, target: url, check: { type: "http", target: url, options } });
  const portCase = (title: string, expected: Case["expected"], module: string, at: number, options: Check["options"] = {}): Case => ({ title, expected, module, target: `127.0.0.1:${at}`, check: { type: "tcp", target: `127.0.0.1:${at}`, options } });
  const tlsCase = async (title: string, expected: Case["expected"], keys: Parameters<typeof tlsTarget>[1], trusted: string | undefined = ca): Promise<Case> => {
    const at = `127.0.0.1:${await tlsTarget(t, keys)}`;
    return { title, expected, module: "tls", target: at, check: { type: "tls", target: at, options: { ca: trusted, server_name: "target.test" } } };
  };
  const dnsCase = (title: string, expected: Case["expected"], module: string, name: string, expect: string | undefined, server = dns): Case => ({ title, expected, module, target: server, check: { type: "dns", target: name, options: { server, ...(expect === undefined ? {} : { expect }) } } });
  const at = (path: string): string => `http://127.0.0.1:${http}${path}`;
  const stranger = await (await TestAuthority.create(400)).issue("target.test", "target.test", 90);
  const cases: Case[] = [
    httpCase("200", "up", "http", at("/")), httpCase("500", "down", "http", at("/broken")), httpCase("404 that is expected", "up", "http_404", at("/missing"), { expected_status: 404 }),
    httpCase("404", "down", "http", at("/missing")), httpCase("a redirect to what is broken", "down", "http", at("/moved")), httpCase("a redirect that is not followed", "down", "http_still", at("/moved"), { follow_redirects: false }),
    httpCase("nobody listens", "down", "http", `http://127.0.0.1:${closed}/`), httpCase("no answer in time", "down", "http", at("/silent")),
    httpCase("a body that matches", "up", "http_body", at("/"), { body_matches: "all .* well" }), httpCase("https", "up", "http_ca", `https://127.0.0.1:${https}/`, { ca, server_name: "target.test" }),
    httpCase("https of an issuer that nobody trusts", "down", "http", `https://127.0.0.1:${https}/`),
    portCase("an open port", "up", "tcp", echo), portCase("a closed port", "down", "tcp", closed), portCase("the answer that is expected", "up", "tcp_answer", echo, { send: "PING\n", expect: "PONG" }),
    portCase("another answer", "down", "tcp_answer", mute, { send: "PING\n", expect: "PONG" }),
    await tlsCase("a certificate with time", "up", fresh), await tlsCase("a certificate that expires soon", "down", soon), await tlsCase("a certificate that is over", "down", over), await tlsCase("a certificate of a stranger", "down", stranger),
    dnsCase("a name with its address", "up", "dns_known", "www.example.test", "192.0.2.1"), dnsCase("a name with another address", "down", "dns_other", "www.example.test", "192.0.2.9"),
    dnsCase("a name that does not exist", "down", "dns_unknown", "none.example.test", undefined), dnsCase("no server", "down", "dns_known", "www.example.test", "192.0.2.1", `127.0.0.1:${closed}`),
  ];

  const theirs = async ({ module, target }: Case): Promise<string> => {
    const text = await (await fetch(`http://127.0.0.1:${port}/probe?module=${module}&target=${encodeURIComponent(target)}`)).text();
    const success = /^probe_success (\S+)$/m.exec(text)?.[1];
    if (success === undefined) throw new Error(text);
    const expiry = Number(/^probe_ssl_earliest_cert_expiry (\S+)$/m.exec(text)?.[1] ?? Number.NaN);
    const expiresSoon = module === "tls" && expiry * 1_000 - Date.now() < MIN_DAYS_VALID * 86_400_000;
    return success === "1" && !expiresSoon ? "up" : "down";
  };
  const ours = async ({ check, title }: Case): Promise<string> => {
    const result = await runner.runNow({ key: `default/${title}`, intervalMs: 5_000, retries: 0, retryDelayMs: 0, soon: true, check: { ...check, timeoutMs: TIMEOUT_MS } });
    return result?.state ?? "none";
  };
  for (const one of cases) {
    const [mine, other] = [await ours(one), await theirs(one)];
    t.equal(mine, one.expected, `${one.title}: ours`);
    t.equal(other, mine, `${one.title}: the same`);
  }
});

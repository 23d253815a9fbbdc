import Fastify from "fastify";
import { testServer, ROOT_KEY } from "./test-server.js";
const kind = process.argv[2];
const text = JSON.stringify({ id: "l8sn9rjig3eqtpcnb7v5bv90pc", text: "x".repeat(90), mood: null });
if (kind === "same") {
  const app = Fastify();
  app.get("/v1/pages/:page/notes/:id", (_q, reply) => { reply.header("content-type", "application/json; charset=utf-8").header("x-request-id", "31bca02094eb-2").header("region", "us-east").header("x-content-type-options", "nosniff").header("session-token", "eyJ1cy1lYXN0LTEuMSI6NX0").header("consistency-level", "LOCAL").header("etag", '"cka_UV6uHQSXybVnVxxWjg"').send(text); });
  await app.listen({ port: 18090, host: "127.0.0.1" });
} else if (kind === "bare") {
  const app = Fastify();
  app.get("/v1/pages/:page/notes/:id", (_q, reply) => { reply.header("content-type", "application/json; charset=utf-8").send(text); });
  await app.listen({ port: 18090, host: "127.0.0.1" });
} else {
  const s = await testServer({ teardown: () => {} } as never, kind === "nolimit" ? { requestsPerKey: 0, requestsPerAddress: 0 } : { requestsPerKey: 1e7, requestsPerAddress: 1e7 });
  const r = await s.app.inject({ method: "POST", url: "/v1/pages/default/notes", headers: { authorization: `Bearer ${ROOT_KEY}`, "idempotency-key": "a" }, payload: { text: "x".repeat(90) } });
  s.data.write("~/note/x", [{ op: "create", section: "" }]);
  await s.app.listen({ port: 18090, host: "127.0.0.1" });
  console.log(r.json().id);
}
let mark = process.cpuUsage();
process.on("SIGUSR2", () => { const u = process.cpuUsage(mark); mark = process.cpuUsage(); console.log("cpu", u.user, u.system); });
process.on("SIGTERM", () => process.exit(0));

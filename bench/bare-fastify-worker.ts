/** The limit over HTTP: Fastify with one route that sends given bytes, and some that take an update or a notification by schema and do nothing with it. */
import { readFileSync } from "node:fs";
import Fastify from "fastify";

const [, , bytesFile = ""] = process.argv;
// Not a text, which would be encoded anew for each answer.
const bytes = readFileSync(bytesFile);
const app = Fastify();
app.get("/bytes", (_request, reply) => {
  reply.header("content-type", "application/json; charset=utf-8").send(bytes);
});
app.post("/updates", {
  schema: {
    body: { type: "object", required: ["body"], additionalProperties: false, properties: { status: { type: "string" }, body: { type: "string", maxLength: 20_000 } } },
    response: { 201: { type: "object", properties: { status: { type: "string" }, body: { type: "string" } } } },
  },
}, (request, reply) => {
  reply.code(201).send(request.body);
});
const texts = { type: "object", additionalProperties: { type: "string" } };
app.post("/alerts", {
  schema: {
    body: {
      type: "object", required: ["version", "groupKey", "alerts"],
      properties: {
        version: { const: "4" }, groupKey: { type: "string" }, truncatedAlerts: { type: "integer" },
        alerts: { type: "array", items: { type: "object", required: ["status", "labels", "startsAt"], properties: { status: { enum: ["firing", "resolved"] }, labels: texts, annotations: texts, startsAt: { type: "string" }, fingerprint: { type: "string" } } } },
      },
    },
  },
}, (request, reply) => {
  reply.code(200).send({ data: (request.body as { alerts: { fingerprint: string }[] }).alerts.map(({ fingerprint }) => ({ fingerprint, outcome: "firing", mapping: "mapped" })), next_cursor: null });
});
process.on("disconnect", () => process.exit());
await app.listen({ host: "127.0.0.1", port: 0 });
const address = app.server.address();
process.send?.({ base: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` });

/** The limit over HTTP: Fastify with one route that sends given bytes, and one that takes an update by schema and does nothing with it. */
import { readFileSync } from "node:fs";
import Fastify from "fastify";

const [, , bytesFile = ""] = process.argv;
const bytes = readFileSync(bytesFile, "utf8");
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
process.on("disconnect", () => process.exit());
await app.listen({ host: "127.0.0.1", port: 0 });
const address = app.server.address();
process.send?.({ base: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` });

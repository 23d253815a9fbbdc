/** Whether the process runs, and whether it can do its work. Without a key, and without a word about any page. */
import type { FastifyInstance } from "fastify";
import Type from "typebox";
import type { DataPlane } from "../store/data-plane.js";

const READ_ONLY_LEVEL = 5;

const readiness = Type.Object({ status: Type.String(), level: Type.Integer(), reasons: Type.Array(Type.String()) });

export function healthRoutes(app: FastifyInstance, data: DataPlane): void {
  const config = { public: true, unreplicated: true };
  const live = Type.Object({ status: Type.String() });
  app.get("/healthz", { config, schema: { tags: ["operations"], summary: "Whether the process is up", response: { 200: live } } }, (_request, reply) => {
    reply.header("content-type", "application/json; charset=utf-8").send('{"status":"ok"}');
  });
  app.get("/readyz", { config, schema: { tags: ["operations"], summary: "Whether the replica serves, and how degraded it is", response: { 200: readiness, 503: readiness } } }, (_request, reply) => {
    const { level, reasons } = data.cluster().degradation;
    const isReady = level < READ_ONLY_LEVEL;
    if (!isReady) reply.header("retry-after", "1");
    const status = !isReady ? "unavailable" : level === 0 ? "ok" : "degraded";
    reply.code(isReady ? 200 : 503).header("content-type", "application/json; charset=utf-8").send(JSON.stringify({ status, level, reasons }));
  });
}

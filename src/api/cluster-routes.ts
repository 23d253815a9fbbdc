/** The state of replication for operators, and anti-entropy by hand. */
import type { FastifyInstance } from "fastify";
import Type from "typebox";
import type { ClusterStatus, DataPlane } from "../store/data-plane.js";
import { nullable } from "../store/route-schemas.js";

const vector = Type.Record(Type.String(), Type.Integer());

const peer = Type.Object({
  replica: Type.String(),
  region: Type.String(),
  role: Type.String(),
  state: Type.Enum(["up", "suspect", "down"]),
  rtt_ms: nullable(Type.Number()),
  unacknowledged_changes: Type.Integer(),
  oldest_unacknowledged_ms: Type.Number(),
  vector,
  merkle_root: nullable(Type.String()),
  pages: nullable(Type.Array(Type.String(), { description: "The pages that it keeps; null: all." })),
  in_sync: Type.Boolean(),
  clock_offset_ms: nullable(Type.Number()),
});

const cluster = Type.Object({
  replica: Type.String(),
  region: Type.String(),
  role: Type.String(),
  pages: nullable(Type.Array(Type.String(), { description: "The pages that it keeps; null: all." })),
  incarnation: Type.Integer(),
  voting: Type.Boolean(),
  vector,
  merkle_root: Type.String(),
  clock: Type.Object({ hlc: Type.String(), offset_ms: Type.Number() }),
  degradation: Type.Object({ level: Type.Integer({ minimum: 0, maximum: 5 }), reasons: Type.Array(Type.String()) }),
  quarantined: Type.Integer(),
  documents: Type.Integer(),
  heard_at: nullable(Type.String({ description: "At an edge: when it noted last that it heard a region." })),
  peers: Type.Array(peer),
});

const round = Type.Object({
  peers: Type.Array(
    Type.Object({
      replica: Type.String(),
      documents_compared: Type.Integer(),
      documents_repaired: Type.Integer(),
      bytes: Type.Integer(),
      round_trips: Type.Integer(),
      equal: Type.Boolean(),
    }),
  ),
});

export function clusterRoutes(app: FastifyInstance, data: DataPlane): void {
  const json = "application/json; charset=utf-8";
  app.get(
    "/v1/cluster",
    { config: { role: "viewer", unreplicated: true }, schema: { tags: ["cluster"], summary: "This replica and how it sees its peers", response: { 200: cluster } } },
    (_request, reply) => {
      const status: ClusterStatus = data.cluster();
      reply.header("content-type", json).send(JSON.stringify(status));
    },
  );
  app.post(
    "/v1/cluster/anti-entropy",
    { config: { role: "owner", unreplicated: true }, schema: { tags: ["cluster"], summary: "Compares and repairs documents with every peer that is up; answers when the round is over", response: { 200: round } } },
    async (_request, reply) => {
      const peers = await data.antiEntropy();
      return reply.header("content-type", json).send(JSON.stringify({ peers }));
    },
  );
}

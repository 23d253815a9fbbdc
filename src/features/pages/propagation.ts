/** `/v1/pages/{page}/propagation`: which replicas and edges hold what a session token has seen. */
import { Type, type Static } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Fault } from "../../core/errors.js";
import { dominates, type Vector } from "../../core/vector.js";
import type { ClusterStatus } from "../../store/data-plane.js";
import { pageKey, requirePage } from "../../store/resource.js";
import { PageParams } from "../../store/resource-schemas.js";
import { rendered, type Rendered, type RouteOptions } from "../../store/route-context.js";
import { nullable } from "../../store/route-schemas.js";

const Replica = Type.Object({
  replica: Type.String(), region: Type.String(), role: Type.String(),
  state: Type.Enum(["up", "suspect", "down"], { description: "Whether the replica that answers hears it; what it holds is what it said last." }),
  holds: nullable(Type.Boolean({ description: "Null: it does not keep this page." })),
});
const Propagation = Type.Object({
  page_id: Type.String(),
  everywhere: Type.Boolean({ description: "Every replica and edge that keeps the page holds it." }),
  replicas: Type.Array(Replica),
});
const query = Type.Object({ token: Type.Optional(Type.String({ maxLength: 4_096, description: "Required: the `Session-Token` of the answer to a change." })), consistency: Type.Optional(Type.String()) }, { additionalProperties: false });

/** Who holds what `seen` counts, as the replica with this status knows: itself and those that it is linked with. */
export function propagationOf(page: string, seen: Vector, cluster: ClusterStatus): Static<typeof Propagation> {
  const holds = (pages: readonly string[] | null, vector: Vector): boolean | null => (pages === null || pages.includes(page) ? dominates(vector, seen) : null);
  const own = { replica: cluster.replica, region: cluster.region, role: cluster.role, state: "up" as const, holds: holds(cluster.pages, cluster.vector) };
  const others = cluster.peers.map(({ replica, region, role, state, pages, vector }) => ({ replica, region, role, state, holds: holds(pages, vector) }));
  const replicas = [own, ...others];
  return { page_id: page, everywhere: replicas.every((one) => one.holds !== false), replicas };
}

export const propagationRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.get("/v1/pages/:page/propagation", {
    config: { role: "viewer", localOnly: true },
    schema: { tags: ["pages"], summary: "Which replicas and edges hold a change", params: PageParams, querystring: query, response: { 200: Propagation } },
  }, (request, reply) => {
    const { page } = request.params;
    const seen = context.data.parseToken(request.query.token ?? "");
    const propagation = (): Rendered | Fault => (seen === undefined ? new Fault("malformed", "token must be the Session-Token that a region gave.") : rendered(propagationOf(page, seen, context.data.cluster()), null));
    return context.read(request, reply, { documents: [pageKey(page)], render: (snapshot) => requirePage(snapshot, page) ?? propagation() });
  });
};

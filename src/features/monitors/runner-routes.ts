/** How runners in processes of their own speak to the replica that they check for, and how operators see them. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { CHECK_TYPES } from "../../core/check.js";
import { Fault } from "../../core/errors.js";
import { runnerLimits } from "../../core/limits.js";
import { Nothing } from "../../store/resource-schemas.js";
import type { RouteOptions } from "../../store/route-context.js";
import { nullable } from "../../store/route-schemas.js";
import type { RunnerPool } from "./runner-pool.js";
import type { RunnerResult } from "./runner.js";

const tags = ["cluster"];
const owner = { role: "owner", unreplicated: true } as const;
const base = "/v1/cluster/runners";
const closed = { additionalProperties: false };

const time = () => nullable(Type.Number({ minimum: 0 }));
const Result = Type.Object({
  key: Type.String({ minLength: 3, maxLength: 130 }), at: Type.Number({ minimum: 0 }), state: Type.Enum(["up", "down", "unknown"]), latencyMs: time(),
  phases: Type.Object({ dns: time(), connect: time(), tls: time(), first_byte: time(), total: time() }, closed),
  error: nullable(Type.Object({ code: Type.String({ maxLength: 100 }), message: Type.String({ maxLength: 2_000 }) }, closed)),
  attempt: Type.Integer({ minimum: 1, maximum: 100 }), isFinal: Type.Boolean(), roundAt: Type.Number({ minimum: 0 }), lateMs: Type.Number(),
}, closed);
const count = () => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const BeatBody = Type.Object({
  instance: Type.String({ pattern: "^[0-9a-f]{32}$" }), holds: count(), batch: count(), results: Type.Array(Result, { maxItems: runnerLimits.resultsPerBeatMax }),
  ran: Type.Array(Type.Object({ id: count(), result: Result }, closed), { maxItems: runnerLimits.resultsPerBeatMax }),
}, closed);
const Check = Type.Object({ type: Type.Enum([...CHECK_TYPES]), target: Type.String(), timeoutMs: Type.Integer(), options: Type.Record(Type.String(), Type.Unknown()) });
const Task = Type.Object({ key: Type.String(), intervalMs: Type.Integer(), retries: Type.Integer(), retryDelayMs: Type.Integer(), check: Check, soon: Type.Boolean(), firstWithinMs: Type.Optional(Type.Number()) });
const OrdersBody = Type.Object({
  leaseMs: Type.Integer(), beatMs: Type.Integer(), revision: Type.Integer(), reset: Type.Boolean(), tasks: Type.Array(Task), dropped: Type.Array(Type.String()),
  runs: Type.Array(Type.Object({ id: Type.Integer(), task: Task })),
  settings: Type.Object({ region: Type.String(), allowPrivateTargets: Type.Boolean(), allowedTargetRanges: Type.Array(Type.String()), canaries: Type.Array(Check) }),
});
const RunnerItem = Type.Object({ name: Type.String(), monitors: Type.Integer(), results: Type.Integer({ description: "Looks at targets since it joined." }), silent_ms: Type.Number() });
const params = () => Type.Object({ name: Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,47}$", description: "Of the runner; unique beside its replica." }) });

/** What a runner must know of the region that it stands in. */
export interface RunnerSurroundings {
  readonly region: string;
  readonly allowPrivateTargets: boolean;
  readonly allowedTargetRanges: readonly string[];
  readonly canaries: readonly unknown[];
}

export function runnerRoutes(pool: RunnerPool, settings: RunnerSurroundings): FastifyPluginAsyncTypebox<RouteOptions> {
  return async (app, { context }) => {
    app.get(base, { config: owner, schema: { tags, summary: "Runners that check for this replica as processes of their own", response: { 200: Type.Object({ data: Type.Array(RunnerItem) }) } } },
      async () => ({ data: pool.status().map(({ monitors, name, results, silentMs }) => ({ name, monitors, results, silent_ms: silentMs })) }));

    app.put(`${base}/:name`, { config: owner, schema: { tags, summary: "For runners: says that one lives and what it has seen; answers what it is to check", params: params(), body: BeatBody, response: { 200: OrdersBody } } },
      async (request, reply) => {
        const { results, ran, ...beat } = request.body;
        const orders = pool.beat(request.params.name, { ...beat, results: results as RunnerResult[], ran: ran as { id: number; result: RunnerResult }[] });
        if (orders === undefined) return context.fail(request, reply, new Fault("conflict", `At most ${runnerLimits.runnersMax} runners can check for a replica.`));
        return reply.header("content-type", "application/json; charset=utf-8").send(JSON.stringify({ ...orders, beatMs: runnerLimits.beatMs, settings }) as never);
      });

    app.delete(`${base}/:name`, { config: owner, schema: { tags, summary: "For runners: one ends, and its share is taken over at once", params: params(), response: { 204: Nothing } } },
      async (request, reply) => (pool.leave(request.params.name) ? reply.code(204).send(null) : context.fail(request, reply, new Fault("not-found", "There is no such runner."))));
  };
}

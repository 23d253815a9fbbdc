/** What stands in front of every route: request id, limits, key, role, page, and the headers that all routes take alike. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions as FastifyRoute } from "fastify";
import { assert, isFault, type Fault } from "../core/errors.js";
import type { Clock } from "../core/ports.js";
import type { DataPlane } from "../store/data-plane.js";
import type { RouteAccess } from "../store/route-context.js";
import { plainQuery } from "../store/route-schemas.js";
import { accessFault, type Authenticator } from "./authentication.js";
import { readOptionsOf } from "./consistency.js";
import { idempotencyOf } from "./idempotency.js";
import type { RequestLatency } from "./metrics.js";
import { sendProblem } from "./problem.js";
import type { RateLimits } from "./rate-limit.js";

export interface GuardPorts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly region: string;
  readonly authenticator: Authenticator;
  readonly rateLimits: RateLimits;
  readonly latency: RequestLatency;
}

/** A route as it was registered, for OPTIONS, 405 and the API's description. */
export interface GuardedRoute {
  readonly method: string;
  /** As Fastify writes it: `/v1/pages/:page`. */
  readonly url: string;
  readonly access: RouteAccess;
  readonly takesBody: boolean;
}

const WRITES: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH", "DELETE"]);

/** Puts the guard in front of every route that is registered from now on; returns the list that they are noted in. */
export function guardRoutes(app: FastifyInstance, ports: GuardPorts): readonly GuardedRoute[] {
  const routes: GuardedRoute[] = [];
  app.decorateRequest("caller", null);
  app.decorateRequest("reading", null);
  app.decorateRequest("idempotent", null);
  app.decorateRequest("startedMs", 0);
  app.addHook("onRequest", (request, reply, done) => {
    request.startedMs = ports.clock.monotonic();
    reply.header("x-request-id", request.id).header("region", ports.region).header("x-content-type-options", "nosniff");
    done();
  });
  app.addHook("onRoute", (route) => {
    const access = accessOf(route);
    for (const method of [route.method].flat()) {
      routes.push({ method, url: route.url, access, takesBody: route.schema?.body !== undefined });
      const record = ports.latency.ofRoute(method, route.url);
      route.onResponse = [
        ...[route.onResponse ?? []].flat(),
        (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
          record((ports.clock.monotonic() - request.startedMs) / 1000, reply.statusCode);
          done();
        },
      ];
    }
    if (access.role === undefined) return;
    route.schema = { querystring: plainQuery, ...route.schema };
    route.onRequest = [guardOf(access, route.url.includes("/:page"), ports), ...[route.onRequest ?? []].flat()];
  });
  return routes;
}

function accessOf(route: FastifyRoute): RouteAccess {
  const access: RouteAccess = route.config ?? {};
  // Forgetting to say who may call a route must not open it.
  assert(!route.url.startsWith("/v1/") || access.role !== undefined, `route ${route.url} says which role may call it`);
  return access;
}

type Guard = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void;

function guardOf({ role, localOnly = false, unreplicated = false }: RouteAccess, isOfPage: boolean, ports: GuardPorts): Guard {
  assert(role !== undefined, "a guarded route names a role");

  const admit = async (request: FastifyRequest): Promise<Fault | undefined> => {
    const flooded = await ports.rateLimits.ofAddress(request);
    if (flooded !== undefined) return flooded;
    const caller = await ports.authenticator.authenticate(request.headers.authorization);
    if (isFault(caller)) return caller;
    request.caller = caller;
    const tooMany = await ports.rateLimits.ofKey(request);
    if (tooMany !== undefined) return tooMany;
    const forbidden = accessFault(caller, role, isOfPage ? (request.params as { readonly page: string }).page : undefined);
    if (forbidden !== undefined || unreplicated) return forbidden;
    const options = readOptionsOf(request.headers, request.query, ports.data, localOnly);
    if (isFault(options)) return options;
    request.reading = options;
    if (!WRITES.has(request.method)) return undefined;
    // Only the key's form is looked at here: its meaning includes the body, which is not there yet.
    const idempotency = idempotencyOf(request);
    return isFault(idempotency) ? idempotency : undefined;
  };

  return (request, reply, done) => {
    if (request.caller !== null) {
      done();
      return;
    }
    admit(request).then(
      (fault) => {
        if (fault === undefined) done();
        else sendProblem(reply, fault);
      },
      (error: unknown) => {
        // Handlers of errors are reached by sending an Error.
        void reply.send(error instanceof Error ? error : new Error(String(error)));
      },
    );
  };
}

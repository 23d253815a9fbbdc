/**
 * What stands in front of every route: request id, limits, key, role, page, and the headers that all routes take alike.
 * It runs for every request, so a known key costs one look-up, one read and no more promises than that read's.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions as FastifyRoute } from "fastify";
import Type from "typebox";
import { assert, Fault, isFault } from "../core/errors.js";
import type { Clock } from "../core/ports.js";
import type { DataPlane } from "../store/data-plane.js";
import type { Caller, RouteAccess } from "../store/route-context.js";
import { plainQuery } from "../store/route-schemas.js";
import { accessFault, BEARER, type Authenticator } from "./authentication.js";
import type { Connections } from "./connections.js";
import { readOptionsOf } from "./consistency.js";
import { idempotencyOf } from "./idempotency.js";
import type { RequestLatency } from "./metrics.js";
import { sendProblem } from "./problem.js";
import type { RateLimit } from "./rate-limit.js";
import { recordLatency } from "./route-call.js";

export interface GuardPorts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly region: string;
  readonly authenticator: Authenticator;
  readonly perAddress: RateLimit;
  readonly perKey: RateLimit;
  readonly latency: RequestLatency;
  readonly connections: Connections;
  isUnderPressure(): boolean;
}

/** A route as it was registered, for OPTIONS, 405 and the API's description. */
export interface GuardedRoute {
  readonly method: string;
  /** As Fastify writes it: `/v1/pages/:page`. */
  readonly url: string;
  readonly access: RouteAccess;
}

/** The body of an action that takes none: what is sent all the same must not be taken for understood. */
const noBody = Type.Union([Type.Object({}, { additionalProperties: false }), Type.Null()]);

type Hook = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void;

const WRITES: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH", "DELETE"]);

/** Paths that answer however busy the replica is, since they are how one finds out. */
const NEVER_SHED: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"]);

const overloaded = () => new Fault("overloaded", "The replica is overloaded.");
const tooManyConnections = () => new Fault("overloaded", "The replica has no descriptors left for more connections.");

/** Why a request is not looked at, if it is not. */
function shedFault(request: FastifyRequest, reply: FastifyReply, ports: GuardPorts): Fault | undefined {
  if (ports.connections.isSurplus(request.raw.socket)) {
    reply.header("connection", "close");
    return tooManyConnections();
  }
  return ports.isUnderPressure() ? overloaded() : undefined;
}

/** The headers of every answer. */
export function greet(request: FastifyRequest, reply: FastifyReply, region: string): void {
  reply.header("x-request-id", request.id).header("region", region).header("x-content-type-options", "nosniff");
}

/** Puts the guard in front of every route that is registered from now on; returns the list that they are noted in. */
export function guardRoutes(app: FastifyInstance, ports: GuardPorts): readonly GuardedRoute[] {
  const routes: GuardedRoute[] = [];
  app.decorateRequest("caller", null);
  app.decorateRequest("reading", null);
  app.decorateRequest("idempotent", null);
  app.decorateRequest("rawBody", undefined);
  app.decorateRequest("startedMs", 0);
  app.decorateRequest("record", null);
  app.addHook("onRoute", (route) => {
    const access = accessOf(route);
    const methods = [route.method].flat();
    if (access.role !== undefined && methods.includes("POST") && route.schema?.body === undefined) route.schema = { ...route.schema, body: noBody };
    for (const method of methods) routes.push({ method, url: route.url, access });
    const record = ports.latency.ofRoute(methods.join(), route.url);
    // A HEAD route is made from its GET route, guard included.
    if (Array.isArray(route.onRequest) && route.onRequest.some((hook) => guards.has(hook))) return;
    if (access.role !== undefined) route.schema = { querystring: plainQuery, ...route.schema };
    const guard = access.role === undefined ? openHook(route.url, access, record, ports) : guardOf(access, route.url.includes("/:page"), record, ports);
    guards.add(guard);
    route.onRequest = [guard, ...[route.onRequest ?? []].flat()];
    // Answers that features send record themselves (`RouteAnswers`), without the listeners that this hook costs.
    if (access.role === undefined || access.unreplicated === true) {
      route.onResponse = [...[route.onResponse ?? []].flat(), answered];
    }
  });
  return routes;
}

const guards = new WeakSet<object>();

const answered: Hook = (request, reply, done) => {
  recordLatency(request, reply.statusCode);
  done();
};

function accessOf(route: FastifyRoute): RouteAccess {
  const access: RouteAccess = route.config ?? {};
  // Forgetting to say who may call a route must not open it.
  assert(!route.url.startsWith("/v1/") || access.role !== undefined, `route ${route.url} says which role may call it`);
  return access;
}

function openHook(url: string, access: RouteAccess, record: FastifyRequest["record"], ports: GuardPorts): Hook {
  const isShed = !NEVER_SHED.has(url);
  const isReplicated = access.public === true && access.unreplicated !== true;
  return (request, reply, done) => {
    request.startedMs = ports.clock.monotonic();
    request.record = record;
    greet(request, reply, ports.region);
    // What is answered from memory never comes here (`Publisher.answerAgain`): only what has to be looked up or rendered counts.
    const shed = isShed ? (shedFault(request, reply, ports) ?? (isReplicated ? ports.perAddress.take(request.ip, request.startedMs) : undefined)) : undefined;
    if (shed !== undefined) {
      sendProblem(reply, shed);
      return;
    }
    if (isReplicated) {
      const options = readOptionsOf(request.headers, request.query, ports.data, true);
      if (isFault(options)) {
        sendProblem(reply, options);
        return;
      }
      request.reading = options;
    }
    done();
  };
}

/** True for a request that the route itself checks, in place of a key. */
function isSender({ senders }: RouteAccess, { headers }: FastifyRequest): boolean {
  if (senders === undefined) return false;
  if (headers.authorization === undefined) return headers[senders.signatureHeader] !== undefined;
  return BEARER.exec(headers.authorization)?.[1]?.startsWith(senders.tokenPrefix) === true;
}

function guardOf(access: RouteAccess, isOfPage: boolean, record: FastifyRequest["record"], ports: GuardPorts): Hook {
  const { role, localOnly = false, senders, unreplicated = false } = access;
  assert(role !== undefined, "a guarded route names a role");
  const { authenticator, clock, data, perAddress, perKey, region } = ports;

  const limited = (fault: Fault | undefined): Fault | undefined => (fault === undefined || senders === undefined ? fault : new Fault("overloaded", fault.detail, fault.extra));

  const admit = (request: FastifyRequest, caller: Caller): Fault | undefined => {
    request.caller = caller;
    const tooMany = limited(perKey.take(caller.id, request.startedMs));
    if (tooMany !== undefined) return tooMany;
    const forbidden = accessFault(caller, role, isOfPage ? (request.params as { readonly page: string }).page : undefined);
    if (forbidden !== undefined || unreplicated) return forbidden;
    const options = readOptionsOf(request.headers, request.query, data, localOnly);
    if (isFault(options)) return options;
    request.reading = options;
    if (!WRITES.has(request.method)) return undefined;
    // Only the key's form is looked at here: its meaning includes the body, which is not there yet.
    const idempotency = idempotencyOf(request);
    return isFault(idempotency) ? idempotency : undefined;
  };

  return (request, reply, done) => {
    request.startedMs = clock.monotonic();
    request.record = record;
    greet(request, reply, region);
    const shed = shedFault(request, reply, ports) ?? limited(perAddress.take(request.ip, request.startedMs));
    if (shed !== undefined) {
      sendProblem(reply, shed);
      return;
    }
    if (isSender(access, request)) {
      const options = readOptionsOf(request.headers, request.query, data, localOnly);
      if (isFault(options)) {
        sendProblem(reply, options);
        return;
      }
      request.reading = options;
      done();
      return;
    }
    const admitted = (known: Caller | Fault): void => {
      const fault = isFault(known) ? known : admit(request, known);
      if (fault === undefined) done();
      else sendProblem(reply, fault);
    };
    const caller = authenticator.authenticate(request.headers.authorization, request.raw.socket);
    if (caller instanceof Promise) caller.then(admitted, (error: unknown) => void reply.send(error instanceof Error ? error : new Error(String(error))));
    else admitted(caller);
  };
}

/** Assembles the HTTP side of a replica: every route behind one guard, every failure one form. */
import compress from "@fastify/compress";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, { LogController, type FastifyInstance } from "fastify";
import { limits } from "../core/limits.js";
import { ComponentHistory } from "../store/component-history.js";
import { PageHosts } from "../store/page-hosts.js";
import { PublicCache } from "../store/public-cache.js";
import type { RouteContext } from "../store/route-context.js";
import type { ApiConfig, ApiPorts, FeatureRoutes } from "./api-config.js";
import { apiLimits } from "./api-limits.js";
import { Authenticator } from "./authentication.js";
import { Connections } from "./connections.js";
import { CutOff } from "./cut-off.js";
import { clusterRoutes } from "./cluster-routes.js";
import { allowOrigins } from "./cross-origin.js";
import { documentation } from "./documentation.js";
import { EdgeForwarding } from "./edge-forwarding.js";
import { EventLoopLateness } from "./event-loop-lateness.js";
import { EventStreams } from "./event-stream.js";
import { answerTheRest, clientErrorHandler } from "./fallback.js";
import { Forwarding } from "./forwarding.js";
import { greet, guardRoutes, type GuardedRoute } from "./guard.js";
import { healthRoutes } from "./health.js";
import { httpServer } from "./http-server.js";
import { acceptJsonBodies } from "./json-body.js";
import { clusterGauges, eventStreamMetrics, metricsRoute, RequestLatency } from "./metrics.js";
import { PagePaths } from "./page-paths.js";
import { errorHandler } from "./problem.js";
import { publicCacheMetrics, Publisher } from "./publisher.js";
import { RateLimit } from "./rate-limit.js";
import { RouteAnswers } from "./route-answers.js";
import { SecretHasher } from "./secrets.js";
import { validatorCompiler } from "./validation.js";

const REQUEST_ID = /^[A-Za-z0-9._~-]+$/;

export interface ApiOptions {
  readonly config: ApiConfig;
  readonly ports: ApiPorts;
  /** The plugins of the features' `routes.ts`. */
  readonly features: readonly FeatureRoutes[];
  readonly hasher?: SecretHasher;
}

/** A server that is ready to `listen`, and that `close` ends: what is under way is finished, idle connections are closed. */
export async function buildServer({ config, ports, features, hasher = new SecretHasher() }: ApiOptions): Promise<FastifyInstance> {
  const { data, clock } = ports;
  const newRequestId = requestIds(ports);
  const hosts = new PageHosts(data);
  const history = new ComponentHistory({ data, timers: ports.timers, failed: (error) => ports.log.error({ event: "component-history", err: error }, "the history of components could not be written down") }, {
    componentsMax: apiLimits.componentHistoriesMax, writeAfterMs: apiLimits.componentHistoryWriteMs,
  });
  const cache = new PublicCache(data, history, { bytesMax: apiLimits.publicCacheBytes }, ports);
  const paths = new PagePaths(hosts, config.trustProxy);
  let publisher: Publisher | undefined;
  const app = Fastify({
    loggerInstance: ports.log,
    logController: new LogController({ disableRequestLogging: true }),
    // One logger for all requests: problems name the request id themselves.
    childLoggerFactory: (logger) => logger,
    genReqId: newRequestId,
    bodyLimit: limits.requestBodyBytes,
    serverFactory: (handler) => httpServer((request, response) => publisher?.answerAgain(request, response) ?? false, handler),
    forceCloseConnections: "idle",
    return503OnClosing: false,
    trustProxy: config.trustProxy,
    rewriteUrl: (request) => paths.rewrite(request),
    // An id that is too long is one that does not exist; the headers' bound holds for the path as well.
    routerOptions: { maxParamLength: apiLimits.headerBytesMax },
    exposeHeadRoutes: true,
    clientErrorHandler: clientErrorHandler(config.region, () => newRequestId({ headers: {} })),
    frameworkErrors: (error, request, reply) => {
      greet(request, reply, config.region);
      errorHandler(ports.onDefect)(error, request, reply);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  const connections = new Connections(config.connectionsMax);
  connections.watch(app.server);
  app.setValidatorCompiler(validatorCompiler());
  // Answers are sent as text that the features rendered; a schema of an answer documents it.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  let answers: RouteAnswers | undefined;
  app.setErrorHandler(errorHandler(ports.onDefect, (request, reply, refusal) => answers?.keepRefusal(request, reply, refusal) ?? false));
  acceptJsonBodies(app);
  allowOrigins(app, config.cors);

  await app.register(compress, { global: false, threshold: apiLimits.compressAboveBytes, encodings: ["gzip", "identity"] });
  app.addHook("onRoute", (route) => paths.reserve(route.url));
  const streams = new EventStreams({ data, timers: ports.timers, clock, region: config.region, log: ports.log, bounds: apiLimits });
  eventStreamMetrics(ports.metrics, streams);
  // Before the server waits for its connections to end.
  let isClosing = false;
  app.addHook("preClose", () => {
    isClosing = true;
    streams.close();
  });
  const lateness = new EventLoopLateness(clock, ports.timers, { lateMs: apiLimits.eventLoopDelayMsMax, sampleMs: apiLimits.eventLoopSampleMs, shedAfterMs: apiLimits.shedAfterMs });
  app.addHook("onListen", (done) => {
    lateness.start();
    done();
  });
  app.addHook("onClose", async () => {
    for (const part of [cache, hosts, authenticator, lateness]) part.close();
    await history.close();
  });
  const latency = new RequestLatency(ports.metrics, clock);
  const authenticator = new Authenticator(data, hasher, () => clock.now());
  const isUnderPressure = (): boolean => lateness.isLong();
  const routes: readonly GuardedRoute[] = guardRoutes(app, {
    data, clock, region: config.region, authenticator, latency, isUnderPressure,
    connections,
    perAddress: new RateLimit(config.requestsPerAddress, "address"),
    perKey: new RateLimit(config.requestsPerKey, "key"),
  });
  const edge = config.edge === undefined || ports.forwarder === undefined ? undefined : new EdgeForwarding({ data, forwarder: ports.forwarder, random: ports.random }, config.edge);
  if (edge !== undefined) {
    app.addHook("preHandler", (request, reply, done) => {
      if (edge.lacks(request)) edge.answerOther(request, reply).catch((error: unknown) => void reply.send(error));
      else done();
    });
  }
  clusterGauges(ports.metrics, data);
  await app.register(documentation, { version: config.version, requestsPerAddress: config.requestsPerAddress, routes });

  const cutOff = new CutOff(data, clock);
  publisher = new Publisher(data, cache, clock, config.region, config.publicCaching, {
    hosts: () => hosts.names,
    cutOffSince: () => cutOff.since(),
    isBarred: (request) => isClosing || connections.isSurplus(request.socket) || isUnderPressure(),
    newRequestId,
    trustProxy: config.trustProxy,
  });
  answers = new RouteAnswers({
    data, clock, random: ports.random, hasher, authenticator,
    forwarding: ports.forwarder === undefined ? undefined : new Forwarding(ports.forwarder, config.voters),
    publisher, cutOff, streams,
    edge,
    componentHistory: history,
  });
  const context: RouteContext = answers;
  publicCacheMetrics(ports.metrics, cache, history);
  healthRoutes(app, data);
  metricsRoute(app, ports.metrics);
  clusterRoutes(app, data);
  for (const feature of features) await app.register(feature, { context });
  answerTheRest(app, routes, config.region);
  await hosts.settled();
  await app.ready();
  return app;
}

/** Takes a caller's own request id where it is one that may stand in a header and in a log, else counts. */
function requestIds({ random }: ApiPorts) {
  const prefix = Buffer.from(random.bytes(6)).toString("hex");
  let count = 0;
  return (request: { readonly headers: { readonly [name: string]: string | string[] | undefined } }): string => {
    const given = request.headers["x-request-id"];
    if (typeof given === "string" && given.length <= apiLimits.requestIdLengthMax && REQUEST_ID.test(given)) return given;
    return `${prefix}-${(count++).toString(36)}`;
  };
}

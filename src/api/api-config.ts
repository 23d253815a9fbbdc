/** What the HTTP side must be told and given. */
import type { FastifyBaseLogger, FastifyPluginAsync } from "fastify";
import type { InvariantViolation } from "../core/errors.js";
import type { Clock, Forwarder, Random, Timers } from "../core/ports.js";
import type { DataPlane } from "../store/data-plane.js";
import type { RouteOptions } from "../store/route-context.js";
import type { PromMetrics } from "./metrics.js";

export interface ApiConfig {
  readonly region: string;
  readonly replica: string;
  /** Shown in the API's description. */
  readonly version: string;
  /** Requests per second that one key may make. 0: no limit. */
  readonly requestsPerKey: number;
  /** Requests per second that one address may make, with any key or none. 0: no limit. */
  readonly requestsPerAddress: number;
  /** Origins that browsers may call from; `*`: all. */
  readonly cors: readonly string[];
  /** Where GLOBAL_QUORUM requests are carried out, in order of preference; empty at a replica that votes. */
  readonly voters: readonly string[];
  /** True if a proxy in front names the client's address, and the host that was asked for (`X-Forwarded-For`, `-Host`, `-Proto`). */
  readonly trustProxy: boolean;
  readonly publicCaching: PublicCaching;
  /** Set at an edge. */
  readonly edge?: EdgeConfig;
}

export interface EdgeConfig {
  /** Replicas that take writes. */
  readonly regions: readonly string[];
  /** Those of them that vote. */
  readonly voters: readonly string[];
}

/** How long others may keep public answers, s. Source: RFC 9111, RFC 5861. */
export interface PublicCaching {
  readonly maxAgeSeconds: number;
  /** For shared caches (`s-maxage`), where they are told of changes by purges; null: as `maxAgeSeconds`. */
  readonly sharedMaxAgeSeconds: number | null;
  readonly staleWhileRevalidateSeconds: number;
  readonly staleIfErrorSeconds: number;
}

export const publicCachingDefaults: PublicCaching = { maxAgeSeconds: 5, sharedMaxAgeSeconds: null, staleWhileRevalidateSeconds: 60, staleIfErrorSeconds: 7 * 86_400 };

export const apiDefaults = { publicCaching: publicCachingDefaults, requestsPerKey: 5_000, requestsPerAddress: 20_000, trustProxy: false, voters: [], cors: [] } as const;

export interface ApiPorts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: FastifyBaseLogger;
  readonly metrics: PromMetrics;
  /** Passes requests on to other replicas; without it every request is answered here. */
  readonly forwarder?: Forwarder;
  /** Hears of a broken invariant, after which the process must stop. */
  readonly onDefect: (error: InvariantViolation) => void;
}

export type FeatureRoutes = FastifyPluginAsync<RouteOptions>;

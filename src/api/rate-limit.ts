/** How many requests a key and an address may make: @fastify/rate-limit, asked by the guard. */
import rateLimit from "@fastify/rate-limit";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Fault } from "../core/errors.js";
import type { ApiConfig } from "./api-config.js";
import { apiLimits } from "./api-limits.js";

export interface RateLimits {
  /** Counts one request of an address; a Fault if it made too many. */
  ofAddress(request: FastifyRequest): Promise<Fault | undefined>;
  /** The same for the key that made the request. */
  ofKey(request: FastifyRequest): Promise<Fault | undefined>;
}

type Limiter = (request: FastifyRequest) => Promise<Fault | undefined>;

export async function registerRateLimits(app: FastifyInstance, config: ApiConfig): Promise<RateLimits> {
  await app.register(rateLimit, { global: false, cache: apiLimits.rateLimitTracked });
  const limiter = (max: number, what: string, keyGenerator: (request: FastifyRequest) => string): Limiter => {
    if (max === 0) return async () => undefined;
    const count = app.createRateLimit({ max, timeWindow: 1000, keyGenerator });
    return async (request) => {
      const taken = await count(request);
      if (taken.isAllowed || !taken.isExceeded) return undefined;
      return new Fault("too-many-requests", `The ${what} makes more than ${max} requests per second.`, { retryAfterSeconds: Math.max(1, taken.ttlInSeconds) });
    };
  };
  return {
    ofAddress: limiter(config.requestsPerAddress, "address", (request) => request.ip),
    ofKey: limiter(config.requestsPerKey, "key", (request) => request.caller?.id ?? ""),
  };
}

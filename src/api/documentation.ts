/** `/openapi.json`, `/docs`, and the pages that the `type` of problems names. */
import type {} from "@fastify/compress";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import fastifyPlugin from "fastify-plugin";
import { Fault, FAULT_CODES, type FaultCode } from "../core/errors.js";
import { CONSISTENCY_LEVELS } from "../store/data-plane.js";
import { apiLimits } from "./api-limits.js";
import type { GuardedRoute } from "./guard.js";
import { RATE_WINDOW_MS } from "./rate-limit.js";
import { PROBLEMS, sendProblem } from "./problem.js";

type Mutable = Record<string, unknown>;

export interface DocumentationOptions {
  readonly version: string;
  /** Requests per second; 0: no limit. */
  readonly requestsPerAddress: number;
  /** Fills while routes are registered. */
  readonly routes: readonly GuardedRoute[];
}

/** Must be registered before the routes that it describes. */
export const documentation = fastifyPlugin(async (app: FastifyInstance, { version, requestsPerAddress, routes }: DocumentationOptions) => {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "statusmesh", version, description: "A status page service that takes writes in every region.", license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
    },
    transformObject: (documents) => ("openapiObject" in documents ? (complete(documents.openapiObject as unknown as Mutable, routes) as typeof documents.openapiObject) : documents.swaggerObject),
  });
  await app.register(pages, { requestsPerAddress });
});

const PUBLIC = { public: true, unreplicated: true } as const;

/** The pages for people, which are HTML and so need a content security policy. A room of their own: helmet costs every request. */
const pages = async (app: FastifyInstance, { requestsPerAddress }: Pick<DocumentationOptions, "requestsPerAddress">): Promise<void> => {
  if (requestsPerAddress > 0) await app.register(rateLimit, { max: requestsPerAddress, timeWindow: RATE_WINDOW_MS, cache: apiLimits.rateLimitTracked });
  await app.register(helmet, {
    strictTransportSecurity: false,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], scriptSrc: ["'self'"], styleSrc: ["'self'", "'unsafe-inline'"], imgSrc: ["'self'", "data:"], fontSrc: ["'self'", "data:"], connectSrc: ["'self'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] },
    },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", uiConfig: { url: "/openapi.json", validatorUrl: null } as object });
  let text: string | undefined;
  app.get("/openapi.json", { config: PUBLIC, schema: { hide: true } }, (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    reply.header("content-type", "application/json; charset=utf-8");
    reply.compress(text);
  });
  app.get<{ Params: { code: string } }>("/problems/:code", { config: PUBLIC, schema: { tags: ["operations"], summary: "What a problem type means", response: { 200: { description: "A page for people.", content: { "text/html": { schema: { type: "string" } } } } } } }, (request, reply) => {
    const code = FAULT_CODES.find((known) => known === request.params.code);
    if (code === undefined) return sendProblem(reply, new Fault("not-found", "There is no problem of this type."));
    return reply.type("text/html; charset=utf-8").send(problemPage(code));
  });
};

/** The catalogue holds no text from outside, and none with a character that HTML would read otherwise, but for the backticks. */
function problemPage(code: FaultCode): string {
  const { status, title, explanation } = PROBLEMS[code];
  const prose = explanation.replaceAll("<", "&lt;").replaceAll(">", "&gt;").replace(/`([^`]+)`/g, "<code>$1</code>");
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1><p>HTTP status ${status}, type <code>/problems/${code}</code></p><p>${prose}</p></body></html>\n`;
}

const text = { type: "string" } as const;

const HEADERS: Readonly<Record<string, object>> = {
  "X-Request-Id": { description: "Names the request in logs and problems.", schema: text },
  Region: { description: "The region that answered.", schema: text },
  "Session-Token": { description: "What this answer saw; hand it to any region to see at least that.", schema: text },
  "Consistency-Level": { description: "The level served.", schema: { type: "string", enum: CONSISTENCY_LEVELS } },
  ETag: { description: "Changes whenever the resource does; equal in all regions that hold the same state.", schema: text },
};

const PARAMETERS: Readonly<Record<string, object>> = {
  consistencyLevel: { name: "Consistency-Level", in: "header", description: "LOCAL unless told.", schema: { type: "string", enum: CONSISTENCY_LEVELS } },
  sessionToken: { name: "Session-Token", in: "header", description: "From an earlier answer of any region: the answer reflects at least what that one saw.", schema: text },
  sessionWait: { name: "Session-Wait", in: "header", description: "Milliseconds to wait for what the session saw; 2000 unless told.", schema: { type: "integer", minimum: 0, maximum: 30_000 } },
  quorumTimeout: { name: "Quorum-Timeout", in: "header", description: "Milliseconds to wait for a quorum; 5000 unless told.", schema: { type: "integer", minimum: 100, maximum: 30_000 } },
  idempotencyKey: { name: "Idempotency-Key", in: "header", description: "The same key and body within 24 hours returns the first answer, in any region.", schema: { type: "string", minLength: 1, maxLength: 255 } },
  ifNoneMatch: { name: "If-None-Match", in: "header", description: "Entity tags that the caller has; 304 if the resource has one of them.", schema: text },
  ifMatch: { name: "If-Match", in: "header", description: "Entity tags of which the resource must have one; atomic across regions at GLOBAL_QUORUM.", schema: text },
};

const PROBLEM_SCHEMA = {
  type: "object",
  required: ["type", "title", "status", "detail", "instance"],
  properties: {
    type: { type: "string", enum: FAULT_CODES.map((code) => `/problems/${code}`) },
    title: text,
    status: { type: "integer" },
    detail: text,
    instance: { type: "string", description: "The request id." },
    errors: { type: "array", items: { type: "object", required: ["pointer", "message"], properties: { pointer: text, message: text } } },
    outcome: { type: "string", enum: ["rejected", "unknown"], description: "What became of a write." },
  },
};

/** Adds to each operation what all of them share: headers, key, problems. */
function complete(document: Mutable, routes: readonly GuardedRoute[]): Mutable {
  const components = document["components"] as Mutable;
  components["schemas"] = { ...(components["schemas"] as Mutable), Problem: PROBLEM_SCHEMA };
  components["parameters"] = PARAMETERS;
  components["headers"] = HEADERS;
  components["responses"] = {
    NotModified: { description: "The resource still has a tag of `If-None-Match`.", headers: { ETag: { $ref: "#/components/headers/ETag" } } },
    ...Object.fromEntries([...new Set(Object.values(PROBLEMS).map(({ status }) => status))].map((status) => [`Problem${status}`, problemResponse(status)])),
  };
  const paths = document["paths"] as Record<string, Record<string, Mutable>>;
  for (const { method, url, access } of routes) {
    const operation = paths[url.replace(/:([a-zA-Z_]+)/g, "{$1}")]?.[method.toLowerCase()];
    if (operation !== undefined) completeOperation(operation, method, url, access);
  }
  return document;
}

function completeOperation(operation: Mutable, method: string, url: string, access: GuardedRoute["access"]): void {
  const isWrite = method !== "GET" && method !== "HEAD";
  const isReplicated = access.unreplicated !== true;
  const parameters = isReplicated ? ["consistencyLevel", "sessionToken", "sessionWait", "quorumTimeout"] : [];
  if (isReplicated && isWrite) parameters.push("idempotencyKey");
  if (isReplicated && isWrite && method !== "POST") parameters.push("ifMatch");
  const isTagged = isReplicated && !isWrite && !isList(operation);
  if (isTagged) parameters.push("ifNoneMatch");
  operation["parameters"] = [...((operation["parameters"] as object[] | undefined) ?? []), ...parameters.map((name) => ({ $ref: `#/components/parameters/${name}` }))];
  operation["operationId"] ??= `${method.toLowerCase()}${url.replace(/[^a-zA-Z]+(\w)/g, (_all, letter: string) => letter.toUpperCase()).replace(/[^a-zA-Z0-9]/g, "")}`;
  operation["security"] = access.role === undefined ? [] : [{ key: [] }];
  if (access.role !== undefined) operation["description"] = [operation["description"], `Needs a key of role \`${access.role}\` or more.`].filter(Boolean).join("\n\n");
  const responses = operation["responses"] as Record<string, Mutable>;
  for (const [status, response] of Object.entries(responses)) {
    const names = ["X-Request-Id", "Region", ...(isReplicated ? ["Session-Token", "Consistency-Level"] : []), ...(isReplicated && status !== "204" && !isList(operation) ? ["ETag"] : [])];
    response["headers"] = { ...Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }])), ...(response["headers"] as object | undefined) };
  }
  if (isTagged) responses["304"] ??= { $ref: "#/components/responses/NotModified" };
  for (const status of problemStatuses(access, isWrite)) responses[status] ??= { $ref: `#/components/responses/Problem${status}` };
}

/** Lists carry no ETag. */
function isList(operation: Mutable): boolean {
  const parameters = operation["parameters"] as readonly { readonly name?: string }[] | undefined;
  return parameters?.some(({ name }) => name === "cursor") ?? false;
}

function problemStatuses(access: GuardedRoute["access"], isWrite: boolean): number[] {
  if (access.role === undefined) return [404, 429, 500, 503];
  return [400, 401, 403, 404, ...(isWrite ? [409, 412, 413, 415, 422] : []), 429, 500, 503];
}

function problemResponse(status: number): object {
  const kinds = FAULT_CODES.filter((code) => PROBLEMS[code].status === status);
  const description = kinds.map((code) => PROBLEMS[code].title).join(", or ");
  const retry = status === 429 || status === 503 ? { headers: { "Retry-After": { description: "Seconds.", schema: { type: "integer" } } } } : {};
  return { description, ...retry, content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } } };
}

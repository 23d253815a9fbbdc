/** A server with all features on the fake data plane, and requests to it in short. */
import type { Test } from "tap";
import type { ApiConfig, FeatureRoutes } from "../../src/api/api-config.js";
import { routes as access } from "../../src/features/access/routes.js";
import { routes as components } from "../../src/features/components/routes.js";
import { routes as incidents } from "../../src/features/incidents/routes.js";
import { routes as maintenances } from "../../src/features/maintenances/routes.js";
import { routes as monitors } from "../../src/features/monitors/routes.js";
import { routes as pages } from "../../src/features/pages/routes.js";
import type { Clock } from "../../src/core/ports.js";
import { presentGroup } from "../../src/features/components/component-group.js";
import { presentComponent } from "../../src/features/components/component.js";
import { summarizeIncident } from "../../src/features/incidents/incident.js";
import { summarizeMaintenance } from "../../src/features/maintenances/maintenance.js";
import { presentPage } from "../../src/features/pages/page.js";
import { statusPageRoutes } from "../../src/features/status-page/routes.js";
import { ROOT_KEY, testServer, type TestServer } from "../api/test-server.js";

const statusPages = statusPageRoutes({ page: presentPage, component: presentComponent, group: presentGroup, incident: summarizeIncident, maintenance: summarizeMaintenance });

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  /** The parsed body, `{}` if there is none. */
  readonly body: Json;
}

// Answers are looked into by tests, which say what they expect to find.
export type Json = { readonly [key: string]: Json } & readonly Json[] & string;

export interface Client extends TestServer {
  call(method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE", path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** As `call` under `/v1/pages/default`, with the root key. Throws unless the answer is a success. */
  done(method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE", path: string, body?: unknown): Promise<Json>;
}

export async function featureServer(t: Pick<Test, "teardown">, more: readonly FeatureRoutes[] = [], config: Partial<ApiConfig> = {}, clock?: Clock): Promise<Client> {
  const server = await testServer(t, config, [pages, components, incidents, maintenances, monitors, access, statusPages, ...more], clock);
  const call: Client["call"] = async (method, path, body, headers = {}) => {
    const response = await server.app.inject({
      method, url: path, headers: { authorization: `Bearer ${ROOT_KEY}`, ...headers }, ...(body === undefined ? {} : { payload: body as object }),
    });
    return { status: response.statusCode, headers: response.headers, body: (response.body === "" ? {} : JSON.parse(response.body)) as Json };
  };
  return {
    ...server, call,
    async done(method, path, body) {
      const reply = await call(method, `/v1/pages/default${path}`, body);
      if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
      return reply.body;
    },
  };
}

/** A member that must be there. */
export function at(value: Json | undefined, key: string | number): Json {
  const member = value?.[key as string];
  if (member === undefined) throw new Error(`there is no ${key} in ${JSON.stringify(value)}`);
  return member;
}
